"""A worker's connection, in whichever version of the protocol: what becomes of it, and of what it holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from dispatcher.stranger import CLOSING_TIME

if TYPE_CHECKING:
    from dispatcher.broker import Broker, Link
    from dispatcher.exchange import Exchange
    from dispatcher.gate import Gate
    from dispatcher.keyring import Keyring
    from dispatcher.stranger import Stranger
    from protocol.registration import Registration

log = structlog.get_logger()


class Station(Protocol):
    """Where links arrive.

    Attributes:
        broker: who decides.
        gate: who lets strangers in.
        keyring: what workers must prove to know.
        heartbeat: seconds between two pings on an idle link.
        links: every connection of a worker, registered or not.
    """

    broker: Broker
    gate: Gate
    keyring: Keyring
    heartbeat: float
    links: set[WorkerConnection]

    def now(self) -> float:
        """Return the time in seconds of a monotonic clock."""

    def enlist(self, connection: WorkerConnection, registration: Registration) -> None:
        """Let a worker serve its applications; RegistrationError or RejectedError if it may not."""

    def dismiss(self, connection: WorkerConnection) -> None:
        """Forget a connection, and what its worker was registered for."""

    def send_on(self, exchange: Exchange, location: str) -> None:
        """Answer a request with another path of this server, as the program that was asked says."""


class WorkerConnection(asyncio.Protocol):
    """One connection of a worker: it carries out what the broker decides, and reports what the worker says.

    Attributes:
        link: what the broker knows of it, once it is registered.
        registration: what the worker said of itself, once it is registered.
        secret: what the worker has proved to know, None if it was not asked.
        peer: the worker's address.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._transport: asyncio.Transport
        self._stranger: Stranger
        self._unsent: list[Exchange] = []  # those that the worker cannot have begun
        self._closed_at = 0.0
        self.link: Link | None = None
        self.registration: Registration | None = None
        self.secret: bytes | None = None
        self.peer = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.peer} {self.link!r}>"

    # ── What each version does in its own way ────────────────────────────────────────────────────

    def accept(self, link: Link, registration: Registration) -> None:
        """Tell the worker that it is registered."""
        self._stranger.leave()
        self.link = link
        self.registration = registration
        log.info("link joined", link=link.name, peer=self.peer, applications=len(registration.applications))

    def assign(self, exchange: Exchange) -> None:
        """Send a request."""
        raise NotImplementedError

    def cancel(self, exchange: Exchange) -> None:
        """Take an exchange back, or tell the worker that its client has left."""
        raise NotImplementedError

    def send_on(self) -> None:
        """Tell the worker that we leave, and that another dispatcher takes it in at our address."""

    def fence(self) -> None:
        """End the link because its worker, or a twin of it, has registered on another connection."""
        self._drop("its worker has registered again")

    def _is_busy(self) -> bool:
        """Whether the worker has something that it has not settled."""
        raise NotImplementedError

    def _lose(self) -> None:
        """Act on nothing any more that the worker says."""
        raise NotImplementedError

    # ── The end ──────────────────────────────────────────────────────────────────────────────────

    def eof_received(self) -> bool:
        """End the connection: a worker that sends nothing more is gone, and what it was sent is lost."""
        self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Settle what the worker held."""
        if self.link is not None and self.link in self._station.broker.links:
            log.info("link lost", link=self.link.name, peer=self.peer, held=len(self.link.held))
        self._settle()
        self._stranger.leave()
        self._station.dismiss(self)

    def close(self, reason: str) -> None:
        """End the connection: who holds something is cut off, any other worker gets what was written."""
        log.info("link closed", link=self.link.name if self.link else "-", peer=self.peer, reason=reason)
        if self._is_busy():
            self._transport.abort()
        else:
            self._part()
        self._settle()

    def _part(self) -> None:
        """Close, when the worker has got what was written."""
        self._closed_at = self._station.now()
        self._transport.close()

    def _drop(self, reason: str) -> None:
        """Cut the link off; its exchanges are settled, nobody else notices."""
        if self.link is None:
            self._lose()
            self._stranger.refuse("link dropped", b"", self._station.now(), reason=reason)
            return
        log.warning("link dropped", link=self.link.name, peer=self.peer, reason=reason)
        self._transport.abort()
        self._settle()

    def _settle(self) -> None:
        """Take no part in anything any more, and have the broker settle what the worker held."""
        self._lose()
        if self.link is not None:
            self._station.broker.leave(self.link, self._station.now(), self._unsent)

    def beat(self, now: float) -> None:
        """Let time pass: for a registration to come, or for a connection to end that was closed."""
        if self.link is None:
            self._stranger.beat(now)
        elif self._transport.is_closing() and now - self._closed_at > CLOSING_TIME:
            self._transport.abort()

    # ── Slow clients ─────────────────────────────────────────────────────────────────────────────

    def _hold_up(self, exchange: Exchange) -> None:
        """Stop reading from a worker whose client is slower than its stream.

        What this holds up is one exchange: the worker answers one at a time, and those placed behind it are
        taken back.
        """
        link = self.link
        if link is not None and not link.paused and exchange.client.when_caught_up(self._go_on):
            link.paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        if self.link is not None and self.link.paused:
            self.link.paused = False
            self.link.quiet_since = self._station.now()
            if not self._transport.is_closing():
                self._transport.resume_reading()
