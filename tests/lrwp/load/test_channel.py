"""Channels against servers that behave and misbehave, over real sockets."""

import asyncio
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from lrwp.load.answers import AnswerReader
from lrwp.load.channel import Channel, Connection
from lrwp.load.pacing import ClosedPace, OpenPace
from lrwp.load.run import Run
from tests.lrwp.load.servers import (
    PAGE,
    answering,
    closing,
    load,
    never_answering,
    plan_for,
    play,
    read_request,
    serving,
)


def errors(run: Run) -> dict[str, int]:
    return {kind: count for kind, count in run.tally.errors.items() if count}


@pytest.mark.parametrize(
    "answers",
    [
        (PAGE,),
        (PAGE[:1], PAGE[1:]),
        (b"HTTP/1.1 100 Continue\r\n\r\n", PAGE),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", bytes(100_000), bytes(200_000)),
        (b"HTTP/1.1 204 No Content\r\n\r\n",),
    ],
)
def test_a_connection_that_stays_open_serves_all_requests(answers: tuple[bytes, ...]) -> None:
    run = load(answering(*answers), requests=20, connections=4)
    assert (run.tally.answers, run.tally.reconnects, errors(run)) == (20, 0, {})
    assert run.tally.received == 20 * len(b"".join(answers))


def test_head_is_answered_without_a_body() -> None:
    run = load(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), method="HEAD")
    assert (run.tally.answers, run.tally.reconnects, errors(run)) == (20, 0, {})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end of the connection",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_the_server_announces_to_close_is_replaced(answer: bytes, method: str) -> None:
    run = load(closing(answer), requests=10, connections=2, method=method)
    assert (run.tally.answers, run.tally.reconnects, errors(run)) == (10, 8, {})


def test_a_safe_request_on_a_connection_that_closes_unannounced_is_sent_once_more() -> None:
    run = load(closing(PAGE), requests=4, connections=1)
    assert (run.tally.answers, run.tally.reconnects, errors(run)) == (4, 3, {})


def test_an_unsafe_request_is_never_sent_twice() -> None:
    requests = 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(PAGE)

    run = load(behave, requests=4, connections=1, method="POST")
    assert run.tally.answers == requests
    assert (run.tally.answers, errors(run)) == (2, {"reset": 2})


def test_a_connection_that_closes_while_it_is_idle_is_replaced_for_any_method() -> None:
    run = load(closing(PAGE), connections=1, method="POST", pace=OpenPace(10, requests=3))
    assert (run.tally.answers, run.tally.reconnects, errors(run)) == (3, 2, {})


def test_a_safe_request_is_sent_twice_and_not_three_times() -> None:
    run = load(closing(b""), requests=2, connections=1)
    # The first was sent over the connection that was open, and again; the second over a new one at once.
    assert (run.tally.reconnects, errors(run)) == (2, {"reset": 2})


@pytest.mark.parametrize(
    "part",
    [
        b"H",
        PAGE[:20],
        PAGE[:-1],
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_an_answer_that_ends_too_soon_is_truncated(part: bytes) -> None:
    run = load(closing(part), requests=6, connections=2)
    assert (run.tally.answers, errors(run)) == (0, {"truncated": 6})


@pytest.mark.parametrize(
    ("error", "answers", "failures"), [(None, 1, {}), (ConnectionResetError(), 0, {"truncated": 1})]
)
def test_a_reset_does_not_complete_an_answer_that_has_no_length(
    error: Exception | None, answers: int, failures: dict[str, int]
) -> None:
    async def scenario() -> Run:
        run, channel, connection = connected(requests=1)
        channel.proceed()
        connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nhello")
        connection.connection_lost(error)
        return run

    run = play(scenario())
    assert (run.tally.answers, errors(run)) == (answers, failures)


def test_what_is_not_http_is_malformed_and_the_connection_is_replaced() -> None:
    run = load(answering(b"220 mail.example ESMTP\r\n"), requests=6, connections=2)
    assert (run.tally.answers, errors(run), run.tally.reconnects) == (0, {"malformed": 6}, 4)


def test_a_server_that_never_answers_times_out() -> None:
    run = load(never_answering, requests=4, connections=2, timeout=0.1)
    assert (run.tally.answers, errors(run)) == (0, {"timeout": 4})
    assert 0.2 <= run.seconds < 2


def test_a_server_that_stops_within_an_answer_times_out() -> None:
    run = load(answering(PAGE[:-1]), requests=1, connections=1, timeout=0.1)
    assert errors(run) == {"timeout": 1}


def test_a_server_that_goes_away_fails_a_few_requests_and_not_all_at_once() -> None:
    async def scenario() -> Run:
        left = asyncio.Event()

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            left.set()

        async with serving(behave) as url:
            run = Run(plan_for(url, connections=1), ClosedPace(requests=3))
            running = asyncio.ensure_future(run.run())
            await asyncio.wait_for(left.wait(), 5)
        await running
        return run

    run = play(scenario())
    assert (run.tally.answers, errors(run)) == (0, {"connect": 3})
    assert run.seconds >= 0.2


def test_what_comes_on_an_idle_connection_is_no_answer() -> None:
    answered = asyncio.Semaphore(0)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(PAGE)
        await answered.acquire()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    run = load(behave, connections=1, pace=OpenPace(20, requests=3), show=lambda *_: answered.release())
    assert (run.tally.statuses, errors(run), run.tally.reconnects) == ({200: 3}, {}, 2)


def test_what_a_dropped_connection_still_brings_is_ignored() -> None:
    async def scenario() -> Run:
        run, channel, connection = connected(requests=2)
        channel.proceed()
        channel.drop()
        connection.data_received(PAGE)
        connection.connection_lost(None)
        return run

    run = play(scenario())
    assert (run.tally.answers, run.tally.received, run.tally.failed) == (0, 0, 0)


def test_a_request_costs_a_dozen_python_calls() -> None:
    async def scenario() -> int:
        _, channel, connection = connected(requests=101)
        channel.proceed()
        return count_calls(lambda: connection.data_received(PAGE), times=100)

    assert play(scenario()) <= 12 * 100


class Transport(asyncio.Transport):
    """Takes what is written and does nothing with it."""

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        pass


def connected(*, requests: int) -> tuple[Run, Channel, Connection]:
    """Return a run with one channel, whose connection is open and leads nowhere."""
    run = Run(plan_for("http://localhost/"), ClosedPace(requests=requests))
    run.pace.start(0.0)
    channel = Channel(run, 1)
    connection = Connection(channel, AnswerReader())
    connection.connection_made(Transport())
    return run, channel, connection


def count_calls(action: Callable[[], object], *, times: int) -> int:
    """Return how many Python functions are called in so many actions."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        for _ in range(times):
            action()
    finally:
        sys.setprofile(None)
    return calls
