from __future__ import annotations

import os
from contextlib import closing, suppress

import pytest

from dispatcher import scribe as module
from dispatcher.scribe import ROOM, Scribe
from tests.waiting import until


@pytest.fixture
def pipe():
    """Both ends of a pipe; a test may close them itself."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end >= 0:
            os.close(end)


def read_all(reader: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(reader, 65536)
    return data


def is_done(scribe: Scribe) -> bool:
    return repr(scribe).endswith(" 0 bytes wait>")


def test_what_is_written_arrives_in_order_and_before_the_end(pipe):
    reader, writer = pipe
    with closing(Scribe(writer)) as scribe:
        for line in ("one\n", "two\n", "\u00e9\n"):
            scribe.write(line)
            scribe.flush()
    assert os.read(reader, 100) == "one\ntwo\n\u00e9\n".encode()


def test_who_writes_to_a_pipe_that_nobody_reads_is_not_held_up_and_loses_only_what_is_too_much(pipe):
    reader, writer = pipe
    line = "x" * 99_999 + "\n"
    scribe = Scribe(writer)
    taken = 0
    with suppress(BlockingIOError):
        while taken < 1000:
            scribe.write(line)
            taken += 1
    assert taken == ROOM // len(line)
    assert read_all(reader, taken * len(line)) == line.encode() * taken
    until(lambda: is_done(scribe))
    scribe.write("on\n")
    assert read_all(reader, 3) == b"on\n"
    scribe.close()


def test_a_text_that_is_longer_than_all_room_is_taken_when_nothing_waits(pipe):
    reader, writer = pipe
    with closing(Scribe(writer)) as scribe:
        scribe.write("x" * (ROOM + 1))
        assert len(read_all(reader, ROOM + 1)) == ROOM + 1


def test_an_error_is_told_until_something_has_been_written(pipe):
    reader, writer = pipe
    with open("/dev/full", "wb", buffering=0) as file, closing(Scribe(file.fileno())) as scribe:
        for line in ("one\n", "two\n"):
            scribe.write(line)
            until(lambda: is_done(scribe))
            for _ in range(2):
                with pytest.raises(OSError, match="No space left"):
                    scribe.flush()
        os.dup2(writer, file.fileno())
        scribe.write("three\n")
        assert read_all(reader, 6) == b"three\n"
        until(lambda: is_done(scribe))
        scribe.flush()


def test_closing_does_not_wait_for_a_reader_that_never_comes(pipe, monkeypatch):
    monkeypatch.setattr(module, "FAREWELL", 0.01)
    reader, writer = pipe
    scribe = Scribe(writer)
    scribe.write("x" * ROOM)
    scribe.close()
    read_all(reader, 65536)  # what the pipe held; the thread ends with the write that it is in
    os.set_blocking(reader, False)

    def thread_has_ended() -> bool:
        with suppress(BlockingIOError):
            os.read(reader, 65536)
        return not scribe._thread.is_alive()

    until(thread_has_ended)
