from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dispatcher.accesslog import AccessLog
from dispatcher.answer import error_page
from dispatcher.exchange import Exchange
from dispatcher.framing import BadRequest
from tests.dispatcher.fakes import FakeClient

STAMP = "20/Nov/2026:17:30:44 +0000"


def an_exchange(
    target: bytes = b"/page?x=1",
    head: bytes = b"Host: a\r\nreferer: http://a/\r\nUser-Agent: Mozilla/5.0 (X11)\r\n",
    peer: str = "192.0.2.7:1234",
) -> Exchange:
    exchange = Exchange(FakeClient(), "GET", target, "/page", "a", head, "http", peer, b"", None, 10.0)
    exchange.application, exchange.worker, exchange.attempt = "pages", "pages-1", 1
    exchange.waited, exchange.assigned = 0.25, 10.25
    return exchange


def a_refusal(line: bytes, status: int = 400) -> BadRequest:
    error = BadRequest(status, "No.")
    error.line = line
    return error


def written(style: str, *notes) -> list[str]:
    file = io.StringIO()
    log = AccessLog(style, file)
    log.stamp = STAMP
    for note in notes:
        note(log)
    log.flush()
    return file.getvalue().splitlines(keepends=True)


def answered(exchange: Exchange, status: int = 200, sent: int = 12):
    return lambda log: log.note(exchange, status, sent, 10.75)


def refused(error: BadRequest, peer: str = "192.0.2.7:1234"):
    return lambda log: log.note_refusal(peer, error)


def test_common_is_what_log_analysers_read_and_then_our_own_figures():
    assert written("common", answered(an_exchange())) == [
        f'192.0.2.7 - - [{STAMP}] "GET /page?x=1 HTTP/1.1" 200 12 pages pages-1 0.2500 0.5000\n'
    ]


def test_combined_has_referer_and_agent_too():
    assert written("combined", answered(an_exchange())) == [
        f'192.0.2.7 - - [{STAMP}] "GET /page?x=1 HTTP/1.1" 200 12 "http://a/" "Mozilla/5.0 (X11)"'
        " pages pages-1 0.2500 0.5000\n"
    ]


def test_json_has_the_same_by_name():
    (line,) = written("json", answered(an_exchange()))
    assert json.loads(line) == {
        "time": STAMP,
        "client": "192.0.2.7:1234",
        "host": "a",
        "method": "GET",
        "target": "/page?x=1",
        "version": "1.1",
        "status": 200,
        "bytes": 12,
        "referer": "http://a/",
        "agent": "Mozilla/5.0 (X11)",
        "application": "pages",
        "worker": "pages-1",
        "attempt": 1,
        "waited": 0.25,
        "served": 0.5,
    }


def test_the_version_is_the_client_s():
    exchange = an_exchange()
    exchange.minor = 0
    assert '"GET /page?x=1 HTTP/1.0"' in written("common", answered(exchange))[0]


def test_what_no_worker_answered_has_waited_and_was_not_served():
    exchange = an_exchange(head=b"Host: a\r\n")
    exchange.application, exchange.worker, exchange.attempt = "-", "-", 0
    assert written("combined", answered(exchange, 404, 5)) == [
        f'192.0.2.7 - - [{STAMP}] "GET /page?x=1 HTTP/1.1" 404 5 "-" "-" - - 0.7500 0.0000\n'
    ]


@pytest.mark.parametrize(
    ("peer", "address"), [("192.0.2.7:1", "192.0.2.7"), ("[2001:db8::1]:1", "2001:db8::1"), ("unix:", "unix")]
)
def test_a_client_is_named_without_its_port(peer, address):
    assert written("common", answered(an_exchange(peer=peer)))[0].split()[0] == address
    assert written("common", refused(a_refusal(b""), peer))[0].split()[0] == address


