"""The worker's end of a link: it takes requests, and settles each of them once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from protocol import limits
from protocol import messages as m
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.link import End, State

if TYPE_CHECKING:
    from protocol.registration import Registration


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


class WorkerEnd(End):
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
