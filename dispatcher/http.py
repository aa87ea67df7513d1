"""The HTTP side: one connection of a client.

A connection reads one request, hands it to its *site*, writes the answer, and only then reads the next:
requests that a client sends ahead wait in the buffer, so answers are always in order and one client cannot
fill the queues. The head of a request is read by :mod:`dispatcher.framing`; the whole body is collected before
the site sees the exchange, so that a slow upload holds no worker. The other way, a worker gives its answer as
fast as it can, and what a slow client does not take waits here, in memory and then in a temporary file.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from dispatcher import framing
from dispatcher.exchange import Exchange, Failure
from dispatcher.framing import BODYLESS, CHUNKED, BadRequest, ChunkedBody, RequestHead
from dispatcher.spool import Spool
from protocol.heads import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.settings import Limits
    from dispatcher.static import FileAnswer

NEVER: Final = float("inf")

AHEAD: Final = 64 * 1024
"""Bytes that a client may send ahead of its answer before we stop reading from it."""

CHUNK: Final = 64 * 1024
"""Bytes that are read from a spool or a file and written to a client in one go."""

LINGER: Final = 2.0
"""Seconds for which we read and drop what a client still sends after our last answer. Without it the system
resets the connection, and the reset can overtake the answer (RFC 9112 §9.6)."""

PROBE: Final = 0.25
"""Seconds after which a client that has closed its side is asked whether it still listens."""

NO_HEAD: Final = ResponseHead(b"", None, False, False)


class Site(Protocol):
    """What a connection serves: the dispatcher's front, or its admin pages.

    Attributes:
        limits: what one client may use.
    """

    limits: Limits

    @property
    def date(self) -> bytes:
        """The Date field with its CRLF, renewed every second."""

    @property
    def closing(self) -> bool:
        """Whether connections are to end with their next answer."""

    def now(self) -> float:
        """Return the time in seconds of a monotonic clock."""

    def admit(self, connection: HttpConnection) -> bool:
        """Take a new connection in, or say that there are too many."""

    def handle(self, exchange: Exchange) -> None:
        """Answer an exchange, now or later."""

    def abandon(self, exchange: Exchange) -> None:
        """Forget an exchange whose client has left."""

    def finished(self, exchange: Exchange, status: int, sent: int) -> None:
        """Note that an answer of ``sent`` body bytes has been given."""

    def refused(self, peer: str, error: BadRequest) -> None:
        """Note that what a client sent was refused before it became an exchange."""

    def gone(self, connection: HttpConnection) -> None:
        """Forget a connection."""


class Phase(Enum):
    """What a connection is doing."""

    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    CLOSING = "closing"


class Upload:
    """The body of a request as it arrives."""

    __slots__ = ("chunked", "head", "left", "memory", "pieces", "spool", "total")

    def __init__(self, head: RequestHead, limits: Limits) -> None:
        self.head = head
        self.left = head.length
        self.chunked = ChunkedBody(limits.body) if head.length == CHUNKED else None
        self.memory = limits.body_memory
        self.pieces: list[bytes] = []
        self.spool: Spool | None = None
        self.total = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take in ``data``; returns what follows the body when it is complete, else None."""
        if self.chunked is not None:
            pieces, rest = self.chunked.feed(data)
            for piece in pieces:
                self._keep(piece)
            return rest if self.chunked.is_complete else None
        piece = data[: self.left]
        self.left -= len(piece)
        self._keep(piece)
        return data[len(piece) :] if self.left == 0 else None

    def _keep(self, piece: bytes) -> None:
        self.total += len(piece)
        if self.spool is None and self.total > self.memory:
            self.spool = Spool(self.memory)
            for earlier in self.pieces:
                self.spool.append(earlier)
            self.pieces.clear()
        if self.spool is None:
            self.pieces.append(piece)
        else:
            self.spool.append(piece)

    def block(self) -> bytes:
        """Return the header block with the length that the body turned out to have."""
        if self.chunked is None:
            return self.head.block
        return b"%bContent-Length: %d\r\n" % (self.head.block, self.total)

    def close(self) -> None:
        """Drop what has arrived."""
        if self.spool is not None:
            self.spool.close()


class Source(Protocol):
    """Where the rest of an answer is read from while the client takes it."""

    def take(self, size: int) -> bytes:
        """Return the next bytes, b"" if there are none now."""

    def close(self) -> None:
        """Give back what it holds."""


