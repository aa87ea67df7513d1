from __future__ import annotations

import asyncio
import os
from functools import partial
from io import FileIO
from typing import TYPE_CHECKING

import pytest

from dispatcher import reply as module
from dispatcher import spool
from dispatcher.backlog import PORTION
from dispatcher.exchange import WORKER_DIED
from dispatcher.framing import RequestHead
from dispatcher.reply import TURN, Reply
from dispatcher.settings import Limits
from dispatcher.static import FileAnswer
from protocol.settings import Size
from tests.dispatcher.fakes_http import PLAIN, FakeSite, a_head

if TYPE_CHECKING:
    from pathlib import Path

FIVE = a_head("Content-Length: 5")


class RecordingOutlet:
    """A connection that writes down what goes out, and says what it is told to say."""

    def __init__(self) -> None:
        self.site = FakeSite(Limits(body_memory=Size(10)))
        self.paused = False
        self.written = b""
        self.writes = 0
        self.end = ""

    @property
    def body(self) -> bytes:
        return self.written.partition(b"\r\n\r\n")[2]

    def may_go_on(self, wanted: bool) -> bool:
        return wanted

    def write(self, head: bytes, body: bytes) -> None:
        self.written += head + body
        self.writes += 1

    def end_reply(self, reply: Reply) -> None:
        self.end += "ended"

    def cut_off(self, reset: bool) -> None:
        self.end += "reset" if reset else "cut off"


@pytest.fixture
def outlet() -> RecordingOutlet:
    return RecordingOutlet()


def a_reply(outlet: RecordingOutlet, method: str = "GET", minor: int = 1) -> Reply:
    return Reply(outlet, RequestHead(method, b"/", "/", "a", b"", 0, minor, True, False))


@pytest.fixture
def reply(outlet: RecordingOutlet) -> Reply:
    return a_reply(outlet)


def a_file(tmp_path: Path, size: int, length: int | None = None) -> FileAnswer:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    return FileAnswer(200, b"X: y\r\n", FileIO(path), 0, size if length is None else length, b"")


def test_a_whole_answer_is_one_write(outlet, reply):
    reply.respond(200, PLAIN, b"hello", True)
    assert (outlet.body, outlet.writes, outlet.end) == (b"hello", 1, "ended")
    assert (reply.status, reply.sent) == (200, 5)


