"""Watches over real connections: what a client does not say shows in what its system reports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import uvloop

from dispatcher.watch import PROBE, SLOWEST, STEP, Watch, reset_on_close

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Dialogue = Callable[[asyncio.Transport, socket.socket], Awaitable[None]]


class Patient(asyncio.Protocol):
    """Keeps a connection of which the client has closed its side."""

    def eof_received(self) -> bool:
        return True


@contextlib.asynccontextmanager
async def a_connection(family: int) -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """Yield our transport and the client's socket."""
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind("" if family == socket.AF_UNIX else ("127.0.0.1", 0))
        listener.listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(Patient, ours)
        try:
            yield transport, client
        finally:
            transport.abort()
            await asyncio.sleep(0)


@pytest.fixture(params=[socket.AF_INET, socket.AF_UNIX], ids=["TCP", "Unix"])
def run(request: pytest.FixtureRequest) -> Callable[[Dialogue], None]:
    async def within(dialogue: Dialogue) -> None:
        async with a_connection(request.param) as (transport, client):
            await dialogue(transport, client)

    return lambda dialogue: uvloop.run(within(dialogue))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def test_a_client_that_is_there_is_not_asked(run):
    async def dialogue(transport, client):
        watch = Watch(transport)
        assert not watch.has_left()
        assert not watch.may_ask(0.0)

    run(dialogue)


def test_one_that_has_closed_its_side_is_asked_once_a_second(run):
    async def dialogue(transport, client):
        watch = Watch(transport)
        client.shutdown(socket.SHUT_WR)
        await until(lambda: watch.may_ask(100.0))
        assert not watch.has_left()
        assert not watch.may_ask(100.0 + PROBE / 2)
        assert watch.may_ask(100.0 + PROBE)

    run(dialogue)


def test_one_that_has_left_shows_it_when_something_is_sent_to_it(run):
    async def dialogue(transport, client):
        watch = Watch(transport)
        client.close()
        await until(lambda: watch.has_left() or watch.may_ask(0.0))
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await until(watch.has_left)

    run(dialogue)


def test_one_that_takes_nothing_is_stuck(run):
    async def dialogue(transport, client):
        watch = Watch(transport)
        assert not watch.is_stuck(0.0, 5.0)
        transport.write(bytes(8 * 1024 * 1024))
        await until(lambda: not watch.is_stuck(1.0, 5.0) and settled(watch))
        assert not watch.is_stuck(5.9, 5.0)
        assert watch.is_stuck(16.1, 5.0)

    def settled(watch):
        before = watch._untaken
        watch.is_stuck(1.0, 5.0)
        return watch._untaken == before > 0

    run(dialogue)


def test_one_that_takes_a_little_is_not(run):
    async def dialogue(transport, client):
        watch = Watch(transport)
        client.setblocking(False)
        transport.write(bytes(8 * 1024 * 1024))
        for now in range(0, 80, 8):
            assert not watch.is_stuck(float(now), 5.0)
            taken = 0
            while taken < 65536:
                with contextlib.suppress(BlockingIOError):
                    taken += len(client.recv(4096))
                await asyncio.sleep(0)

    run(dialogue)


def test_a_client_has_longer_where_its_system_reports_in_large_steps():
    """The segments of the loopback interface are 64 KiB, for a client whose window has room for them."""

    async def dialogue():
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, socket.create_connection(listener.getsockname()):
            ours, _ = listener.accept()
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(Patient, ours)
            watch = Watch(transport)
            transport.write(bytes(16 * 1024 * 1024))
            for _ in range(1000):
                watch.is_stuck(0.0, 5.0)
                await asyncio.sleep(0)
            segment = segment_of(transport)
            assert segment > 16 * SLOWEST
            grace = STEP * segment / SLOWEST
            assert not watch.is_stuck(900.0 + grace, 900.0)
            assert watch.is_stuck(900.1 + grace, 900.0)
            assert not watch.is_stuck(15.0, 5.0)
            assert watch.is_stuck(15.1, 5.0)  # but not more than three times as long
            transport.abort()
            await asyncio.sleep(0)

    def segment_of(transport):
        return transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)

    uvloop.run(dialogue())


def test_where_the_system_does_not_say_the_transport_does(tmp_path):
    with (tmp_path / "no socket").open("wb") as file:

        class Transport(asyncio.Transport):
            size = 5

            def get_write_buffer_size(self):
                return self.size

            def get_extra_info(self, name, default=None):
                return self

            def fileno(self):
                return file.fileno()

            def getsockopt(self, *_):
                raise OSError(92, "Protocol not available")

        transport = Transport()
        watch = Watch(transport)
        assert not watch.is_stuck(0.0, 5.0)
        transport.size = 4
        assert not watch.is_stuck(9.0, 5.0)
        assert watch.is_stuck(14.1, 5.0)


def test_a_reset_is_no_orderly_end():
    async def dialogue():
        async with a_connection(socket.AF_INET) as (transport, client):
            client.setblocking(False)
            reset_on_close(transport)
            transport.abort()
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(client, 1)

    uvloop.run(dialogue())
