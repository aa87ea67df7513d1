"""An exchange: one request in flight, from the last byte of its body to the last byte of its answer."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from protocol.paths import decode_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.broker import ApplicationQueue, Link
    from dispatcher.static import FileAnswer
    from protocol.heads import ResponseHead

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may run twice without harm (RFC 9110 §9.2.1, without TRACE, which we refuse)."""


_CONTENT: Final = re.compile(rb"^(?:content-[^:\r\n]*|expect|if-[^:\r\n]*|range):[^\r\n]*\r\n", re.I | re.M)
"""The fields that speak of a body, or of what stands at the path that was asked for."""


class Standing(Enum):
    """Where an exchange stands."""

    WAITING = "waiting"
    ASSIGNED = "assigned"
    ANSWERED = "answered"
    EXPIRED = "expired"
    ABANDONED = "abandoned"


class Failure(NamedTuple):
    """An answer that the dispatcher gives in a worker's stead.

    Attributes:
        status: the HTTP status.
        reason: a sentence for the error page and the log.
        retry_after: seconds after which another try may succeed, or None.
    """

    status: int
    reason: str
    retry_after: int | None = None


QUEUE_FULL: Final = Failure(503, "Too many requests are waiting for this application.", 1)
QUEUES_FULL: Final = Failure(503, "Too many requests are waiting.", 1)
NO_WORKER: Final = Failure(503, "No worker was free for this request in time.", 5)
LEAVING: Final = Failure(503, "This server is restarting.", 1)
WORKER_DIED: Final = Failure(502, "The worker ended while it was answering.")
WORKER_HUNG: Final = Failure(504, "The worker did not answer in time.")
WORKER_BROKE: Final = Failure(502, "The worker sent an answer that cannot be passed on.")


class Client(Protocol):
    """The side of an exchange that waits for its answer."""

    def respond(self, status: int, head: ResponseHead, body: bytes, last: bool) -> None:
        """Begin the answer; with ``last`` also end it."""

    def respond_body(self, piece: bytes, last: bool) -> None:
        """Go on with the answer."""

    def respond_file(self, answer: FileAnswer) -> None:
        """Answer with a static file or a part of one."""

    def fail(self, failure: Failure) -> None:
        """Answer with ``failure``, or cut the connection off if an answer has begun."""

    def when_caught_up(self, resume: Callable[[], None]) -> bool:
        """If a streaming answer should wait for a slow client, say so, and call ``resume`` when it has."""


class RequestBody(Protocol):
    """The whole body of a request, in memory or in a temporary file."""

    length: int

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on."""

    def close(self) -> None:
        """Give memory and disk space back."""


class Exchange:
    """One request in flight.

    Attributes:
        client: who waits for the answer.
        method: the method.
        target: path and query in origin form, as bytes.
        path: the decoded path, without the query.
        host: the host it was asked of, in lower case and without a port.
        head: the header block.
        scheme: ``http`` or ``https``.
        peer: the client's address as text.
        minor: the minor version of HTTP that the client speaks, 1 or 0.
        body: the body if it is longer than what fits into memory or a frame, else None.
        content: the body if it is short, else b"".
        size: bytes of the body that it came with.
        safe: whether its method may run twice.
        standing: where it stands.
        queue: the queue of the application that it is for, once that is known.
        application: the application's name; ``-`` for what the dispatcher answers itself.
        worker: the name of the last link that got it, or ``-``.
        link: the link that holds it, while it is assigned.
        id: its id on that link.
        attempt: how many times it has been given to a worker.
        losses: how many links were lost while they held it.
        refusals: how many times a worker has given it back unbegun.
        hops: how many times a peer has sent it on to another path.
        begun: whether the first byte of a worker's answer has come.
        arrived: when it was complete, in seconds of a monotonic clock.
        deadline: when it stops waiting.
        waited: for how long it has waited in all, in seconds.
        assigned: when the last worker was given it.
    """

    __slots__ = (
        "application",
        "arrived",
        "assigned",
        "attempt",
        "begun",
        "body",
        "client",
        "content",
        "deadline",
        "head",
        "hops",
        "host",
        "id",
        "link",
        "losses",
        "method",
        "minor",
        "path",
        "peer",
        "queue",
        "refusals",
        "safe",
        "scheme",
        "size",
        "standing",
        "target",
        "waited",
        "worker",
    )

    queue: ApplicationQueue

    def __init__(
        self,
        client: Client,
        method: str,
        target: bytes,
        path: str,
        host: str,
        head: bytes,
        scheme: str,
        peer: str,
        content: bytes,
        body: RequestBody | None,
        now: float,
    ) -> None:
        self.client = client
        self.method = method
        self.target = target
        self.path = path
        self.host = host
        self.head = head
        self.scheme = scheme
        self.peer = peer
        self.minor = 1
        self.content = content
        self.body = body
        self.size = 0
        if content:
            self.size = len(content)
        elif body is not None:
            self.size = body.length
        self.safe = method in SAFE_METHODS
        self.standing = Standing.WAITING
        self.application = "-"
        self.link: Link | None = None
        self.worker = "-"
        self.id = 0
        self.attempt = 0
        self.losses = self.refusals = self.hops = 0
        self.begun = False
        self.arrived = self.deadline = self.assigned = now
        self.waited = 0.0

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.path} {self.standing.value}, attempt {self.attempt}>"

    def go_to(self, location: str) -> None:
        """Become a request for another path, as if nobody had been asked yet."""
        self.method = self.method if self.method == "HEAD" else "GET"
        self.safe = True
        self.target = location.encode("latin-1")
        self.path = decode_path(self.target)
        self.head = _CONTENT.sub(b"", self.head)
        self.content = b""
        if self.body is not None:
            self.body.close()
            self.body = None
        self.size = 0
        self.hops += 1
        self.attempt = self.losses = self.refusals = 0
        self.standing = Standing.WAITING