def test_so_are_a_head_with_the_first_piece_and_the_last_piece_with_the_end(outlet, reply):
    reply.respond(200, PLAIN, b"hello", False)
    reply.respond_body(b"world", True)
    assert (outlet.body, outlet.writes, outlet.end) == (b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", 2, "ended")
    assert reply.sent == 10


def test_an_interim_answer_may_precede_it_until_it_begins(outlet, reply):
    assert reply.may_be_preceded
    assert not a_reply(outlet, minor=0).may_be_preceded
    reply.respond(200, PLAIN, b"", False)
    assert not reply.may_be_preceded


def test_what_a_client_does_not_take_waits_and_then_goes_out_in_order(outlet, reply):
    reply.respond(200, FIVE, b"he", False)
    outlet.paused = True
    reply.respond_body(b"l", False)
    reply.respond_body(b"lo world", True)
    assert (outlet.body, outlet.end) == (b"he", "")
    reply.pump()
    assert (outlet.body, outlet.end) == (b"he", "")
    outlet.paused = False
    reply.pump()
    assert (outlet.body, outlet.end, reply.sent) == (b"hello", "ended", 5)


def test_so_does_a_whole_answer_that_begins_late(outlet, reply):
    outlet.paused = True
    reply.respond(200, PLAIN, b"he", False)
    reply.respond_body(b"llo", True)
    assert (outlet.written, outlet.end) == (b"", "")
    outlet.paused = False
    reply.pump()
    assert (outlet.body, outlet.end) == (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "ended")


def test_an_end_without_bytes_needs_no_waiting(outlet, reply):
    reply.respond(200, FIVE, b"hello", False)
    outlet.paused = True
    reply.respond_body(b"", True)
    assert outlet.end == "ended"


def test_nothing_said_after_the_end_goes_out(outlet, reply):
    reply.respond(200, PLAIN, b"hello", True)
    before = outlet.written
    reply.respond(200, PLAIN, b"again", True)
    reply.respond_body(b"more", True)
    reply.fail(WORKER_DIED)
    reply.pump()
    assert not reply.when_caught_up(lambda: None)
    assert (outlet.written, outlet.end) == (before, "ended")


@pytest.mark.parametrize(
    ("minor", "head", "end"),
    [(1, FIVE, "cut off"), (1, PLAIN, "cut off"), (0, FIVE, "cut off"), (0, PLAIN, "reset")],
)
def test_a_failure_after_the_beginning_is_visible(outlet, minor, head, end):
    reply = a_reply(outlet, minor=minor)
    reply.respond(200, head, b"he", False)
    reply.fail(WORKER_DIED)
    assert outlet.end == end


def test_a_failure_before_it_is_an_answer(outlet, reply):
    reply.fail(WORKER_DIED)
    assert outlet.written.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert outlet.end == "ended"


def test_an_answer_that_ends_too_early_is_cut_off_even_when_it_has_waited(outlet, reply):
    reply.respond(200, FIVE, b"", False)
    outlet.paused = True
    reply.respond_body(b"hell", True)
    outlet.paused = False
    reply.pump()
    assert (outlet.body, outlet.end) == (b"hell", "cut off")


def test_a_status_that_is_none_is_not_sent(outlet, reply):
    reply.respond(101, PLAIN, b"", True)
    assert (outlet.written, outlet.end) == (b"", "cut off")


# ── Back-pressure ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("head", "is_held_up"),
    [(PLAIN, True), (FIVE, False), (a_head("Content-Length: 5", "X-Accel-Buffering: no"), True)],
)
def test_only_a_streaming_worker_is_held_up(outlet, reply, head, is_held_up):
    reply.respond(200, head, b"", False)
    assert not reply.when_caught_up(lambda: None)
    outlet.paused = True
    assert reply.when_caught_up(lambda: None) is is_held_up


def test_it_goes_on_when_all_that_waited_has_been_taken(outlet, reply):
    resumed = []
    reply.respond(200, PLAIN, b"", False)
    outlet.paused = True
    reply.respond_body(b"a", False)
    assert reply.when_caught_up(lambda: resumed.append(1))
    reply.pump()
    assert resumed == []
    outlet.paused = False
    reply.pump()
    assert resumed == [1]
    reply.pump()
    assert resumed == [1]


def test_or_when_the_client_has_left(outlet, reply):
    resumed = []
    reply.respond(200, PLAIN, b"", False)
    outlet.paused = True
    assert reply.when_caught_up(lambda: resumed.append(1))
    reply.close()
    assert resumed == [1]


@pytest.mark.parametrize("leave", ["pump", "close"])
def test_a_worker_that_has_given_all_is_not_let_go_on_again(outlet, reply, leave):
    """It may be held up for another client by then."""
    resumed = []
    reply.respond(200, PLAIN, b"", False)
    outlet.paused = True
    reply.respond_body(b"a", False)
    assert reply.when_caught_up(lambda: resumed.append(1))
    reply.respond_body(b"b", True)
    outlet.paused = False
    getattr(reply, leave)()
    assert resumed == []


def test_one_of_known_length_is_held_up_too_when_its_client_is_far_behind(outlet, reply, monkeypatch):
    monkeypatch.setattr(module, "FAR_BEHIND", 1000)
    reply.respond(200, a_head("Content-Length: 5000"), b"", False)
    outlet.paused = True
    reply.respond_body(bytes(1000), False)
    assert not reply.when_caught_up(lambda: None)
    reply.respond_body(b"x", False)
    assert reply.when_caught_up(lambda: None)
    reply.close()


