"""The dispatcher's life: it listens, serves, drains and ends.

Told to stop, it takes in what has already connected, closes its listener, lets every accepted request be
answered, and only then closes the links: the workers are needed until the last answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import structlog
import uvloop

from dispatcher.accesslog import AccessLog
from dispatcher.admin import Admin
from dispatcher.front import Front
from dispatcher.http import HttpConnection
from dispatcher.links import LinkConnection
from dispatcher.static import StaticFiles
from protocol.errors import LrwpError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dispatcher.settings import ApplicationSettings, DispatcherSettings, Limits
    from protocol.addresses import Address

log = structlog.get_logger()

TICK: Final = 0.25
"""Seconds between two looks at deadlines and heartbeats."""

RELIEF: Final = 0.005
"""Seconds between two looks at links that hold more than one exchange: half of what the broker tolerates."""

BACKLOG: Final = 4096
"""Connections that the system accepts on our behalf while we are busy."""

RESERVE: Final = 256
"""File descriptors kept for workers, spools, static files and logs when the number of clients is not set."""


class ListenError(LrwpError):
    """An address that cannot be listened on."""


def run(settings: DispatcherSettings, limits: Limits, applications: Mapping[str, ApplicationSettings]) -> int:
    """Run a dispatcher until it is told to stop; returns the exit code.

    Raises:
        LrwpError: it cannot start.
    """
    secret = _read_secret(settings)
    with contextlib.ExitStack() as stack:
        access_log = None
        if settings.access_log_format != "off":
            file = (
                sys.stdout if settings.access_log is None else stack.enter_context(_open(settings.access_log))
            )
            access_log = AccessLog(settings.access_log_format, file)
        static = None if settings.docroot is None else StaticFiles(settings.docroot)
        server = Server(settings, Front(limits, applications, static, access_log, secret))
        return uvloop.run(server.serve())


class Server:
    """The listeners, the timers and the signals around a front."""

    def __init__(self, settings: DispatcherSettings, front: Front) -> None:
        self._settings = settings
        self._front = front
        self._stop = asyncio.Event()
        self._forced = False

    async def serve(self) -> int:
        """Serve until a signal says stop, then drain."""
        front = self._front
        loop = asyncio.get_running_loop()
        files = _raise_file_limit()
        if not front.limits.connections:
            front.most_connections = max(64, files - RESERVE)
        admin = Admin(front, front.limits, str(self._settings.http))
        front.tell_time()
        async with contextlib.AsyncExitStack() as stack:
            await self._listen(stack, self._settings.admin, lambda: HttpConnection(admin))
            for address in self._settings.link:
                await self._listen(stack, address, lambda: LinkConnection(front))
            http = await self._listen(stack, self._settings.http, lambda: HttpConnection(front))
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._on_signal, number)
            ticking = [
                loop.create_task(self._repeat(TICK, front.tick, admin.tick)),
                loop.create_task(self._repeat(RELIEF, self._relieve)),
            ]
            log.info("serving", http=str(self._settings.http), link=[str(a) for a in self._settings.link])
            await self._stop.wait()
            drained = await self._drain(http)
            for task in ticking:
                task.cancel()
            front.tick(front.now())
            return 0 if drained else 1

    async def _listen(
        self, stack: contextlib.AsyncExitStack, address: Address, protocol: Callable[[], asyncio.Protocol]
    ) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(protocol, sock=_bind(address), backlog=BACKLOG)
        stack.callback(server.close)
        if address.kind == "unix":
            stack.callback(Path(address.path).unlink, missing_ok=True)
        return server

    def _on_signal(self, number: int) -> None:
        """TERM and a first INT drain; a second INT ends everything."""
        if self._stop.is_set() and number == signal.SIGINT:
            self._forced = True
            self._front.done.set()
        self._stop.set()

    def _relieve(self, now: float) -> None:
        if self._front.broker.crowded:
            self._front.broker.relieve(now)

    async def _repeat(self, interval: float, *actions: Callable[[float], None]) -> None:
        while True:
            await asyncio.sleep(interval)
            now = self._front.now()
            for action in actions:
                action(now)

    async def _drain(self, http: asyncio.Server) -> bool:
        """Let what was accepted be answered; returns whether all of it was."""
        front = self._front
        log.info("draining", connections=len(front.connections))
        # What the system has accepted for us is still in the listener's backlog: two turns of the loop take
        # it in, before closing the listener would reset it.
        await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        http.close()
        front.leave(front.now())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(front.done.wait(), front.limits.drain_timeout)
        drained = not front.connections
        for connection in list(front.connections):
            connection.abort()
        for link in list(front.links):
            link.close("the dispatcher stops")
        await asyncio.sleep(0)
        if not drained:
            log.warning("stopped before all was answered", forced=self._forced)
        return drained


def _bind(address: Address) -> socket.socket:
    """Return a socket bound to ``address``.

    Raises:
        ListenError: another program has it, or it is not ours to have.
    """
    if address.kind == "tls":
        raise SettingsError(f"{address}: TLS listeners are not available; put a TLS proxy in front")
    try:
        if address.kind == "unix":
            return _bind_unix(address)
        family, kind, number, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, number)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {address}: {error.strerror}; is another server running? Choose another address."
        ) from None
    return sock


def _bind_unix(address: Address) -> socket.socket:
    """Bind a Unix socket that only this user can connect to; one that a dead dispatcher left is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
        sock.connect(address.path)
        sock.close()
        raise ListenError(f"cannot listen on {address}: another server is listening there")
    sock.close()
    with contextlib.suppress(FileNotFoundError):
        if Path(address.path).is_socket():
            Path(address.path).unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(address.path)
    finally:
        os.umask(before)
    return sock


def _read_secret(settings: DispatcherSettings) -> bytes | None:
    """Return the secret, which every link address that others can reach requires.

    Raises:
        SettingsError: it is missing, unreadable or too short.
    """
    if settings.secret_file is None:
        for address in settings.link:
            if not address.is_private:
                raise SettingsError(
                    f"the link address {address} can be reached from outside: give --secret-file, "
                    "or listen on 127.0.0.1 or a Unix socket"
                )
        return None
    try:
        secret = settings.secret_file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"cannot read the secret file {settings.secret_file}: {error.strerror}") from None
    if len(secret) < 16:
        raise SettingsError(
            f"the secret in {settings.secret_file} is too short: write at least 16 characters"
        )
    if settings.secret_file.stat().st_mode & 0o077:
        log.warning("others can read the secret file; chmod 600 it", file=str(settings.secret_file))
    return secret


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write the access log {path}: {error.strerror}") from None
    with file:
        yield file


def _raise_file_limit() -> int:
    """Raise the bound on open files as far as we may; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1_000_000
