"""A body that arrives in pieces, read in every way that applications read."""

from __future__ import annotations

import random
from collections import deque
from io import BytesIO

import pytest

from worker.body import ClientLeftError, LinkBody

TEXT = b"one\ntwo\n\nthree without an end"


class Pieces:
    """What a link brings: each fetch adds the next piece to the body."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = deque(pieces)
        self.fetched = 0
        self.body = LinkBody(self.fetch)

    def fetch(self) -> None:
        self.fetched += 1
        self.body.add(self._pieces.popleft(), not self._pieces)


def cut(text: bytes, size: int) -> Pieces:
    return Pieces(*[text[start : start + size] for start in range(0, len(text), size)], b"")


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_all_of_it_can_be_read_at_once(size: int) -> None:
    body = cut(TEXT, size).body
    assert (body.read(), body.read(), body.read(1), body.readline()) == (TEXT, b"", b"", b"")


@pytest.mark.parametrize("size", [None, -1])
def test_no_size_stands_for_all_that_is_left(size: int | None) -> None:
    body = cut(TEXT, 5).body
    assert body.read(2) + body.read(size) == TEXT
    assert cut(b"one\ntwo", 2).body.readline(size) == b"one\n"


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_it_can_be_read_line_by_line(size: int) -> None:
    assert list(iter(cut(TEXT, size).body.readline, b"")) == TEXT.splitlines(keepends=True)


def test_a_line_may_be_read_in_parts() -> None:
    body = cut(b"a long line\nnext", 4).body
    assert [body.readline(6), body.readline(100), body.readline(0), body.readline()] == [
        b"a long", b" line\n", b"", b"next",
    ]  # fmt: skip


def test_it_reads_like_a_file_whatever_is_asked_in_whatever_order() -> None:
    luck = random.Random(7)
    text = bytes(luck.choice(b"ab\n") for _ in range(5000))
    body, file = cut(text, 37).body, BytesIO(text)
    for _ in range(2000):
        size = luck.choice([-1] + [0, 1, 5, 36, 37, 38, 100] * 20)
        if luck.random() < 0.5:
            assert body.readline(size) == file.readline(size)
        else:
            assert body.read(max(size, 0)) == file.read(max(size, 0))
    assert body.read() == file.read()


def test_no_more_is_fetched_than_is_read() -> None:
    pieces = cut(TEXT, 4)
    assert (pieces.body.read(4), pieces.fetched) == (b"one\n", 1)
    assert (pieces.body.read(5), pieces.fetched) == (b"two\n\n", 3)


def test_an_empty_body_has_nothing_to_read() -> None:
    assert Pieces(b"").body.read() == b""


def test_the_body_of_a_client_that_has_left_does_not_look_whole() -> None:
    def leave() -> None:
        body.cut()

    body = LinkBody(leave)
    body.add(b"half of", False)
    with pytest.raises(ClientLeftError, match="the client left before its body was read"):
        body.read()
    with pytest.raises(ClientLeftError):
        body.readline()


def test_a_body_that_has_come_whole_can_be_read_though_the_client_has_left() -> None:
    body = LinkBody(lambda: None)
    body.add(b"whole", True)
    body.cut()
    assert body.read() == b"whole"


def test_short_lines_do_not_copy_the_piece_that_they_are_in() -> None:
    # With a copy of the rest for each line, this megabyte would take the time of 250 GB.
    body = Pieces(b"x\n" * 500_000).body
    assert sum(1 for _ in iter(body.readline, b"")) == 500_000
