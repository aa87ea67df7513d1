"""The blocking shell of a worker: take a request from a link, answer it, take the next.

One :class:`Serving` runs in each thread of a worker, with a link of its own to each dispatcher, so a thread
works on one request at a time and keeps what it opened, such as a database connection, to itself.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from protocol import limits
from protocol.errors import HeaderError, LocalProtocolError, RemoteProtocolError
from protocol.paths import decode_path, prefixes
from worker.body import ClientLeftError
from worker.content import close_source
from worker.error_page import error_page
from worker.link import Link, LinkLostError
from worker.links import NEVER, PATIENCE, Links

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from protocol.addresses import Address
    from protocol.registration import Registration
    from worker.exchange import Answer, Exchange, Handle
    from worker.tls import TlsSocket, Trust

    InHand = tuple[Link, int, Exchange]
    """A request that has come: its link, its number there, and itself."""

log = structlog.get_logger()

OVERRUN: Final = 0.005
"""Seconds after which the dispatcher may soon take back what waits behind a request (it does so at 0.010):
then we look at what it says before we begin the next."""


class BrokenOffError(Exception):
    """An application failed while its answer was being sent.

    Attributes:
        error: what it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def plain_page(exchange: Exchange, error: BaseException, status: int) -> Answer:  # noqa: ARG001 - not a word of it
    """Return the answer that says no more than that something went wrong."""
    return error_page(status).answer(exchange.method)


class Serving:
    """One thread's work.

    Args:
        handle: answers a request.
        registration: what we say of ourselves.
        dispatchers: where to register.
        secret: what we prove to know if we are asked.
        trust: whom to trust where we dial over TLS.
        is_finished: whether so many answers are enough; asked after each.
        on_registered: called when the first dispatcher has accepted us.
        patience: seconds after which we give up if no dispatcher has ever accepted us.
        fault_page: makes the answer, with a whole body, to a request at which the application failed; called
            with the exception and the status.

    Attributes:
        answered: how many requests it has answered.
        in_hand: the request that it is working on, None between requests.
        is_draining: whether it takes nothing new.
    """

    def __init__(
        self,
        handle: Handle,
        registration: Registration,
        dispatchers: Iterable[Address],
        secret: bytes | None = None,
        *,
        trust: Trust | None = None,
        is_finished: Callable[[int], bool] = lambda answered: False,  # noqa: ARG005 - never finished
        on_registered: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
        fault_page: Callable[[Exchange, BaseException, int], Answer] = plain_page,
    ) -> None:
        self.answered = 0
        self.in_hand: InHand | None = None
        self.is_draining = False
        self._busy_since = 0.0
        self._handle = handle
        self._registration = registration
        self._secret = secret
        self._is_finished = is_finished
        self._fault_page = fault_page
        self._waiting: deque[InHand] = deque()
        self._links = Links(dispatchers, self._link, on_registered, self._on_lost, patience, trust)
        self._prefixes: dict[str, list[str]] = {}
        for claim in registration.applications:
            self._prefixes.setdefault(claim.name, []).append(claim.path)

    def drain(self) -> None:
        """Finish what is in hand, take nothing new, and return from :meth:`run`. Any thread may call it."""
        self.is_draining = True
        self._links.wake()

    def run(self) -> None:
        """Serve until drained or finished.

        Raises:
            UnreachableError: no dispatcher was there when we started.
            RejectedError: a dispatcher does not want us.
        """
        links = self._links
        try:
            while not self.is_draining or links.take_leave():
                links.wait(at_once=bool(self._waiting))
                if self._waiting:
                    self._answer_waiting()
                    links.resume()
        finally:
            links.close()

    # ── Requests come ────────────────────────────────────────────────────────────────────────────

    def _link(self, sock: socket.socket | TlsSocket) -> Link:
        return Link(sock, self._registration, self._secret, self._take, self._prefix)

    def _on_lost(self, link: Link) -> None:
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] is not link)

    def _prefix(self, application: str, target: bytes) -> str:
        """Return the registered path under which a request was found."""
        paths = self._prefixes.get(application)
        if paths is None:
            raise RemoteProtocolError(f"a request came for {application!r:.100}, which we do not serve")
        if len(paths) == 1:
            return paths[0]
        return next((prefix for prefix in prefixes(decode_path(target)) if prefix in paths), paths[0])

    def _take(self, link: Link, exchange_id: int, exchange: Exchange) -> None:
        self._waiting.append((link, exchange_id, exchange))

    def _answer_waiting(self) -> None:
        """Answer what has come, one after the other; give back what nobody waits for any more.

        What comes meanwhile is not begun here: it could go on for ever, and nobody else would be heard.
        """
        self._busy_since = looked_at = time.monotonic()
        for _ in range(len(self._waiting)):
            if not self._waiting:  # their link was lost
                break
            self.in_hand = in_hand = self._waiting.popleft()
            link, exchange_id, exchange = in_hand
            try:
                if exchange_id in link.cancelled:
                    link.settle(exchange_id)
                    continue
                self._answer(link, exchange_id, exchange)
                if self._waiting and time.monotonic() - looked_at > OVERRUN:
                    link.look()
                    looked_at = time.monotonic()
            except LinkLostError as error:
                self._links.lose(link, str(error))
            self.answered += 1
            if self._is_finished(self.answered):
                self.drain()
        self.in_hand = None

    # ── Somebody watches ─────────────────────────────────────────────────────────────────────────

    @property
    def patience(self) -> float:
        """The longest that a dispatcher waits for a word about a request, in seconds; 0 if none says so."""
        return self._links.patience

    def seconds_left(self, now: float) -> float:
        """Return how long the dispatcher still has patience with what is in hand. Any thread may ask.

        It began with the first of those that came together, which are done in milliseconds, or taken back.
        """
        in_hand = self.in_hand
        if in_hand is None or not in_hand[0].patience:
            return NEVER
        return self._busy_since + in_hand[0].patience - now

    def is_cut_off(self) -> bool:
        """Whether the dispatcher has cut off the link over which came what is in hand. Any thread may ask."""
        in_hand = self.in_hand
        return in_hand is not None and in_hand[0].is_cut()

    # ── Answers go ───────────────────────────────────────────────────────────────────────────────

    def _answer(self, link: Link, exchange_id: int, exchange: Exchange) -> None:
        try:
            answer = self._handle_safely(exchange)
            status, head, body = answer
            if type(body) is bytes and len(body) <= limits.PIECE:
                link.respond(exchange_id, status, head, body, True)
            else:
                self._send_pieces(link, exchange_id, exchange, answer)
        except ClientLeftError:
            log.info("client left", **whereabouts(exchange))
            link.settle(exchange_id)
        except LocalProtocolError as error:
            # An application has swallowed the news that the link was lost while it read its body.
            raise LinkLostError(f"the answer cannot be sent: {error}") from None
        link.forget(exchange_id)

    def _handle_safely(self, exchange: Exchange) -> Answer:
        """Run the handler; whatever it raises becomes an answer of ours."""
        try:
            return self._handle(exchange)
        except (LinkLostError, ClientLeftError):
            raise
        except HeaderError as error:
            log.error("unusable answer", reason=str(error), **whereabouts(exchange))
            return self._fault_page(exchange, error, 502)
        except BaseException as error:  # no thread of ours is to end by what a handler raises
            log.exception("application raised", **whereabouts(exchange))
            return self._fault_page(exchange, error, 500)

    def _send_pieces(self, link: Link, exchange_id: int, exchange: Exchange, answer: Answer) -> None:
        """Send an answer as it is made, until its end or until nobody waits for it."""
        status, head, body = answer
        if isinstance(body, bytes) and b"\r\ncontent-length:" not in b"\r\n" + head.lower():
            head += b"Content-Length: %d\r\n" % len(body)
        begun = False
        try:
            for piece in _pieces(exchange, body):
                if begun:
                    link.respond_body(exchange_id, piece, False)
                else:
                    link.respond(exchange_id, status, head, piece, False)
                    begun = True
                link.look()
                if exchange_id in link.cancelled:
                    break
        except BrokenOffError as broken_off:
            if begun:
                _cut_short(link, exchange_id)
            status, head, page = self._fault_page(exchange, broken_off.error, 500)
            assert isinstance(page, bytes)  # noqa: S101 - an error page is no stream
            link.respond(exchange_id, status, head, page, True)
            return
        finally:
            _close(body)
        if begun:
            link.respond_body(exchange_id, b"", True)
        else:
            link.respond(exchange_id, status, head, b"", True)


