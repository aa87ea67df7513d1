"""Peers of 1997: one connection of a worker that speaks LRWP/1 or LRWP/2.

To the broker it is a link like any other, with a window of one. What such a peer cannot do is done here in
its stead: it cannot be told that a client has left, so its reply is dropped when it comes.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from ipaddress import ip_address
from itertools import count
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import structlog

from dispatcher.workers import WorkerConnection
from protocol import classic, limits
from protocol.addresses import read_address
from protocol.classic import ClassicEnd, write_environment
from protocol.errors import RejectedError, RemoteProtocolError
from protocol.heads import read_cgi_head, read_response_head
from protocol.paths import split_path
from protocol.registration import Claim, Registration, RegistrationError, read_registration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dispatcher.broker import Link
    from dispatcher.exchange import Exchange
    from dispatcher.stranger import Stranger
    from dispatcher.workers import Station
    from protocol.classic import Opening, ReplyHead

log = structlog.get_logger()

OPENING_PAUSE: Final = 0.1
"""Seconds for which more of an LRWP/1 opening is waited for, whose last byte peers may leave out."""

_PORT: Final = re.compile(r":([0-9]{1,5})$")

_numbers = count(1)


class ClassicConnection(WorkerConnection):
    """One connection of a peer."""

    def __init__(self, station: Station, stranger: Stranger) -> None:
        super().__init__(station)
        self._stranger = stranger
        self._end = ClassicEnd(self)
        self._version = 0  # until its first byte has come
        self._opening: classic.Opening | None = None
        self._opening_ends: asyncio.TimerHandle | None = None
        self._nonce = b""
        self._exchange: Exchange | None = None
        self._is_cancelled = False
        self._location = ""
        self._offset = 0
        self._full = False
        self.peer = stranger.peer

    # ── Bytes in ─────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a registration."""
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives
        self._station.links.add(self)

    def data_received(self, data: bytes) -> None:
        """Take in what the peer sent."""
        self._version = self._version or classic.version_of(data)
        try:
            self._end.receive(data)
        except RegistrationError as error:
            self._reject("registration", str(error))
        except RemoteProtocolError as error:
            self._drop(f"it broke the protocol: {error}")

    def _is_busy(self) -> bool:
        return self._exchange is not None

    def _lose(self) -> None:
        self._end.lose()
        if self._opening_ends is not None:
            self._opening_ends.cancel()

    # ── Registration ─────────────────────────────────────────────────────────────────────────────

    def on_opening(self, opening: Opening) -> None:
        """Accept a peer, ask it for a proof, or refuse it."""
        self._opening = opening
        if opening.is_whole:
            self._register()
            return
        if self._opening_ends is not None:  # a filter is coming, slowly
            self._opening_ends.cancel()
        self._opening_ends = asyncio.get_running_loop().call_later(OPENING_PAUSE, self._register)

    def _register(self) -> None:
        if self._opening_ends is not None:
            self._opening_ends.cancel()
        opening = self._opening
        if opening is None or self._end.state is not classic.State.ASKED:
            return
        try:
            if self._is_proved(opening):
                self._station.enlist(self, self._registration_of(opening))
        except RegistrationError as error:
            self._reject("registration", str(error))
        except RejectedError as error:
            self._reject(error.code, str(error))

    def _is_proved(self, opening: Opening) -> bool:
        """Return whether the peer may register; if it has not been asked for its proof, ask.

        Raises:
            RejectedError: it cannot prove anything, or only by giving the secret away.
        """
        if not self._station.keyring or self.secret is not None:
            return True
        if opening.version == 1:
            raise RejectedError("proof", "this dispatcher wants a proof, which LRWP/1 does not know")
        if not self._is_near():
            raise RejectedError("proof", "LRWP/2 would show its secret to the network: use LRWP/3")
        self._nonce = secrets.token_bytes(classic.CHALLENGE)
        self._transport.write(self._end.challenge(self._nonce))
        return False

    def _is_near(self) -> bool:
        """Whether nobody listens between us and the peer."""
        return self.peer == "unix:" or ip_address(read_address(self.peer).host).is_loopback

    def on_answer(self, answer: bytes) -> None:
        """Look whether the peer knows a secret that is good for its application."""
        assert self._opening is not None  # noqa: S101 - it was challenged because of it
        claims = self._registration_of(self._opening).applications
        for secret in self._station.keyring.good_for(claims):
            if hmac.compare_digest(classic.answer_challenge(self._nonce, secret), answer):
                self.secret = secret
        if self.secret is None:
            self._reject("proof", "the secret is wrong")
        else:
            self._register()

    def _registration_of(self, opening: Opening) -> Registration:
        instance = f"{self.peer} {next(_numbers)}"
        claim = Claim(opening.name, opening.host, opening.path)
        if opening.path.startswith("."):  # what LRWP/3 does not know
            return Registration(instance, (claim,), 1, (("label", f"{opening.name} {self.peer}"),))
        labels = {"label": f"{opening.name} {self.peer}"}
        return read_registration(instance, (tuple(claim),), 1, labels)

    def _reject(self, code: str, sentence: str) -> None:
        self._end.lose()
        self._stranger.refuse(
            "worker rejected",
            classic.reject(self._version, sentence),
            self._station.now(),
            code=code,
            reason=sentence,
        )

    def accept(self, link: Link, registration: Registration) -> None:
        """Tell the peer that it is registered."""
        assert self._opening is not None  # noqa: S101 - it is registered because of it
        super().accept(link, registration)
        self._transport.write(self._end.accept(self._opening.version))

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────

    def assign(self, exchange: Exchange) -> None:
        """Send a request; the peer gets its body as fast as it reads it."""
        assert self.registration is not None  # noqa: S101 - only a registered peer is given work
        self._exchange = exchange
        self._is_cancelled = False
        self._location = ""
        self._offset = 0
        length = _length(exchange)
        if length > classic.MOST:
            asyncio.get_running_loop().call_soon(self._drop, "a body is too long for LRWP/1 and LRWP/2")
            return
        environment = write_environment(_environment(exchange, self.registration.applications[0].path))
        self._transport.write(self._end.request(environment, length) + exchange.content)
        if exchange.body is not None:
            self._upload(exchange)

    def _upload(self, exchange: Exchange) -> None:
        """Send the next piece of a body that is in a file, one in each turn of the loop."""
        body = exchange.body
        if body is None or self._full or self._transport.is_closing() or exchange is not self._exchange:
            return
        try:
            piece = body.read(self._offset, limits.PIECE)
        except (OSError, ValueError) as error:  # its client has left, and the peer cannot be told
            self._drop(f"the body of its request cannot be read back: {error}")
            return
        self._offset += len(piece)
        self._transport.write(piece)
        if self.link is not None:
            self.link.quiet_since = self._station.now()
        if self._offset < body.length:
            asyncio.get_running_loop().call_soon(self._upload, exchange)

    def pause_writing(self) -> None:
        """Stop sending a body that the peer does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on sending a body."""
        self._full = False
        if self._exchange is not None:
            self._upload(self._exchange)

    def cancel(self, exchange: Exchange) -> None:
        """Drop the reply when it comes: nobody waits for it, and the peer cannot be told."""
        if exchange is self._exchange:
            self._is_cancelled = True

    # ── Replies ──────────────────────────────────────────────────────────────────────────────────

    def on_response(self, head: ReplyHead, length: int, piece: bytes) -> None:
        """Pass the beginning of a reply on to the client."""
        exchange = self._exchange
        if exchange is None or self.link is None or self._is_cancelled:
            return
        self.link.quiet_since = self._station.now()
        if head.location:
            self._location = head.location
            return
        exchange.begun = True
        response = read_response_head(b"%bContent-Length: %d\r\n" % (head.head, length))
        exchange.client.respond(head.status, response, piece, len(piece) == length)
        self._hold_up(exchange)

    def on_body(self, piece: bytes, last: bool) -> None:
        """Pass the next piece of a reply on to the client."""
        exchange = self._exchange
        if exchange is None or self.link is None or self._is_cancelled or self._location:
            return
        self.link.quiet_since = self._station.now()
        exchange.client.respond_body(piece, last)
        if not last:
            self._hold_up(exchange)

    def on_unusable(self, reason: str) -> None:
        """Fail the request of a reply that cannot be passed on."""
        exchange = self._exchange
        if exchange is None or self.link is None or self._is_cancelled:
            return
        log.error("unusable answer", link=self.link.name, path=exchange.path, reason=reason)
        self._station.broker.spoil(exchange)

    def on_settled(self) -> None:
        """Free the peer for the next request; send this one on if the peer said so."""
        exchange, self._exchange = self._exchange, None
        if exchange is None or self.link is None:
            return
        self._go_on()
        now = self._station.now()
        if exchange.body is not None and self._offset < exchange.body.length:
            # The peer would take the rest of the body, which it has not read, for its next request.
            self._station.broker.drain(self.link, now)
        if self._is_cancelled:
            self._station.broker.discard(self.link, exchange, now)
            return
        self._station.broker.release(self.link, exchange, now)
        if self._location:
            self._station.send_on(exchange, self._location)


