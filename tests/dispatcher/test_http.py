"""One connection of a client, on a real socket: order, half-closing, leaving, time, slow clients, the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import struct
import threading
import time
import tracemalloc
from io import FileIO
from typing import IO, TYPE_CHECKING

import pytest

from dispatcher import spool
from dispatcher.exchange import WORKER_DIED, Exchange, Failure
from dispatcher.http import AHEAD, LINGER, LONGEST_LINGER, HttpConnection
from dispatcher.settings import Limits
from dispatcher.static import FileAnswer
from protocol.settings import Duration, Size
from tests.dispatcher.fakes_http import (
    PATIENCE,
    PLAIN,
    FakeSite,
    Serving,
    TruncatedError,
    a_head,
    body_of,
    later,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.dispatcher.fakes_http import Client

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
STREAMED = a_head("Content-Type: text/plain")
TICK = 0.25
PIECE = bytes(range(256)) * 512


@pytest.fixture
def site() -> FakeSite:
    return FakeSite()


@pytest.fixture
def serving(site: FakeSite) -> Iterator[Serving]:
    with Serving(site) as serving:
        yield serving


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    with serving.connect() as client:
        yield client


def a_post(body: bytes, *lines: str) -> bytes:
    fields = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}"))
    return b"POST /post HTTP/1.1\r\nHost: a\r\n" + fields.encode() + b"\r\n" + body


def the_connection(serving: Serving) -> HttpConnection:
    """Return the only connection there is, once it is there."""
    serving.until(lambda: len(serving.site.connections) == 1)
    (connection,) = serving.site.connections
    return connection


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# ── Order ────────────────────────────────────────────────────────────────────────────────────────


def test_requests_sent_ahead_are_answered_in_order(client: Client) -> None:
    client.send(b"".join(GET % n for n in range(100)))
    assert [client.answer().body for _ in range(100)] == [b"GET /%d " % n for n in range(100)]


def test_the_next_request_is_not_handed_out_before_the_answer_to_the_last(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2)
    first = serving.next_exchange()
    client.send(GET % 3)
    assert serving.do(site.asked.empty)
    serving.respond(first, b"one")
    serving.respond(serving.next_exchange(), b"two")
    serving.respond(serving.next_exchange(), b"three")
    assert [client.answer().body for _ in range(3)] == [b"one", b"two", b"three"]


def test_requests_follow_bodies_of_every_framing(client: Client) -> None:
    chunked = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
    client.send(a_post(b"hello") + GET % 1 + chunked + GET % 2 + a_post(b"") + GET % 3)
    bodies = [client.answer().body for _ in range(6)]
    assert bodies == [
        b"POST /post hello",
        b"GET /1 ",
        b"POST /c abcde",
        b"GET /2 ",
        b"POST /post ",
        b"GET /3 ",
    ]


def test_a_request_follows_a_streamed_answer(site: FakeSite, serving: Serving, client: Client) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2)
    first = serving.next_exchange()
    serving.respond(first, b"a", last=False, head=STREAMED)
    serving.do(first.client.respond_body, b"b", False)
    serving.do(first.client.respond_body, b"", True)
    serving.respond(serving.next_exchange(), b"two")
    assert client.answer().body == b"ab"
    assert client.answer().body == b"two"


def test_an_error_in_the_middle_comes_in_its_turn_and_ends_it_all(serving: Serving, client: Client) -> None:
    client.send(GET % 1 + GET % 2 + b"GET / HTTP/1.1\r\n\r\n" + GET % 3)
    assert [client.answer().status for _ in range(3)] == [200, 200, 400]
    assert client.rest() == b""
    assert [serving.next_exchange().path for _ in range(2)] == ["/1", "/2"]
    assert serving.do(serving.site.asked.empty)


def test_what_is_wrong_waits_for_the_answers_before_it(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + b"\x00\r\n\r\n")
    exchange = serving.next_exchange()
    assert serving.do(site.refusals.empty)
    serving.respond(exchange, b"one")
    assert client.answer().body == b"one"
    assert client.answer().status == 400


def test_a_client_that_sends_far_ahead_is_read_no_further_until_it_has_its_answer(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 0)
    first = serving.next_exchange()
    count = 10_000
    sender = threading.Thread(target=client.send, args=(b"".join(GET % n for n in range(count)),))
    sender.start()
    connection = the_connection(serving)
    serving.until(lambda: connection._held)  # nothing else tells
    assert AHEAD < serving.do(lambda: len(connection._intake)) < AHEAD + 512 * 1024
    site.handler = lambda exchange: exchange.client.respond(200, PLAIN, exchange.target, True)
    serving.respond(first, b"first")
    assert client.answer().body == b"first"
    assert all(client.answer().body == b"/%d" % n for n in range(count))
    sender.join(PATIENCE)


def test_nor_is_it_read_on_when_that_answer_is_the_last(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    exchange = serving.next_exchange()
    client.send(bytes(AHEAD * 4))
    connection = the_connection(serving)
    serving.until(lambda: connection._held)  # nothing else tells
    serving.respond(exchange, b"one")
    assert client.answer().body == b"one"
    assert client.rest() == b""


def test_long_answers_to_requests_sent_ahead_wait_for_the_client(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = lambda exchange: exchange.client.respond(200, PLAIN, PIECE * 64, True)
    client.send(GET % 1 + GET % 2 + GET % 3)
    connection = the_connection(serving)
    serving.until(lambda: connection.paused)
    assert site.asked.qsize() == 1
    client.half_close()
    assert [len(client.answer().body) for _ in range(3)] == [64 * len(PIECE)] * 3
    assert client.rest() == b""


def test_after_the_last_request_nothing_is_read(site: FakeSite, serving: Serving, client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % 1)
    assert client.answer().fields["connection"] == "close"
    assert client.rest() == b""
    assert serving.next_exchange().path == "/"
    assert serving.do(site.asked.empty)


def test_a_late_word_about_an_answered_exchange_does_not_reach_the_next_answer(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2)
    first = serving.next_exchange()
    serving.respond(first, b"one")
    second = serving.next_exchange()
    serving.respond(first, b"late")
    serving.do(first.client.respond_body, b"late", True)
    serving.do(first.client.fail, WORKER_DIED)
    assert not serving.do(first.client.when_caught_up, lambda: None)
    serving.respond(second, b"two")
    assert [client.answer().body for _ in range(2)] == [b"one", b"two"]


# ── Half-closed, and gone ────────────────────────────────────────────────────────────────────────


def test_a_half_closed_client_gets_all_its_answers(site: FakeSite, serving: Serving, client: Client) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2 + GET % 3)
    client.half_close()
    for n in range(3):
        exchange = serving.next_exchange()
        for _ in range(9):
            serving.pass_time(TICK)
        serving.respond(exchange, b"%d" % n)
    assert [client.answer().body for _ in range(3)] == [b"0", b"1", b"2"]
    assert client.rest() == b""
    assert set(client.interim) == {100}
    assert len(client.interim) <= 9  # one a second


def test_a_half_closed_client_gets_answers_that_are_there_at_once(client: Client) -> None:
    client.send(GET % 1 + GET % 2)
    client.half_close()
    assert [client.answer().body for _ in range(2)] == [b"GET /1 ", b"GET /2 "]
    assert client.rest() == b""


def test_a_half_closed_client_gets_a_long_answer_to_its_end(site: FakeSite, serving: Serving) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(GET % 1)
        client.half_close()
        exchange = serving.next_exchange()
        serving.respond(exchange, PIECE, last=False, head=a_head(f"Content-Length: {len(PIECE) * 8}"))
        for n in range(7):
            serving.do(exchange.client.respond_body, PIECE, n == 6)
        serving.pass_time(TICK)
        assert client.answer().body == PIECE * 8
        assert client.rest() == b""


def test_an_http_1_0_client_is_not_asked_whether_it_listens(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    client.half_close()
    exchange = serving.next_exchange()
    for _ in range(9):
        serving.pass_time(TICK)
    serving.respond(exchange, b"here")
    assert client.answer().body == b"here"
    assert client.interim == []


def test_nor_is_one_whose_answer_has_begun(site: FakeSite, serving: Serving, client: Client) -> None:
    site.handler = later
    client.send(GET % 1)
    client.half_close()
    exchange = serving.next_exchange()
    serving.respond(exchange, b"a", last=False, head=STREAMED)
    for _ in range(9):
        serving.pass_time(TICK)
    serving.do(exchange.client.respond_body, b"b", True)
    assert client.answer().body == b"ab"
    assert client.interim == []


def test_a_client_that_has_left_is_noticed_within_a_second(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1)
    exchange = serving.next_exchange()
    client.close()
    for _ in range(4):
        serving.pass_time(TICK)
    assert site.abandoned.get(timeout=PATIENCE) is exchange
    assert site.ended.get(timeout=PATIENCE) == (exchange, 499, 0)


def test_a_client_that_half_closes_and_leaves_later_is_noticed_too(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1)
    exchange = serving.next_exchange()
    client.half_close()
    for _ in range(10):
        serving.pass_time(TICK)
    client.close()
    for _ in range(6):
        serving.pass_time(TICK)
    assert site.abandoned.get(timeout=PATIENCE) is exchange


def test_a_client_that_resets_the_connection_is_noticed_at_once(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1)
    exchange = serving.next_exchange()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert site.abandoned.get(timeout=PATIENCE) is exchange


def test_a_client_that_leaves_after_having_sent_far_ahead_is_noticed(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1)
    exchange = serving.next_exchange()
    client.send(bytes(AHEAD * 2))
    connection = the_connection(serving)
    serving.until(lambda: connection._held)  # nothing else tells
    serving.pass_time(TICK)
    client.close()
    for _ in range(8):
        serving.pass_time(TICK)
    assert site.abandoned.get(timeout=PATIENCE) is exchange


def test_what_a_client_had_sent_ahead_is_not_served_when_it_has_left(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2)
    serving.next_exchange()
    client.close()
    for _ in range(4):
        serving.pass_time(TICK)
    site.left.get(timeout=PATIENCE)
    assert serving.do(site.asked.empty)


def test_the_file_of_an_upload_is_closed_when_its_client_leaves(site: FakeSite, serving: Serving) -> None:
    site.handler = later
    before = open_files()
    with serving.connect() as client:
        client.send(a_post(PIECE * 8))
        exchange = serving.next_exchange()
        assert exchange.body is not None
    for _ in range(4):
        serving.pass_time(TICK)
    assert site.abandoned.get(timeout=PATIENCE) is exchange
    serving.until(lambda: open_files() == before)


def test_nor_when_it_is_cut_off_right_after_an_answer(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2)
    exchange = serving.next_exchange()
    connection = the_connection(serving)

    def answer_and_abort() -> None:
        exchange.client.respond(200, PLAIN, b"one", True)
        connection.abort()
        connection.data_received(GET % 3)

    serving.do(answer_and_abort)
    site.left.get(timeout=PATIENCE)
    assert serving.do(site.asked.empty)


def test_a_worker_that_is_held_up_goes_on_when_its_client_leaves(site: FakeSite, serving: Serving) -> None:
    site.handler = later
    resumed = threading.Event()
    with serving.connect(receive_buffer=4096) as client:
        client.send(GET % 1)
        exchange = serving.next_exchange()
        serving.respond(exchange, b"", last=False, head=STREAMED)
        while not serving.do(exchange.client.when_caught_up, resumed.set):
            serving.do(exchange.client.respond_body, PIECE, False)
    assert resumed.wait(PATIENCE)
    assert site.abandoned.get(timeout=PATIENCE) is exchange


def test_a_client_that_leaves_with_its_clock_running(site: FakeSite) -> None:
    """The same on the real clock, with the dispatcher's own tick; and beside it one that only half-closed."""
    site.handler = later
    with Serving(site) as serving:

        async def tick() -> None:
            while True:
                await asyncio.sleep(TICK)
                site.time = time.monotonic()
                serving._pass_time(0)

        site.time = time.monotonic()
        ticking = asyncio.run_coroutine_threadsafe(tick(), serving.loop)
        with serving.connect() as leaving, serving.connect() as staying:
            leaving.send(GET % 1)
            first = serving.next_exchange()
            staying.send(GET % 2)
            second = serving.next_exchange()
            staying.half_close()
            began = time.monotonic()
            leaving.close()
            assert site.abandoned.get(timeout=PATIENCE) is first
            assert time.monotonic() - began < 1.0
            assert staying.hears_nothing_final_for(began + 2.0 - time.monotonic())
            assert site.abandoned.empty()
            serving.respond(second, b"after two seconds")
            assert staying.answer().body == b"after two seconds"
        ticking.cancel()


