"""Whole runs against real sockets: how they begin, keep their pace and end."""

import asyncio
import resource
import ssl

import pytest

from lrwp.load.pacing import ClosedPace, OpenPace
from lrwp.load.run import Run, UnreachableError
from protocol.errors import SettingsError
from tests.lrwp.load.servers import (
    CERTIFICATE,
    PAGE,
    answering,
    load,
    never_answering,
    plan_for,
    play,
    read_request,
    serving,
)


def test_each_channel_has_its_number_and_its_connection() -> None:
    peers: set[object] = set()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        await answering(PAGE)(reader, writer)

    shown: list[tuple[int, bytes]] = []
    run = load(behave, requests=30, connections=3, show=lambda number, body: shown.append((number, body)))
    assert run.tally.answers == 30
    assert len(peers) == 3
    assert {number for number, _ in shown} == {1, 2, 3}
    assert {body for _, body in shown} == {b"<h1>Process 1</h1>\n"}


def test_the_run_ends_with_its_time_and_waits_for_what_is_in_flight() -> None:
    run = load(answering(PAGE), pace=ClosedPace(seconds=0.2), connections=2)
    assert run.tally.answers > 10
    assert run.tally.failed == run.tally.abandoned == 0
    assert 0.2 <= run.seconds < 1
    assert run.cpu > 0


def test_an_open_loop_keeps_its_rate() -> None:
    run = load(answering(PAGE), pace=OpenPace(200, seconds=0.3), connections=4)
    # On a machine that stalls, the last may come too late to be sent; none is sent too soon.
    assert run.tally.answers + run.pace.unsent() == 60
    assert run.seconds >= 0.3


def test_an_open_loop_uses_all_its_channels() -> None:
    used = set()
    load(
        answering(PAGE),
        pace=OpenPace(200, requests=20),
        connections=4,
        show=lambda number, _: used.add(number),
    )
    assert used == {1, 2, 3, 4}


def test_a_stall_is_measured_for_every_request_that_was_due_in_it() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.3)
        writer.write(PAGE)
        await answering(PAGE)(reader, writer)

    stalled = load(behave, pace=OpenPace(100, requests=20), connections=1)
    # Due every 10 ms from the start, all of them answered after 300: the last was due at 190.
    assert stalled.tally.latencies.minimum >= 0.1
    assert stalled.tally.latencies.percentile(50) >= 0.19


def test_what_no_channel_was_free_for_stays_unsent() -> None:
    run = load(never_answering, pace=OpenPace(100, seconds=0.1), connections=2, timeout=0.3)
    assert run.tally.errors["timeout"] == 2
    assert run.pace.unsent() == 8


def test_somebody_can_watch_the_run() -> None:
    moments: list[float] = []

    async def scenario() -> None:
        async with serving(answering(PAGE)) as url:
            run = Run(plan_for(url), ClosedPace(seconds=0.2), watch=moments.append)
            await run.run()

    play(scenario())
    assert len(moments) >= 2
    assert moments == sorted(moments)


@pytest.mark.parametrize("pace", [ClosedPace(requests=100), OpenPace(1000, seconds=5.0)])
def test_a_run_that_is_stopped_ends_at_once_and_abandons_what_is_in_flight(
    pace: ClosedPace | OpenPace,
) -> None:
    async def scenario() -> Run:
        asked = asyncio.Semaphore(0)

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            asked.release()
            await reader.read()

        async with serving(behave) as url:
            run = Run(plan_for(url, connections=3), pace)
            running = asyncio.ensure_future(run.run())
            for _ in range(3):
                await asyncio.wait_for(asked.acquire(), 5)
            run.stop()
            await asyncio.wait_for(running, 2)
            return run

    run = play(scenario())
    assert (run.tally.abandoned, run.tally.failed, run.pace.unsent()) == (3, 0, 0)


