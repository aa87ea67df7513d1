"""The state of a link, and the two ends of it, without I/O.

A link goes through these states; the table says which message is legal in which, and where it leads.
Everything else is a protocol error, and the link is dropped::

    new ──register──▶ asked ──registered──▶ serving ──draining──▶ draining ──▶ lost
                        │ ▲
              challenge ▼ │ register, with proof

A serving link is *idle* when it holds no exchange and *busy* when it holds one or more. The laws of what it
holds stand in :class:`DispatcherEnd`:

* an exchange's id is one more than the last one's and is never used again on the link;
* each request is settled exactly once: by ``refused``, or by ``response`` and ``body`` up to ``last``;
* a cancelled exchange is settled like any other, but what comes for it is discarded here, by its id.

The ends read bytes and call the methods of their *hand*; for sending, they return the bytes of a frame.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

from protocol import limits
from protocol import messages as m
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.frames import FrameReader, encode_frame
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
    },
    State.LOST: {},
}
"""Which message is legal in which state, and the state that follows it."""

Subject = TypeVar("Subject")
HandSubject = TypeVar("HandSubject", contravariant=True)


class _End:
    """What both ends of a link have: a state, and a reader of frames."""

    __slots__ = ("_last_id", "_legal", "_reader", "state")

    def __init__(self) -> None:
        self.state = State.NEW
        self._legal = TRANSITIONS[State.NEW]
        self._reader = FrameReader()
        self._last_id = 0

    def _move(self, number: int, blame: type[LocalProtocolError | RemoteProtocolError]) -> None:
        """Follow message ``number`` through the table, or raise ``blame``."""
        state = self._legal.get(number)
        if state is None:
            raise blame(f"{m.SCHEMA[number].name} is not legal while the link is {self.state.value}")
        if state is not self.state:
            self.state = state
            self._legal = TRANSITIONS[state]

    def _send(self, *message: Any) -> bytes:
        self._move(message[0], LocalProtocolError)
        return encode_frame(message)

    def _receive(self, message: tuple[Any, ...], sender: m.Side) -> int:
        """Return the type of a message that ``sender`` may send now."""
        number = m.check_message(message)
        side = m.SCHEMA[number].side
        if side is not sender and side is not m.Side.BOTH:
            raise RemoteProtocolError(f"{m.SCHEMA[number].name} came from the wrong side")
        self._move(number, RemoteProtocolError)
        return number

    def lose(self) -> None:
        """Note that the connection is gone: nothing is legal any more."""
        self.state = State.LOST
        self._legal = TRANSITIONS[State.LOST]


class DispatcherHand(Protocol[HandSubject]):
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

    def on_response(self, subject: HandSubject, status: int, head: bytes, body: bytes, last: bool) -> None:
        """A reply begins; with ``last`` it also ends."""

    def on_body(self, subject: HandSubject, piece: bytes, last: bool) -> None:
        """A reply goes on."""

    def on_refused(self, subject: HandSubject) -> None:
        """The worker has not begun this exchange and will not."""

    def on_discarded(self, subject: HandSubject) -> None:
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
    """

    __slots__ = ("_begun", "_hand", "cancelled", "held")

    def __init__(self, hand: DispatcherHand[Subject]) -> None:
        super().__init__()
        self._hand = hand
        self.held: dict[int, Subject] = {}
        self.cancelled: set[int] = set()
        self._begun: set[int] = set()

    def __repr__(self) -> str:
        return f"<DispatcherEnd {self.state.value}, holds {len(self.held)}>"

    def receive(self, data: bytes) -> None:
        """Take in bytes from the worker and call the hand for each message that they complete.

        Raises:
            RemoteProtocolError: the worker broke the rules; drop the link.
        """
        for message in self._reader.feed(data):
            number = m.check_message(message)
            if number == m.RESPONSE and number in self._legal:
                self._on_response(*message[1:])
            else:
                self._on_other(message)

    def _on_other(self, message: tuple[Any, ...]) -> None:
        number = self._receive(message, m.Side.WORKER)
        hand = self._hand
        if number == m.BODY:
            self._on_body(*message[1:])
        elif number == m.REFUSED:
            self._on_refused(message[1])
        elif number == m.REGISTER:
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
            del self.held[exchange]
        else:
            self._begun.add(exchange)
        if exchange in self.cancelled:
            self._discard(exchange, subject, last)
        else:
            self._hand.on_response(subject, status, head, body, last)

    def _on_body(self, exchange: int, piece: bytes, last: bool) -> None:
        if exchange not in self._begun:
            raise RemoteProtocolError(f"a body came for exchange {exchange}, which has no response that goes on")
        subject = self._find(exchange, "body")
        if last:
            del self.held[exchange]
            self._begun.remove(exchange)
        if exchange in self.cancelled:
            self._discard(exchange, subject, last)
        else:
            self._hand.on_body(subject, piece, last)

    def _on_refused(self, exchange: int) -> None:
        if exchange in self._begun:
            raise RemoteProtocolError(f"exchange {exchange} was refused after its reply had begun")
        subject = self._find(exchange, "refused")
        del self.held[exchange]
        if exchange in self.cancelled:
            self._discard(exchange, subject, last=True)
        else:
            self._hand.on_refused(subject)

    def _find(self, exchange: int, name: str) -> Subject:
        try:
            return self.held[exchange]
        except KeyError:
            raise RemoteProtocolError(f"{name} names exchange {exchange}, which the link does not hold") from None

    def _discard(self, exchange: int, subject: Subject, last: bool) -> None:
        """Drop what came too late for its client; its last part frees the place in the window."""
        if last:
            self.cancelled.remove(exchange)
            self._hand.on_discarded(subject)

    def challenge(self, nonce: bytes) -> bytes:
        """Ask the worker for a proof."""
        return self._send(m.CHALLENGE, nonce)

    def registered(self, heartbeat: int) -> bytes:
        """Accept the worker; it hears from us every ``heartbeat`` milliseconds when it is idle."""
        self._reader.limit = limits.FRAME
        return self._send(m.REGISTERED, {"frame": limits.FRAME, "piece": limits.PIECE}, heartbeat)

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
        if m.REQUEST not in self._legal or self.state is State.DRAINING:
            raise LocalProtocolError(f"request is not legal while the link is {self.state.value}")
        self._last_id = exchange = self._last_id + 1
        self.held[exchange] = subject
        frame = encode_frame(
            (m.REQUEST, exchange, application, method, target, head, scheme, client, attempt, body, last)
        )
        return exchange, frame

    def body(self, exchange: int, piece: bytes, last: bool) -> bytes:
        """Hand over the next piece of a request's body."""
        return self._send(m.BODY, exchange, piece, last)

    def cancel(self, exchange: int) -> bytes:
        """Take an exchange back: whatever comes for it from now on is discarded."""
        if exchange not in self.held or exchange in self.cancelled:
            raise LocalProtocolError(f"exchange {exchange} cannot be cancelled: the link does not hold it")
        self.cancelled.add(exchange)
        return self._send(m.CANCEL, exchange)

    def ping(self) -> bytes:
        """Ask an idle worker whether it is alive."""
        return self._send(m.PING)

    def drain(self) -> bytes:
        """Ask the worker to finish what it holds and to leave."""
        return self._send(m.DRAIN)


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
        """Nobody waits for this exchange any more."""

    def on_ping(self) -> None:
        """The dispatcher asks whether we are alive."""

    def on_drain(self) -> None:
        """The dispatcher asks us to leave."""


