"""Replies: the client's side of one exchange, through which its answer goes out.

A worker gives its answer as fast as it can, and what a slow client does not take waits here. Only a streaming
worker is held up, so that it never runs far ahead of what somebody sees; any other is when the room for what
waits comes to its end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from dispatcher import answer as a
from dispatcher.backlog import Backlog, FilePart
from protocol.heads import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.backlog import Source
    from dispatcher.exchange import Failure
    from dispatcher.framing import RequestHead
    from dispatcher.site import Site
    from dispatcher.static import FileAnswer

TURN: Final = 8
"""Portions that one client is given before the others have their turn: half a megabyte takes 0.1 ms, while a
fast client of a large file would otherwise have the dispatcher to itself."""

FAR_BEHIND: Final = 1024**3
"""Bytes of backlog above which a worker with a known length is held up too, so that one client cannot fill
the disk."""


class Outlet(Protocol):
    """The connection that a reply goes out on.

    Attributes:
        site: what it serves.
        paused: whether the client takes less than we have for it.
    """

    site: Site
    paused: bool

    def may_go_on(self, wanted: bool) -> bool:
        """Decide whether another request may follow, which is what the answer tells the client."""

    def write(self, head: bytes, body: bytes) -> None:
        """Send both, or let the transport keep them."""

    def end_reply(self, reply: Reply) -> None:
        """Note that the answer has been given in full."""

    def cut_off(self, reset: bool) -> None:
        """End the connection before its time, by a reset if nothing else tells that something is missing."""


class Reply:
    """One answer on its way to a client.

    Once it has ended, nothing that is still said of its exchange reaches the client: the next answer on the
    connection goes through another reply.

    Attributes:
        status: the status of the answer, 0 before it has begun.
        sent: bytes of the body that have been given to the client or kept for it.
    """

    __slots__ = (
        "_chunked",
        "_ended",
        "_left",
        "_outlet",
        "_request",
        "_resume",
        "_source",
        "_streaming",
        "sent",
        "status",
    )

    def __init__(self, outlet: Outlet, request: RequestHead) -> None:
        self._outlet: Outlet | None = outlet
        self._request = request
        self._source: Source | None = None
        self._resume: Callable[[], None] | None = None
        self._left: int | None = None  # bytes of the announced length that have not come yet
        self._chunked = False
        self._streaming = False
        self._ended = False
        self.status = 0
        self.sent = 0

    @property
    def may_be_preceded(self) -> bool:
        """Whether an interim answer may be sent: before the answer, and not to an HTTP/1.0 client."""
        return self.status == 0 and self._request.minor == 1

    # ── What the site says ───────────────────────────────────────────────────────────────────────

    def respond(self, status: int, head: ResponseHead, body: bytes, last: bool) -> None:
        """Begin the answer; with ``last`` also end it."""
        outlet = self._outlet
        if outlet is None:
            return
        if not 200 <= status <= 999:  # an interim answer would be taken for that of the next request
            self._cut_off(outlet)
            return
        written, length = self._begin(outlet, status, head, len(body) if last else None)
        if last and length is not None and length <= len(body):
            self.sent = length
            self._outlet = None
            outlet.write(written, body[:length])
            outlet.end_reply(self)
        else:
            self._give(outlet, written, body, last)

    def _begin(
        self, outlet: Outlet, status: int, head: ResponseHead, whole: int | None
    ) -> tuple[bytes, int | None]:
        """Return the head to send, and the length of the body if that is known."""
        request = self._request
        minor = request.minor
        field, length = a.frame(status, request.method, minor, head.length, whole)
        self.status = status
        self._left = length
        self._streaming = head.unbuffered or head.length is None
        if length is None:
            self._chunked = minor == 1
        # The end of a body that is neither sized nor chunked is the end of the connection.
        if outlet.may_go_on(request.keep_alive and (length is not None or self._chunked)):
            connection = b"" if minor else a.KEEP_ALIVE
        else:
            connection = a.CLOSE
        return a.write_head(status, head, field, outlet.site.date, connection), length

    def respond_body(self, piece: bytes, last: bool) -> None:
        """Go on with the answer."""
        if self._outlet is not None:
            self._give(self._outlet, b"", piece, last)

    def _give(self, outlet: Outlet, head: bytes, piece: bytes, last: bool) -> None:
        """Send a piece of the body, behind the head if it is the first; what is over the length is cut."""
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        self.sent += len(piece)
        self._ended = last
        if last:  # its worker goes on by itself, and may be held up for another client when this one is done
            self._resume = None
        if self._chunked:
            piece = a.chunk(piece, last)
        if self._source is None and not outlet.paused:
            outlet.write(head, piece)
        elif (head or piece) and not self._keep(head + piece):
            self._cut_off(outlet)
            return
        if last and self._source is None:
            self._end(outlet)

    def _keep(self, data: bytes) -> bool:
        """Keep what the client does not take yet; False if there is no room."""
        if not isinstance(self._source, Backlog):
            assert self._outlet is not None  # noqa: S101 - the caller has looked
            self._source = Backlog(self._outlet.site.storage)
        try:
            self._source.append(data)
        except OSError:
            return False
        return True

    def respond_file(self, answer: FileAnswer) -> None:
        """Answer with a static file or a part of one, which is closed in any case."""
        part = FilePart(answer)
        outlet = self._outlet
        head = ResponseHead(answer.head, answer.length, False, False)
        if outlet is None or answer.file is None or self._request.method == "HEAD":
            part.close()
            self.respond(answer.status, head, answer.body, True)
            return
        written, _ = self._begin(outlet, answer.status, head, None)
        self._source = part
        self._ended = True
        self._move(outlet, part, written)
        self.pump()

    def fail(self, failure: Failure) -> None:
        """Answer with ``failure``, or cut the connection off if an answer has begun."""
        if self._outlet is None:
            return
        if self.status:
            self._cut_off(self._outlet)
            return
        fields, page = a.error_page(failure.status, failure.reason)
        if failure.retry_after is not None:
            fields += b"Retry-After: %d\r\n" % failure.retry_after
        self.respond(failure.status, ResponseHead(fields, None, False, False), page, True)

    def when_caught_up(self, resume: Callable[[], None]) -> bool:
        """If a streaming answer should wait for a slow client, say so, and call ``resume`` when it has."""
        outlet, source = self._outlet, self._source
        if outlet is None or not (outlet.paused or source is not None):
            return False
        if not self._streaming and not (isinstance(source, Backlog) and self._is_too_long(outlet, source)):
            return False
        self._resume = resume
        return True

    def _is_too_long(self, outlet: Outlet, backlog: Backlog) -> bool:
        """Whether a backlog must not grow: it would be cut off where no room is left at all."""
        return backlog.length > FAR_BEHIND or (backlog.is_in_file and outlet.site.storage.disk.is_scarce)

    # ── What the connection says ─────────────────────────────────────────────────────────────────

    def pump(self) -> None:
        """Move bytes from where they wait to the client, as far as it takes them."""
        for _ in range(TURN):
            if self._outlet is None or self._outlet.paused:
                return
            if self._source is None:
                self._release_worker()
                return
            self._move(self._outlet, self._source, b"")
        asyncio.get_running_loop().call_soon(self.pump)

    def _move(self, outlet: Outlet, source: Source, head: bytes) -> None:
        try:
            data = source.take()
        except OSError:
            self._cut_off(outlet)
            return
        if isinstance(source, FilePart):
            self.sent += len(data)
            self._left = (self._left or 0) - len(data)
        if head or data:
            outlet.write(head, data)
            return
        source.close()
        self._source = None
        if self._ended:
            self._end(outlet)

    def close(self) -> None:
        """Drop what waits, and let the worker go on to something else."""
        self._outlet = None
        if self._source is not None:
            self._source.close()
            self._source = None
        self._release_worker()

    def _release_worker(self) -> None:
        if self._resume is not None:
            resume, self._resume = self._resume, None
            resume()

    def _end(self, outlet: Outlet) -> None:
        if self._left:  # the worker has sent less than it announced, or the file has shrunk
            self._cut_off(outlet)
        else:
            self._outlet = None
            outlet.end_reply(self)

    def _cut_off(self, outlet: Outlet) -> None:
        self.close()
        outlet.cut_off(reset=bool(self.status) and self._left is None and not self._chunked)
