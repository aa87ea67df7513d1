"""Fakes and builders for the tests of the broker: hands that write down what they are told, and a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dispatcher.broker import ApplicationQueue, Broker, Link
from dispatcher.exchange import Exchange, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.exchange import RequestBody
    from dispatcher.static import FileAnswer
    from protocol.heads import ResponseHead


class Assign(NamedTuple):
    """The link was given the exchange."""

    link: Link
    exchange: Exchange


class Cancel(NamedTuple):
    """The link's worker was told that nobody waits for the exchange any more."""

    link: Link
    exchange: Exchange


class Fail(NamedTuple):
    """The client was answered by the dispatcher itself."""

    exchange: Exchange
    failure: Failure


class Close(NamedTuple):
    """The link was closed."""

    link: Link
    reason: str


Command = Assign | Cancel | Fail | Close

HAS_DRAINED = "it has drained"
WAS_SILENT = "it was silent for longer than request_timeout"


class RecordingHands:
    """Hands that do nothing but write down what they were told to do."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def assign(self, link: Link, exchange: Exchange) -> None:
        self.commands.append(Assign(link, exchange))

    def cancel(self, link: Link, exchange: Exchange) -> None:
        self.commands.append(Cancel(link, exchange))

    def fail(self, exchange: Exchange, failure: Failure) -> None:
        self.commands.append(Fail(exchange, failure))

    def close(self, link: Link, reason: str) -> None:
        self.commands.append(Close(link, reason))

    def done(self) -> list[Command]:
        """Return what was commanded since the last call."""
        commands, self.commands = self.commands, []
        return commands


class FakeWire:
    """A connection that the recording hands never use: they write down what it would have to do."""

    def assign(self, exchange: Exchange) -> None:
        raise AssertionError("the recording hands do not send")

    def cancel(self, exchange: Exchange) -> None:
        raise AssertionError("the recording hands do not send")

    def close(self, reason: str) -> None:
        raise AssertionError("the recording hands do not send")


class FakeClient:
    """A client that keeps what it is answered.

    Attributes:
        status: the status of the answer, None before it begins.
        body: what has come of the body.
        ended: whether the answer is complete.
        failure: what the dispatcher answered in the worker's stead, if it did.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.body = b""
        self.ended = False
        self.failure: Failure | None = None

    def respond(self, status: int, head: ResponseHead, body: bytes, last: bool) -> None:
        self.status, self.body, self.ended = status, body, last

    def respond_body(self, piece: bytes, last: bool) -> None:
        self.body += piece
        self.ended = last

    def respond_file(self, answer: FileAnswer) -> None:
        self.status, self.body, self.ended = answer.status, answer.body, True

    def fail(self, failure: Failure) -> None:
        self.failure, self.ended = failure, True

    def when_caught_up(self, resume: Callable[[], None]) -> bool:
        return False


class FakeBody:
    """A request's body that is too large to travel with its head."""

    length = 1_000_000
    is_closed = False

    def read(self, offset: int, size: int) -> bytes:
        return bytes(min(size, self.length - offset))

    def close(self) -> None:
        self.is_closed = True


def an_exchange(
    method: str = "GET",
    path: str = "/",
    now: float = 0.0,
    *,
    host: str = "site",
    content: bytes = b"",
    body: RequestBody | None = None,
) -> Exchange:
    """Return an exchange as the HTTP side makes it, complete at ``now``."""
    return Exchange(
        client=FakeClient(),
        method=method,
        target=path.encode(),
        path=path,
        host="site",
        head=b"",
        scheme="http",
        peer="127.0.0.1:50000",
        content=content,
        body=body,
        now=now,
    )


def a_link(name: str = "w1", largest_window: int = 8) -> Link:
    """Return a link that has not joined yet."""
    return Link(name, largest_window, FakeWire())


def an_application(
    name: str = "pages",
    *,
    bound: int = 10,
    wait_timeout: float = 30.0,
    request_timeout: float = 60.0,
    configured: bool = False,
    size_bound: float = float("inf"),
) -> ApplicationQueue:
    """Return an application's queue with bounds that a test can name."""
    return ApplicationQueue(name, bound, wait_timeout, request_timeout, configured, size_bound)


class Stage:
    """A broker with hands that record, and one application, ``pages``, on which most dialogues play.

    Attributes:
        hands: where the broker's commands are written down.
        broker: the broker.
        pages: the application that is meant when none is named.
    """

    def __init__(self) -> None:
        self.hands = RecordingHands()
        self.broker = Broker(self.hands)
        self.pages = self.application()

    def application(
        self,
        name: str = "pages",
        *,
        bound: int = 10,
        wait_timeout: float = 30.0,
        request_timeout: float = 60.0,
        configured: bool = False,
        size_bound: float = float("inf"),
    ) -> ApplicationQueue:
        """Make an application known to the broker."""
        queue = an_application(
            name,
            bound=bound,
            wait_timeout=wait_timeout,
            request_timeout=request_timeout,
            configured=configured,
            size_bound=size_bound,
        )
        self.broker.queues[name] = queue
        return queue

    def link(
        self, name: str, *queues: ApplicationQueue, largest_window: int = 8, window: int = 1, now: float = 0.0
    ) -> Link:
        """Let a link join.

        Args:
            name: its name.
            queues: what it serves; ``pages`` if nothing is named.
            largest_window: what its worker registered with.
            window: what its window has grown to.
            now: when it joins.
        """
        link = a_link(name, largest_window)
        link.window = window
        self.broker.join(link, queues or (self.pages,), now)
        return link

    def request(
        self,
        method: str,
        path: str,
        now: float = 0.0,
        *,
        queue: ApplicationQueue | None = None,
        body: RequestBody | None = None,
    ) -> Exchange:
        """Submit an exchange that arrives at ``now``."""
        exchange = an_exchange(method, path, now, body=body)
        self.broker.submit(exchange, self.pages if queue is None else queue, now)
        return exchange

    def get(self, path: str, now: float = 0.0, *, queue: ApplicationQueue | None = None) -> Exchange:
        """Submit a GET."""
        return self.request("GET", path, now, queue=queue)

    def post(self, path: str, now: float = 0.0, *, queue: ApplicationQueue | None = None) -> Exchange:
        """Submit a POST."""
        return self.request("POST", path, now, queue=queue)

    def done(self) -> list[Command]:
        """Return what the hands were told since the last call."""
        return self.hands.done()