def test_refused_requests_are_there_with_their_request_line():
    size = len(error_page(400, "No.")[1])
    assert written("common", refused(a_refusal(b"GET /a HTTP/1.1"))) == [
        f'192.0.2.7 - - [{STAMP}] "GET /a HTTP/1.1" 400 {size} - - 0.0000 0.0000\n'
    ]
    assert written("combined", refused(a_refusal(b""))) == [
        f'192.0.2.7 - - [{STAMP}] "-" 400 {size} "-" "-" - - 0.0000 0.0000\n'
    ]
    assert written("common", refused(a_refusal(b"HEAD / HTTP/1.1"))) == [
        f'192.0.2.7 - - [{STAMP}] "HEAD / HTTP/1.1" 400 0 - - 0.0000 0.0000\n'
    ]
    assert json.loads(written("json", refused(a_refusal(b"\x16\x03")))[0]) == {
        "time": STAMP,
        "client": "192.0.2.7:1234",
        "line": "\x16\x03",
        "status": 400,
        "bytes": size,
        "reason": "No.",
    }


def test_quotes_backslashes_and_control_characters_are_escaped():
    head = b'User-Agent: "\\\x1b[2J\xe9\x7f\r\n'
    line = written("combined", answered(an_exchange(b'/"x\\', head)))[0]
    assert '"GET /\\x22x\\x5c HTTP/1.1"' in line
    assert '"\\x22\\x5c\\x1b[2J\\xe9\\x7f"' in line
    assert '"a\\x22\\x0ab"' in written("common", refused(a_refusal(b'a"\nb')))[0]


def test_names_that_workers_chose_are_one_word():
    exchange = an_exchange()
    exchange.application, exchange.worker = 'my "shop"', "é\n1"
    line = written("common", answered(exchange))[0]
    assert line.endswith(" my\\x20\\x22shop\\x22 \\xc3\\xa9\\x0a1 0.2500 0.5000\n")


LINE = re.compile(
    r"\S+ - - \[[^\]]+\] \"[\x20-\x21\x23-\x7e]*\" \d{3} \d+"
    r" \"[\x20-\x21\x23-\x7e]*\" \"[\x20-\x21\x23-\x7e]*\" \S+ \S+ \d+\.\d{4} \d+\.\d{4}\n"
)
anything = st.binary(max_size=40)
names = st.text(min_size=1, max_size=10)


@given(anything, anything, anything, names, names)
def test_nothing_that_a_client_or_a_worker_says_forges_a_line(target, referer, agent, application, worker):
    exchange = an_exchange(target, b"Referer: %b\r\nUser-Agent: %b\r\n" % (referer, agent))
    exchange.application, exchange.worker = application, worker
    notes = answered(exchange), refused(a_refusal(target))
    lines = written("combined", *notes)
    assert [bool(LINE.fullmatch(line)) for line in lines] == [True, True]
    for line in written("json", *notes):
        assert line.isascii()
        assert line[:-1].isprintable()
        assert isinstance(json.loads(line), dict)


def test_lines_are_written_together():
    file = io.StringIO()
    log = AccessLog("common", file)
    log.flush()
    log.note(an_exchange(), 200, 1, 11.0)
    log.note(an_exchange(), 200, 2, 11.0)
    assert file.getvalue() == ""
    log.flush()
    log.flush()
    assert file.getvalue().count("\n") == 2


def test_a_log_that_cannot_be_written_is_reported_once_and_serving_goes_on(tmp_path):
    class Disk(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    disk = Disk()
    log = AccessLog("common", disk)
    with capture_logs() as events:
        for is_full in (True, True, False, True):
            disk.is_full = is_full
            log.note(an_exchange(), 200, 1, 11.0)
            log.flush()
    assert [event["reason"] for event in events] == ["No space left on device"] * 2
    assert disk.getvalue().count("\n") == 1


def test_what_is_not_read_in_time_is_dropped_and_told_once_when_it_goes_on():
    class Pipe(io.StringIO):
        is_full = True

        def write(self, text: str) -> int:
            if self.is_full:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            return super().write(text)

    pipe = Pipe()
    log = AccessLog("common", pipe)
    with capture_logs() as events:
        for is_full, lines in ((True, 3), (True, 4), (False, 1), (False, 1)):
            pipe.is_full = is_full
            for _ in range(lines):
                log.note(an_exchange(), 200, 1, 11.0)
            log.flush()
    assert [(event["event"], event["lost"]) for event in events] == [
        ("the access log goes on; it was not read in time", 7)
    ]
    assert pipe.getvalue().count("\n") == 2
