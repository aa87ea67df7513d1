"""The dispatcher's life: it listens, serves, drains and ends.

Told to stop, it takes in who has already connected, closes its listener, lets every accepted request be
answered, and only then closes the links: the workers are needed until the last answer.

Its sockets may have been passed to it, and may stay when it goes. Told to make room for another dispatcher
that has them too, it leaves to that one who has not been let in yet, and sends its workers there, who serve
both meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Final

import structlog
import uvloop

from dispatcher.accesslog import AccessLog
from dispatcher.admin import Admin
from dispatcher.bursts import Burst
from dispatcher.certificates import Certificate
from dispatcher.entrance import Entrance
from dispatcher.front import Front
from dispatcher.http import HttpConnection
from dispatcher.keyring import Keyring, read_keyring
from dispatcher.links import LinkConnection
from dispatcher.listener import Listener
from dispatcher.passed import Passed
from dispatcher.proxies import Proxies
from dispatcher.scribe import Scribe
from dispatcher.spool import find_folder
from dispatcher.static import StaticFiles
from dispatcher.tls import TlsTransport
from protocol.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from dispatcher.settings import ApplicationSettings, DispatcherSettings, Limits

log = structlog.get_logger()

TICK: Final = 0.25
"""Seconds between two looks at deadlines and heartbeats."""

RELIEF: Final = 0.005
"""Seconds between two looks at links that hold more than one exchange: half of what the broker tolerates."""

FAREWELL: Final = 1.0
"""Seconds for workers to take what was written to them before the dispatcher ends."""

RESERVE: Final = 256
"""File descriptors kept for workers, spools, static files and logs when the number of clients is not set."""


def run(
    settings: DispatcherSettings,
    limits: Limits,
    applications: Mapping[str, ApplicationSettings],
    passed: Passed | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Run a dispatcher until it is told to stop; returns the exit code.

    Args:
        settings: where to listen.
        limits: what clients may use.
        applications: what is known of applications before their workers come.
        passed: what was opened for us.
        on_ready: called when clients are served.

    Raises:
        LrwpError: it cannot start.
    """
    keyring = read_keyring(settings, applications)
    _check_reach(settings, keyring)
    find_folder()
    with contextlib.ExitStack() as stack:
        passed = stack.enter_context(contextlib.closing(Passed() if passed is None else passed))
        access_log = None
        if settings.access_log_format != "off":
            file = (
                sys.stdout if settings.access_log is None else stack.enter_context(_open(settings.access_log))
            )
            scribe = stack.enter_context(contextlib.closing(Scribe(file.fileno())))
            access_log = AccessLog(settings.access_log_format, scribe)
        static = None if settings.docroot is None else StaticFiles(settings.docroot)
        front = Front(limits, applications, static, access_log, keyring)
        front.recall(passed.recollection)
        server = Server(settings, front, lambda: read_keyring(settings, applications), passed, on_ready)
        return uvloop.run(server.serve())