class WorkerEnd(_End):
    """The worker's end of a link.

    Attributes:
        held: ids of the exchanges that we have not settled, oldest first; the value says whether the
            reply has begun.

    An exchange leaves ``_receiving`` with the last piece of its request's body, or with our reply.
    """

    __slots__ = ("_hand", "_receiving", "held")

    def __init__(self, hand: WorkerHand) -> None:
        super().__init__()
        self._hand = hand
        self._reader.limit = limits.FRAME
        self.held: dict[int, bool] = {}
        self._receiving: set[int] = set()

    def __repr__(self) -> str:
        return f"<WorkerEnd {self.state.value}, holds {len(self.held)}>"

    def receive(self, data: bytes) -> None:
        """Take in bytes from the dispatcher and call the hand for each message that they complete.

        Raises:
            RemoteProtocolError: the dispatcher broke the rules; drop the link.
        """
        for message in self._reader.feed(data):
            number = self._receive(message, m.Side.DISPATCHER)
            hand = self._hand
            if number == m.REQUEST:
                self._on_request(message)
            elif number == m.BODY:
                self._on_body(*message[1:])
            elif number == m.CANCEL:
                if message[1] in self.held:
                    hand.on_cancel(message[1])
                else:
                    self._check_seen(message[1], "cancel")
            elif number == m.PING:
                hand.on_ping()
            elif number == m.CHALLENGE:
                hand.on_challenge(message[1])
            elif number == m.REGISTERED:
                hand.on_registered(message[1], message[2])
            elif number == m.REJECTED:
                hand.on_rejected(message[1], message[2])
            else:
                hand.on_drain()

    def _on_request(self, message: tuple[Any, ...]) -> None:
        exchange: int = message[1]
        if exchange <= self._last_id:
            raise RemoteProtocolError(f"exchange {exchange} was used before on this link")
        self._last_id = exchange
        self.held[exchange] = False
        if not message[10]:
            self._receiving.add(exchange)
        self._hand.on_request(*message[1:])

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
        return self._send(
            m.REGISTER,
            limits.VERSION,
            registration.instance,
            registration.applications,
            registration.window,
            dict(registration.labels),
            nonce,
            proof,
        )

    def response(self, exchange: int, status: int, head: bytes, body: bytes, last: bool) -> bytes:
        """Begin a reply; with ``last`` also end it."""
        if self.held.get(exchange, True):
            raise LocalProtocolError(f"exchange {exchange} is not held, or its reply has begun")
        frame = encode_frame((m.RESPONSE, exchange, status, head, body, last))
        if last:
            self._settle(exchange)
        else:
            self.held[exchange] = True
        return frame

    def body(self, exchange: int, piece: bytes, last: bool) -> bytes:
        """Go on with a reply."""
        if not self.held.get(exchange):
            raise LocalProtocolError(f"exchange {exchange} is not held, or its reply has not begun")
        frame = encode_frame((m.BODY, exchange, piece, last))
        if last:
            self._settle(exchange)
        return frame

    def refused(self, exchange: int) -> bytes:
        """Give an exchange back that was not begun."""
        if self.held.get(exchange, True):
            raise LocalProtocolError(f"exchange {exchange} is not held, or its reply has begun")
        self._settle(exchange)
        return self._send(m.REFUSED, exchange)

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