class Backlog:
    """What a worker has sent and the client has not taken yet."""

    __slots__ = ("_offset", "_spool")

    def __init__(self, memory: int) -> None:
        self._spool = Spool(memory)
        self._offset = 0

    def append(self, data: bytes) -> None:
        """Add what the worker sent."""
        self._spool.append(data)

    def take(self, size: int) -> bytes:
        """Return the next bytes; the spool starts anew each time it has been emptied."""
        data = self._spool.read(self._offset, size)
        self._offset += len(data)
        if self._offset == self._spool.length:
            self._spool.close()
            self._offset = 0
        return data

    def close(self) -> None:
        """Drop everything."""
        self._spool.close()


class FilePart:
    """A part of a static file."""

    __slots__ = ("_answer", "_left", "_offset")

    def __init__(self, answer: FileAnswer) -> None:
        self._answer = answer
        self._offset = answer.offset
        self._left = answer.length

    def take(self, size: int) -> bytes:
        """Return the next bytes; a file that has shrunk meanwhile ends early, visibly."""
        file = self._answer.file
        assert file is not None  # noqa: S101 - only answers with a file become parts
        file.seek(self._offset)
        data = file.read(min(size, self._left))
        self._offset += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        if self._answer.file is not None:
            self._answer.file.close()


class Reply:
    """An answer that takes more than one write.

    Attributes:
        left: bytes that the announced length still wants; None for chunked and close-delimited answers.
        chunked: whether pieces go out as chunks.
        streaming: whether a slow client holds the worker up, rather than the worker's bytes being kept.
        ended: whether the worker has given its last byte.
        source: where the bytes are that the client has not been sent.
        resume: called when a slow client has caught up with a streaming worker.
    """

    __slots__ = ("chunked", "ended", "left", "resume", "source", "streaming")

    def __init__(self, left: int | None, chunked: bool, streaming: bool) -> None:
        self.left = left
        self.chunked = chunked
        self.streaming = streaming
        self.ended = False
        self.source: Source | None = None
        self.resume: Callable[[], None] | None = None