class Server:
    """The listeners, the timers and the signals around a front.

    Args:
        settings: where to listen.
        front: what to serve.
        read_keyring: reads the secrets anew.
        passed: what was opened for us.
        on_ready: called when clients are served.

    Raises:
        SettingsError: a certificate cannot be used, or settings contradict each other.
    """

    def __init__(
        self,
        settings: DispatcherSettings,
        front: Front,
        read_keyring: Callable[[], Keyring] = Keyring,
        passed: Passed | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._front = front
        self._read_keyring = read_keyring
        self._passed = Passed() if passed is None else passed
        self._on_ready = on_ready
        self._makes_room = False
        self._certificate = _read_certificate(settings)
        self._link_certificate = _read_link_certificate(settings)
        self._admin: Admin
        self._stop = asyncio.Event()
        self._is_forced = False
        self._had_terminal = os.isatty(0)

    async def serve(self) -> int:
        """Serve until a signal says stop, then drain; returns the exit code.

        Raises:
            LrwpError: an address cannot be listened on.
        """
        front = self._front
        loop = asyncio.get_running_loop()
        files = _raise_file_limit()
        if not front.limits.connections:
            front.most_connections = max(64, files - RESERVE)
        front.tell_time()
        with contextlib.ExitStack() as stack:
            http, admin, *links = [stack.enter_context(contextlib.closing(each)) for each in self._bind()]
            self._passed.check()
            for listener in (admin, *links, http):  # clients last, when there is somebody to serve them
                await listener.open()
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) != signal.SIG_IGN:  # nohup means what it says
                    loop.add_signal_handler(number, self._on_signal, number)
            loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
            loop.add_signal_handler(signal.SIGUSR1, self._make_room)
            ticking = [
                loop.create_task(self._repeat(TICK, self._tick)),
                loop.create_task(self._repeat(RELIEF, front.relieve, front.crowded)),
            ]
            where = ", ".join(str(listener.address) for listener in links)
            log.info("serving", http=str(http.address), link=where, admin=str(admin.address))
            self._on_ready()
            await self._stop.wait()
            front.leave(front.now())
            if self._makes_room:
                await self._send_workers_on(http, admin, *links)
            else:
                await http.close_gently()
            is_drained = await self._drain()
            for task in ticking:
                task.cancel()
            self._tick(front.now())
            return 0 if is_drained else 1

    def _bind(self) -> Iterator[Listener]:
        """Yield the listeners for clients, for questions, and those for workers."""
        settings, front, take = self._settings, self._front, self._passed.take
        proxies = _read_proxies(settings)
        entrance = Entrance(front, proxies, self._certificate, settings.proxy_protocol)
        http = Listener(settings.http, entrance.connection, take(settings.http))
        yield http
        admin = self._admin = Admin(front, front.limits, str(http.address))
        yield Listener(settings.admin, lambda: HttpConnection(admin), take(settings.admin))
        failures = Burst("link handshake failed", front.now)
        for address in settings.link:
            if address.kind == "tls" and self._link_certificate is not None:
                secure = partial(_secure_link, front, self._link_certificate, failures)
                yield Listener(address, secure, take(address))
            else:
                yield Listener(address, lambda: LinkConnection(front), take(address))

    def _on_signal(self, number: int) -> None:
        """TERM and a first INT drain; a second INT ends everything."""
        if self._stop.is_set() and number == signal.SIGINT:
            self._is_forced = True
            self._front.done.set()
        self._stop.set()

    def _make_room(self) -> None:
        """USR1: drain, and leave the sockets, which were passed to us, to another dispatcher."""
        self._makes_room = True
        self._stop.set()

    def _on_hangup(self) -> None:
        # A terminal that is closed sends this signal too, and then nobody is left to stop us later.
        if self._had_terminal and not os.isatty(0):
            self._stop.set()
        else:
            self._renew()

    def _renew(self) -> None:
        """Read certificates and secrets again; those that cannot be read stay as they were."""
        for certificate in (self._certificate, self._link_certificate):
            if certificate is not None:
                self._renew_certificate(certificate)
        try:
            keyring = self._read_keyring()
        except SettingsError as error:
            log.error("the secrets stay as they were", reason=str(error))
            return
        self._front.use(keyring)
        if keyring:
            log.info("secrets read again")

    def _renew_certificate(self, certificate: Certificate) -> None:
        try:
            certificate.renew()
        except SettingsError as error:
            log.error("the certificate stays as it was", reason=str(error))
        else:
            log.info("certificate read again", file=str(certificate.file))

    def _tick(self, now: float) -> None:
        self._front.tick(now)
        self._admin.tick(now)

    async def _repeat(
        self, interval: float, action: Callable[[float], None], occasion: asyncio.Event | None = None
    ) -> None:
        """Do something again and again, or only while there is an occasion for it."""
        while True:
            if occasion is not None:
                await occasion.wait()
                occasion.clear()
            await asyncio.sleep(interval)
            try:
                action(self._front.now())
            except Exception:  # without deadlines and heartbeats nothing would work any more
                log.exception("a timed action failed", action=action.__name__)

    async def _send_workers_on(self, *listeners: Listener) -> None:
        """Let nobody in any more, and have the workers dial again: another dispatcher takes them in."""
        for listener in listeners:
            listener.close()
        await asyncio.sleep(0)  # for those whom the loop has accepted and not introduced yet
        for link in self._front.links:
            if isinstance(link, LinkConnection):  # peers of LRWP/1 and LRWP/2 come back when theirs ends
                link.send_on()

    async def _drain(self) -> bool:
        """Let what was accepted be answered; returns whether all of it was."""
        front = self._front
        log.info("draining", connections=len(front.connections))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(front.done.wait(), front.limits.drain_timeout)
        left = len(front.connections)
        if left:
            log.warning("stopping before all was answered", connections=left, forced=self._is_forced)
        for connection in list(front.connections):
            connection.abort()
        for link in list(front.links):
            link.close("the dispatcher stops")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(front.deserted.wait(), FAREWELL)
        return not left