def test_a_request_that_ends_too_early_is_a_bad_one(serving: Serving) -> None:
    for beginning in [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ]:
        with serving.connect() as client:
            client.send(GET % 1 + beginning)
            client.half_close()
            assert [client.answer().status for _ in range(2)] == [200, 400]
            assert client.rest() == b""


def test_nor_is_one_that_was_sent_ahead_and_never_ended(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + b"GET / HT")
    client.half_close()
    exchange = serving.next_exchange()
    serving.until(lambda: serving.site.connections.copy().pop()._eof)  # nothing else tells
    serving.respond(exchange, b"one")
    assert [client.answer().status for _ in range(2)] == [200, 400]
    assert client.rest() == b""


def test_a_client_that_ends_between_requests_is_told_nothing(serving: Serving) -> None:
    for ending in [b"", b"\r\n", b"\r\n\r\n"]:
        with serving.connect() as client:
            client.send(GET % 1 + ending)
            client.half_close()
            assert client.answer().status == 200
            assert client.rest() == b""
    assert serving.do(serving.site.refusals.empty)


# ── 100 Continue ─────────────────────────────────────────────────────────────────────────────────


def test_a_client_that_waits_for_a_100_gets_it(client: Client) -> None:
    head, _, body = a_post(b"hello", "Expect: 100-continue").partition(b"hello")
    assert body == b""
    client.send(head)
    assert client.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert client.answer().body == b"POST /post hello"


