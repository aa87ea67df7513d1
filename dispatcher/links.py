"""The link side: one connection of a worker that speaks LRWP/3."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from dispatcher.classic import ClassicConnection
from dispatcher.keyring import explain
from dispatcher.stranger import Stranger
from dispatcher.workers import WorkerConnection
from protocol import limits
from protocol.dispatcher_end import DispatcherEnd
from protocol.errors import HeaderError, RejectedError, RemoteProtocolError
from protocol.heads import read_response_head
from protocol.registration import RegistrationError, read_registration

if TYPE_CHECKING:
    from dispatcher.broker import Link
    from dispatcher.exchange import Exchange
    from dispatcher.workers import Station
    from protocol.registration import Registration

log = structlog.get_logger()

MISSED: Final = 3
"""Heartbeats without a sign of life after which a link is lost."""

FIRST_BYTE: Final = 0x00
"""What every LRWP/3 link begins with: the highest byte of the length of a frame, which is below 16 MiB."""


class Upload(NamedTuple):
    """The body of a request on its way to a worker.

    Attributes:
        id: the exchange's id on this link; the exchange itself may have another by now, on another link.
        exchange: the exchange.
        offset: how much of its body was sent.
    """

    id: int
    exchange: Exchange
    offset: int


class LinkConnection(WorkerConnection):
    """One connection of a worker.

    Frames are collected and written once for each turn of the event loop. What was not written when a
    connection ends was certainly not begun.
    """

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self._end: DispatcherEnd[Exchange] = DispatcherEnd(self)
        self._outbox: list[bytes] = []
        self._uploads: list[Upload] = []
        self._full = False
        self._is_uploading = False
        self._nonce = b""
        self._has_begun = False
        self._heard_at = self._pinged_at = station.now()

    # ── Bytes in ─────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a registration."""
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives
        self._station.links.add(self)
        self._stranger = Stranger(self._station.gate, self._transport, self._station.now())
        self.peer = self._stranger.peer

    def data_received(self, data: bytes) -> None:
        """Take in what the worker sent."""
        if not self._has_begun and data:  # TLS tells with nothing that something came after the end
            self._has_begun = True
            if data[0] != FIRST_BYTE:
                self._give_way(data)
                return
        try:
            self._end.receive(data)
        except RemoteProtocolError as error:
            self._drop(f"it broke the protocol: {error}")

    def _give_way(self, data: bytes) -> None:
        """Leave the connection to what serves peers of 1997: its first byte says that it is one of them."""
        self._station.links.discard(self)
        peer = ClassicConnection(self._station, self._stranger)
        self._transport.set_protocol(peer)
        peer.connection_made(self._transport)
        peer.data_received(data)

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
        try:
            registration = read_registration(instance, applications, window, labels)
            if self._is_proved(registration, nonce, proof):
                self._station.enlist(self, registration)
        except RegistrationError as error:
            self._reject("registration", str(error))
        except RejectedError as error:
            self._reject(error.code, str(error))

    def _is_proved(self, registration: Registration, nonce: bytes, proof: bytes) -> bool:
        """Return whether the worker may register; if it has not been asked for its proof, ask."""
        keyring = self._station.keyring
        if not keyring:
            return True
        if not self._nonce:
            self._nonce = secrets.token_bytes(limits.NONCE)
            self._write(self._end.challenge(self._nonce))
            return False
        if len(nonce) == limits.NONCE:
            self.secret = keyring.find(registration, self._nonce, nonce, proof)
        if self.secret is None:
            self._reject("proof", explain(registration.applications))
        return self.secret is not None

    def _reject(self, code: str, sentence: str) -> None:
        last_word = self._end.rejected(code, sentence)
        now = self._station.now()
        if code == "draining":  # which is not the worker's fault
            log.info("worker sent on", peer=self.peer, reason=sentence)
            self._stranger.part(last_word, now)
        else:
            self._stranger.refuse("worker rejected", last_word, now, code=code, reason=sentence)

    def accept(self, link: Link, registration: Registration) -> None:
        """Tell the worker that it is registered."""
        super().accept(link, registration)
        queues = self._station.broker.queues
        patience = max(queues[claim.name].request_timeout for claim in registration.applications)
        self._write(self._end.registered(round(self._station.heartbeat * 1000), round(patience * 1000)))

    # ── What the worker says ─────────────────────────────────────────────────────────────────────

    def on_response(self, subject: Exchange, status: int, head: bytes, body: bytes, last: bool) -> None:
        """Pass the beginning of an answer on to the client."""
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to answer
        station = self._station
        now = station.now()
        self._heard_at = now
        try:
            response = read_response_head(head)
            if not 200 <= status <= 999:
                raise HeaderError(f"{status} is not the status of an answer")
        except HeaderError as error:
            log.error("unusable answer", link=self.link.name, path=subject.path, reason=str(error))
            station.broker.spoil(subject)
            if last:
                station.broker.discard(self.link, subject, now)
            return
        subject.begun = True
        if last:
            station.broker.release(self.link, subject, now)
            subject.client.respond(status, response, body, True)
        else:
            self.link.quiet_since = now
            subject.client.respond(status, response, body, False)
            self._hold_up(subject)

    def on_body(self, subject: Exchange, piece: bytes, last: bool) -> None:
        """Pass the next piece of an answer on to the client."""
        assert self.link is not None  # noqa: S101 - an unregistered worker has no exchange to answer
        self._heard_at = self.link.quiet_since = now = self._station.now()
        if last:
            self._go_on()  # what the client has not taken is with the client's connection now
            self._station.broker.release(self.link, subject, now)
            subject.client.respond_body(piece, True)
        else:
            subject.client.respond_body(piece, False)
            self._hold_up(subject)

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
            self._uploads.append(Upload(exchange.id, exchange, 0))

    def cancel(self, exchange: Exchange) -> None:
        """Take an exchange back, or tell the worker that its client has left."""
        if exchange.id in self._end.held and exchange.id not in self._end.cancelled:
            self._write(self._end.cancel(exchange.id))

    def send_on(self) -> None:
        """Tell the worker that we leave, and that another dispatcher takes it in at our address."""
        if self.link is not None and not self._transport.is_closing():
            self._write(self._end.drain())

    def _is_busy(self) -> bool:
        return bool(self._end.held)

    def _lose(self) -> None:
        self._end.lose()
        self._uploads.clear()

    def _part(self) -> None:
        self._flush()
        super()._part()

    def fence(self) -> None:
        """End the link because its worker, or a twin of it, has registered on another connection.

        Requests that still wait to be written are not: another worker has them now.
        """
        sentence = (
            "another link has registered as this instance: name each dispatcher once, and give each worker an"
            " instance of its own"
        )
        log.warning("link fenced", link=self.link.name if self.link else "-", peer=self.peer)
        self._outbox = [self._end.rejected("fenced", sentence)]
        self._settle()
        self._part()

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
        if self._uploads and not self._is_uploading:
            self._upload()

    def _upload(self) -> None:
        """Send the next piece of a body, if the worker takes it.

        One in each turn of the loop: a worker that reads as fast as we write would have the loop for itself
        until its gigabyte is through.
        """
        self._is_uploading = False
        if self._outbox:  # a request among it may be the one whose body is next; _flush comes back here
            return
        while self._uploads and not self._full and not self._transport.is_closing():
            if not self._end.is_sending(self._uploads[0].id):
                del self._uploads[0]  # sent, answered early, or nobody waits for it
                continue
            try:
                self._uploads[0] = self._send_piece(*self._uploads[0])
            except OSError as error:
                exchange = self._uploads.pop(0).exchange
                log.error("a request's body cannot be read back", path=exchange.path, reason=str(error))
                self._station.broker.spoil(exchange)
                continue
            self._is_uploading = True
            asyncio.get_running_loop().call_soon(self._upload)
            return

    def _send_piece(self, number: int, exchange: Exchange, offset: int) -> Upload:
        body = exchange.body
        if body is not None:
            piece, length = body.read(offset, limits.PIECE), body.length
        else:
            piece, length = exchange.content[offset : offset + limits.PIECE], len(exchange.content)
        offset += len(piece)
        self._transport.write(self._end.body(number, piece, offset >= length))
        if self.link is not None:
            self.link.quiet_since = self._station.now()
        return Upload(number, exchange, offset)

    def pause_writing(self) -> None:
        """Stop sending bodies that the worker does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on sending bodies."""
        self._full = False
        if not self._is_uploading:
            self._upload()

    # ── Time passes ──────────────────────────────────────────────────────────────────────────────

    def beat(self, now: float) -> None:
        """Watch over an idle link; a busy one is watched by the deadline of what it holds."""
        super().beat(now)
        if self.link is None or self._transport.is_closing():
            return
        heartbeat = self._station.heartbeat
        if self.link.held:
            self._heard_at = now
        elif now - self._heard_at > MISSED * heartbeat:
            self._drop(f"it was silent for {MISSED} heartbeats")
        elif now - max(self._heard_at, self._pinged_at) >= heartbeat:
            self._pinged_at = now
            self._write(self._end.ping())
