"""A worker's link: a blocking socket around the worker's end of the protocol."""

from __future__ import annotations

import contextlib
import secrets
import socket
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from protocol import limits
from protocol.errors import LrwpError, RejectedError
from protocol.link import WorkerEnd
from protocol.registration import Registration, prove
from worker.body import LinkBody
from worker.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.addresses import Address

CHUNK: Final = 256 * 1024
"""Bytes that one read takes from the socket at most."""

CONNECT_TIME: Final = 5.0
"""Seconds that a dispatcher has to accept a connection."""


class LinkLostError(LrwpError):
    """The connection to the dispatcher has ended."""


class Link:
    """One connection to a dispatcher.

    Attributes:
        socket: the connected socket.
        is_registered: whether the dispatcher has accepted us.
        heartbeat: seconds between two pings of an idle link; infinite until we are registered.
        bodies: the bodies that are still arriving, by exchange.
        cancelled: the exchanges for which nobody waits any more.
    """

    def __init__(
        self,
        sock: socket.socket,
        registration: Registration,
        secret: bytes | None,
        take: Callable[[Link, int, Exchange], None],
        prefix: Callable[[str, bytes], str],
    ) -> None:
        self.socket = sock
        self.is_registered = False
        self.heartbeat = float("inf")
        self.bodies: dict[int, LinkBody] = {}
        self.cancelled: set[int] = set()
        self._end = WorkerEnd(self)
        self._registration = registration
        self._secret = secret
        self._nonce = secrets.token_bytes(limits.NONCE)
        self._take = take
        self._prefix = prefix
        self._draining = False
        self.send(self._end.register(registration, self._nonce))

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self.socket.fileno()

    @property
    def held(self) -> dict[int, bool]:
        """The exchanges that we have not settled."""
        return self._end.held

    def close(self) -> None:
        """End the connection."""
        for body in self.bodies.values():
            body.end()
        self.socket.close()

    # ── Bytes ────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Take in what has arrived, waiting for it if nothing has.

        Raises:
            LinkLostError: the connection has ended.
            RemoteProtocolError: the dispatcher broke the rules.
            RejectedError: the dispatcher does not want us.
        """
        try:
            data = self.socket.recv(CHUNK)
        except OSError as error:
            raise LinkLostError(f"the dispatcher is gone: {error.strerror}") from None
        if not data:
            raise LinkLostError("the dispatcher has closed the link")
        self._end.receive(data)

    def look(self) -> None:
        """Take in what has arrived, without waiting."""
        with contextlib.suppress(BlockingIOError):
            if self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                self.read()

    def send(self, frame: bytes) -> None:
        """Send a frame, waiting until the dispatcher takes it.

        Raises:
            LinkLostError: the connection has ended.
        """
        try:
            self.socket.sendall(frame)
        except OSError as error:
            raise LinkLostError(f"the dispatcher is gone: {error.strerror}") from None

    # ── What we say ──────────────────────────────────────────────────────────────────────────────

    def respond(self, exchange: int, status: int, head: bytes, body: bytes, last: bool) -> None:
        """Begin a reply; with ``last`` also end it."""
        self.send(self._end.response(exchange, status, head, body, last))

    def respond_body(self, exchange: int, piece: bytes, last: bool) -> None:
        """Go on with a reply."""
        self.send(self._end.body(exchange, piece, last))

    def refuse(self, exchange: int) -> None:
        """Give an exchange back that was not begun."""
        self.bodies.pop(exchange, None)
        self.cancelled.discard(exchange)
        self.send(self._end.refused(exchange))

    def drain(self) -> None:
        """Say that we take nothing new; the dispatcher closes the link when we hold nothing."""
        if self.is_registered and not self._draining:
            self._draining = True
            self.send(self._end.draining())

    def forget(self, exchange: int) -> None:
        """Drop what is left of a settled exchange."""
        if self.bodies:
            self.bodies.pop(exchange, None)
        if self.cancelled:
            self.cancelled.discard(exchange)

    # ── What the dispatcher says ─────────────────────────────────────────────────────────────────

    def on_challenge(self, nonce: bytes) -> None:
        """Prove that we know the secret."""
        if self._secret is None:
            raise RejectedError("proof", "the dispatcher asks for a secret: give --secret-file")
        registration = self._registration
        proof = prove(self._secret, nonce, self._nonce, registration.instance, registration.applications)
        self.send(self._end.register(registration, self._nonce, proof))

    def on_registered(self, limits: Any, heartbeat: int) -> None:  # noqa: ARG002 - ours are smaller
        """Note that requests may come."""
        self.is_registered = True
        self.heartbeat = heartbeat / 1000

    def on_rejected(self, code: str, sentence: str) -> None:
        """Note that we are not wanted."""
        raise RejectedError(code, sentence)

    def on_request(
        self,
        exchange: int,
        application: str,
        method: str,
        target: bytes,
        head: bytes,
        scheme: str,
        client: str,
        attempt: int,
        body: bytes,
        last: bool,
    ) -> None:
        """Take a request, or give it back if it crossed our goodbye."""
        if self._draining:
            self.refuse(exchange)
            return
        stream: BytesIO | LinkBody
        if last:
            stream = BytesIO(body)
        else:
            stream = self.bodies[exchange] = LinkBody(self.read)
            stream.add(body, False)
        prefix = self._prefix(application, target)
        self._take(
            self,
            exchange,
            Exchange(application, prefix, method, target, head, scheme, client, attempt, stream),
        )

    def on_body(self, exchange: int, piece: bytes, last: bool) -> None:
        """Take the next piece of a body."""
        body = self.bodies.get(exchange)
        if body is not None:
            body.add(piece, last)

    def on_cancel(self, exchange: int) -> None:
        """Note that nobody waits for an exchange any more."""
        self.cancelled.add(exchange)
        body = self.bodies.get(exchange)
        if body is not None:
            body.end()

    def on_ping(self) -> None:
        """Say that we are alive."""
        self.send(self._end.pong())

    def on_drain(self) -> None:
        """Leave, as the dispatcher asks."""
        self.drain()


def dial(address: Address) -> socket.socket:
    """Return a socket connected to ``address``.

    Raises:
        OSError: nobody listens there.
    """
    if address.kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(address.path)
        except OSError:
            sock.close()
            raise
        return sock
    sock = socket.create_connection((address.host, address.port), CONNECT_TIME)
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