@pytest.mark.parametrize("comes", [True, False])
def test_a_100_that_the_client_takes_late_leaves_the_body_its_time(
    serving: Serving, client: Client, comes: bool
) -> None:
    head, _, _ = a_post(b"hello", "Expect: 100-continue").partition(b"hello")
    client.send(head)
    assert client.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection = the_connection(serving)
    serving.do(connection.pause_writing)
    serving.do(connection.resume_writing)
    serving.pass_time(serving.site.limits.body_timeout - 1)
    if comes:
        client.send(b"hello")
    else:
        serving.pass_time(2)
    assert client.answer().status == (200 if comes else 408)


def test_a_chunked_body_may_be_waited_with_too(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"1\r\na\r\n0\r\n\r\n")
    assert client.answer().body == b"POST / a"


@pytest.mark.parametrize(
    "raw",
    [
        a_post(b"hello", "Expect: 100-continue"),
        a_post(b"", "Expect: 100-continue"),
        a_post(b"hello", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"),
        a_post(b"hello", "Expect: 100-continue").replace(b": 5", b": 5555555555"),
        a_post(b"hello", "Expect: 101-continue"),
    ],
    ids=["the body has come", "there is no body", "HTTP/1.0", "too long a body", "another expectation"],
)
def test_where_a_100_would_be_wrong_there_is_none(client: Client, raw: bytes) -> None:
    client.send(raw)
    client.answer()
    assert client.interim == []


def test_where_a_part_of_the_body_has_come_there_is_none(serving: Serving, client: Client) -> None:
    client.send(a_post(b"hello", "Expect: 100-continue")[:-2])
    serving.pass_time(1.0)
    client.send(b"lo")
    assert client.answer().body == b"POST /post hello"
    assert client.interim == []


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_idle_connection_is_closed_without_a_word(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    client.send(GET % 1)
    client.answer()
    serving.pass_time(74)
    client.send(GET % 2)
    client.answer()
    serving.pass_time(74)
    client.send(b"\r\n")
    serving.pass_time(2)
    assert client.rest() == b""
    assert site.refusals.empty()


def test_a_head_that_takes_too_long_is_answered_408_however_steadily_it_comes(
    serving: Serving, client: Client
) -> None:
    connection = the_connection(serving)
    client.send(b"GET / HTTP/1.1\r\n")
    serving.until(lambda: connection.deadline == 1010)
    for _ in range(3):
        serving.pass_time(3)
        client.send(b"X: y\r\n")
    serving.pass_time(3)
    assert client.answer().status == 408
    assert client.rest() == b""


def test_a_head_that_was_begun_ahead_has_its_time_from_when_its_turn_comes(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + b"GET / HTTP")
    exchange = serving.next_exchange()
    serving.pass_time(9)
    serving.respond(exchange, b"one")
    assert client.answer().body == b"one"
    serving.pass_time(9)
    client.send(b"/1.1\r\nHost: a\r\n\r\n")
    serving.respond(serving.next_exchange(), b"two")
    assert client.answer().body == b"two"


def test_a_body_may_pause_for_body_timeout_and_no_longer(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    connection = the_connection(serving)
    client.send(a_post(b"hello")[:-4])
    for _ in range(3):
        serving.until(lambda: connection.deadline == site.time + 30)
        serving.pass_time(29)
        client.send(b"l")
    serving.until(lambda: connection.deadline == site.time + 30)
    serving.pass_time(31)
    assert client.answer().status == 408
    assert client.rest() == b""


def test_a_connection_in_a_hurry_waits_only_that_long_for_another_request(
    serving: Serving, client: Client
) -> None:
    client.send(GET % 1)
    client.answer()
    connection = the_connection(serving)
    serving.do(connection.hurry, serving.site.time + 1)
    serving.pass_time(2)
    assert client.rest() == b""


def test_but_a_request_that_has_begun_has_its_time(serving: Serving, client: Client) -> None:
    connection = the_connection(serving)
    client.send(a_post(b"hello")[:-1])
    serving.until(lambda: connection.deadline == 1000 + serving.site.limits.body_timeout)
    serving.do(connection.hurry, serving.site.time + 1)
    serving.pass_time(2)
    client.send(b"o")
    assert client.answer().status == 200


def test_a_site_that_closes_ends_connections_with_their_next_answer(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(GET % 1 + GET % 2)
    exchange = serving.next_exchange()
    site.closing = True
    serving.respond(exchange, b"one")
    assert client.answer().fields["connection"] == "close"
    assert client.rest() == b""


def test_a_connection_too_many_is_told_so(site: FakeSite, serving: Serving) -> None:
    site.most_connections = 0
    with serving.connect() as client:
        assert client.answer().status == 503
        assert client.rest() == b""


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────

OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEPT = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
NEW = GET % 1
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "status", "lines", "pieces", "fields", "body"),
    [
        (NEW, 200, (), [b"ab"], {"content-length": "2"}, b"ab"),
        (NEW, 200, ("Content-Length: 2",), [b"ab"], {"content-length": "2"}, b"ab"),
        (NEW, 200, ("Content-Length: 2",), [b"a", b"b"], {"content-length": "2"}, b"ab"),
        (NEW, 200, ("Content-Length: 2",), [b"abcd"], {"content-length": "2"}, b"ab"),
        (NEW, 200, ("Content-Length: 2",), [b"a", b"bcd", b"e"], {"content-length": "2"}, b"ab"),
        (NEW, 200, (), [b"a", b"", b"b"], {"transfer-encoding": "chunked"}, b"ab"),
        (NEW, 200, (), [b"", b""], {"transfer-encoding": "chunked"}, b""),
        (NEW, 200, (), [b""], {"content-length": "0"}, b""),
        (NEW, 204, (), [b"ab"], {}, b""),
        (NEW, 204, ("Content-Length: 2",), [b"a", b"b"], {}, b""),
        (NEW, 304, ("Content-Length: 2",), [b"ab"], {}, b""),
        (NEW, 999, (), [b""], {"content-length": "0"}, b""),
        (HEAD, 200, (), [b""], {}, b""),
        (HEAD, 200, (), [b"ab"], {"content-length": "2"}, b""),
        (HEAD, 200, ("Content-Length: 7",), [b""], {"content-length": "7"}, b""),
        (HEAD, 200, ("Content-Length: 0",), [b""], {"content-length": "0"}, b""),
        (HEAD, 200, ("Content-Length: 2",), [b"a", b"b"], {"content-length": "2"}, b""),
        (HEAD, 200, (), [b"a", b"b"], {}, b""),
        (OLD, 200, (), [b"ab"], {"content-length": "2", "connection": "close"}, b"ab"),
        (OLD, 200, (), [b"a", b"b"], {"connection": "close"}, b"ab"),
        (OLD_KEPT, 200, (), [b"ab"], {"content-length": "2", "connection": "keep-alive"}, b"ab"),
        (OLD_KEPT, 200, (), [b"a", b"b"], {"connection": "close"}, b"ab"),
        (OLD_KEPT, 204, (), [b""], {"connection": "keep-alive"}, b""),
        (
            NEW,
            200,
            ("Connection: close", "Keep-Alive: x", "Upgrade: x"),
            [b"a"],
            {"content-length": "1"},
            b"a",
        ),
    ],
)
def test_an_answer_is_framed_for_its_client(
    site: FakeSite,
    serving: Serving,
    client: Client,
    raw: bytes,
    status: int,
    lines: tuple[str, ...],
    pieces: list[bytes],
    fields: dict[str, str],
    body: bytes,
) -> None:
    site.handler = later
    client.send(raw)
    exchange = serving.next_exchange()
    serving.do(exchange.client.respond, status, a_head(*lines), pieces[0], len(pieces) == 1)
    for n, piece in enumerate(pieces[1:], 2):
        serving.do(exchange.client.respond_body, piece, n == len(pieces))
    answer = client.answer(raw.partition(b" ")[0].decode())
    date = answer.fields.pop("date")
    assert (answer.status, answer.fields, answer.body) == (status, fields, body)
    assert date == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert site.ended.get(timeout=PATIENCE) == (exchange, status, len(body))
    if fields.get("connection") == "close":
        assert client.rest() == b""
    else:
        client.send(GET % 2)
        serving.respond(serving.next_exchange(), b"next")
        assert client.answer().body == b"next"


def test_a_worker_s_own_date_is_the_only_one(site: FakeSite, serving: Serving, client: Client) -> None:
    site.handler = later
    client.send(NEW)
    date = "Mon, 07 Nov 1994 08:49:37 GMT"
    serving.respond(serving.next_exchange(), b"", head=a_head(f"Date: {date}"))
    assert client.answer().fields["date"] == date


@pytest.mark.parametrize("status", [100, 101, 199, 0, -1, 1000])
def test_a_status_that_is_none_ends_the_connection(
    site: FakeSite, serving: Serving, client: Client, status: int
) -> None:
    site.handler = later
    client.send(NEW)
    exchange = serving.next_exchange()
    serving.do(exchange.client.respond, status, PLAIN, b"x", False)
    serving.do(exchange.client.respond_body, b"y", True)
    with pytest.raises(TruncatedError):
        client.answer()
    assert site.abandoned.get(timeout=PATIENCE) is exchange


def test_a_failure_is_a_page_that_may_say_when_to_try_again(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = lambda exchange: exchange.client.fail(Failure(503, "Not now.", 7))
    client.send(NEW + HEAD + NEW)
    answers = [client.answer(method) for method in ("GET", "HEAD", "GET")]
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert answers[0].fields["retry-after"] == "7"
    assert b"Not now." in answers[0].body
    assert answers[1].fields["content-length"] == str(len(answers[0].body))


@pytest.mark.parametrize("lines", [("Content-Length: 9",), ()], ids=["sized", "chunked"])
@pytest.mark.parametrize("ending", ["fails", "stops early"])
def test_an_answer_that_is_not_whole_is_visibly_cut_off(
    site: FakeSite, serving: Serving, client: Client, lines: tuple[str, ...], ending: str
) -> None:
    site.handler = later
    client.send(NEW + NEW)
    exchange = serving.next_exchange()
    serving.respond(exchange, b"half", last=False, head=a_head(*lines))
    if ending == "fails":
        serving.do(exchange.client.fail, WORKER_DIED)
    elif lines:
        serving.do(exchange.client.respond_body, b"", True)
    else:
        serving.do(the_connection(serving).abort)
    with pytest.raises(TruncatedError):
        client.answer()
    assert site.ended.get(timeout=PATIENCE) == (exchange, 200, 4)


def test_a_whole_answer_shorter_than_it_says_is_cut_off(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = lambda exchange: exchange.client.respond(200, a_head("Content-Length: 9"), b"half", True)
    client.send(NEW)
    with pytest.raises(TruncatedError):
        client.answer()


def test_an_http_1_0_client_sees_by_a_reset_that_its_answer_is_not_whole(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    site.handler = later
    client.send(OLD)
    exchange = serving.next_exchange()
    serving.respond(exchange, b"half", last=False, head=STREAMED)
    serving.do(exchange.client.fail, WORKER_DIED)
    with pytest.raises(TruncatedError):
        client.answer()


def test_a_request_is_handed_on_as_it_came(site: FakeSite, serving: Serving, client: Client) -> None:
    client.send(
        b"POST http://Other.org:81/a%20b?c=d HTTP/1.1\r\n"
        b"X: 1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n"
    )
    client.answer()
    exchange = serving.next_exchange()
    assert (exchange.method, exchange.target, exchange.path) == ("POST", b"/a%20b?c=d", "/a b")
    assert (exchange.host, exchange.scheme, exchange.minor) == ("other.org", "http", 1)
    assert exchange.peer == f"127.0.0.1:{client.sock.getsockname()[1]}"
    assert exchange.head == (
        b"Host: Other.org:81\r\nX: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"
    )
    assert exchange.content == b"hello"


def test_options_of_the_server_are_answered_without_an_application(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = client.answer()
    assert answer.status == 204
    assert {"GET", "POST", "OPTIONS"} < set(answer.fields["allow"].split(", "))
    assert serving.do(site.asked.empty)
    assert site.ended.get(timeout=PATIENCE)[1:] == (204, 0)


# ── Uploads ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_body_waits_in_a_file_that_is_closed_with_the_answer(
    site: FakeSite, serving: Serving, client: Client, chunked: bool
) -> None:
    site.handler = later
    the_connection(serving)
    before = open_files()
    body = PIECE * 8
    if chunked:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    else:
        client.send(a_post(body))
    exchange = serving.next_exchange()
    assert exchange.content == b""
    assert serving.do(body_of, exchange) == body
    serving.until(lambda: open_files() == before + 1)
    serving.respond(exchange, b"thanks")
    assert client.answer().body == b"thanks"
    serving.until(lambda: open_files() == before)


def test_nothing_is_left_of_an_upload_whose_client_leaves(serving: Serving, client: Client) -> None:
    the_connection(serving)
    before = open_files()
    client.send(a_post(PIECE * 8)[:-1])
    serving.until(lambda: open_files() > before)
    client.close()
    serving.site.left.get(timeout=PATIENCE)
    serving.until(lambda: open_files() == before - 2)  # both ends of the connection
    assert serving.site.refusals.get(timeout=PATIENCE)[1].status == 400


def a_full_disk() -> IO[bytes]:
    return open("/dev/full", "r+b", buffering=0)


def no_descriptors() -> IO[bytes]:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(("storage", "status"), [(a_full_disk, 507), (no_descriptors, 503)])
def test_where_there_is_no_room_for_an_upload_that_request_alone_fails(
    serving: Serving, client: Client, monkeypatch: pytest.MonkeyPatch, storage: object, status: int
) -> None:
    the_connection(serving)
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(spool, "temporary_file", storage)
        client.send(a_post(PIECE * 8))
        assert client.answer().status == status
        assert client.rest() == b""
    client.close()
    serving.site.left.get(timeout=PATIENCE)
    serving.until(lambda: open_files() == before - 2)
    assert serving.ask(a_post(PIECE * 8)).status == 200


def used(site: FakeSite) -> tuple[int, int]:
    return site.storage.memory.used, site.storage.disk.used


@pytest.mark.parametrize("size", [100, len(PIECE) * 8])
@pytest.mark.parametrize("leaves", [False, True])
def test_the_room_of_a_body_is_given_back_with_the_answer_or_when_the_client_leaves(
    site: FakeSite, serving: Serving, client: Client, size: int, leaves: bool
) -> None:
    site.handler = later
    client.send(a_post(bytes(size)))
    exchange = serving.next_exchange()
    assert serving.do(used, site) == ((size, 0) if size == 100 else (0, size))
    if leaves:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    else:
        serving.respond(exchange, b"thanks")
        assert client.answer().body == b"thanks"
    serving.until(lambda: used(site) == (0, 0))


def test_what_is_sent_ahead_where_no_room_is_left_is_not_served_and_the_connection_ends() -> None:
    site = FakeSite(Limits(memory=Size(0)))
    site.handler = later
    with Serving(site) as serving, serving.connect() as client:
        client.send(GET % 1)
        exchange = serving.next_exchange()
        client.send(GET % 2)
        connection = the_connection(serving)
        serving.until(lambda: connection._last)
        serving.respond(exchange, b"one")
        (answer,) = client.answers()
        assert (answer.body, answer.fields["connection"]) == (b"one", "close")
        client.close()
        serving.until(lambda: not site.connections)
        assert used(site) == (0, 0)


def test_so_it_is_when_it_comes_in_one_piece() -> None:
    with Serving(FakeSite(Limits(memory=Size(0)))) as serving, serving.connect() as client:
        client.send(GET % 1 + GET % 2 + GET % 3)
        (answer,) = client.answers()
        assert (answer.body, answer.fields["connection"]) == (b"GET /1 ", "close")


# ── Slow clients ─────────────────────────────────────────────────────────────────────────────────


def give(serving: Serving, exchange: Exchange, pieces: int) -> None:
    """Let a worker give a long answer as fast as it can, in the way a link passes it on."""
    serving.respond(exchange, b"", last=False, head=a_head(f"Content-Length: {pieces * len(PIECE)}"))
    for n in range(pieces):
        serving.do(exchange.client.respond_body, PIECE, n == pieces - 1)
        assert not serving.do(exchange.client.when_caught_up, lambda: None)


def test_an_answer_of_known_length_is_taken_from_the_worker_at_once(site: FakeSite, serving: Serving) -> None:
    site.handler = later
    before = open_files()
    with serving.connect() as client:
        client.send(GET % 1)
        tracemalloc.start()
        give(serving, serving.next_exchange(), 256)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1024 * 1024  # of 32 MiB
        serving.until(lambda: open_files() == before + 3)
        body = client.answer().body
        assert len(body) == 256 * len(PIECE)
        assert body == PIECE * 256
        assert site.ended.get(timeout=PATIENCE)[1:] == (200, len(body))
        serving.until(lambda: open_files() == before + 2)


def test_a_streaming_worker_is_held_up_until_its_client_has_caught_up(
    site: FakeSite, serving: Serving
) -> None:
    site.handler = later
    resumed = threading.Event()
    with serving.connect() as client:
        client.send(GET % 1)
        exchange = serving.next_exchange()
        serving.respond(exchange, b"", last=False, head=STREAMED)
        pieces = 0
        while not serving.do(exchange.client.when_caught_up, resumed.set):
            serving.do(exchange.client.respond_body, PIECE, False)
            pieces += 1
        serving.do(exchange.client.respond_body, PIECE, False)  # this was on its way already
        assert not resumed.is_set()
        answers = []
        reader = threading.Thread(target=lambda: answers.append(client.answer()))
        reader.start()
        assert resumed.wait(PATIENCE)
        serving.do(exchange.client.respond_body, b"end", True)
        reader.join(PATIENCE)
        assert answers[0].body == PIECE * (pieces + 1) + b"end"


def test_an_unbuffered_answer_of_known_length_is_held_up_too(site: FakeSite, serving: Serving) -> None:
    site.handler = later
    resumed = threading.Event()
    with serving.connect(receive_buffer=4096) as client:
        client.send(GET % 1)
        exchange = serving.next_exchange()
        serving.respond(
            exchange, b"", last=False, head=a_head("Content-Length: 999999999", "X-Accel-Buffering: no")
        )
        while not serving.do(exchange.client.when_caught_up, resumed.set):
            serving.do(exchange.client.respond_body, PIECE, False)


def test_a_client_that_takes_nothing_is_cut_off_after_send_timeout(site: FakeSite, serving: Serving) -> None:
    site.handler = later
    with serving.connect(receive_buffer=4096) as client:
        client.send(GET % 1)
        give(serving, serving.next_exchange(), 64)
        while site.left.empty() and site.time < 1300:
            serving.pass_time(1)
        site.left.get(timeout=PATIENCE)
        assert 1060 <= site.time <= 1182  # with the grace that its system's steps may need
        with pytest.raises(TruncatedError):
            client.answer()


def test_a_client_that_takes_a_little_now_and_then_is_not(site: FakeSite) -> None:
    site.limits = Limits(send_timeout=Duration(5))
    site.handler = later
    with Serving(site) as serving, serving.connect(receive_buffer=4096) as client:
        client.send(GET % 1)
        give(serving, serving.next_exchange(), 64)
        for _ in range(20):
            taken = 0
            while taken < 4096:
                taken += len(client.sock.recv(1024))
            for _ in range(16):
                serving.pass_time(TICK)
        assert site.left.empty()


def test_a_client_that_asks_and_asks_but_takes_no_answer_is_cut_off(site: FakeSite, serving: Serving) -> None:
    with serving.connect(receive_buffer=4096) as client:
        connection = the_connection(serving)
        site.handler = lambda exchange: exchange.client.respond(200, PLAIN, PIECE * 8, True)
        client.send(b"".join(GET % n for n in range(60)))
        serving.until(lambda: connection.paused)
        while site.left.empty() and site.time < 1300:
            serving.pass_time(1)
        site.left.get(timeout=PATIENCE)
        assert site.asked.qsize() < 60


def test_a_client_that_takes_nothing_is_not_waited_for_when_idle(site: FakeSite, serving: Serving) -> None:
    """Less waits for it than makes a transport pause, so that the connection has become idle."""
    site.handler = later
    with serving.connect(receive_buffer=4096) as client:
        client.send(GET % 1)
        exchange = serving.next_exchange()
        transport = the_connection(serving)._transport  # to know when its buffer begins to fill
        serving.respond(exchange, b"", last=False, head=STREAMED)
        while not serving.do(transport.get_write_buffer_size):
            serving.do(exchange.client.respond_body, bytes(16384), False)
        serving.do(exchange.client.respond_body, b"", True)
        while site.left.empty() and site.time < 1300:
            serving.pass_time(1)
        site.left.get(timeout=PATIENCE)
        assert site.time >= 1075 + 60


@pytest.mark.parametrize("leaves", [False, True])
def test_a_file_is_closed_when_its_client_has_it_or_leaves(
    site: FakeSite, serving: Serving, tmp_path: Path, leaves: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(PIECE * 100)
    files = []

    def send(exchange: Exchange) -> None:
        files.append(FileIO(path))
        exchange.client.respond_file(FileAnswer(200, b"", files[0], 0, len(PIECE) * 100, b""))

    site.handler = send
    with serving.connect() as client:
        client.send(GET % 1)
        connection = the_connection(serving)
        serving.until(lambda: connection.paused)
        if not leaves:
            assert client.answer().body == PIECE * 100
    serving.until(lambda: files[0].closed)


def test_a_disk_that_is_full_cuts_a_download_off(
    site: FakeSite, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.handler = later
    before = open_files()
    monkeypatch.setattr(spool, "temporary_file", a_full_disk)
    with serving.connect(receive_buffer=4096) as client:
        client.send(GET % 1)
        exchange = serving.next_exchange()
        give(serving, exchange, 64)
        assert site.abandoned.get(timeout=PATIENCE) is exchange
        with pytest.raises(TruncatedError):
            client.answer()
    serving.until(lambda: open_files() == before)


# ── The end ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("length", ["Content-Length: 5242880", "Transfer-Encoding: chunked"])
def test_a_client_that_is_still_sending_can_read_why_it_was_refused(length: str) -> None:
    with Serving(FakeSite(Limits(body=Size(1024 * 1024)))) as serving, serving.connect() as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\n" + length.encode() + b"\r\n\r\n"
        client.send(head + b"500000\r\n" + bytes(5 * 1024 * 1024))
        assert client.answer().status == 413
        assert client.rest() == b""


def test_lingering_ends_when_the_client_falls_silent(serving: Serving, client: Client) -> None:
    client.send(b"\x00\r\n")
    assert client.answer().status == 400
    client.send(b"more")
    serving.pass_time(LINGER - 0.1)
    assert serving.site.left.empty()
    serving.pass_time(LINGER)
    serving.site.left.get(timeout=PATIENCE)


def test_lingering_ends_even_if_the_client_does_not_fall_silent(serving: Serving, client: Client) -> None:
    client.send(b"\x00\r\n")
    assert client.answer().status == 400
    for _ in range(int(LONGEST_LINGER / LINGER) * 2):
        with contextlib.suppress(ConnectionError):
            client.send(b"more")
        serving.pass_time(LINGER * 0.7)
    serving.site.left.get(timeout=PATIENCE)
    assert serving.site.time <= 1000 + 1.5 * LONGEST_LINGER


def test_lingering_begins_when_a_slow_client_has_taken_what_waited(serving: Serving, client: Client) -> None:
    client.send(b"\x00\r\n")
    assert client.answer().status == 400
    connection = the_connection(serving)
    serving.do(connection.pause_writing)
    serving.site.time += 60
    serving.do(connection.resume_writing)
    assert connection.deadline == serving.site.time + LINGER


def test_a_long_last_answer_to_a_slow_client_is_not_cut_by_lingering(
    site: FakeSite, serving: Serving
) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        exchange = serving.next_exchange()
        transport = the_connection(serving)._transport  # to know when its buffer begins to fill
        serving.respond(exchange, b"", last=False, head=STREAMED)
        pieces = 0
        while not serving.do(transport.get_write_buffer_size):
            serving.do(exchange.client.respond_body, bytes(16384), False)
            pieces += 1
        serving.do(exchange.client.respond_body, b"", True)
        for _ in range(20):
            serving.pass_time(LINGER)
        assert len(client.answer().body) == pieces * 16384
        assert client.rest() == b""


def test_what_was_refused_is_reported_with_its_request_line(site: FakeSite, serving: Serving) -> None:
    for raw, line in [
        (b"GET /a HTTP/1.1\r\n\r\n", b"GET /a HTTP/1.1"),
        (b"GET /a HTTP/1.1\r\nHost : a\r\n", b"GET /a HTTP/1.1"),
        (b"\x16\x03\x01\x00", b"\x16\x03\x01\x00"),
        (b"GET /" + b"a" * 9000, b"GET /" + b"a" * 1019),
        (b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"POST /b HTTP/1.1"),
    ]:
        serving.ask(raw)
        peer, error = site.refusals.get(timeout=PATIENCE)
        assert (peer.rpartition(":")[0], error.line) == ("127.0.0.1", line)


def test_a_request_that_took_too_long_is_reported_with_its_request_line(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    connection = the_connection(serving)
    client.send(b"GET /a HTTP/1.1\r\nHo")
    serving.until(lambda: connection.deadline == 1010)
    serving.pass_time(20)
    assert site.refusals.get(timeout=PATIENCE)[1].line == b"GET /a HTTP/1.1"


def test_an_idle_connection_keeps_nothing_of_its_requests(
    site: FakeSite, serving: Serving, client: Client
) -> None:
    client.send(a_post(bytes(1000)) + GET % 1)
    client.answer()
    client.answer()
    for _ in range(2):
        site.asked.get(timeout=PATIENCE)
        site.ended.get(timeout=PATIENCE)
    gc.collect()
    assert not any(isinstance(thing, Exchange) for thing in gc.get_objects())


def test_a_connection_says_what_it_is_doing(site: FakeSite, serving: Serving, client: Client) -> None:
    site.handler = later
    client.send(GET % 1)
    serving.next_exchange()
    port = client.sock.getsockname()[1]
    assert repr(the_connection(serving)) == f"<HttpConnection 127.0.0.1:{port} answering>"


def test_a_unix_socket_and_ipv6_have_names_too() -> None:
    site = FakeSite()

    class Transport(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return peers.pop()

    peers: list[object] = [("::1", 81, 0, 0), ""]
    names = []
    for _ in range(2):
        connection = HttpConnection(site)
        connection.connection_made(Transport())
        names.append(connection.peer)
    assert names == ["unix:", "[::1]:81"]


@pytest.mark.parametrize("make_loop", [asyncio.SelectorEventLoop])
def test_asyncio_s_own_loop_will_do(site: FakeSite, make_loop: type[asyncio.AbstractEventLoop]) -> None:
    with Serving(site, make_loop()) as serving:
        with serving.connect() as client:
            client.send(GET % 1 + a_post(b"hello") + GET % 2)
            client.half_close()
            bodies = [client.answer().body for _ in range(3)]
            assert bodies == [b"GET /1 ", b"POST /post hello", b"GET /2 "]
            assert client.rest() == b""
        site.handler = later
        serving.site.asked = type(serving.site.asked)()
        with serving.connect() as client:
            client.send(GET % 1)
            exchange = serving.next_exchange()
        for _ in range(4):
            serving.pass_time(TICK)
        assert site.abandoned.get(timeout=PATIENCE) is exchange
