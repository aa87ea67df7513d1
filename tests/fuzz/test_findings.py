from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.findings import complaint_about, keep, kept, shortened
from tests.fuzz.target import Target, TooExpensiveError, joined, outcome, parts, ways_to_cut


def read(data: bytes) -> bytes:
    if b"no" in data:
        raise KeyError(data)
    if b"bug" in data:
        raise IndexError
    return data * (1000 if b"eat" in data else 1)


def has_no_x(data: bytes) -> None:
    assert b"x" not in data


TARGET = Target(read=read, refusals=(KeyError,), laws=(has_no_x,), seeds=(b"",), each=2, fixed=2000)


@pytest.mark.parametrize("data", [b"", b"fine", b"no"])
def test_of_what_is_accepted_or_refused_there_is_nothing_to_complain(data: bytes) -> None:
    assert complaint_about(TARGET, data) == ""


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"a bug", "IndexError in read(), test_findings.py:"),
        (b"x", "AssertionError in has_no_x(), test_findings.py:"),
        (b"no x", "AssertionError in has_no_x(), test_findings.py:"),
        (b"eat" * 100, "too expensive: 300 bytes took 300"),
    ],
)
def test_of_anything_else_there_is(data: bytes, complaint: str) -> None:
    assert complaint_about(TARGET, data).startswith(complaint)


def test_what_costs_too_much_time_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr("tests.fuzz.target.time.thread_time", lambda: next(clock))
    with pytest.raises(TooExpensiveError, match=r"^4 bytes took 3\.0 s, more than 0\.5$"):
        TARGET.weigh(b"fine")


def test_a_finding_is_shortened_to_what_matters() -> None:
    assert shortened(TARGET, b"a lot of words, and a bug between them") == b"bug"
    assert shortened(TARGET, b"eat" * 100) == b"eat" * 100


def test_a_finding_is_kept_once(tmp_path: Path) -> None:
    first = keep("http", b"GET", tmp_path)
    assert keep("http", b"GET", tmp_path) == first
    second = keep("http", b"POST", tmp_path)
    assert kept("http", tmp_path) == sorted([first, second])
    assert first.read_bytes() == b"GET"
    assert kept("heads", tmp_path) == []


def test_an_input_has_as_many_parts_as_are_asked_for() -> None:
    assert parts(joined(b"a", b"b", b"c"), 3) == [b"a", b"b", b"c"]
    assert parts(b"a", 3) == [b"a", b"", b""]
    assert parts(joined(b"a", b"b", b"c"), 2) == [b"a", joined(b"b", b"c")]


def test_a_stream_is_cut_anyhow_but_each_time_in_the_same_way() -> None:
    data = bytes(range(100))
    ways = [*ways_to_cut(data)]
    assert ways == [*ways_to_cut(data)]
    assert ways[0] == [bytes([byte]) for byte in data]
    assert all(b"".join(pieces) == data and all(pieces) for pieces in ways)
    assert max(map(len, ways_to_cut(bytes(10_000)))) <= 6
    assert [*ways_to_cut(b"")] == [[]] * 4


def test_an_outcome_is_a_value_or_the_kind_of_a_refusal() -> None:
    assert outcome(read, b"a", refusals=(KeyError,)) == b"a"
    assert outcome(read, b"no", refusals=(KeyError,)) is KeyError
    with pytest.raises(IndexError):
        outcome(read, b"bug", refusals=(KeyError,))