def test_a_run_can_be_stopped_while_it_still_connects() -> None:
    async def scenario() -> Run:
        connected = asyncio.Event()

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.set()
            await reader.read()

        async with serving(behave) as url:
            # A server that waits for plain text, and a client that waits for TLS.
            run = Run(plan_for(url.replace("http:", "https:")), ClosedPace(requests=10))
            running = asyncio.ensure_future(run.run())
            await asyncio.wait_for(connected.wait(), 5)
            run.stop()
            await asyncio.wait_for(running, 2)
            return run

    run = play(scenario())
    assert (run.tally.answers, run.tally.failed, run.seconds) == (0, 0, 0.0)


def test_a_run_that_is_cancelled_is_cancelled() -> None:
    async def scenario() -> None:
        async with serving(never_answering) as url:
            await asyncio.wait_for(Run(plan_for(url), ClosedPace(requests=10)).run(), 0.1)

    with pytest.raises(TimeoutError):
        play(scenario())


def run_to(url: str, *, timeout: float = 5.0) -> Run:
    async def scenario() -> Run:
        run = Run(plan_for(url, connections=2, timeout=timeout), ClosedPace(requests=4))
        await run.run()
        return run

    return play(scenario())


def test_a_server_that_is_not_there_is_named_in_one_sentence() -> None:
    async def find_free_port() -> str:
        async with serving(never_answering) as url:
            return url

    url = play(find_free_port())
    with pytest.raises(UnreachableError) as caught:
        run_to(url)
    assert str(caught.value) == f"cannot reach {url}: connection refused; is a server listening there?"


def test_a_host_without_an_address_is_named_in_one_sentence() -> None:
    with pytest.raises(UnreachableError) as caught:
        run_to("http://no-such-host.invalid/")
    assert str(caught.value) == (
        "cannot reach http://no-such-host.invalid/: no address is known for no-such-host.invalid"
    )


def test_all_addresses_of_a_host_are_tried() -> None:
    async def scenario() -> Run:
        async with serving(answering(PAGE)) as url:  # on 127.0.0.1 only
            run = Run(plan_for(url.replace("127.0.0.1", "localhost")), ClosedPace(requests=4))
            await run.run()
            return run

    assert play(scenario()).tally.answers == 4


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def load_over_tls() -> Run:
    async def scenario() -> Run:
        async with serving(answering(PAGE), server_context()) as url:
            run = Run(plan_for(url), ClosedPace(requests=20))
            await run.run()
            return run

    return play(scenario())


def test_https_is_spoken_with_a_server_whose_certificate_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    run = load_over_tls()
    assert (run.tally.answers, run.tally.failed, run.tally.reconnects) == (20, 0, 0)


def test_a_certificate_that_is_not_trusted_is_refused_with_a_way_out() -> None:
    with pytest.raises(UnreachableError, match=r"not trusted \(self-signed certificate\); .* SSL_CERT_FILE"):
        load_over_tls()


def test_a_server_that_does_not_speak_tls_is_named() -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async def scenario() -> None:
        async with serving(greeting) as url:
            await Run(plan_for(url.replace("http:", "https:")), ClosedPace(requests=1)).run()

    with pytest.raises(UnreachableError, match="does not answer in TLS; should the URL begin with http"):
        play(scenario())


def test_a_server_that_accepts_and_says_nothing_in_tls_times_out() -> None:
    async def scenario() -> None:
        async with serving(never_answering) as url:
            await Run(plan_for(url.replace("http:", "https:"), timeout=0.1), ClosedPace(requests=1)).run()

    with pytest.raises(UnreachableError, match=r"no connection within 0\.1 s"):
        play(scenario())


def test_more_connections_than_the_system_has_files_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    with pytest.raises(
        SettingsError, match="this system allows 100 open files at once: give -c less than 68"
    ):
        run_with_connections(69)


def test_the_limit_on_open_files_is_raised_as_far_as_the_connections_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 100))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    run_with_connections(50)
    assert limits == [(82, 100)]


def run_with_connections(connections: int) -> None:
    async def scenario() -> None:
        async with serving(answering(PAGE)) as url:
            await Run(plan_for(url, connections=connections), ClosedPace(requests=connections)).run()

    play(scenario())