def _length(exchange: Exchange) -> int:
    return len(exchange.content) if exchange.body is None else exchange.body.length


def _environment(exchange: Exchange, prefix: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a CGI program finds in its environment (RFC 3875 §4.1)."""
    fields = read_cgi_head(exchange.head)
    path, _, query = exchange.target.partition(b"?")
    decoded = unquote_to_bytes(path).decode("latin-1")
    if prefix.startswith("."):
        script_name, path_info = decoded, ""
    else:
        script_name, path_info = split_path(decoded, prefix.encode().decode("latin-1"))
    port = _PORT.search(fields.get("HTTP_HOST", ""))
    address = "" if exchange.peer == "unix:" else exchange.peer.rpartition(":")[0].strip("[]")
    variables = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "LRWP",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "SERVER_NAME": exchange.host,
        "SERVER_PORT": port[1] if port else {"https": "443"}.get(exchange.scheme, "80"),
        "REQUEST_METHOD": exchange.method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "REMOTE_ADDR": address,
        "REMOTE_HOST": address,
        "REMOTE_USER": "-",
        "AUTH_TYPE": "",
        "CONTENT_TYPE": "",
        "HTTPS": "on" if exchange.scheme == "https" else "off",
        **fields,
        "CONTENT_LENGTH": str(_length(exchange) or ""),
    }
    if query:
        variables["QUERY_STRING"] = query.decode("latin-1")
    for name, value in variables.items():
        yield re.sub(r"[^A-Z0-9]", "_", name).encode(), value.encode("latin-1", "replace")