class HttpConnection(asyncio.Protocol):
    """One connection of a client.

    Attributes:
        peer: the client's address, as it goes to workers and logs.
        deadline: when patience with what the connection is doing ends.
        paused: whether the client takes less than we have for it.
    """

    __slots__ = (
        "_buffer",
        "_eof",
        "_exchange",
        "_head",
        "_held",
        "_phase",
        "_reading",
        "_reply",
        "_sent",
        "_site",
        "_status",
        "_transport",
        "_untaken",
        "_upload",
        "deadline",
        "paused",
        "peer",
    )

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport
        self._buffer = b""
        self._phase = Phase.HEAD
        self._head: RequestHead
        self._upload: Upload | None = None
        self._exchange: Exchange | None = None
        self._reply: Reply | None = None
        self._status = 0
        self._sent = 0
        self._untaken = 0
        self._eof = False
        self._held = False
        self._reading = False
        self.paused = False
        self.peer = ""
        self.deadline = NEVER

    def __repr__(self) -> str:
        return f"<HttpConnection {self.peer} {self._phase.value}>"

    # ── Bytes in ─────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a first request."""
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives
        self.peer = _peer_name(transport.get_extra_info("peername"))
        self.deadline = self._site.now() + self._site.limits.idle_timeout
        if not self._site.admit(self):
            self._refuse(BadRequest(503, "Too many connections are open."))

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent."""
        if self._phase is Phase.HEAD:
            self._read(self._buffer + data if self._buffer else data)
        elif self._phase is Phase.BODY:
            self._read(data)
        elif self._phase is Phase.ANSWER:
            self._buffer += data
            if len(self._buffer) > AHEAD and not self._held:
                self._held = True
                self._transport.pause_reading()

    def _read(self, data: bytes) -> None:
        """Read requests from ``data`` until it is used up or an answer must be waited for."""
        self._reading = True
        try:
            while self._read_head(data) if self._phase is Phase.HEAD else self._read_body(data):
                if not self._buffer or self._phase not in {Phase.HEAD, Phase.BODY}:
                    break
                data, self._buffer = self._buffer, b""
        except BadRequest as error:
            self._refuse(error)
        except OSError:
            self._refuse(BadRequest(507, "There is no room to store the request's body."))
        finally:
            self._reading = False

    def _read_head(self, data: bytes) -> bool:
        """Read a head from ``data``, and leave what follows it in the buffer; False if more must come."""
        limits = self._site.limits
        while data[:2] == b"\r\n":  # RFC 9112 §2.2: empty lines before a request are skipped
            data = data[2:]
        end = data.find(b"\r\n\r\n", max(0, len(self._buffer) - 3), limits.head)
        if end < 0:
            self._wait_for_head(data)
            return False
        end += 4
        if end == len(data):
            self._buffer = b""
        else:
            data, self._buffer = data[:end], data[end:]
        self._head = head = framing.read_head(data, limits)
        if head.length:
            self._begin_body(head)
        else:
            self._submit(head.block, b"", None)
        return True

    def _wait_for_head(self, data: bytes) -> None:
        limits = self._site.limits
        if not self._buffer:
            self.deadline = self._site.now() + limits.head_timeout
        if len(data) < 4096:
            framing.check_beginning(data)
        if len(data) >= limits.head:
            raise BadRequest(431, "The request's headers are too long.")
        if len(data) > limits.target + 32 and b"\r\n" not in data[: limits.target + 32]:
            raise BadRequest(414, "The request's target is too long.")
        self._buffer = data

    def _begin_body(self, head: RequestHead) -> None:
        self._phase = Phase.BODY
        self._upload = Upload(head, self._site.limits)
        self.deadline = self._site.now() + self._site.limits.body_timeout
        if head.expects_continue and not self._buffer:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_body(self, data: bytes) -> bool:
        """Read a body from ``data``, and leave what follows it in the buffer; False if more must come."""
        upload = self._upload
        assert upload is not None  # noqa: S101 - there is one while the phase is BODY
        rest = upload.feed(data)
        if rest is None:
            self.deadline = self._site.now() + self._site.limits.body_timeout
            return False
        self._buffer = rest
        self._upload = None
        if upload.spool is None:
            self._submit(upload.block(), b"".join(upload.pieces), None)
        else:
            self._submit(upload.block(), b"", upload.spool)
        return True

    def _submit(self, block: bytes, content: bytes, body: Spool | None) -> None:
        head = self._head
        self._phase = Phase.ANSWER
        self.deadline = NEVER
        self._exchange = exchange = Exchange(
            self,
            head.method,
            head.target,
            head.path,
            head.host,
            block,
            "http",
            self.peer,
            content,
            body,
            self._site.now(),
        )
        self._site.handle(exchange)

    def eof_received(self) -> bool:
        """Note that the client sends no more. It may still want its answer (RFC 9112 §9.6)."""
        self._eof = True
        if self._exchange is None:
            return False
        if self.deadline == NEVER:
            self.deadline = self._site.now() + PROBE
        return True

    def _probe(self) -> None:
        """Find out whether a client that has closed its side still listens.

        One that has closed the whole connection looks the same, until something is sent to it: then its
        system answers with a reset. So we send what every HTTP/1.1 client must be ready to skip, an interim
        answer (RFC 9110 §15.2), and look at what the next write finds.
        """
        if self._head.minor == 1 and self._reply is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.deadline = self._site.now() + PROBE
        else:
            self.deadline = NEVER

    # ── Answers out ──────────────────────────────────────────────────────────────────────────────

    def respond(self, status: int, head: ResponseHead, body: bytes, last: bool) -> None:
        """Begin the answer; with ``last`` also end it."""
        self._status = status
        bodyless = status in BODYLESS or self._head.method == "HEAD"
        if last:
            self._respond_whole(status, head, body, bodyless)
            return
        length = 0 if bodyless else head.length
        chunked = length is None and self._head.minor == 1
        if length is None and not chunked:
            self._keep_no_longer()
        self._reply = Reply(length, chunked, head.unbuffered or head.length is None)
        if chunked:
            framing_field = b"Transfer-Encoding: chunked\r\n"
        elif head.length is None or status in BODYLESS:
            framing_field = b""
        else:
            framing_field = b"Content-Length: %d\r\n" % head.length
        self._transport.write(self._head_bytes(status, head, framing_field))
        if body:
            self.respond_body(body, False)

    def _respond_whole(self, status: int, head: ResponseHead, body: bytes, bodyless: bool) -> None:
        length = head.length
        if bodyless:
            if length is None and status not in BODYLESS:
                length = len(body) or None
            body = b""
        elif length is None:
            length = len(body)
        elif len(body) != length:
            if len(body) < length:  # the client sees that something is missing
                self._keep_no_longer()
            body = body[:length]
        field = b"Content-Length: %d\r\n" % length if length is not None and status not in BODYLESS else b""
        self._transport.write(self._head_bytes(status, head, field) + body)
        self._sent = len(body)
        if self.paused:
            self._reply = Reply(0, False, False)
            self._reply.ended = True
        else:
            self._finish()

    def _head_bytes(self, status: int, head: ResponseHead, framing_field: bytes) -> bytes:
        request = self._head
        if self._phase is Phase.CLOSING or not request.keep_alive or self._site.closing:
            self._keep_no_longer()
            connection = b"Connection: close\r\n"
        else:
            connection = b"" if request.minor == 1 else b"Connection: keep-alive\r\n"
        date = b"" if head.has_date else self._site.date
        return b"%b%b%b%b%b\r\n" % (framing.status_line(status), head.block, framing_field, date, connection)

    def respond_body(self, piece: bytes, last: bool) -> None:
        """Go on with the answer."""
        reply = self._reply
        assert reply is not None  # noqa: S101 - the link lets no body pass before its response
        reply.ended = last
        if reply.left is not None:
            piece = piece[: reply.left]
            reply.left -= len(piece)
        if piece:
            self._sent += len(piece)
            if reply.chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            self._send(reply, piece)
        if last and not self._has_backlog(reply):
            self._end_reply(reply)

    def _send(self, reply: Reply, data: bytes) -> None:
        if not self._has_backlog(reply):
            self._transport.write(data)
            return
        if reply.source is None:
            reply.source = Backlog(self._site.limits.body_memory)
        assert isinstance(reply.source, Backlog)  # noqa: S101 - files have no worker behind them
        try:
            reply.source.append(data)
        except OSError:
            self._abort()

    def _has_backlog(self, reply: Reply) -> bool:
        return self.paused or reply.source is not None

    def respond_file(self, answer: FileAnswer) -> None:
        """Answer with a static file or a part of one."""
        head = ResponseHead(answer.head, answer.length, False, False)
        if answer.file is None or self._head.method == "HEAD":
            if answer.file is not None:
                answer.file.close()
                self.respond(answer.status, head, b"", True)
            else:
                self.respond(answer.status, head._replace(length=None), answer.body, True)
            return
        self.respond(answer.status, head, b"", False)
        reply = self._reply
        assert reply is not None  # noqa: S101 - respond() has just made it
        reply.source = FilePart(answer)
        reply.ended = True
        self._pump(reply)

    def fail(self, failure: Failure) -> None:
        """Answer with ``failure``, or cut the connection off if an answer has begun."""
        if self._reply is not None:
            self._abort()
            return
        block, page = framing.error_page(failure.status, failure.reason)
        if failure.retry_after is not None:
            block += b"Retry-After: %d\r\n" % failure.retry_after
        self.respond(failure.status, ResponseHead(block, None, False, False), page, True)

    def when_caught_up(self, resume: Callable[[], None]) -> bool:
        """Arrange for ``resume`` to be called when a slow client has caught up with a streaming answer.

        Returns:
            Whether the worker is to be held up until then.
        """
        reply = self._reply
        if reply is None or not reply.streaming or not self.paused:
            return False
        reply.resume = resume
        return True

    def _end_reply(self, reply: Reply) -> None:
        if reply.chunked:
            self._transport.write(b"0\r\n\r\n")
        if reply.left:  # the worker sent less than it announced
            self._abort()
        elif not self.paused:
            self._finish()

    def pause_writing(self) -> None:
        """Note that the client takes less than we have for it."""
        self.paused = True
        self._untaken = self._transport.get_write_buffer_size()
        self.deadline = self._site.now() + self._site.limits.send_timeout

    def resume_writing(self) -> None:
        """Send on what has waited for the client."""
        self.paused = False
        self.deadline = NEVER
        reply = self._reply
        if reply is None:
            return
        if reply.source is not None:
            self._pump(reply)
        elif reply.ended:
            self._end_reply(reply)
        if reply.resume is not None and not self.paused:
            resume, reply.resume = reply.resume, None
            resume()

    def _pump(self, reply: Reply) -> None:
        """Move bytes from where they wait to the client, as far as it takes them."""
        source = reply.source
        assert source is not None  # noqa: S101 - callers have looked
        while not self.paused and self._reply is reply:
            data = source.take(CHUNK)
            if data:
                self._transport.write(data)
                if isinstance(source, FilePart):
                    self._sent += len(data)
                    reply.left = (reply.left or 0) - len(data)
                continue
            source.close()
            reply.source = None
            if reply.ended:
                self._end_reply(reply)
            return

    # ── The end of an answer, and of the connection ──────────────────────────────────────────────

    def _finish(self) -> None:
        """End an exchange and go on with what the client has sent ahead."""
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            if exchange.body is not None:
                exchange.body.close()
            self._site.finished(exchange, self._status, self._sent)
        self._reply = None
        self._sent = 0
        if self._phase is Phase.CLOSING or (self._eof and not self._buffer):
            self._linger()
            return
        self._phase = Phase.HEAD
        self.deadline = self._site.now() + self._site.limits.idle_timeout
        if self._held:
            self._held = False
            self._transport.resume_reading()
        if self._buffer and not self._reading:
            data, self._buffer = self._buffer, b""
            self._read(data)

    def _keep_no_longer(self) -> None:
        """Let the connection end with this answer."""
        self._phase = Phase.CLOSING
        self._buffer = b""

    def _refuse(self, error: BadRequest) -> None:
        """Answer a request that cannot be served; nothing that follows it is read as a request."""
        if self._upload is not None:
            self._upload.close()
            self._upload = None
        self._keep_no_longer()
        block, page = framing.error_page(error.status, str(error))
        head = framing.status_line(error.status) + block
        self._transport.write(
            b"%bContent-Length: %d\r\n%bConnection: close\r\n\r\n%b"
            % (head, len(page), self._site.date, page)
        )
        self._site.refused(self.peer, error)
        self._linger()

    def _linger(self) -> None:
        """Close our side, and the rest when the client has, or after a while."""
        self._phase = Phase.CLOSING
        if self._eof or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self.deadline = self._site.now() + LINGER
        if self._held:
            self._held = False
            self._transport.resume_reading()

    def _abort(self) -> None:
        """Cut the connection off: the client sees that its answer is not whole."""
        self._keep_no_longer()
        self._transport.abort()

    def overdue(self, now: float) -> None:
        """End what has taken too long."""
        if self._exchange is not None:
            if self.paused:
                self._check_progress(now)
            elif self._eof:
                self._probe()
        elif self._phase is Phase.HEAD and not self._buffer:
            self._transport.close()
        elif self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(BadRequest(408, "The request took too long to arrive."))
        else:
            self._transport.abort()

    def _check_progress(self, now: float) -> None:
        """Cut off a client that has taken nothing since the last look."""
        untaken = self._transport.get_write_buffer_size()
        if untaken < self._untaken:
            self._untaken = untaken
            self.deadline = now + self._site.limits.send_timeout
        else:
            self._transport.abort()

    def hurry(self, deadline: float) -> None:
        """Wait until ``deadline``, no longer, for another request."""
        if self._phase is Phase.HEAD and not self._buffer:
            self.deadline = min(self.deadline, deadline)

    def abort(self) -> None:
        """Cut the connection off, whatever it is doing."""
        self._abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the exchange of a client that has left."""
        self._phase = Phase.CLOSING
        if self._upload is not None:
            self._upload.close()
            self._upload = None
        if self._reply is not None and self._reply.source is not None:
            self._reply.source.close()
        exchange = self._exchange
        if exchange is not None:
            self._exchange = None
            self._site.abandon(exchange)
            if exchange.body is not None:
                exchange.body.close()
            resume = self._reply.resume if self._reply is not None else None
            if resume is not None:
                resume()
            self._site.finished(exchange, self._status or 499, self._sent)
        self._reply = None
        self._site.gone(self)


def _peer_name(peer: object) -> str:
    """Return a client's address as ``ip:port``, ``[ip]:port``, or ``unix:``."""
    if not isinstance(peer, tuple):
        return "unix:"
    host, port = peer[0], peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
