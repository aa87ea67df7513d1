"""What holds on a link whatever happens on it: hypothesis plays both ends, and the part of a mad peer."""

from __future__ import annotations

import struct
from collections import Counter
from contextlib import suppress
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol import limits
from protocol.errors import RemoteProtocolError
from protocol.link import State
from protocol.messages import SCHEMA
from tests.protocol.dialogues import PAGE
from tests.protocol.fakes import (
    ARRIVES,
    BOUNDS,
    Wire,
    dispatcher,
    frame,
    in_state,
    request,
    request_fields,
    worker,
)

ANY_ID = st.integers(0, 2**32)
PIECES = st.binary(max_size=3)


class TwoEnds(RuleBasedStateMachine):
    """A dispatcher and a worker that do anything that is legal, on a wire that delivers when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = in_state("serving")
        self.subjects: dict[int, str] = {}
        self.uploads: dict[int, bytes] = {}
        self.uploading: set[int] = set()
        self.replies: dict[int, bytes] = {}
        self.cancelled_at: dict[str, int] = {}

    def choose(self, exchanges: Any, number: int) -> int:
        return sorted(exchanges)[number % len(exchanges)]

    # What the dispatcher may do

    @precondition(lambda self: self.wire.dispatcher.state is State.SERVING)
    @precondition(lambda self: len(self.wire.dispatcher.held) < limits.WINDOW)
    @rule(body=PIECES, last=st.booleans())
    def hand_over(self, body: bytes, last: bool) -> None:
        exchange = len(self.subjects) + 1
        subject = self.subjects[exchange] = f"request {exchange}"
        self.wire.dispatcher_says("request", subject, *request_fields(body, last, "POST"))
        self.uploads[exchange] = body
        if not last:
            self.uploading.add(exchange)

    def still_uploading(self) -> set[int]:
        end = self.wire.dispatcher
        return {
            exchange for exchange in self.uploading if exchange in end.held and exchange not in end.cancelled
        }

    @precondition(lambda self: self.still_uploading())
    @rule(number=ANY_ID, piece=PIECES, last=st.booleans())
    def go_on_with_a_body(self, number: int, piece: bytes, last: bool) -> None:
        exchange = self.choose(self.still_uploading(), number)
        self.wire.dispatcher_says("body", exchange, piece, last)
        self.uploads[exchange] += piece
        if last:
            self.uploading.remove(exchange)

    @precondition(lambda self: self.wire.dispatcher.held.keys() - self.wire.dispatcher.cancelled)
    @rule(number=ANY_ID)
    def cancel(self, number: int) -> None:
        end = self.wire.dispatcher
        exchange = self.choose(end.held.keys() - end.cancelled, number)
        self.wire.dispatcher_says("cancel", exchange)
        self.cancelled_at[self.subjects[exchange]] = len(self.wire.dispatcher_hears.entries)

    @rule(verb=st.sampled_from(["ping", "drain"]))
    def speak_to_the_worker(self, verb: str) -> None:
        self.wire.dispatcher_says(verb)

    # What the worker may do

    @precondition(lambda self: False in self.wire.worker.held.values())
    @rule(number=ANY_ID, body=PIECES, last=st.booleans())
    def reply(self, number: int, body: bytes, last: bool) -> None:
        exchange = self.choose([key for key, begun in self.wire.worker.held.items() if not begun], number)
        self.wire.worker_says("response", exchange, 200, PAGE, body, last)
        self.replies[exchange] = body

    @precondition(lambda self: True in self.wire.worker.held.values())
    @rule(number=ANY_ID, piece=PIECES, last=st.booleans())
    def go_on_with_a_reply(self, number: int, piece: bytes, last: bool) -> None:
        exchange = self.choose([key for key, begun in self.wire.worker.held.items() if begun], number)
        self.wire.worker_says("body", exchange, piece, last)
        self.replies[exchange] += piece

    @precondition(lambda self: False in self.wire.worker.held.values())
    @rule(number=ANY_ID)
    def refuse(self, number: int) -> None:
        exchange = self.choose([key for key, begun in self.wire.worker.held.items() if not begun], number)
        self.wire.worker_says("refused", exchange)

    @rule()
    def speak_to_the_dispatcher(self) -> None:
        self.wire.worker_says("pong")

    @precondition(lambda self: self.wire.worker.state is State.SERVING and len(self.subjects) > 4)
    @rule()
    def drain(self) -> None:
        self.wire.worker_says("draining")

    # What the wire may do

    @rule(count=st.integers(1, 200))
    def bytes_reach_the_worker(self, count: int) -> None:
        self.wire.deliver_to_worker(count)

    @rule(count=st.integers(1, 200))
    def bytes_reach_the_dispatcher(self, count: int) -> None:
        self.wire.deliver_to_dispatcher(count)

    @rule()
    def everything_arrives(self) -> None:
        self.wire.deliver()
        assert list(self.wire.worker.held) == list(self.wire.dispatcher.held)

    # What always holds

    @invariant()
    def the_worker_holds_nothing_that_the_dispatcher_does_not_know_of(self) -> None:
        assert self.wire.worker.held.keys() <= self.wire.dispatcher.held.keys()

    @invariant()
    def the_link_never_holds_more_than_its_window(self) -> None:
        assert len(self.wire.dispatcher.held) <= limits.WINDOW

    @invariant()
    def what_is_cancelled_is_held(self) -> None:
        assert self.wire.dispatcher.cancelled <= self.wire.dispatcher.held.keys()

    @invariant()
    def what_is_held_is_not_settled_and_what_is_settled_is_not_held(self) -> None:
        held = Counter(self.wire.dispatcher.held.values())
        assert settled(self.wire) + held == Counter(self.subjects.values())

    @invariant()
    def nothing_but_its_end_is_heard_of_a_cancelled_exchange(self) -> None:
        for subject, start in self.cancelled_at.items():
            later = [entry for entry in self.wire.dispatcher_hears.entries[start:] if subject in entry[1:2]]
            assert later in ([], [("discarded", subject)])

    def teardown(self) -> None:
        """Let the worker finish what it holds."""
        self.wire.deliver()
        for exchange, begun in list(self.wire.worker.held.items()):
            fields = (exchange, b"", True) if begun else (exchange, 200, PAGE, b"", True)
            self.wire.worker_says("body" if begun else "response", *fields)
            self.replies.setdefault(exchange, b"")
        self.wire.deliver()
        assert (self.wire.dispatcher.held, self.wire.worker.held) == ({}, {})
        assert settled(self.wire) == Counter(self.subjects.values())
        for exchange, subject in self.subjects.items():
            if subject not in self.cancelled_at:
                assert body_of(self.wire.dispatcher_hears.entries, subject) == self.replies.get(exchange, b"")
            uploaded = body_of(self.wire.worker_hears.entries, exchange)
            assert uploaded == self.uploads[exchange][: len(uploaded)]


def settled(wire: Wire) -> Counter[str]:
    """How often each subject was settled, by what the dispatcher heard."""
    return Counter(
        entry[1]
        for entry in wire.dispatcher_hears.entries
        if entry[0] in {"refused", "discarded"} or (entry[0] in {"response", "body"} and entry[-1])
    )


def body_of(entries: list[tuple[Any, ...]], subject: object) -> bytes:
    """All that was heard of a body."""
    return b"".join(
        entry[-2] for entry in entries if entry[0] in {"request", "response", "body"} and entry[1] == subject
    )


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


# ── A mad peer ───────────────────────────────────────────────────────────────────────────────────


def busy() -> Wire:
    """A link on which much has happened: one exchange in each standing."""
    wire = in_state("serving")
    wire.play(
        [
            *(request(f"request {exchange}", b"", exchange % 2 == 0) for exchange in range(1, 7)),
            ARRIVES,
            worker("response", 1, 200, PAGE, b"", False),
            worker("response", 2, 200, PAGE, b"", False),
            worker("response", 3, 200, PAGE, b"", True),
            ARRIVES,
            dispatcher("cancel", 1),
            dispatcher("cancel", 4),
        ]
    )
    return wire


LINKS = {"busy": busy, **{state.value: lambda state=state: in_state(state.value) for state in State}}

INTEGERS = st.integers(0, 8) | st.sampled_from([-1, 255, 2**31, 2**63, 2**64 - 1, -(2**63)])
SCALARS = (
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=2),
    max_leaves=5,
)
FIELDS: dict[type, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    bool: st.booleans(),
    str: st.sampled_from(["", "shop", "draining"]),
    bytes: st.binary(max_size=5),
    tuple: st.lists(VALUES, max_size=2).map(tuple),
    dict: st.just(BOUNDS) | st.dictionaries(st.text(max_size=2), VALUES, max_size=2),
}
PLAUSIBLE = st.one_of(
    [st.tuples(st.just(number), *(FIELDS[kind] for _, kind in row.fields)) for number, row in SCHEMA.items()]
)
PAYLOADS = st.one_of(PLAUSIBLE.map(msgpack.packb), VALUES.map(msgpack.packb), st.binary(max_size=20))
FRAMES = PAYLOADS.map(lambda payload: struct.pack(">I", len(payload)) + payload)
STREAMS = st.lists(st.one_of(FRAMES, FRAMES, st.binary(max_size=5)), max_size=4).map(b"".join)


@settings(deadline=None)
@given(st.sampled_from(sorted(LINKS)), STREAMS)
def test_whatever_a_peer_sends_the_only_error_is_its_own(link: str, sent: bytes) -> None:
    wire = LINKS[link]()
    for end in (wire.dispatcher, wire.worker):
        with suppress(RemoteProtocolError):
            end.receive(sent)


@settings(deadline=None)
@given(st.sampled_from(sorted(LINKS)), STREAMS, st.integers(0, 60))
def test_an_error_does_not_depend_on_how_the_stream_was_cut(link: str, sent: bytes, place: int) -> None:
    assert outcome(LINKS[link](), [sent]) == outcome(LINKS[link](), [sent[:place], sent[place:]])


def outcome(wire: Wire, pieces: list[bytes]) -> tuple[Any, ...]:
    """What becomes of a dispatcher's end that receives these pieces."""
    complaint = ""
    try:
        for piece in pieces:
            wire.dispatcher.receive(piece)
    except RemoteProtocolError as error:
        complaint = str(error)
    end = wire.dispatcher
    return complaint, wire.dispatcher_hears.entries, end.held, end.cancelled, end.state


@given(st.lists(st.sampled_from([frame(5), frame(4, 1), frame(2, 2, 200, b"", b"", True)]), max_size=8))
def test_an_exchange_of_a_lost_link_is_either_settled_or_still_held(frames: list[bytes]) -> None:
    wire = in_state("serving")
    wire.play([request("A"), request("B")])
    with suppress(RemoteProtocolError):
        wire.dispatcher.receive(b"".join(frames))
    assert settled(wire) + Counter(wire.dispatcher.held.values()) == Counter(["A", "B"])
