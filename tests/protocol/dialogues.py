"""Everything that two well-behaved ends of a link say to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.protocol.fakes import (
    ARRIVES,
    DISPATCHER_NONCE,
    OPENING,
    PROOF,
    REGISTER,
    REGISTERED,
    SHOP,
    WORKER_NONCE,
    Entry,
    Step,
    dispatcher,
    request,
    requested,
    worker,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class Dialogue(NamedTuple):
    """What is said, what each side hears of it, and the exchanges that the link then holds."""

    steps: list[Step]
    dispatcher_hears: list[Entry]
    worker_hears: list[Entry]
    held: list[int]


def served(
    steps: list[Step], dispatcher: list[Entry], worker: list[Entry], held: Iterable[int] = ()
) -> Dialogue:
    """A dialogue on a registered link."""
    return Dialogue([*OPENING, *steps], [(*REGISTER, b""), *dispatcher], [REGISTERED, *worker], list(held))


PAGE = b"Content-Type: text/plain\r\n"

DIALOGUES: dict[str, Dialogue] = {
    "a worker registers": served([], [], []),
    "a worker registers with proof": Dialogue(
        [
            worker("register", SHOP, WORKER_NONCE),
            ARRIVES,
            dispatcher("challenge", DISPATCHER_NONCE),
            ARRIVES,
            worker("register", SHOP, WORKER_NONCE, PROOF),
            ARRIVES,
            dispatcher("registered", 10_000),
        ],
        [(*REGISTER, b""), (*REGISTER, PROOF)],
        [("challenge", DISPATCHER_NONCE), REGISTERED],
        [],
    ),
    "a worker is rejected": Dialogue(
        [
            worker("register", SHOP, WORKER_NONCE),
            ARRIVES,
            dispatcher("rejected", "draining", "Come back later."),
        ],
        [(*REGISTER, b"")],
        [("rejected", "draining", "Come back later.")],
        [],
    ),
    "a worker's proof is rejected": Dialogue(
        [
            worker("register", SHOP, WORKER_NONCE),
            ARRIVES,
            dispatcher("challenge", DISPATCHER_NONCE),
            ARRIVES,
            worker("register", SHOP, WORKER_NONCE, bytes(32)),
            ARRIVES,
            dispatcher("rejected", "proof", "The proof is wrong."),
        ],
        [(*REGISTER, b""), (*REGISTER, bytes(32))],
        [("challenge", DISPATCHER_NONCE), ("rejected", "proof", "The proof is wrong.")],
        [],
    ),
    "one request, one reply": served(
        [request("A"), ARRIVES, worker("response", 1, 200, PAGE, b"hello", True)],
        [("response", "A", 200, PAGE, b"hello", True)],
        [requested(1)],
    ),
    "two requests wait at one worker and are answered in their order": served(
        [
            request("A"),
            request("B"),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"one", True),
            worker("response", 2, 404, PAGE, b"two", True),
        ],
        [("response", "A", 200, PAGE, b"one", True), ("response", "B", 404, PAGE, b"two", True)],
        [requested(1), requested(2)],
    ),
    "two requests are answered in the other order, their bodies mixed": served(
        [
            request("A"),
            request("B"),
            ARRIVES,
            worker("response", 2, 200, PAGE, b"", False),
            worker("response", 1, 200, PAGE, b"a", False),
            worker("body", 2, b"b", True),
            worker("body", 1, b"a", True),
        ],
        [
            ("response", "B", 200, PAGE, b"", False),
            ("response", "A", 200, PAGE, b"a", False),
            ("body", "B", b"b", True),
            ("body", "A", b"a", True),
        ],
        [requested(1), requested(2)],
    ),
    "bodies come in pieces both ways": served(
        [
            request("A", b"one ", False, "POST"),
            dispatcher("body", 1, b"two ", False),
            dispatcher("body", 1, b"three", True),
            ARRIVES,
            worker("response", 1, 201, PAGE, b"uno ", False),
            worker("body", 1, b"dos ", False),
            ARRIVES,
            worker("body", 1, b"", True),
        ],
        [
            ("response", "A", 201, PAGE, b"uno ", False),
            ("body", "A", b"dos ", False),
            ("body", "A", b"", True),
        ],
        [requested(1, b"one ", False, "POST"), ("body", 1, b"two ", False), ("body", 1, b"three", True)],
    ),
    "a reply begins while the request's body still comes": served(
        [
            request("A", b"one ", False, "POST"),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"echo: ", False),
            dispatcher("body", 1, b"two", True),
            ARRIVES,
            worker("body", 1, b"one two", True),
        ],
        [("response", "A", 200, PAGE, b"echo: ", False), ("body", "A", b"one two", True)],
        [requested(1, b"one ", False, "POST"), ("body", 1, b"two", True)],
    ),
    "a reply ends before the request's body does: what is on the way means nothing": served(
        [
            request("A", b"one ", False, "POST"),
            ARRIVES,
            worker("response", 1, 413, PAGE, b"", True),
            dispatcher("body", 1, b"two ", False),
            ARRIVES,
            request("B"),
            ARRIVES,
            worker("response", 2, 200, PAGE, b"", True),
        ],
        [("response", "A", 413, PAGE, b"", True), ("response", "B", 200, PAGE, b"", True)],
        [requested(1, b"one ", False, "POST"), requested(2)],
    ),
    "a request is refused and given again under another id": served(
        [request("A"), ARRIVES, worker("refused", 1), ARRIVES, request("A")],
        [("refused", "A")],
        [requested(1), requested(2)],
        held=[2],
    ),
    "a request that was not begun is cancelled": served(
        [request("A"), ARRIVES, dispatcher("cancel", 1), ARRIVES, worker("refused", 1)],
        [("discarded", "A")],
        [requested(1), ("cancel", 1)],
    ),
    "a request is cancelled and finished all the same": served(
        [
            request("A"),
            ARRIVES,
            dispatcher("cancel", 1),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"late", True),
        ],
        [("discarded", "A")],
        [requested(1), ("cancel", 1)],
    ),
    "a request is cancelled and its reply, late and in pieces, goes nowhere": served(
        [
            request("A"),
            ARRIVES,
            dispatcher("cancel", 1),
            request("B"),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"la", False),
            worker("body", 1, b"te", False),
            worker("response", 2, 200, PAGE, b"B's own", True),
            worker("body", 1, b"", True),
        ],
        [("response", "B", 200, PAGE, b"B's own", True), ("discarded", "A")],
        [requested(1), ("cancel", 1), requested(2)],
    ),
    "a cancel meets the reply on the wire": served(
        [
            request("A"),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"late", True),
            dispatcher("cancel", 1),
            ARRIVES,
            request("B"),
        ],
        [("discarded", "A")],
        [requested(1), requested(2)],
        held=[2],
    ),
    "a streaming reply is cancelled and ends with an empty piece": served(
        [
            request("A"),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"tick", False),
            ARRIVES,
            dispatcher("cancel", 1),
            worker("body", 1, b"tock", False),
            ARRIVES,
            worker("body", 1, b"", True),
        ],
        [("response", "A", 200, PAGE, b"tick", False), ("discarded", "A")],
        [requested(1), ("cancel", 1)],
    ),
    "an upload is cancelled: the rest of the body does not come": served(
        [
            request("A", b"one ", False, "POST"),
            ARRIVES,
            dispatcher("cancel", 1),
            ARRIVES,
            worker("response", 1, 400, PAGE, b"", True),
        ],
        [("discarded", "A")],
        [requested(1, b"one ", False, "POST"), ("cancel", 1)],
    ),
    "an idle worker is asked whether it is alive": served(
        [dispatcher("ping"), ARRIVES, worker("pong")], [("pong",)], [("ping",)]
    ),
    "a worker is asked to drain: it finishes, and refuses what crossed its goodbye": served(
        [
            request("A"),
            dispatcher("drain"),
            ARRIVES,
            worker("draining"),
            request("B"),
            ARRIVES,
            worker("refused", 2),
            worker("response", 1, 200, PAGE, b"bye", True),
        ],
        [("draining",), ("refused", "B"), ("response", "A", 200, PAGE, b"bye", True)],
        [requested(1), ("drain",), requested(2)],
    ),
    "a worker drains by itself while it is asked to": served(
        [worker("draining"), dispatcher("drain"), dispatcher("ping"), ARRIVES, worker("pong")],
        [("draining",), ("pong",)],
        [("drain",), ("ping",)],
    ),
}
"""What is said, and what each side hears of it, by a sentence that tells the story."""
