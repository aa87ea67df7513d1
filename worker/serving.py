"""The blocking shell of a worker: take a request from a link, answer it, take the next.

One :class:`Serving` runs in each thread of a worker, with a link of its own to each dispatcher, so a thread
works on one request at a time and keeps what it opened, such as a database connection, to itself.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import structlog

from protocol import limits
from protocol.errors import HeaderError, LrwpError, RejectedError, RemoteProtocolError
from protocol.paths import prefixes
from worker.backoff import Backoff
from worker.error_page import error_page
from worker.link import Link, LinkLostError, dial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from protocol.addresses import Address
    from protocol.registration import Registration
    from worker.exchange import Answer, Exchange, Handle

log = structlog.get_logger()

MISSED: Final = 3
"""Heartbeats without a word from an idle dispatcher after which we look for it anew."""

PATIENCE: Final = 5.0
"""Seconds for which a worker that was never registered tries to reach its dispatchers before it gives up."""


class UnreachableError(LrwpError):
    """No dispatcher could be reached when the worker started."""


class Dispatcher:
    """One dispatcher that a thread serves: its address, and the link to it while there is one."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.link: Link | None = None
        self.backoff = Backoff(first=0.1, longest=5.0)
        self.due = 0.0
        self.heard_at = 0.0


class Serving:
    """One thread's work.

    Attributes:
        answered: how many requests it has answered.
        is_draining: whether it takes nothing new.
    """

    def __init__(
        self,
        handle: Handle,
        registration: Registration,
        dispatchers: Iterable[Address],
        secret: bytes | None = None,
        *,
        is_finished: Callable[[int], bool] = lambda answered: False,  # noqa: ARG005 - never finished
        on_registered: Callable[[], None] = lambda: None,
    ) -> None:
        self.answered = 0
        self._handle = handle
        self._registration = registration
        self._dispatchers = [Dispatcher(address) for address in dispatchers]
        self._secret = secret
        self._is_finished = is_finished
        self._on_registered = on_registered
        self._waiting: deque[tuple[Link, int, Exchange]] = deque()
        self.is_draining = False
        self._was_registered = False
        self._poll = select.poll()
        self._by_file: dict[int, Dispatcher] = {}
        self._waker, self._alarm = socket.socketpair()
        self._poll.register(self._alarm, select.POLLIN)
        self._prefixes: dict[str, list[str]] = {}
        for claim in registration.applications:
            self._prefixes.setdefault(claim.name, []).append(claim.path)

    def drain(self) -> None:
        """Finish what is in hand, take nothing new, and return from :meth:`run`. Any thread may call it."""
        self.is_draining = True
        with suppress(OSError):
            self._waker.send(b"!")

    def run(self) -> None:
        """Serve until drained or finished.

        Raises:
            UnreachableError: no dispatcher was there when we started.
            RejectedError: a dispatcher does not want us.
        """
        started = time.monotonic()
        try:
            while True:
                self._connect(started)
                if self.is_draining:
                    self._say_goodbye()
                    if not self._by_file:
                        return
                for file, _ in self._poll.poll(self._patience()):
                    if file in self._by_file:
                        self._read(self._by_file[file])
                while self._waiting:
                    self._answer_next()
        finally:
            for dispatcher in self._dispatchers:
                self._lose(dispatcher)
            self._waker.close()
            self._alarm.close()

    # ── Links come and go ────────────────────────────────────────────────────────────────────────

    def _connect(self, started: float) -> None:
        """Dial the dispatchers whose turn it is, and give up on those that have fallen silent."""
        now = time.monotonic()
        for dispatcher in self._dispatchers:
            if dispatcher.due > now:
                continue
            if dispatcher.link is not None:
                log.warning("dispatcher silent", dispatcher=str(dispatcher.address))
                self._lose(dispatcher)
            if not self.is_draining:
                self._dial(dispatcher, now, started)

    def _dial(self, dispatcher: Dispatcher, now: float, started: float) -> None:
        try:
            sock = dial(dispatcher.address)
            dispatcher.link = Link(sock, self._registration, self._secret, self._take, self._prefix)
        except (OSError, LinkLostError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            dispatcher.due = now + dispatcher.backoff.next()
            if not self._was_registered and now - started > PATIENCE:
                raise UnreachableError(
                    f"cannot reach the dispatcher at {dispatcher.address}: {reason}; "
                    "start it with `lrwp dispatcher`, or name another with --dispatcher"
                ) from None
            return
        self._by_file[sock.fileno()] = dispatcher
        self._poll.register(sock, select.POLLIN)
        self._hear(dispatcher, now)

    def _lose(self, dispatcher: Dispatcher) -> None:
        link = dispatcher.link
        if link is None:
            return
        dispatcher.link = None
        del self._by_file[link.fileno()]
        self._poll.unregister(link)
        link.close()
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] is not link)
        dispatcher.due = time.monotonic() + dispatcher.backoff.next()

    def _read(self, dispatcher: Dispatcher) -> None:
        link = dispatcher.link
        assert link is not None  # noqa: S101 - a dispatcher with a socket has a link
        was_registered = link.is_registered
        try:
            link.read()
        except LinkLostError as error:
            if not self.is_draining:
                log.info("link ended", dispatcher=str(dispatcher.address), reason=str(error))
            self._lose(dispatcher)
        except RemoteProtocolError as error:
            log.error("dispatcher broke the protocol", dispatcher=str(dispatcher.address), reason=str(error))
            self._lose(dispatcher)
        except RejectedError as error:
            self._lose(dispatcher)
            if error.code != "draining":
                raise
        else:
            self._hear(dispatcher, time.monotonic())
            if link.is_registered and not was_registered:
                dispatcher.backoff.reset()
                self._was_registered = True
                self._on_registered()

    def _hear(self, dispatcher: Dispatcher, now: float) -> None:
        if dispatcher.link is not None:
            dispatcher.due = now + MISSED * dispatcher.link.heartbeat

    def _patience(self) -> float | None:
        """Milliseconds until something is to be done even if nothing arrives."""
        due = min(dispatcher.due for dispatcher in self._dispatchers)
        return None if due == float("inf") else max(0.0, (due - time.monotonic()) * 1000 + 1)

    def _say_goodbye(self) -> None:
        for dispatcher in self._dispatchers:
            link = dispatcher.link
            if link is None:
                continue
            try:
                link.drain()
            except LinkLostError:
                self._lose(dispatcher)
            else:
                if not link.is_registered:
                    self._lose(dispatcher)

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────

    def _prefix(self, application: str, target: bytes) -> str:
        """Return the registered path under which a request was found."""
        paths = self._prefixes.get(application)
        if paths is None:
            raise RemoteProtocolError(f"a request came for {application!r:.100}, which we do not serve")
        if len(paths) == 1:
            return paths[0]
        path = unquote_to_bytes(target.partition(b"?")[0]).decode("latin-1")
        return next(prefix for prefix in prefixes(path) if prefix in paths)

    def _take(self, link: Link, exchange_id: int, exchange: Exchange) -> None:
        self._waiting.append((link, exchange_id, exchange))

    def _answer_next(self) -> None:
        link, exchange_id, exchange = self._waiting.popleft()
        try:
            if exchange_id in link.cancelled:
                link.refuse(exchange_id)
                return
            self._answer(link, exchange_id, self._handle_safely(exchange))
            link.forget(exchange_id)
        except LinkLostError:
            self._lose_link(link)
        self.answered += 1
        if self._is_finished(self.answered):
            self.drain()

    def _handle_safely(self, exchange: Exchange) -> Answer:
        """Run the handler; whatever it raises becomes an answer of ours."""
        try:
            return self._handle(exchange)
        except LinkLostError:
            raise
        except HeaderError as error:
            log.error("unusable answer", application=exchange.application, reason=str(error))
            return error_page(502).answer(exchange.method)
        except (Exception, SystemExit):
            log.exception("application raised", application=exchange.application, method=exchange.method)
            return error_page(500).answer(exchange.method)

    def _answer(self, link: Link, exchange_id: int, answer: Answer) -> None:
        status, head, body = answer
        if type(body) is not bytes:
            self._stream(link, exchange_id, answer)
        elif len(body) <= limits.PIECE:
            link.respond(exchange_id, status, head, body, True)
        else:
            if b"\r\ncontent-length:" not in b"\r\n" + head.lower():
                head += b"Content-Length: %d\r\n" % len(body)
            link.respond(exchange_id, status, head, b"", False)
            for offset in range(0, len(body), limits.PIECE):
                piece = body[offset : offset + limits.PIECE]
                link.respond_body(exchange_id, piece, offset + limits.PIECE >= len(body))

    def _stream(self, link: Link, exchange_id: int, answer: Answer) -> None:
        """Send pieces as the application makes them; its iterator is closed in every case."""
        begun = False
        try:
            for piece in _pieces(answer.body):
                if not begun:
                    begun = True
                    link.respond(exchange_id, answer.status, answer.head, piece, False)
                else:
                    link.respond_body(exchange_id, piece, False)
                link.look()
                if exchange_id in link.cancelled:
                    break
        except LrwpError:
            raise
        except (Exception, SystemExit):
            log.exception("application raised while streaming", begun=begun)
            if begun:
                self._cut_short(link, exchange_id)
            else:
                self._answer(link, exchange_id, error_page(500).answer())
            return
        finally:
            self._close(answer.body)
        if begun:
            link.respond_body(exchange_id, b"", True)
        else:
            link.respond(exchange_id, answer.status, answer.head, b"", True)

    def _close(self, body: object) -> None:
        close = getattr(body, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                log.exception("application raised when its answer was closed")

    def _cut_short(self, link: Link, exchange_id: int) -> None:
        """End an answer so that the client sees it is not whole.

        Only the end of the link says that. What else it holds is not begun, and is given back first.
        """
        for other in [other for other in link.held if other != exchange_id]:
            link.refuse(other)
        self._lose_link(link)

    def _lose_link(self, link: Link) -> None:
        for dispatcher in self._dispatchers:
            if dispatcher.link is link:
                self._lose(dispatcher)


def _pieces(body: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a body, none of them empty and none longer than a frame takes."""
    for piece in body:
        assert isinstance(piece, bytes)  # noqa: S101 - the adapters make sure of it
        if len(piece) <= limits.PIECE:
            if piece:
                yield piece
        else:
            for offset in range(0, len(piece), limits.PIECE):
                yield piece[offset : offset + limits.PIECE]
