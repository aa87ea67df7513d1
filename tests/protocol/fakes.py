"""A fake wire between the two ends of a link, hands that keep a diary, and words for dialogues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol import limits
from protocol.dispatcher_end import DispatcherEnd
from protocol.frames import encode_frame
from protocol.registration import Claim, Registration, prove
from protocol.worker_end import WorkerEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Cut = "Callable[[bytes], Iterable[bytes]]"
Entry = tuple[Any, ...]

SECRET = b"a very open secret"
DISPATCHER_NONCE = bytes(range(32))
WORKER_NONCE = bytes(range(32, 64))
SHOP = Registration(
    "shop-1", (Claim("shop", "", "/shop"), Claim("admin", "example.org", "/")), 8, (("host", "a1"),)
)
PROOF = prove(SECRET, DISPATCHER_NONCE, WORKER_NONCE, SHOP.instance, SHOP.applications)
BOUNDS = {"frame": limits.FRAME, "piece": limits.PIECE}


class Diary:
    """A hand that writes down what it is told: ``("body", 1, b"x", True)`` for ``on_body(1, b"x", True)``."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *fields: self.entries.append((name.removeprefix("on_"), *fields))


def at_once(data: bytes) -> Iterable[bytes]:
    """Deliver all that was sent in one piece."""
    return [data]


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """Deliver what was sent as slowly as a stream can be."""
    return [data[index : index + 1] for index in range(len(data))]


class Wire:
    """Joins the two ends of a link; what one says arrives at the other when it is let through."""

    def __init__(self, cut: Cut = at_once) -> None:
        self.dispatcher_hears = Diary()
        self.worker_hears = Diary()
        self.dispatcher: DispatcherEnd[str] = DispatcherEnd(self.dispatcher_hears)
        self.worker = WorkerEnd(self.worker_hears)
        self.to_worker = bytearray()
        self.to_dispatcher = bytearray()
        self._cut = cut

    def dispatcher_says(self, verb: str, *fields: Any) -> None:
        said = getattr(self.dispatcher, verb)(*fields)
        self.to_worker += said[1] if verb == "request" else said

    def worker_says(self, verb: str, *fields: Any) -> None:
        self.to_dispatcher += getattr(self.worker, verb)(*fields)

    def deliver(self) -> None:
        """Let through what is on the way in both directions."""
        self.deliver_to_worker()
        self.deliver_to_dispatcher()

    def deliver_to_worker(self, count: int | None = None) -> None:
        """Let bytes through to the worker, all of them if no count is given."""
        for piece in self._cut(_take(self.to_worker, count)):
            self.worker.receive(piece)

    def deliver_to_dispatcher(self, count: int | None = None) -> None:
        """Let bytes through to the dispatcher, all of them if no count is given."""
        for piece in self._cut(_take(self.to_dispatcher, count)):
            self.dispatcher.receive(piece)

    def play(self, steps: Iterable[Step]) -> None:
        """Go through a dialogue, to its last byte."""
        for side, verb, *fields in steps:
            if side == "wire":
                self.deliver()
            elif side == "worker":
                self.worker_says(verb, *fields)
            else:
                self.dispatcher_says(verb, *fields)
        self.deliver()


def _take(queue: bytearray, count: int | None) -> bytes:
    taken = bytes(queue[:count])
    del queue[:count]
    return taken


Step = tuple[Any, ...]
ARRIVES: Step = ("wire", "")


def worker(verb: str, *fields: Any) -> Step:
    """The worker says something."""
    return ("worker", verb, *fields)


def dispatcher(verb: str, *fields: Any) -> Step:
    """The dispatcher says something."""
    return ("dispatcher", verb, *fields)


def request(subject: str, body: bytes = b"", last: bool = True, method: str = "GET") -> Step:
    """The dispatcher hands a request over."""
    return dispatcher("request", subject, *request_fields(body, last, method))


def request_fields(body: bytes = b"", last: bool = True, method: str = "GET") -> tuple[Any, ...]:
    """The fields of a request, from the application on."""
    head = b"Host: example.org\r\n"
    return ("shop", method, b"/shop?page=1", head, "http", "192.0.2.7:5123", 1, body, last)


def requested(exchange: int, body: bytes = b"", last: bool = True, method: str = "GET") -> Entry:
    """What the worker hears when a request arrives."""
    return ("request", exchange, *request_fields(body, last, method))


REGISTER: Entry = (
    "register",
    limits.VERSION,
    SHOP.instance,
    SHOP.applications,
    SHOP.window,
    dict(SHOP.labels),
    WORKER_NONCE,
)
REGISTERED: Entry = ("registered", BOUNDS, 10_000)
OPENING: list[Step] = [
    worker("register", SHOP, WORKER_NONCE),
    ARRIVES,
    dispatcher("registered", 10_000),
    ARRIVES,
]
"""How every link begins that carries requests."""


def frame(*message: Any) -> bytes:
    """The bytes of any message, legal or not."""
    return encode_frame(message)


def in_state(state: str) -> Wire:
    """A wire whose link stands in this state, with nothing on the way."""
    asked = OPENING[:2]
    challenged = [*asked, dispatcher("challenge", DISPATCHER_NONCE), ARRIVES]
    steps: dict[str, list[Step]] = {
        "new": [],
        "asked": asked,
        "challenged": challenged,
        "proved": [*challenged, worker("register", SHOP, WORKER_NONCE, PROOF)],
        "serving": OPENING,
        "draining": [*OPENING, worker("draining")],
        "lost": [*asked, dispatcher("rejected", "draining", "Come back later.")],
    }
    wire = Wire()
    wire.play(steps[state])
    return wire