def test_and_when_the_room_in_files_comes_to_its_end(outlet, reply):
    disk = outlet.site.storage.disk
    reply.respond(200, a_head("Content-Length: 5000"), b"", False)
    outlet.paused = True
    disk.take(disk.most - disk.most // 4)
    reply.respond_body(b"in memory", False)
    assert not reply.when_caught_up(lambda: None)
    reply.respond_body(b"in a file", False)
    resumed = []
    assert reply.when_caught_up(lambda: resumed.append(True))
    outlet.paused = False
    reply.pump()
    assert (outlet.body, resumed) == (b"in memoryin a file", [True])


def test_a_full_disk_cuts_the_answer_off_and_leaves_nothing(outlet, reply, monkeypatch):
    monkeypatch.setattr(spool, "temporary_file", partial(open, "/dev/full", "r+b", buffering=0))
    before = os.listdir("/proc/self/fd")
    reply.respond(200, a_head("Content-Length: 50"), b"", False)
    outlet.paused = True
    reply.respond_body(b"0123456789", False)
    reply.respond_body(b"0", False)
    assert outlet.end == "cut off"
    reply.respond_body(b"more", True)
    assert outlet.end == "cut off"
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_cannot_be_read_back_cuts_it_off_too(outlet, reply, monkeypatch):
    reply.respond(200, a_head("Content-Length: 50"), b"", False)
    outlet.paused = True
    reply.respond_body(b"0123456789a", True)

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    outlet.paused = False
    reply.pump()
    assert outlet.end == "cut off"


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def test_a_small_file_goes_out_with_its_head_in_one_write_and_is_closed(outlet, reply, tmp_path):
    answer = a_file(tmp_path, 5)
    reply.respond_file(answer)
    assert (outlet.body, outlet.writes, outlet.end, reply.sent) == (bytes(5), 1, "ended", 5)
    assert b"\r\nX: y\r\nContent-Length: 5\r\n" in outlet.written
    assert answer.file.closed


def test_a_large_file_gives_others_a_turn(outlet, tmp_path):
    async def send() -> list[int]:
        reply = a_reply(outlet)
        reply.respond_file(a_file(tmp_path, 40 * PORTION))
        sizes = [len(outlet.body)]
        while not outlet.end:
            await asyncio.sleep(0)
            sizes.append(len(outlet.body))
        return sizes

    sizes = asyncio.run(send())
    assert outlet.body == bytes(40 * PORTION)
    assert max(b - a for a, b in zip([0, *sizes], sizes, strict=False)) <= (TURN + 1) * PORTION


def test_head_of_a_file_is_its_head_and_closes_it(outlet, tmp_path):
    answer = a_file(tmp_path, 5)
    a_reply(outlet, "HEAD").respond_file(answer)
    assert b"Content-Length: 5\r\n" in outlet.written
    assert (outlet.body, outlet.end, answer.file.closed) == (b"", "ended", True)


def test_an_answer_about_a_file_may_have_none(outlet, reply):
    reply.respond_file(FileAnswer(404, b"X: y\r\n", None, 0, 3, b"no\n"))
    assert (outlet.body, outlet.end) == (b"no\n", "ended")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_about_a_file_may_have_no_body(outlet, reply, status):
    reply.respond_file(FileAnswer(status, b"", None, 0, 0, b""))
    assert b"Content-Length" not in outlet.written
    assert (outlet.body, outlet.end) == (b"", "ended")


def test_a_file_that_has_shrunk_is_cut_off(outlet, reply, tmp_path):
    answer = a_file(tmp_path, 5, length=9)
    reply.respond_file(answer)
    assert (outlet.body, outlet.end, answer.file.closed) == (bytes(5), "cut off", True)


def test_a_file_is_closed_when_its_client_leaves(outlet, reply, tmp_path):
    outlet.paused = True
    answer = a_file(tmp_path, 5 * PORTION)
    reply.respond_file(answer)
    assert not answer.file.closed
    reply.close()
    assert answer.file.closed


def test_or_has_left_already(outlet, reply, tmp_path):
    reply.close()
    answer = a_file(tmp_path, 5)
    reply.respond_file(answer)
    assert (outlet.written, answer.file.closed) == (b"", True)
