from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.content import (
    BINARY,
    JSON,
    PAGE,
    HeldPieces,
    Pieces,
    close_source,
    encode_json,
    join_content,
    read_content,
    stream_content,
)
from worker.errors import ContentError


@dataclass
class Point:
    x: Any
    names: list[str] = field(default_factory=list)


class Html(list):
    def __html__(self):
        return "".join(self)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("text", PAGE),
        ("", PAGE),
        (b"bytes", BINARY),
        ({"a": 1}, JSON),
        ({}, JSON),
        (["a", "b"], PAGE),
        (("a", b"b"), PAGE),
        ([[], [["a"]], "b"], PAGE),
        ([[["a", 1]]], PAGE),
        ([], JSON),
        ([[], []], JSON),
        ([1, "a"], JSON),
        ([{"a": 1}], JSON),
        ([None, "a"], JSON),
        ([[1, "a"], "b"], JSON),
        (iter("ab"), PAGE),
        (Point(1), JSON),
        ([Point(1)], JSON),
        (Html(), PAGE),
    ],
)
def test_the_first_leaf_says_whether_a_list_is_a_page(content, kind):
    assert read_content(content)[0] == kind


def test_only_json_is_encoded_at_once():
    pieces = ["a", ["b"]]
    assert read_content(pieces)[1] is pieces
    assert read_content({"é": [1, None]})[1] == '{"é":[1,null]}'.encode()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "None is not"),
        (42, "an int is not"),
        ({1, 2}, "a set is not"),
        (range(3), "a range is not"),
        (bytearray(b"x"), "a bytearray is not"),
        ({"a": {1}}, "JSON has no words for a part of a dict"),
        ([float("nan")], "JSON has no words for a part of a list"),
    ],
)
def test_what_cannot_be_sent_is_named(content, complaint):
    with pytest.raises(ContentError) as caught:
        read_content(content)
    assert complaint in str(caught.value)


def test_a_dataclass_is_an_object_with_its_fields():
    value = {"points": [Point(1, ["a"]), Point(Point(None))]}
    assert encode_json(value) == b'{"points":[{"x":1,"names":["a"]},{"x":{"x":null,"names":[]},"names":[]}]}'
    assert read_content(Point("é"))[1] == '{"x":"é","names":[]}'.encode()


def test_dates_times_and_uuids_are_text_in_json():
    value = [
        date(2024, 2, 29),
        time(12, 30),
        datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
        UUID(int=1),
    ]
    assert json.loads(encode_json(value)) == [
        "2024-02-29",
        "12:30:00",
        "2024-02-29T12:30:00+00:00",
        "00000000-0000-0000-0000-000000000001",
    ]


def test_a_class_is_no_dataclass():
    with pytest.raises(ContentError, match="a type is not a Response"):
        read_content(Point)


def test_what_a_content_holds_is_released_when_it_is_closed():
    steps = []
    source = io.StringIO("one\ntwo\n")
    pieces = HeldPieces(stream_content(source), lambda: steps.append(source.closed))
    assert next(pieces) == b"one\n"
    assert [*pieces] == [b"two\n"]
    pieces.close()
    assert steps == [True]


def test_a_page_with_something_else_in_it_never_turns_into_json():
    with pytest.raises(ContentError) as caught:
        join_content(["total: ", 3])
    assert str(caught.value) == "a page in pieces has an int in it: make it text, or use Response.json()"


def test_a_list_that_is_a_result_and_a_status_elsewhere_is_an_error_here():
    with pytest.raises(ContentError):
        join_content(("not found", 404))


IOLISTS = st.recursive(st.text() | st.binary(), lambda inner: st.lists(inner) | st.lists(inner).map(tuple))


def leaves(pieces) -> list[bytes]:
    if isinstance(pieces, list | tuple):
        return [leaf for piece in pieces for leaf in leaves(piece)]
    return [pieces.encode("utf-8", "replace") if isinstance(pieces, str) else pieces]


@given(IOLISTS)
def test_an_iolist_is_its_leaves_in_order(pieces):
    assert join_content(pieces) == b"".join(leaves(pieces))


def test_an_iolist_may_be_nested_deeper_than_functions_may():
    pieces: list = ["x"]
    for _ in range(10_000):
        pieces = [pieces, "y"]
    assert join_content(pieces) == b"x" + b"y" * 10_000
    assert read_content(pieces) == (PAGE, pieces)


def test_a_lone_surrogate_from_a_clients_json_does_no_harm():
    assert join_content(json.loads('"a\\ud800"')) == b"a?"
    assert encode_json(json.loads('"a\\ud800"')) == b'"a?"'


def test_a_stream_has_the_pieces_that_are_not_empty_and_closes_its_source():
    source = io.StringIO("one\ntwo\n")
    assert [*stream_content(source)] == [b"one\n", b"two\n"]
    assert source.closed
    assert [*stream_content(iter(["", b"a", "é", b""]))] == [b"a", "é".encode()]


def test_a_stream_of_something_else_is_an_error_and_closed():
    closed = []

    def numbers():
        try:
            yield 1
        finally:
            closed.append(True)

    with pytest.raises(ContentError):
        next(stream_content(numbers()))
    assert closed == [True]


def test_pieces_are_the_first_and_the_rest():
    source = io.StringIO("one\ntwo\n")
    rest = stream_content(source)
    pieces = Pieces(next(rest), rest)
    assert [*pieces] == [b"one\n", b"two\n"]
    pieces.close()


def test_pieces_that_nobody_reads_close_their_source_too():
    source = io.StringIO("one\ntwo\n")
    rest = stream_content(source)
    pieces = Pieces(next(rest), rest)
    assert not source.closed
    pieces.close()
    assert source.closed


def test_a_source_without_a_close_needs_none():
    close_source([1])
