"""The state of a link, and the two ends of it, without I/O.

A link goes through these states; :data:`TRANSITIONS` says which message is legal in which, and where it
leads. Everything else is a protocol error, and the link is dropped::

    new ──register──▶ asked ──────────registered──────────▶ serving ──draining──▶ draining
                        │                                      ▲
                        └─challenge──▶ challenged              │ registered
                                           └──register──▶ proved

Every state leads to *lost* as well: by ``rejected`` from asked and proved, and from serving and draining when
another link takes this one's place; by the connection's end from any.

A serving link is *idle* when it holds no exchange and *busy* when it holds one or more. The laws of what it
holds:

* an exchange's id is one more than the last one's and is never used again on the link;
* a link never holds more exchanges than the window that its worker asked for;
* each request is settled exactly once: by ``refused``, or by ``response`` and ``body`` up to ``last``;
* a cancelled exchange is settled like any other, but what comes for it is discarded here, by its id;
* the body of a request stops where the exchange is cancelled or settled.

The ends read bytes and call the methods of their *hand*; for sending, they return the bytes of a frame. A
rule broken by the peer raises RemoteProtocolError and leaves the link lost; messages that still come on a
lost link are not acted on. A rule broken by ourselves raises LocalProtocolError and changes nothing. A hand
may use its end while it is called, even to receive what comes next.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from protocol import limits
from protocol import messages as m
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.frames import FrameReader, encode_frame

if TYPE_CHECKING:
    from protocol.registration import Registration


class State(Enum):
    """Where a link stands between its connection and its end."""

    NEW = "new"
    ASKED = "asked"
    CHALLENGED = "challenged"
    PROVED = "proved"
    SERVING = "serving"
    DRAINING = "draining"
    LOST = "lost"


TRANSITIONS: Final[dict[State, dict[int, State]]] = {
    State.NEW: {m.REGISTER: State.ASKED},
    State.ASKED: {m.CHALLENGE: State.CHALLENGED, m.REGISTERED: State.SERVING, m.REJECTED: State.LOST},
    State.CHALLENGED: {m.REGISTER: State.PROVED},
    State.PROVED: {m.REGISTERED: State.SERVING, m.REJECTED: State.LOST},
    State.SERVING: {
        m.REQUEST: State.SERVING,
        m.RESPONSE: State.SERVING,
        m.BODY: State.SERVING,
        m.REFUSED: State.SERVING,
        m.CANCEL: State.SERVING,
        m.PING: State.SERVING,
        m.PONG: State.SERVING,
        m.DRAIN: State.SERVING,
        m.DRAINING: State.DRAINING,
        m.REJECTED: State.LOST,
    },
    # A request may have crossed the worker's `draining` on the wire: the worker refuses it, unbegun.
    State.DRAINING: {
        m.REQUEST: State.DRAINING,
        m.RESPONSE: State.DRAINING,
        m.BODY: State.DRAINING,
        m.REFUSED: State.DRAINING,
        m.CANCEL: State.DRAINING,
        m.PING: State.DRAINING,
        m.PONG: State.DRAINING,
        m.DRAIN: State.DRAINING,
        m.REJECTED: State.LOST,
    },
    State.LOST: {},
}
"""Which message is legal in which state, and the state that follows it."""

Subject = TypeVar("Subject")
Subject_contra = TypeVar("Subject_contra", contravariant=True)


# What may arrive in each state, from either side, and the state that follows it.
_ARRIVALS: Final = {
    sender: {
        state: {
            number: following
            for number, following in row.items()
            if m.SCHEMA[number].side in {sender, m.Side.BOTH}
        }
        for state, row in TRANSITIONS.items()
    }
    for sender in (m.Side.WORKER, m.Side.DISPATCHER)
}


class _End:
    """What both ends of a link have: a state, and a reader of frames."""

    __slots__ = ("_arriving", "_last_id", "_legal", "_peer", "_reader", "state")

    def __init__(self, peer: m.Side) -> None:
        self._peer = peer
        self._reader = FrameReader()
        self._last_id = 0
        self._enter(State.NEW)

    def _enter(self, state: State) -> None:
        self.state = state
        self._legal = TRANSITIONS[state]
        self._arriving = _ARRIVALS[self._peer][state]

    def _send(self, *message: Any) -> bytes:
        state = self._legal.get(message[0])
        if state is None:
            raise LocalProtocolError(_complaint(message[0], self.state))
        frame = encode_frame(message)
        if state is not self.state:
            self._enter(state)
        return frame

    def _receive(self, message: tuple[Any, ...]) -> int:
        """Return the type of a message that the peer may send now."""
        number = m.check_message(message)
        state = self._arriving.get(number)
        if state is None:
            if m.SCHEMA[number].side not in {self._peer, m.Side.BOTH}:
                raise RemoteProtocolError(f"{m.SCHEMA[number].name} came from the wrong side")
            raise RemoteProtocolError(_complaint(number, self.state))
        if state is not self.state:
            self._enter(state)
        return number

    def lose(self) -> None:
        """Note that the connection is gone: nothing is legal any more; what it held is still to settle."""
        self._enter(State.LOST)


def _complaint(number: int, state: State) -> str:
    return f"{m.SCHEMA[number].name} is not legal while the link is {state.value}"


class DispatcherHand(Protocol[Subject_contra]):
    """What a dispatcher does about each message of a worker."""

    def on_register(
        self,
        version: int,
        instance: str,
        applications: Any,
        window: int,
        labels: Any,
        nonce: bytes,
        proof: bytes,
    ) -> None:
        """A worker asks to be registered."""

    def on_response(self, subject: Subject_contra, status: int, head: bytes, body: bytes, last: bool) -> None:
        """A reply begins; with ``last`` it also ends."""

    def on_body(self, subject: Subject_contra, piece: bytes, last: bool) -> None:
        """A reply goes on."""

    def on_refused(self, subject: Subject_contra) -> None:
        """The worker has not begun this exchange and will not."""

    def on_discarded(self, subject: Subject_contra) -> None:
        """A cancelled exchange was settled: its place in the window is free."""

    def on_pong(self) -> None:
        """The worker is alive."""

    def on_draining(self) -> None:
        """The worker takes nothing new."""


class DispatcherEnd(_End, Generic[Subject]):
    """The dispatcher's end of a link.

    Attributes:
        held: the exchanges that the worker has and has not settled, by id, oldest first.
        cancelled: ids of those among them for which nobody waits any more.
        window: the most exchanges that the worker lets the link hold; 0 before it asked to be registered.
    """

    __slots__ = ("_begun", "_hand", "_sending", "cancelled", "held", "window")

    def __init__(self, hand: DispatcherHand[Subject]) -> None:
        super().__init__(m.Side.WORKER)
        self._hand = hand
        self.held: dict[int, Subject] = {}
        self.cancelled: set[int] = set()
        self.window = 0
        self._begun: set[int] = set()
        self._sending: set[int] = set()

    def __repr__(self) -> str:
        return f"<DispatcherEnd {self.state.value}, holds {len(self.held)}>"

    def receive(self, data: bytes) -> None:
        """Take in bytes from the worker and call the hand for each message that they complete.

        Raises:
            RemoteProtocolError: the worker broke the rules; drop the link.
        """
        reader = self._reader
        try:
            for payload in reader.feed(data):
                if self.state is State.LOST:
                    return
                message = reader.unpack(payload)
                if self.state is State.NEW:
                    message = _readable(message)
                number = self._receive(message)
                if number == m.RESPONSE:
                    self._on_response(*message[1:])
                else:
                    self._on_other(number, message)
            if reader.excess and self.state is not State.LOST:
                reader.check_excess()
        except RemoteProtocolError:
            self.lose()
            raise

    def _on_other(self, number: int, message: tuple[Any, ...]) -> None:
        hand = self._hand
        if number == m.BODY:
            self._on_body(*message[1:])
        elif number == m.REFUSED:
            self._on_refused(message[1])
        elif number == m.REGISTER:
            self.window = message[4]
            hand.on_register(*message[1:])
        elif number == m.PONG:
            hand.on_pong()
        else:
            hand.on_draining()

    def _on_response(self, exchange: int, status: int, head: bytes, body: bytes, last: bool) -> None:
        if exchange in self._begun:
            raise RemoteProtocolError(f"a second response came for exchange {exchange}")
        subject = self._find(exchange, "response")
        if last:
            self._settle(exchange)
        else:
            self._begun.add(exchange)
        if exchange in self.cancelled:
            self._discard(exchange, subject, last)
        else:
            self._hand.on_response(subject, status, head, body, last)

    def _on_body(self, exchange: int, piece: bytes, last: bool) -> None:
        if exchange not in self._begun:
            raise RemoteProtocolError(
                f"a body came for exchange {exchange}, which has no response that goes on"
            )
        subject = self.held[exchange]
        if last:
            self._settle(exchange)
            self._begun.remove(exchange)
        if exchange in self.cancelled:
            self._discard(exchange, subject, last)
        else:
            self._hand.on_body(subject, piece, last)

    def _on_refused(self, exchange: int) -> None:
        if exchange in self._begun:
            raise RemoteProtocolError(f"exchange {exchange} was refused after its reply had begun")
        subject = self._find(exchange, "refused")
        self._settle(exchange)
        if exchange in self.cancelled:
            self._discard(exchange, subject, last=True)
        else:
            self._hand.on_refused(subject)

    def _find(self, exchange: int, name: str) -> Subject:
        try:
            return self.held[exchange]
        except KeyError:
            raise RemoteProtocolError(
                f"{name} names exchange {exchange}, which the link does not hold"
            ) from None

    def _settle(self, exchange: int) -> None:
        del self.held[exchange]
        if self._sending:
            self._sending.discard(exchange)

    def _discard(self, exchange: int, subject: Subject, last: bool) -> None:
        """Drop what came too late for its client; its last part frees the place in the window."""
        if last:
            self.cancelled.remove(exchange)
            self._hand.on_discarded(subject)

    def is_sending(self, exchange: int) -> bool:
        """Whether the body of this exchange's request is to go on: not complete, cancelled or settled."""
        return exchange in self._sending

    def challenge(self, nonce: bytes) -> bytes:
        """Ask the worker for a proof; ``nonce`` is new for each link, :data:`protocol.limits.NONCE` bytes."""
        return self._send(m.CHALLENGE, nonce)

    def registered(self, heartbeat: int, request_timeout: int = 0) -> bytes:
        """Accept the worker.

        Args:
            heartbeat: the milliseconds after which it hears from us when it is idle.
            request_timeout: the milliseconds for which it may be silent about a request; 0 to leave it open.
        """
        bounds = {"frame": limits.FRAME, "piece": limits.PIECE}
        if request_timeout:
            bounds["request_timeout"] = request_timeout
        frame = self._send(m.REGISTERED, bounds, heartbeat)
        self._reader.limit = limits.FRAME
        return frame

    def rejected(self, code: str, sentence: str) -> bytes:
        """Refuse the worker: a code for its program, a sentence for its people."""
        return self._send(m.REJECTED, code, sentence)

    def request(
        self,
        subject: Subject,
        application: str,
        method: str,
        target: bytes,
        head: bytes,
        scheme: str,
        client: str,
        attempt: int,
        body: bytes,
        last: bool,
    ) -> tuple[int, bytes]:
        """Hand over a request; returns the id of its exchange, and the frame."""
        if self.state is not State.SERVING:
            raise LocalProtocolError(f"request is not legal while the link is {self.state.value}")
        if len(self.held) >= self.window:
            raise LocalProtocolError(f"the link holds {len(self.held)} exchanges, as many as its window")
        exchange = self._last_id + 1
        frame = encode_frame(
            (m.REQUEST, exchange, application, method, target, head, scheme, client, attempt, body, last)
        )
        self._last_id = exchange
        self.held[exchange] = subject
        if not last:
            self._sending.add(exchange)
        return exchange, frame

    def body(self, exchange: int, piece: bytes, last: bool) -> bytes:
        """Hand over the next piece of a request's body; a cancelled or settled exchange takes none."""
        if exchange not in self._sending:
            raise LocalProtocolError(f"exchange {exchange} takes no body: complete, cancelled or settled")
        frame = self._send(m.BODY, exchange, piece, last)
        if last:
            self._sending.remove(exchange)
        return frame

    def cancel(self, exchange: int) -> bytes:
        """Take an exchange back: whatever comes for it from now on is discarded."""
        if exchange not in self.held or exchange in self.cancelled:
            raise LocalProtocolError(f"exchange {exchange} cannot be cancelled: the link does not hold it")
        frame = self._send(m.CANCEL, exchange)
        self.cancelled.add(exchange)
        self._sending.discard(exchange)
        return frame

    def ping(self) -> bytes:
        """Ask an idle worker whether it is alive."""
        return self._send(m.PING)

    def drain(self) -> bytes:
        """Ask the worker to finish what it holds and to leave."""
        return self._send(m.DRAIN)


