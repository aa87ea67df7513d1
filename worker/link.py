"""A worker's link: a blocking socket around the worker's end of the protocol."""

from __future__ import annotations

import secrets
import select
import socket
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from protocol import limits
from protocol.errors import LrwpError, RejectedError, RemoteProtocolError
from protocol.registration import Registration, prove
from protocol.worker_end import WorkerEnd
from worker.body import LinkBody
from worker.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.tls import TlsSocket

CHUNK: Final = 64 * 1024
"""Bytes that one read takes from the socket at most. A read costs 2.3 µs with it and 15 µs with twice as
much: from 128 KiB on, glibc asks the system for the memory of each buffer and gives it back at once."""


ENDED: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
"""What poll() tells of a socket whose other side has closed it; what it sent before may still be there."""


class LinkLostError(LrwpError):
    """The link cannot be used any more: the connection has ended, or the dispatcher broke the protocol."""


class Link:
    """One connection to a dispatcher.

    Attributes:
        is_registered: whether the dispatcher has accepted us.
        heartbeat: seconds between two pings of an idle link, once we are registered.
        is_fenced: whether another link has taken our place at the dispatcher.
        patience: seconds for which the dispatcher waits for a word about a request before it cuts us off,
            once we are registered; 0 if it does not say.
        cancelled: the exchanges for which nobody waits any more.
        on_left: called when the dispatcher says that it leaves, and another takes us in at its address.

    Args:
        sock: a socket that is connected, and blocks.
        registration: what we say of ourselves.
        secret: what we prove to know if we are asked.
        take: called with each request that arrives.
        prefix: returns the registered path under which a request was found.

    Raises:
        LinkLostError: the connection has ended already.
    """

    def __init__(
        self,
        sock: socket.socket | TlsSocket,
        registration: Registration,
        secret: bytes | None,
        take: Callable[[Link, int, Exchange], None],
        prefix: Callable[[str, bytes], str],
    ) -> None:
        self.is_registered = False
        self.is_fenced = False
        self.heartbeat = 0.0
        self.patience = 0.0
        self.cancelled: set[int] = set()
        self.on_left: Callable[[], None] = self.drain
        self._socket = sock
        self._bodies: dict[int, LinkBody] = {}
        self._end = WorkerEnd(self)
        self._registration = registration
        self._secret = secret
        self._nonce = secrets.token_bytes(limits.NONCE)
        self._take = take
        self._prefix = prefix
        self._draining = False
        self._send(self._end.register(registration, self._nonce))

    def __repr__(self) -> str:
        return f"<Link {self._end!r}>"

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    @property
    def held(self) -> dict[int, bool]:
        """The exchanges that we have not settled."""
        return self._end.held

    def is_cut(self) -> bool:
        """Whether the dispatcher has ended the connection, whatever it sent before. Any thread may ask."""
        file = self._socket.fileno()
        if file < 0:
            return True
        poll = select.poll()
        poll.register(file, ENDED)
        return bool(poll.poll(0))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    # ── Bytes ────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Take in what has arrived, waiting for it if nothing has.

        Raises:
            LinkLostError: the link cannot be used any more.
            RejectedError: the dispatcher does not want us.
        """
        self._receive(0)

    def look(self) -> None:
        """Take in what has arrived, without waiting; raises what :meth:`read` raises."""
        self._receive(socket.MSG_DONTWAIT)

    def _receive(self, flags: int) -> None:
        try:
            data = self._socket.recv(CHUNK, flags)
        except BlockingIOError:
            return
        except OSError as error:
            raise _lost(error) from None
        if not data:
            raise LinkLostError("the dispatcher has closed the link")
        try:
            self._end.receive(data)
        except RemoteProtocolError as error:
            raise LinkLostError(f"the dispatcher broke the protocol: {error}") from None

    def _send(self, frame: bytes) -> None:
        """Send a frame, waiting until the dispatcher takes it."""
        try:
            self._socket.sendall(frame)
        except OSError as error:
            raise _lost(error) from None

    # ── What we say ──────────────────────────────────────────────────────────────────────────────

    def respond(self, exchange: int, status: int, head: bytes, body: bytes, last: bool) -> None:
        """Begin a reply; with ``last`` also end it.

        Raises:
            LinkLostError: the connection has ended.
        """
        self._send(self._end.response(exchange, status, head, body, last))

    def respond_body(self, exchange: int, piece: bytes, last: bool) -> None:
        """Go on with a reply.

        Raises:
            LinkLostError: the connection has ended.
        """
        self._send(self._end.body(exchange, piece, last))

    def refuse(self, exchange: int) -> None:
        """Give an exchange back to which there is no reply.

        Raises:
            LinkLostError: the connection has ended.
        """
        self.forget(exchange)
        self._send(self._end.refused(exchange))

    def settle(self, exchange: int) -> None:
        """End an exchange for which nobody waits.

        Raises:
            LinkLostError: the connection has ended.
        """
        if self._end.held[exchange]:
            self.respond_body(exchange, b"", True)
            self.forget(exchange)
        else:
            self.refuse(exchange)

    def drain(self) -> None:
        """Say that we take nothing new; the dispatcher closes the link when we hold nothing.

        Raises:
            LinkLostError: the connection has ended.
        """
        if self.is_registered and not self._draining:
            self._draining = True
            self._send(self._end.draining())

    def forget(self, exchange: int) -> None:
        """Drop what is left of an exchange that is settled."""
        if self._bodies:
            self._bodies.pop(exchange, None)
        if self.cancelled:
            self.cancelled.discard(exchange)

    # ── What the dispatcher says ─────────────────────────────────────────────────────────────────

    def on_challenge(self, nonce: bytes) -> None:
        """Prove that we know the secret."""
        if self._secret is None:
            raise RejectedError("proof", "the dispatcher asks for a secret: give --secret-file")
        registration = self._registration
        proof = prove(self._secret, nonce, self._nonce, registration.instance, registration.applications)
        self._send(self._end.register(registration, self._nonce, proof))

    def on_registered(self, limits: Any, heartbeat: int) -> None:
        """Note that requests may come. Of the limits, those on size are wider than ours."""
        self.is_registered = True
        self.heartbeat = heartbeat / 1000
        patience = limits.get("request_timeout")
        if type(patience) is int:
            self.patience = patience / 1000

    def on_rejected(self, code: str, sentence: str) -> None:
        """Note that we are not wanted, or not any more."""
        self.is_fenced = code == "fenced"
        if self.is_fenced or self.is_registered:
            raise LinkLostError(sentence)
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
            stream = self._bodies[exchange] = LinkBody(self.read)
            stream.add(body, False)
        prefix = self._prefix(application, target)
        self._take(
            self,
            exchange,
            Exchange(application, prefix, method, target, head, scheme, client, attempt, stream),
        )

    def on_body(self, exchange: int, piece: bytes, last: bool) -> None:
        """Take the next piece of a body."""
        body = self._bodies.get(exchange)
        if body is not None:
            body.add(piece, last)

    def on_cancel(self, exchange: int) -> None:
        """Note that nobody waits for an exchange any more."""
        self.cancelled.add(exchange)
        body = self._bodies.get(exchange)
        if body is not None:
            body.cut()

    def on_ping(self) -> None:
        """Say that we are alive."""
        self._send(self._end.pong())

    def on_drain(self) -> None:
        """Let somebody see to it that the dispatcher leaves."""
        self.on_left()


def _lost(error: OSError) -> LinkLostError:
    return LinkLostError(f"the dispatcher is gone: {error.strerror or error}")
