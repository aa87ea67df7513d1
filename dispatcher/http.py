"""The HTTP side: one connection of a client.

A connection takes in one request, hands it to its *site*, lets the answer out, and only then looks at the
next: requests that a client sends ahead wait, so answers are always in order and one client cannot fill the
queues. The whole body of a request is collected before the site sees the exchange, so that a slow upload
holds no worker.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Final

from dispatcher import answer
from dispatcher.exchange import Exchange
from dispatcher.framing import METHODS, BadRequest
from dispatcher.intake import Intake
from dispatcher.proxies import NOBODY, UNIX
from dispatcher.reply import Reply
from dispatcher.watch import GLANCE, Watch, reset_on_close
from protocol.heads import ResponseHead

if TYPE_CHECKING:
    from dispatcher.intake import Request
    from dispatcher.proxies import Proxies
    from dispatcher.proxy_protocol import ProxyHeader
    from dispatcher.site import Site

NEVER: Final = float("inf")

AHEAD: Final = 64 * 1024
"""Bytes that a client may send ahead of its answer before we stop reading from it."""

JOINED: Final = 16 * 1024
"""Longest body in bytes that is copied behind its head, to go out as one; a longer one goes beside it."""

LINGER: Final = 2.0
"""Seconds without a byte after which we no longer read and drop what a client sends after our last answer.
Without that the system resets the connection, and the reset can overtake the answer (RFC 9112 §9.6)."""

LONGEST_LINGER: Final = 30.0
"""Seconds after which we close on a client that does not stop sending."""

ALLOWED: Final = ResponseHead(
    b"Allow: %b\r\n" % ", ".join(METHODS.values()).encode("ascii"), None, False, False
)
"""What the server as a whole can do: the answer to ``OPTIONS *``."""


class Phase(Enum):
    """What a connection is doing."""

    ARRIVAL = "arriving"
    REQUEST = "waiting for a request"
    ANSWER = "answering"
    LINGER = "waiting for the client to close"
    GONE = "closed"


# An Enum looks its members up in 0.07 µs each time.
_ARRIVAL, _REQUEST, _ANSWER, _LINGER, _GONE = Phase


class HttpConnection(asyncio.Protocol):
    """One connection of a client.

    Attributes:
        site: what it serves.
        peer: the address of who has connected, as it goes to workers and logs.
        is_believed: whether what is said there of others counts, because it is a trusted proxy's.
        is_shared: whether anybody may be behind it, because a proxy has connected.
        deadline: when :meth:`overdue` is to be called.
        paused: whether the client takes less than we have for it.

    Args:
        site: what it serves.
        proxies: whose word counts on where a request comes from.
        scheme: ``http`` or ``https``.
        steps: how many things must happen before the first request may come, such as the handshake of TLS.
    """

    __slots__ = (
        "_end_at",
        "_eof",
        "_exchange",
        "_held",
        "_intake",
        "_last",
        "_phase",
        "_proxies",
        "_reply",
        "_scheme",
        "_steps",
        "_taken",
        "_transport",
        "_watch",
        "deadline",
        "is_believed",
        "is_shared",
        "paused",
        "peer",
        "site",
    )

    def __init__(self, site: Site, proxies: Proxies = NOBODY, scheme: str = "http", steps: int = 0) -> None:
        self.site = site
        self._proxies = proxies
        self._scheme = scheme
        self._steps = steps
        self._transport: asyncio.Transport
        self._phase = _ARRIVAL if steps else _REQUEST
        self._intake = Intake(site.limits, site.storage)
        self._taken = 0  # bytes of memory that the body of the request in hand takes
        self._exchange: Exchange | None = None
        self._reply: Reply | None = None
        self._last = False  # whether the connection ends with this answer
        self._eof = False  # whether the client has closed its side
        self._held = False  # whether we have stopped reading
        self._watch: Watch | None = None
        self._end_at = 0.0  # when lingering ends
        self.is_believed = False
        self.is_shared = False
        self.paused = False
        self.peer = ""
        self.deadline = NEVER

    def __repr__(self) -> str:
        return f"<HttpConnection {self.peer} {self._phase.value}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a first request."""
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives
        address = transport.get_extra_info("peername")
        self._name(address)
        self.is_shared = self.is_believed or not isinstance(address, tuple)
        limits = self.site.limits
        self.deadline = self.site.now() + (limits.head_timeout if self._steps else limits.idle_timeout)
        if self.site.admit(self):
            return
        if self._steps:
            self.abort()
        else:
            self._refuse(BadRequest(503, "Too many connections are open."))

    def _name(self, address: object) -> None:
        self.peer = _name_of(address)
        self.is_believed = self._proxies.trusts(address[0] if isinstance(address, tuple) else UNIX)

    def introduce(self, header: ProxyHeader) -> None:
        """Note for whom a proxy has connected."""
        if header.source is not None:
            self._name(header.source)
        if header.is_secure:
            self._scheme = "https"
        self.proceed()

    def proceed(self) -> None:
        """Note that one of the steps before the first request is done."""
        self._steps -= 1
        if not self._steps and self._phase is _ARRIVAL:
            self._phase = _REQUEST
            self.deadline = self.site.now() + self.site.limits.idle_timeout

    # ── Requests in ──────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent."""
        if self._phase is _REQUEST:
            self._read(data)
        elif self._phase is _LINGER:
            self.deadline = min(self.site.now() + LINGER, self._end_at)
        elif not self._last:  # what follows the last request is not read: RFC 9112 §9.6
            if not self._intake.keep(data):
                self._last = True
            if len(self._intake) > AHEAD and not self._held:
                self._held = True
                self._transport.pause_reading()
                self._look_out()

    def _read(self, data: bytes) -> None:
        """Take the next request from what was kept and ``data``, if all of it is there."""
        try:
            request = self._intake.next_request(data)
        except BadRequest as error:
            self._refuse(error)
            return
        if request is not None:
            self._submit(request)
        elif self._eof:
            self._end_early()
        elif self._intake.has_begun_body:
            self.deadline = self.site.now() + self.site.limits.body_timeout
            if self._intake.is_expected:
                self._transport.write(answer.CONTINUE)
        elif self._intake.has_just_begun_head:
            self.deadline = self.site.now() + self.site.limits.head_timeout

    def _submit(self, request: Request) -> None:
        head, block, content, body = request
        if content:
            self._taken = len(content)
        self._phase = _ANSWER
        self._watch = None
        self.deadline = NEVER
        if self._eof:
            self._look_out()
        scheme, peer = self._scheme, self.peer
        if head.is_forwarded and self.is_believed:
            block, peer, scheme = self._proxies.origin(block, peer, scheme)
        elif head.is_forwarded:
            block = self._proxies.disbelieve(block)
        self._reply = Reply(self, head)
        self._exchange = exchange = Exchange(
            self._reply,
            head.method,
            head.target,
            head.path,
            head.host,
            block,
            scheme,
            peer,
            content,
            body,
            self.site.now(),
        )
        exchange.minor = head.minor
        if head.target == b"*":
            self._reply.respond(204, ALLOWED, b"", True)
        else:
            self.site.handle(exchange)

    def eof_received(self) -> bool:
        """Note that the client sends no more. It may still want its answers (RFC 9112 §9.6)."""
        self._eof = True
        if self._phase is _ANSWER:
            self._look_out()
            return True
        if self._phase is _REQUEST:
            self._end_early()
        return False

    def _end_early(self) -> None:
        """End because nothing more will come, with a complaint if a request has begun."""
        if self._intake.has_begun_head or self._intake.has_begun_body:
            self._refuse(self._intake.complain(400, "The request ends before it is complete."))
        else:
            self._linger()

    # ── Answers out ──────────────────────────────────────────────────────────────────────────────

    def may_go_on(self, wanted: bool) -> bool:
        """Decide whether another request may follow, which is what the answer tells the client."""
        if not wanted or self.site.closing:
            self._last = True
        return not self._last

    def write(self, head: bytes, body: bytes) -> None:
        """Send both, or let the transport keep them."""
        if len(body) <= JOINED:
            self._transport.write(head + body)
        elif head:
            self._transport.writelines((head, body))
        else:
            self._transport.write(body)

    def end_reply(self, reply: Reply) -> None:
        """End the exchange, whose answer has been given in full."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None  # noqa: S101 - there is one as long as there is a reply
        self._reply = None
        if exchange.body is not None:
            exchange.body.close()
        if self._taken:
            self._give_back()
        self.site.finished(exchange, reply.status, reply.sent)
        self._go_on()

    def _give_back(self) -> None:
        """Give back the memory of a body that is needed no more."""
        self.site.storage.memory.give_back(self._taken)
        self._taken = 0

    def _go_on(self) -> None:
        """Look at the next request, once the client has taken the last answer; or end."""
        if self.paused or self._phase is not _ANSWER:
            return
        if self._last or (self._eof and not self._intake):
            self._linger()
            return
        if self._held:
            self._held = False
            self._transport.resume_reading()
        if self._intake:
            # In the next turn of the loop: then other clients have had theirs, and who gave the answer, such
            # as the broker, has finished with it.
            asyncio.get_running_loop().call_soon(self._read_on)
        else:
            self._phase = _REQUEST
            self.deadline = self.site.now() + self.site.limits.idle_timeout

    def _read_on(self) -> None:
        """Look at what was sent ahead."""
        if self._phase is _ANSWER and self._exchange is None:
            self._phase = _REQUEST
            self._read(b"")

    def cut_off(self, reset: bool) -> None:
        """End the connection before its time, by a reset if nothing else tells that something is missing."""
        if reset:
            reset_on_close(self._transport)
        self.abort()

    # ── The end ──────────────────────────────────────────────────────────────────────────────────

    def _refuse(self, error: BadRequest) -> None:
        """Answer a request that cannot be served; nothing that follows it is read as a request."""
        method = error.line.partition(b" ")[0].decode("latin-1")
        refusal = answer.write_refusal(error.status, str(error), method, self.site.date)
        self._transport.write(refusal)
        self.site.refused(self.peer, error)
        self._linger()

    def _linger(self) -> None:
        """Close our side, and the rest when the client has, or after a while."""
        self._phase = _LINGER
        self._intake.close()
        now = self.site.now()
        self._end_at = now + LONGEST_LINGER
        self.deadline = now + LINGER
        if self._eof:
            self._transport.close()
            return
        self._transport.write_eof()
        if self._held:
            self._held = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection off, whatever it is doing."""
        self._phase = _GONE
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why makes no difference
        """Forget the exchange of a client that has left."""
        self._phase = _GONE
        self.deadline = NEVER
        self._intake.close()
        exchange, reply = self._exchange, self._reply
        self._exchange = self._reply = None
        self._give_back()
        if exchange is not None and reply is not None:
            self.site.abandon(exchange)
            if exchange.body is not None:
                exchange.body.close()
            self.site.finished(exchange, reply.status or 499, reply.sent)
            reply.close()
        self.site.gone(self)

    # ── Time passes ──────────────────────────────────────────────────────────────────────────────

    def pause_writing(self) -> None:
        """Note that the client takes less than we have for it."""
        self.paused = True
        self._look_out()

    def resume_writing(self) -> None:
        """Send on what has waited for the client."""
        self.paused = False
        if self._phase is _REQUEST:  # what it took was a 100 Continue: now it may send its body
            self.deadline = self.site.now() + self.site.limits.body_timeout
            return
        self.deadline = NEVER
        if self._phase is _LINGER:
            self.deadline = self.site.now() + LINGER
        elif self._eof or self._held:
            self._look_out()
        if self._reply is not None:
            self._reply.pump()
        else:
            self._go_on()

    def _look_out(self) -> None:
        """Look soon what becomes of a client that we do not hear of."""
        self._watch = Watch(self._transport)
        self.deadline = min(self.deadline, self.site.now())

    def overdue(self, now: float) -> None:
        """Do what is due when patience ends."""
        if self._phase is _ARRIVAL:
            self.abort()
        elif self._phase is _ANSWER or self._transport.get_write_buffer_size():
            self._look(now)
        elif self._phase is not _REQUEST:
            self.abort()
        elif self._intake.has_begun_head or self._intake.has_begun_body:
            self._refuse(self._intake.complain(408, "The request took too long to arrive."))
        else:
            self._transport.close()

    def _look(self, now: float) -> None:
        """Cut off a client that has left, or that takes nothing of what we have for it.

        One that has closed the whole connection looks like one that has closed its side, until something is
        sent to it: then its system answers with a reset. So we send what every HTTP/1.1 client must be ready
        to skip, an interim answer (RFC 9110 §15.2), and see at the next look what has come of it. It is a 100
        because some clients skip no other.
        """
        self._watch = watch = self._watch or Watch(self._transport)
        self.deadline = now + GLANCE
        if watch.has_left() or watch.is_stuck(now, self.site.limits.send_timeout):
            self.abort()
        elif self._reply is not None and self._reply.may_be_preceded and watch.may_ask(now):
            self._transport.write(answer.CONTINUE)

    def hurry(self, deadline: float) -> None:
        """Wait until ``deadline``, no longer, for another request."""
        if self._phase is _ARRIVAL or (
            self._phase is _REQUEST and not self._intake and not self._intake.has_begun_body
        ):
            self.deadline = min(self.deadline, deadline)


def _name_of(address: object) -> str:
    """Return a client's address as ``ip:port``, ``[ip]:port``, or ``unix:``."""
    if not isinstance(address, tuple):
        return "unix:"
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