def _readable(message: tuple[Any, ...]) -> tuple[Any, ...]:
    """Blank the fields of a ``register`` of another version: all that is sure of them is the version.

    So a worker from the future hears ``rejected`` with a reason, instead of nothing.
    """
    if message[0] != m.REGISTER or len(message) < 2 or type(message[1]) is not int:
        return message
    if message[1] == limits.VERSION:
        return message
    return (m.REGISTER, message[1], "", (), 0, {}, b"", b"")


class WorkerHand(Protocol):
    """What a worker does about each message of a dispatcher."""

    def on_challenge(self, nonce: bytes) -> None:
        """The dispatcher wants a proof."""

    def on_registered(self, limits: Any, heartbeat: int) -> None:
        """The worker is accepted."""

    def on_rejected(self, code: str, sentence: str) -> None:
        """The worker is refused."""

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
        """A request to answer."""

    def on_body(self, exchange: int, piece: bytes, last: bool) -> None:
        """The body of a request goes on."""

    def on_cancel(self, exchange: int) -> None:
        """Nobody waits for this exchange any more; if its body was still coming, the rest will not."""

    def on_ping(self) -> None:
        """The dispatcher asks whether we are alive."""

    def on_drain(self) -> None:
        """The dispatcher asks us to leave."""


class WorkerEnd(_End):
    """The worker's end of a link.

    Attributes:
        held: ids of the exchanges that we have not settled, oldest first; the value says whether the
            reply has begun.
        window: the most exchanges that we let the link hold; 0 before we asked to be registered.

    An exchange leaves ``_receiving`` with the last piece of its request's body, our reply, or ``cancel``.
    """

    __slots__ = ("_hand", "_receiving", "held", "window")

    def __init__(self, hand: WorkerHand) -> None:
        super().__init__(m.Side.DISPATCHER)
        self._hand = hand
        self._reader.limit = limits.FRAME
        self.held: dict[int, bool] = {}
        self.window = 0
        self._receiving: set[int] = set()

    def __repr__(self) -> str:
        return f"<WorkerEnd {self.state.value}, holds {len(self.held)}>"

    def receive(self, data: bytes) -> None:
        """Take in bytes from the dispatcher and call the hand for each message that they complete.

        Raises:
            RemoteProtocolError: the dispatcher broke the rules; drop the link.
        """
        reader = self._reader
        try:
            for payload in reader.feed(data):
                if self.state is State.LOST:
                    return
                message = reader.unpack(payload)
                number = self._receive(message)
                if number == m.REQUEST:
                    self._on_request(message)
                else:
                    self._on_other(number, message)
            if reader.excess and self.state is not State.LOST:
                reader.check_excess()
        except RemoteProtocolError:
            self.lose()
            raise

    def _on_other(self, number: int, message: tuple[Any, ...]) -> None:
        hand = self._hand
        if number == m.BODY:
            self._on_body(*message[1:])
        elif number == m.CANCEL:
            self._on_cancel(message[1])
        elif number == m.PING:
            hand.on_ping()
        elif number == m.CHALLENGE:
            hand.on_challenge(message[1])
        elif number == m.REGISTERED:
            _check_registered(*message[1:])
            hand.on_registered(*message[1:])
        elif number == m.REJECTED:
            hand.on_rejected(*message[1:])
        else:
            hand.on_drain()

    def _on_request(self, message: tuple[Any, ...]) -> None:
        exchange: int = message[1]
        if exchange != self._last_id + 1:
            raise RemoteProtocolError(f"exchange {exchange} came after exchange {self._last_id}")
        if len(self.held) >= self.window:
            raise RemoteProtocolError(
                f"exchange {exchange} is one more than the window of {self.window} lets us hold"
            )
        self._last_id = exchange
        self.held[exchange] = False
        if not message[10]:
            self._receiving.add(exchange)
        self._hand.on_request(*message[1:])

    def _on_cancel(self, exchange: int) -> None:
        if exchange in self.held:
            self._receiving.discard(exchange)
            self._hand.on_cancel(exchange)
        else:
            self._check_seen(exchange, "cancel")

    def _on_body(self, exchange: int, piece: bytes, last: bool) -> None:
        if exchange in self._receiving:
            if last:
                self._receiving.remove(exchange)
            self._hand.on_body(exchange, piece, last)
        elif exchange in self.held:
            raise RemoteProtocolError(f"a body came for exchange {exchange}, whose request was complete")
        else:  # it crossed our reply on the wire: nobody waits for it
            self._check_seen(exchange, "body")

    def _check_seen(self, exchange: int, name: str) -> None:
        """Accept an id that was settled while the message was on the wire; refuse one from the future."""
        if not 0 < exchange <= self._last_id:
            raise RemoteProtocolError(f"{name} names exchange {exchange}, which never came")

    def register(self, registration: Registration, nonce: bytes, proof: bytes = b"") -> bytes:
        """Ask to be registered; with ``proof`` after a challenge."""
        frame = self._send(
            m.REGISTER,
            limits.VERSION,
            registration.instance,
            registration.applications,
            registration.window,
            dict(registration.labels),
            nonce,
            proof,
        )
        self.window = registration.window
        return frame

    def response(self, exchange: int, status: int, head: bytes, body: bytes, last: bool) -> bytes:
        """Begin a reply; with ``last`` also end it."""
        self._check_unbegun(exchange)
        frame = self._send(m.RESPONSE, exchange, status, head, body, last)
        if last:
            self._settle(exchange)
        else:
            self.held[exchange] = True
        return frame

    def body(self, exchange: int, piece: bytes, last: bool) -> bytes:
        """Go on with a reply."""
        if not self.held.get(exchange):
            raise LocalProtocolError(f"exchange {exchange} is not held, or its reply has not begun")
        frame = self._send(m.BODY, exchange, piece, last)
        if last:
            self._settle(exchange)
        return frame

    def refused(self, exchange: int) -> bytes:
        """Give an exchange back that was not begun."""
        self._check_unbegun(exchange)
        frame = self._send(m.REFUSED, exchange)
        self._settle(exchange)
        return frame

    def _check_unbegun(self, exchange: int) -> None:
        if self.held.get(exchange, True):
            raise LocalProtocolError(f"exchange {exchange} is not held, or its reply has begun")

    def _settle(self, exchange: int) -> None:
        del self.held[exchange]
        if self._receiving:
            self._receiving.discard(exchange)

    def pong(self) -> bytes:
        """Say that we are alive."""
        return self._send(m.PONG)

    def draining(self) -> bytes:
        """Say that we take nothing new."""
        return self._send(m.DRAINING)


def _check_registered(bounds: dict[Any, Any], heartbeat: int) -> None:
    """Refuse limits that a worker cannot keep; the names that it does not know are for later versions."""
    for name in ("frame", "piece"):
        bound = bounds.get(name)
        if type(bound) is not int or bound < 1:
            raise RemoteProtocolError(f"registered.limits has no usable {name}")
    if heartbeat < 1:
        raise RemoteProtocolError(f"registered.heartbeat is {heartbeat}, not a number of milliseconds")