def _pieces(exchange: Exchange, body: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a body, none of them empty and none longer than a frame takes.

    Raises:
        BrokenOffError: the application failed; the log knows why.
    """
    try:
        for piece in [body] if isinstance(body, bytes) else body:
            if len(piece) <= limits.PIECE:
                if piece:
                    yield piece
            else:
                for offset in range(0, len(piece), limits.PIECE):
                    yield piece[offset : offset + limits.PIECE]
    except (LinkLostError, ClientLeftError, GeneratorExit):
        raise
    except BaseException as error:
        log.exception("application raised", **whereabouts(exchange))
        raise BrokenOffError(error) from None


def whereabouts(exchange: Exchange) -> dict[str, str]:
    """Return what the log says of a request; not its query, which may hold anybody's secrets."""
    return {
        "application": exchange.application,
        "method": exchange.method,
        "path": decode_path(exchange.target),
    }


def _close(body: object) -> None:
    """Close a body, whether all of it was sent or not."""
    try:
        close_source(body)
    except BaseException:
        log.exception("application raised when its answer was closed")


def _cut_short(link: Link, exchange_id: int) -> NoReturn:
    """End an answer so that the client sees it is not whole.

    Only the end of the link says that. What else the link holds is not begun, and is given back first.
    """
    for other in [other for other in link.held if other != exchange_id]:
        link.refuse(other)
    raise LinkLostError("an answer broke off, and only the end of the link tells its client")
