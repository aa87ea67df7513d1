"""The dispatcher's end of a link: it hands requests over, and discards replies that come too late."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from protocol import limits
from protocol import messages as m
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.frames import encode_frame
from protocol.link import End, State

Subject = TypeVar("Subject")
Subject_contra = TypeVar("Subject_contra", contravariant=True)


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


class DispatcherEnd(End, Generic[Subject]):
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