def _check_reach(settings: DispatcherSettings, keyring: Keyring) -> None:
    """Refuse link addresses that others can reach if nobody has to prove anything there.

    Raises:
        SettingsError: there is such an address, no secret, and no certificate to show.
    """
    for address in settings.link:
        is_proved = keyring or (address.kind == "tls" and settings.link_client_ca is not None)
        if not (is_proved or address.is_private):
            raise SettingsError(
                f"the link address {address} can be reached from outside: give --secret-file, "
                + ("or --link-client-ca, " if address.kind == "tls" else "")
                + "or listen on 127.0.0.1 or a Unix socket"
            )


def _read_proxies(settings: DispatcherSettings) -> Proxies:
    if settings.proxy_protocol and not settings.trusted_proxies:
        raise SettingsError("proxy_protocol needs trusted_proxies: who is none could pass for anybody")
    return Proxies(settings.trusted_proxies)


def _read_certificate(settings: DispatcherSettings) -> Certificate | None:
    """Return the certificate for browsers, None for plain HTTP.

    Raises:
        SettingsError: it cannot be used, or an address and the certificate contradict each other.
    """
    if settings.admin.kind == "tls":
        raise SettingsError("the admin pages are not served over TLS: listen on 127.0.0.1 or a Unix socket")
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        return Certificate(certificate, key, "http/1.1")
    if certificate is not None or key is not None:
        raise SettingsError("tls_certificate and tls_key go together: give both, or neither")
    if settings.http.kind == "tls":
        raise SettingsError(f"{settings.http} needs tls_certificate and tls_key")
    return None


def _read_link_certificate(settings: DispatcherSettings) -> Certificate | None:
    """Return the certificate for workers, None if none of them is to dial over TLS.

    Raises:
        SettingsError: it cannot be used, or addresses and the certificate contradict each other.
    """
    secure = [address for address in settings.link if address.kind == "tls"]
    certificate, key = settings.link_certificate, settings.link_key
    if certificate is not None and key is not None:
        if not secure:
            raise SettingsError("link_certificate is for link addresses such as tls://0.0.0.0:8081: name one")
        return Certificate(certificate, key, client_ca=settings.link_client_ca)
    if secure:
        raise SettingsError(f"{secure[0]} needs link_certificate and link_key")
    if certificate is not None or key is not None or settings.link_client_ca is not None:
        raise SettingsError("link_client_ca needs link_certificate and link_key, and these need each other")
    return None


def _secure_link(front: Front, certificate: Certificate, failures: Burst) -> TlsTransport:
    return TlsTransport(certificate.context, LinkConnection(front), failures)


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
