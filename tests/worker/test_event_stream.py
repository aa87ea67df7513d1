from __future__ import annotations

from dataclasses import dataclass

import pytest

from worker import Application
from worker.content import Pieces
from worker.errors import ContentError
from worker.event_stream import Event, events, write_event
from worker.testing import Client


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (Event("hello"), "data: hello\n\n"),
        (Event(""), "data: \n\n"),
        (Event("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("a\u2028b"), "data: a\u2028b\n\n"),
        (Event({"a": [1, "é"]}), 'data: {"a":[1,"é"]}\n\n'),
        (Event(["a", "b"]), 'data: ["a","b"]\n\n'),
        (Event(7, name="tick", id="42"), "event: tick\nid: 42\ndata: 7\n\n"),
        (Event(None), ":\n\n"),
    ],
)
def test_an_event_is_written_as_pages_read_it(event, sent):
    assert write_event(event) == sent


@pytest.mark.parametrize("event", [Event("a", name="b\nc"), Event("a", id="b\rc"), Event("a", id="b\0")])
def test_a_name_or_an_id_of_several_lines_is_refused(event):
    with pytest.raises(ContentError, match="it must be one line"):
        write_event(event)


def test_data_that_json_has_no_words_for_is_refused():
    with pytest.raises(ContentError):
        write_event(Event({1, 2}))


@dataclass
class Tick:
    count: int


def test_a_stream_of_events_says_what_it_is_and_goes_out_piece_by_piece():
    app = Application("x")
    source = ["a", None, {"b": 1}, Tick(2), Event("c", id="1")]
    app.get("/")(lambda request: events(source, retry=1.5))
    result = Client(app).get("/")
    assert (
        result.text
        == 'retry: 1500\n\ndata: a\n\n:\n\ndata: {"b":1}\n\ndata: {"count":2}\n\nid: 1\ndata: c\n\n'
    )
    assert {name: result.headers[name] for name in result.headers} == {
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "content-type": "text/event-stream",
    }


def test_the_head_goes_out_before_the_first_event_is_there():
    steps = []

    def source():
        steps.append("asked for the first event")
        yield "a"

    body = events(source()).answer().body
    assert isinstance(body, Pieces)
    assert steps == []
    assert next(body) == b":\n\n"
    assert next(body) == b"data: a\n\n"
    body.close()


def test_a_listener_that_leaves_ends_the_source():
    closed = []

    def source():
        try:
            while True:
                yield "again"
        finally:
            closed.append(True)

    body = events(source()).answer().body
    assert isinstance(body, Pieces)
    assert [next(body), next(body)] == [b":\n\n", b"data: again\n\n"]
    body.close()
    assert closed == [True]
