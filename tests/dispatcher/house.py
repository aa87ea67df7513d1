"""A front behind real sockets, on a loop in a thread of its own. Its time passes only when a test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import uvloop

from dispatcher.admin import Admin
from dispatcher.front import Front
from dispatcher.http import HttpConnection
from dispatcher.keyring import Keyring
from dispatcher.links import LinkConnection
from dispatcher.settings import ApplicationSettings, Limits
from dispatcher.static import StaticFiles
from tests.peers import Browser, Peer
from tests.waiting import until

T = TypeVar("T")
Address = tuple[str, int]


class House:
    """A front, its admin pages, and where they listen.

    Attributes:
        front: what is tested.
        http: the address for clients.
        link: the address for workers.
        admin: the address for questions.
        time: what its clock shows.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        applications: Mapping[str, ApplicationSettings],
        static: StaticFiles | None,
        keyring: Keyring,
    ) -> None:
        self.http: Address
        self.link: Address
        self.admin: Address
        self.time = 1000.0
        self.front = Front(limits, applications, static, None, keyring, lambda: self.time)
        self._admin = Admin(self.front, limits, "127.0.0.1:8080")
        self._loop = loop

    async def open(self) -> list[asyncio.Server]:
        servers = [
            await self._loop.create_server(factory, "127.0.0.1", 0)
            for factory in (
                lambda: HttpConnection(self.front),
                lambda: LinkConnection(self.front),
                lambda: HttpConnection(self._admin),
            )
        ]
        self.http, self.link, self.admin = (server.sockets[0].getsockname() for server in servers)
        return servers

    def evacuate(self) -> None:
        """End all connections."""
        for connection in [*self.front.connections, *self._admin.connections]:
            connection.abort()
        for link in list(self.front.links):
            link.close("the test is over")

    def is_empty(self) -> bool:
        """Whether no connection is left."""
        return not (self.front.links or self.front.connections or self._admin.connections)

    def do(self, action: Callable[[], T]) -> T:
        """Run ``action`` in the loop's thread and return its result."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(action())
            except BaseException as error:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return future.result(10)

    def pass_time(self, seconds: float) -> None:
        """Let so many seconds pass at once, and have the front do what is due then."""
        self.time += seconds
        self.do(lambda: self.front.tick(self.time))

    def peer(self, *names: str, instance: str = "peer", path: str | None = None, window: int = 8) -> Peer:
        """Return a worker that has connected and said nothing yet."""
        return Peer(self.link, *names, instance=instance, path=path, window=window)

    def browser(self) -> Browser:
        """Return a client that has connected."""
        return Browser(self.http)

    def connection_of(self, peer: Peer) -> LinkConnection:
        """Return the dispatcher's end of a worker's connection."""
        host, port = peer.socket.getsockname()
        (found,) = [link for link in self.do(lambda: list(self.front.links)) if link.peer == f"{host}:{port}"]
        return found

    def until(self, condition: Callable[[], T]) -> T:
        """Wait until a condition, looked at in the loop's thread, holds."""
        return until(lambda: self.do(condition))


@contextmanager
def a_house(
    *,
    limits: Limits | None = None,
    applications: Mapping[str, ApplicationSettings] | None = None,
    docroot: Path | None = None,
    keyring: Keyring | None = None,
) -> Iterator[House]:
    """Run a front for the time of a test; what it has left open in the end fails the test."""
    loop = uvloop.new_event_loop()
    static = None if docroot is None else StaticFiles(docroot)
    house = House(loop, limits or Limits(), applications or {}, static, keyring or Keyring())
    failures: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    servers = loop.run_until_complete(house.open())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield house
    finally:
        house.do(lambda: [server.close() for server in servers])
        house.do(house.evacuate)
        house.until(house.is_empty)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert not failures, failures
