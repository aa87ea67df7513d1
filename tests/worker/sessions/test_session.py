from __future__ import annotations

import enum

import pytest

from protocol.errors import LrwpError
from worker.sessions import Held, Session, SessionError
from worker.sessions.session import MOST


class Source:
    """Where a session comes from; it counts how often it was asked."""

    def __init__(self, text: str | None) -> None:
        self.held = None if text is None else Held("key", text, 1.0)
        self.taken = self.peeked = 0

    def take(self) -> Held | None:
        self.taken += 1
        return self.held

    def peek(self) -> Held | None:
        self.peeked += 1
        return self.held


def session_of(text: str | None = None) -> Session:
    source = Source(text)
    return Session(source.take, source.peek)


def test_it_is_a_dictionary():
    session = session_of('{"a":1,"b":[2]}')
    assert (session["a"], session.get("c", 3), "b" in session, len(session)) == (1, 3, True, 2)
    session["c"] = {"d": None}
    del session["a"]
    assert session.setdefault("b", []) == [2]
    assert session.pop("c") == {"d": None}
    assert {**session} == {"b": [2]}
    with pytest.raises(KeyError):
        _ = session["a"]


@pytest.mark.parametrize(
    "look",
    [
        lambda session: session.get("a"),
        len,
        bool,
        list,
        lambda session: session.rotate(),
        lambda session: session.clear(),
        lambda session: session.update(a=1),
    ],
)
def test_it_is_taken_when_it_is_first_looked_at_and_only_then(look):
    source = Source("{}")
    session = Session(source.take, source.peek)
    assert (source.taken, session.is_loaded) == (0, False)
    look(session)
    look(session)
    assert (source.taken, source.peeked, session.is_loaded) == (1, 0, True)
    assert session.held is source.held


def test_what_is_changed_within_a_value_is_kept():
    session = session_of('{"basket":[7]}')
    session["basket"].append(9)
    assert session.text() == '{"basket":[7,9]}'


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "é\0\ud800", [], [[1], {}], {"a": {"b": []}}])
def test_what_json_has_words_for_comes_back_as_it_was(value):
    session = session_of()
    session["value"] = value
    assert session.text().isascii()
    assert session_of(session.text())["value"] == value


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "must be what JSON has words for"),
        (b"bytes", "must be what JSON has words for"),
        ({1, 2}, "must be what JSON has words for"),
        (Colour.RED, "must be what JSON has words for"),
        (float("nan"), "must be what JSON has words for"),
        ({(1, 2): 3}, "must be what JSON has words for"),
        ((1, 2), r"would come back as \[1,2\]: JSON has lists and no tuples"),
        ({1: 2}, r'would come back as {"1":2}: JSON has lists and no tuples, and the names'),
        ("x" * MOST, "would hold 65538 bytes, and 65536 is the most: keep what is large in the database"),
    ],
)
def test_what_would_not_come_back_as_it_was_is_refused_where_it_is_stored(value, reason):
    session = session_of()
    with pytest.raises(SessionError, match=rf'session\["value"\] {reason}') as caught:
        session["value"] = value
    assert isinstance(caught.value, LrwpError)
    assert len(str(caught.value)) < 300
    assert dict(session) == {}


def test_a_value_that_contains_itself_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(SessionError, match="JSON"):
        session_of()["value"] = value


def test_names_are_strings():
    with pytest.raises(SessionError, match="the names in a session are strings, and 7 is not"):
        session_of()[7] = "x"


def test_what_is_spoiled_later_is_told_by_its_name():
    session = session_of('{"list":[]}')
    session["list"].append(object())
    with pytest.raises(SessionError, match=r'session\["list"\] must be what JSON has words for'):
        session.text()


def test_all_values_together_have_a_limit():
    session = session_of()
    for number in range(5):
        session[str(number)] = "x" * (MOST // 5)
    with pytest.raises(SessionError, match=r"the session would hold \d+ bytes, and 65536 is the most"):
        session.text()


def test_clearing_ends_it():
    session = session_of('{"a":1}')
    session.clear()
    assert (dict(session), session.is_renewed) == ({}, True)


def test_rotating_keeps_what_is_in_it():
    session = session_of('{"a":1}')
    assert not session.is_renewed
    session.rotate()
    assert (dict(session), session.is_renewed) == ({"a": 1}, True)


def test_when_it_is_over_it_can_be_read_and_not_changed():
    source = Source('{"a":1}')
    session = Session(source.take, source.peek)
    session.is_over = True
    assert session["a"] == 1
    assert (source.taken, source.peeked, session.held) == (0, 1, None)
    for change in (
        lambda: session.update(a=2),
        lambda: session.pop("a"),
        session.clear,
        session.rotate,
    ):
        with pytest.raises(SessionError, match="the session was saved before the answer began"):
            change()
    assert session["a"] == 1


def test_it_shows_names_and_no_values():
    session = session_of('{"user":"s3cret","basket":[]}')
    assert repr(session) == "<Session not looked at>"
    assert session["basket"] == []
    assert repr(session) == "<Session user, basket>"
