from __future__ import annotations

import errno
import os

import pytest

from dispatcher import spool
from dispatcher.framing import BadRequest
from dispatcher.intake import Intake
from dispatcher.settings import Limits
from protocol.settings import Size

POST = b"POST /p HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /g HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def intake() -> Intake:
    return Intake(Limits(body_memory=Size(10), body=Size(100)))


def refuse(intake: Intake, data: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        intake.next_request(data)
    return caught.value


def test_a_request_without_a_body_is_there_with_its_head(intake):
    head, *rest = intake.next_request(GET)
    assert head.target == b"/g"
    assert rest == [b"Host: a\r\n", b"", None]


def test_a_body_is_waited_for_and_what_follows_is_kept(intake):
    assert intake.next_request(POST + b"Content-Length: 5\r\n\r\nhe") is None
    assert intake.has_begun_body
    assert not intake.has_begun_head
    _, _, content, body = intake.next_request(b"llo" + GET[:5])
    assert (content, body) == (b"hello", None)
    assert (intake.has_begun_body, len(intake)) == (False, 5)
    assert intake.next_request(GET[5:])[0].target == b"/g"


def test_a_chunked_body_gets_a_length(intake):
    _, block, content, _ = intake.next_request(
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    assert content == b"abc"
    assert block.endswith(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 11\r\n\r\nhello world",
        b"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
    ],
)
def test_a_long_body_is_in_a_file(intake, framed):
    _, _, content, body = intake.next_request(POST + framed)
    assert content == b""
    assert body.read(0, 99) == b"hello world"
    body.close()


def test_a_client_that_expects_a_100_waits_for_it_until_it_sends_something(intake):
    expecting = POST + b"Expect: 100-continue\r\n"
    assert not intake.is_expected
    assert intake.next_request(expecting + b"Content-Length: 2\r\n\r\n") is None
    assert intake.is_expected
    assert intake.next_request(b"a") is None
    assert not intake.is_expected
    assert intake.next_request(b"b" + expecting + b"Transfer-Encoding: chunked\r\n\r\n")[2] == b"ab"
    assert intake.next_request(b"") is None
    assert intake.is_expected
    assert intake.next_request(b"1") is None
    assert not intake.is_expected


def test_a_bad_body_is_reported_with_its_request_line(intake):
    error = refuse(intake, POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n")
    assert (error.status, error.line) == (400, b"POST /p HTTP/1.1")


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, 507), (errno.EMFILE, 503), (errno.ENFILE, 503)]
)
def test_what_cannot_be_stored_is_refused(intake, monkeypatch, number, status):
    def fail():
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(spool, "temporary_file", fail)
    error = refuse(intake, POST + b"Content-Length: 11\r\n\r\nhello world")
    assert (error.status, error.line) == (status, b"POST /p HTTP/1.1")


def test_a_body_that_the_room_in_files_does_not_hold_is_refused():
    intake = Intake(Limits(body_memory=Size(10), disk=Size(20)))
    error = refuse(intake, POST + b"Content-Length: 21\r\n\r\n" + b"x" * 21)
    assert (error.status, error.line) == (507, b"POST /p HTTP/1.1")
    intake.close()
    assert (intake.storage.memory.used, intake.storage.disk.used) == (0, 0)


@pytest.mark.parametrize("size", [5, 15])
def test_the_room_of_a_body_is_taken_until_its_reader_gives_it_back(intake, size):
    storage = intake.storage
    _, _, content, body = intake.next_request(POST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
    assert storage.memory.used == len(content) == (size if body is None else 0)
    assert storage.disk.used == size - len(content)
    intake.close()
    assert storage.memory.used + storage.disk.used == size
    if body is not None:
        body.close()
        assert storage.disk.used == 0


def test_what_follows_a_body_is_dropped_where_no_room_is_left():
    intake = Intake(Limits(memory=Size(8)))
    head, _, content, _ = intake.next_request(POST + b"Content-Length: 5\r\n\r\nhello" + GET)
    assert (content, head.keep_alive, len(intake)) == (b"hello", False, 0)
    assert not intake.keep(GET)


def test_a_complaint_names_the_request_that_has_begun(intake):
    intake.next_request(b"GET /half HT")
    error = intake.complain(408, "Too slow.")
    assert (error.status, str(error), error.line) == (408, "Too slow.", b"GET /half HT")
    intake.close()
    intake.next_request(POST + b"Content-Length: 5\r\n\r\n")
    assert intake.complain(408, "Too slow.").line == b"POST /p HTTP/1.1"


def test_closing_drops_what_has_come(intake):
    intake.next_request(POST + b"Content-Length: 50\r\n\r\nhello world")
    intake.close()
    assert not intake.has_begun_body
    assert intake.next_request(GET)[0].target == b"/g"
