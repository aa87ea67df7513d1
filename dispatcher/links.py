"""The link side: one connection of a worker."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from dispatcher.broker import Link
from protocol import limits
from protocol.errors import HeaderError, RemoteProtocolError
from protocol.heads import read_response_head
from protocol.link import DispatcherEnd, State
from protocol.registration import RegistrationError, is_proof, prove, read_registration

if TYPE_CHECKING:
    from dispatcher.broker import Broker
    from dispatcher.exchange import Exchange
    from protocol.registration import Registration

log = structlog.get_logger()

MISSED: Final = 3
"""Heartbeats without a sign of life after which a link is lost."""

REGISTRATION_TIME: Final = 10.0
"""Seconds for a worker to register after it has connected."""


class Station(Protocol):
    """Where links arrive.

    Attributes:
        broker: who decides.
        secret: what workers must prove to know, or None.
        heartbeat: seconds between two pings on an idle link.
        leaving: whether the dispatcher is stopping.
        links: every connection of a worker, registered or not.
    """

    broker: Broker
    secret: bytes | None
    heartbeat: float
    leaving: bool
    links: set[LinkConnection]

    def now(self) -> float:
        """Return the time in seconds of a monotonic clock."""

    def enlist(self, connection: LinkConnection, registration: Registration) -> None:
        """Let a registered worker serve its applications; RegistrationError if it cannot."""

    def dismiss(self, connection: LinkConnection) -> None:
        """Forget a connection, and what its worker was registered for."""


class LinkConnection(asyncio.Protocol):
    """One connection of a worker: it carries out what the broker decides, and reports what the worker says.

    Frames are collected and written once for each turn of the event loop. What was not written when a
    connection ends was certainly not begun.

    Attributes:
        link: what the broker knows of it, once it is registered.
        registration: what the worker said of itself, once it is registered.
        peer: the worker's address.
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._end: DispatcherEnd[Exchange] = DispatcherEnd(self)
        self._transport: asyncio.Transport
        self._outbox: list[bytes] = []
        self._unsent: list[Exchange] = []
        self._uploads: list[tuple[Exchange, int]] = []
        self._full = False
        self._nonce = b""
        self._heard_at = self._pinged_at = station.now()
        self.link: Link | None = None
        self.registration: Registration | None = None
        self.peer = ""

    def __repr__(self) -> str:
        return f"<LinkConnection {self.peer} {self.link!r}>"

    # ── Bytes in ─────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a registration."""
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives
        self._station.links.add(self)
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"

    def data_received(self, data: bytes) -> None:
        """Take in what the worker sent."""
        try:
            if self._end.state is State.NEW and data[:1] != b"\x00":
                raise RemoteProtocolError("the first byte is not that of an LRWP/3 frame")
            self._end.receive(data)
        except RemoteProtocolError as error:
            self._drop(f"it broke the protocol: {error}")

    def eof_received(self) -> bool:
        """Let the connection end: a worker that sends nothing more is gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle what the worker held."""
        self._end.lose()
        if self.link is not None:
            if self.link in self._station.broker.links:
                log.info("link lost", link=self.link.name, peer=self.peer, held=len(self.link.held))
            self._station.broker.leave(self.link, self._station.now(), self._unsent)
        self._outbox.clear()
        self._station.dismiss(self)

    def _drop(self, reason: str) -> None:
        """Cut the link off; its exchanges are settled, nobody else notices."""
        log.warning("link dropped", link=self.link.name if self.link else None, peer=self.peer, reason=reason)
        self._transport.abort()
        self._end.lose()
        if self.link is not None:
            self._station.broker.leave(self.link, self._station.now(), self._unsent)

    # ── Registration ─────────────────────────────────────────────────────────────────────────────

    def on_register(
        self,
        version: int,
        instance: str,
        applications: Any,
        window: int,
        labels: Any,
        nonce: bytes,
        proof: bytes,
    ) -> None:
        """Accept a worker, ask it for a proof, or refuse it."""
        if version != limits.VERSION:
            self._reject("version", f"this dispatcher speaks LRWP/{limits.VERSION}, not LRWP/{version}")
            return
        if self._station.leaving:
            self._reject("draining", "this dispatcher is stopping")
            return
        try:
            registration = read_registration(instance, applications, window, labels)
            if self._is_proved(registration, nonce, proof):
                self._station.enlist(self, registration)
        except RegistrationError as error:
            self._reject("registration", str(error))

    def _is_proved(self, registration: Registration, nonce: bytes, proof: bytes) -> bool:
        """Return whether the worker may register; if it has not been asked for its proof, ask."""
        secret = self._station.secret
        if secret is None:
            return True
        if not self._nonce:
            self._nonce = secrets.token_bytes(limits.NONCE)
            self._write(self._end.challenge(self._nonce))
            return False
        expected = prove(secret, self._nonce, nonce, registration.instance, registration.applications)
        if len(nonce) == limits.NONCE and is_proof(expected, proof):
            return True
        self._reject("proof", "the proof is wrong: give the worker the dispatcher's secret file")
        return False

    def _reject(self, code: str, sentence: str) -> None:
        log.warning("worker rejected", peer=self.peer, code=code, reason=sentence)
        self._write(self._end.rejected(code, sentence))
        self._flush()
        self._transport.close()

    def accept(self, link: Link, registration: Registration) -> None:
        """Tell the worker that it is registered."""
        self.link = link
        self.registration = registration
        log.info("link joined", link=link.name, peer=self.peer, applications=len(registration.applications))
        self._write(self._end.registered(round(self._station.heartbeat * 1000)))

    # ── What the worker says ─────────────────────────────────────────────────────────────────────

    def on_response(self, subject: Exchange, status: int, head: bytes, body: bytes, last: bool) -> None:
        """Pass the beginning of an answer on to the client."""
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to answer
        station = self._station
        now = station.now()
        self._heard_at = now
        try:
            response = read_response_head(head)
        except HeaderError as error:
            log.error("unusable answer", link=self.link.name, path=subject.path, reason=str(error))
            self._spoil(subject, last, now)
            return
        subject.begun = True
        if last:
            station.broker.release(self.link, subject, now)
            subject.client.respond(status, response, body, True)
        else:
            self.link.quiet_since = now
            subject.client.respond(status, response, body, False)
            self._hold_up(subject)

    def _spoil(self, subject: Exchange, last: bool, now: float) -> None:
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to answer
        broker = self._station.broker
        if last:
            broker.spoil(subject)
            broker.discard(self.link, subject, now)
        else:
            broker.spoil(subject)

    def on_body(self, subject: Exchange, piece: bytes, last: bool) -> None:
        """Pass the next piece of an answer on to the client."""
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to answer
        self._heard_at = self.link.quiet_since = now = self._station.now()
        if last:
            self._station.broker.release(self.link, subject, now)
            subject.client.respond_body(piece, True)
        else:
            subject.client.respond_body(piece, False)
            self._hold_up(subject)

    def _hold_up(self, subject: Exchange) -> None:
        """Stop reading from a worker whose client is slower than its stream.

        What this holds up is one exchange: the worker answers one at a time, and those placed behind it are
        taken back.
        """
        link = self.link
        if link is not None and not link.paused and subject.client.when_caught_up(self._go_on):
            link.paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        if self.link is not None and self.link.paused:
            self.link.paused = False
            self.link.quiet_since = self._station.now()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def on_refused(self, subject: Exchange) -> None:
        """Give an exchange that was not begun to another worker."""
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to refuse
        self._station.broker.refuse(self.link, subject, self._station.now())

    def on_discarded(self, subject: Exchange) -> None:
        """Free the place of an exchange that was cancelled."""
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to settle
        self._station.broker.discard(self.link, subject, self._station.now())

    def on_pong(self) -> None:
        """Note that the worker is alive."""
        self._heard_at = self._station.now()

    def on_draining(self) -> None:
        """Give the worker nothing new."""
        assert self.link is not None  # noqa: S101 - an unregistered worker cannot say that it drains
        log.info("link draining", link=self.link.name, held=len(self.link.held))
        self._station.broker.drain(self.link, self._station.now())

    # ── What the broker decides ──────────────────────────────────────────────────────────────────

    def assign(self, exchange: Exchange) -> None:
        """Send a request."""
        body = exchange.body
        length = len(exchange.content) if body is None else body.length
        whole = body is None and length <= limits.PIECE
        exchange.id, frame = self._end.request(
            exchange,
            exchange.application,
            exchange.method,
            exchange.target,
            exchange.head,
            exchange.scheme,
            exchange.peer,
            exchange.attempt,
            exchange.content if whole else b"",
            whole,
        )
        self._unsent.append(exchange)
        self._write(frame)
        if not whole:
            self._uploads.append((exchange, 0))

    def cancel(self, exchange: Exchange) -> None:
        """Take an exchange back, or tell the worker that its client has left."""
        if exchange.id in self._end.held and exchange.id not in self._end.cancelled:
            self._write(self._end.cancel(exchange.id))

    def ask_to_leave(self) -> None:
        """Ask the worker to drain."""
        if self._end.state is State.SERVING:
            self._write(self._end.drain())

    def close(self, reason: str) -> None:
        """End the connection."""
        log.info("link closed", link=self.link.name if self.link else None, reason=reason)
        if self._outbox:
            self._flush()
        self._transport.close()

    def fence(self) -> None:
        """Cut the link off because its worker has registered anew on another connection."""
        self._drop("its worker has registered again")

    # ── Bytes out ────────────────────────────────────────────────────────────────────────────────

    def _write(self, frame: bytes) -> None:
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(frame)

    def _flush(self) -> None:
        """Write what has come together in this turn of the loop."""
        if self._transport.is_closing():
            return
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._transport.write(b"".join(outbox) if len(outbox) > 1 else outbox[0])
            self._unsent.clear()
        if self._uploads:
            self._upload()

    def _upload(self) -> None:
        """Send bodies piece by piece, as far as the worker takes them."""
        while self._uploads and not self._full:
            exchange, offset = self._uploads[0]
            if not self._end.is_sending(exchange.id):
                del self._uploads[0]  # answered early, or nobody waits for it
                continue
            body = exchange.body
            if body is not None:
                piece = body.read(offset, limits.PIECE)
                length = body.length
            else:
                piece = exchange.content[offset : offset + limits.PIECE]
                length = len(exchange.content)
            offset += len(piece)
            last = offset >= length
            self._transport.write(self._end.body(exchange.id, piece, last))
            if self.link is not None:
                self.link.quiet_since = self._station.now()
            if last:
                del self._uploads[0]
            else:
                self._uploads[0] = (exchange, offset)

    def pause_writing(self) -> None:
        """Stop sending bodies that the worker does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on sending bodies."""
        self._full = False
        self._upload()

    # ── Time passes ──────────────────────────────────────────────────────────────────────────────

    def beat(self, now: float) -> None:
        """Watch over an idle link; a busy one is watched by the deadline of what it holds."""
        if self.link is None:
            if now - self._heard_at > REGISTRATION_TIME:
                self._drop("it did not register in time")
            return
        heartbeat = self._station.heartbeat
        if self.link.held:
            self._heard_at = now
        elif now - self._heard_at > MISSED * heartbeat:
            self._drop(f"it was silent for {MISSED} heartbeats")
        elif now - max(self._heard_at, self._pinged_at) >= heartbeat:
            self._pinged_at = now
            self._write(self._end.ping())
