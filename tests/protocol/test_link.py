"""The two ends of a link, joined by a fake wire, and each alone against a peer made of bytes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol import messages as m
from protocol.dispatcher_end import DispatcherEnd
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.link import TRANSITIONS, State
from protocol.messages import SCHEMA, Side
from protocol.worker_end import WorkerEnd
from tests.protocol.dialogues import DIALOGUES, PAGE
from tests.protocol.fakes import (
    ARRIVES,
    BOUNDS,
    OPENING,
    PROOF,
    REGISTERED,
    SHOP,
    WORKER_NONCE,
    Diary,
    Wire,
    at_once,
    byte_by_byte,
    dispatcher,
    frame,
    in_state,
    request,
    request_fields,
    requested,
    worker,
)

# ── Dialogues ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut", [at_once, byte_by_byte])
@pytest.mark.parametrize("story", DIALOGUES)
def test_both_sides_hear_what_the_other_said(story: str, cut: Any) -> None:
    assert heard(Wire(cut), story) == expected(story)


@given(st.sampled_from(sorted(DIALOGUES)), st.data())
def test_however_the_stream_is_cut_both_sides_hear_the_same(story: str, data: st.DataObject) -> None:
    def anyhow(sent: bytes) -> list[bytes]:
        places = data.draw(st.sets(st.integers(0, len(sent)), max_size=8))
        return [sent[start:end] for start, end in pairwise(sorted({0, *places, len(sent)}))]

    assert heard(Wire(anyhow), story) == expected(story)


def heard(wire: Wire, story: str) -> tuple[Any, ...]:
    wire.play(DIALOGUES[story].steps)
    return (
        wire.dispatcher_hears.entries,
        wire.worker_hears.entries,
        list(wire.dispatcher.held),
        list(wire.worker.held),
        wire.dispatcher.state,
        wire.dispatcher.cancelled,
    )


def expected(story: str) -> tuple[Any, ...]:
    dialogue = DIALOGUES[story]
    state = State.LOST if "rejected" in story else State.DRAINING if "drain" in story else State.SERVING
    return (dialogue.dispatcher_hears, dialogue.worker_hears, dialogue.held, dialogue.held, state, set())


# ── States ───────────────────────────────────────────────────────────────────────────────────────

STATES = [state.value for state in State]
EXAMPLES: dict[int, tuple[Any, ...]] = {
    m.REGISTER: (3, SHOP.instance, SHOP.applications, 8, {}, WORKER_NONCE, PROOF),
    m.RESPONSE: (1, 200, PAGE, b"", True),
    m.BODY: (1, b"", True),
    m.REFUSED: (1,),
    m.PONG: (),
    m.DRAINING: (),
    m.CHALLENGE: (bytes(32),),
    m.REGISTERED: (BOUNDS, 10_000),
    m.REJECTED: ("draining", "Come back later."),
    m.REQUEST: (1, *request_fields()),
    m.CANCEL: (1,),
    m.PING: (),
    m.DRAIN: (),
}
ALONE = sorted(set(SCHEMA) - {m.RESPONSE, m.BODY, m.REFUSED, m.CANCEL})
"""Messages that mean something while no exchange is held."""


def test_every_message_has_an_example() -> None:
    assert list(EXAMPLES) == list(SCHEMA)


@pytest.mark.parametrize(
    ("state", "number"),
    [(s, n) for s in STATES for n in SCHEMA if n not in TRANSITIONS[State(s)] and s != "lost"],
)
def test_a_message_that_the_state_does_not_allow_is_an_error_of_the_peer(state: str, number: int) -> None:
    end = receiver(in_state(state), number)
    with pytest.raises(RemoteProtocolError) as caught:
        end.receive(frame(number, *EXAMPLES[number]))
    assert str(caught.value) == f"{SCHEMA[number].name} is not legal while the link is {state}"
    assert end.state is State.LOST


@pytest.mark.parametrize(
    ("state", "number"), [(s, n) for s in STATES for n in ALONE if n in TRANSITIONS[State(s)]]
)
def test_a_message_that_the_state_allows_leads_where_the_table_says(state: str, number: int) -> None:
    end = receiver(in_state(state), number)
    end.receive(frame(number, *EXAMPLES[number]))
    assert end.state is TRANSITIONS[State(state)][number]


@pytest.mark.parametrize(
    ("state", "number"),
    [(s, n) for s in STATES for n in ALONE if n not in {m.REQUEST, *TRANSITIONS[State(s)]}],
)
def test_what_the_state_does_not_allow_us_is_our_own_error_and_changes_nothing(
    state: str, number: int
) -> None:
    end = sender(in_state(state), number)
    verb = SCHEMA[number].name
    fields = {"register": (SHOP, WORKER_NONCE), "registered": (10_000,)}.get(verb, EXAMPLES[number])
    with pytest.raises(LocalProtocolError, match=f"^{verb} is not legal while the link is {state}$"):
        getattr(end, verb)(*fields)
    assert end.state is State(state)


def receiver(wire: Wire, number: int) -> Any:
    return wire.worker if SCHEMA[number].side is Side.DISPATCHER else wire.dispatcher


def sender(wire: Wire, number: int) -> Any:
    return wire.dispatcher if SCHEMA[number].side is Side.DISPATCHER else wire.worker


@pytest.mark.parametrize("state", [state for state in STATES if state != "serving"])
def test_a_dispatcher_hands_requests_to_serving_links_only(state: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^request is not legal while the link is {state}$"):
        in_state(state).dispatcher_says("request", "A", *request_fields())


def test_an_end_tells_its_state_and_how_much_it_holds() -> None:
    wire = in_state("serving")
    wire.play([request("A"), request("B")])
    assert repr(wire.dispatcher) == "<DispatcherEnd serving, holds 2>"
    assert repr(wire.worker) == "<WorkerEnd serving, holds 2>"


def test_a_lost_link_keeps_what_is_still_to_settle_and_acts_on_nothing() -> None:
    wire = in_state("serving")
    wire.play([request("A"), ARRIVES])
    for end in (wire.dispatcher, wire.worker):
        end.lose()
    wire.dispatcher.receive(frame(m.RESPONSE, 1, 200, PAGE, b"", True))
    wire.worker.receive(frame(m.REQUEST, *requested(2)[1:]))
    assert (wire.dispatcher.held, wire.worker.held) == ({1: "A"}, {1: False})
    with pytest.raises(LocalProtocolError, match=r"^response is not legal while the link is lost$"):
        wire.worker.response(1, 200, PAGE, b"", True)


def test_a_length_over_the_limit_is_an_error_at_either_end() -> None:
    wire = in_state("serving")
    for end in (wire.dispatcher, wire.worker):
        with pytest.raises(RemoteProtocolError, match=r"is over the limit of 2097152$"):
            end.receive(frame(m.PONG if end is wire.dispatcher else m.PING) + b"\x00\xff\xff\xff")
        assert end.state is State.LOST


@pytest.mark.parametrize("place", [0, 5, 12, 20])
def test_what_comes_over_a_lost_link_is_no_error_however_it_is_cut(place: int) -> None:
    sent = frame(m.PONG) + b"\x00\x00\x00\x01\xc1" + b"\x00\xff\xff\xff" + bytes(20)
    wire = in_state("lost")
    for end in (wire.dispatcher, wire.worker):
        end.lose()
        end.receive(sent[:place])
        end.receive(sent[place:])


@pytest.mark.parametrize("data", [b"\0\0\0\1\xc1", frame(m.PONG) + b"\0\0\0\1\xc1"])
def test_after_an_error_of_the_peer_the_link_is_lost(data: bytes) -> None:
    wire = in_state("serving")
    with pytest.raises(RemoteProtocolError):
        wire.dispatcher.receive(data)
    assert wire.dispatcher.state is State.LOST


@pytest.mark.parametrize("cut", [at_once, byte_by_byte])
def test_what_stands_in_front_of_an_error_counts_however_the_stream_was_cut(cut: Any) -> None:
    wire = in_state("serving")
    wire.play([request("A"), ARRIVES])
    good = frame(m.RESPONSE, 1, 200, PAGE, b"saved", True)
    pieces = cut(good + frame(m.RESPONSE, 1, 200, PAGE, b"", True))
    with pytest.raises(RemoteProtocolError):
        [wire.dispatcher.receive(piece) for piece in pieces]
    assert wire.dispatcher_hears.entries[1:] == [("response", "A", 200, PAGE, b"saved", True)]


# ── The dispatcher's end against workers that misbehave ──────────────────────────────────────────


def holding(*, begun: bool = False, cancelled: bool = False) -> Wire:
    """A link that holds exchange 1."""
    wire = in_state("serving")
    wire.play([request("A"), ARRIVES])
    if begun:
        wire.play([worker("response", 1, 200, PAGE, b"", False)])
    if cancelled:
        wire.play([dispatcher("cancel", 1)])
    wire.dispatcher_hears.entries.clear()
    return wire


@pytest.mark.parametrize("exchange", [0, 2, -1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("name", ["response", "refused"])
def test_an_id_that_the_link_does_not_hold_is_an_error(name: str, exchange: int) -> None:
    wire = holding()
    fields = {"response": (m.RESPONSE, exchange, 200, PAGE, b"", True), "refused": (m.REFUSED, exchange)}[
        name
    ]
    with pytest.raises(RemoteProtocolError) as caught:
        wire.dispatcher.receive(frame(*fields))
    assert str(caught.value) == f"{name} names exchange {exchange}, which the link does not hold"
    assert wire.dispatcher.held == {1: "A"}


def test_a_second_reply_is_an_error() -> None:
    wire = holding()
    reply = frame(m.RESPONSE, 1, 200, PAGE, b"", True)
    wire.dispatcher.receive(reply)
    with pytest.raises(
        RemoteProtocolError, match=r"^response names exchange 1, which the link does not hold$"
    ):
        wire.dispatcher.receive(reply)


@pytest.mark.parametrize("last", [True, False])
def test_a_second_beginning_is_an_error_and_leaves_the_exchange_to_be_settled(last: bool) -> None:
    wire = holding(begun=True)
    with pytest.raises(RemoteProtocolError, match=r"^a second response came for exchange 1$"):
        wire.dispatcher.receive(frame(m.RESPONSE, 1, 200, PAGE, b"", last))
    assert wire.dispatcher.held == {1: "A"}


@pytest.mark.parametrize("begun", [True, False])
def test_a_body_without_its_response_is_an_error(begun: bool) -> None:
    wire = holding(begun=begun)
    exchange = 2 if begun else 1
    with pytest.raises(RemoteProtocolError) as caught:
        wire.dispatcher.receive(frame(m.BODY, exchange, b"x", True))
    assert str(caught.value) == f"a body came for exchange {exchange}, which has no response that goes on"
    assert wire.dispatcher.held == {1: "A"}


def test_a_body_after_the_last_one_is_an_error() -> None:
    wire = holding(begun=True)
    with pytest.raises(RemoteProtocolError, match=r"^a body came for exchange 1, which has no response"):
        wire.dispatcher.receive(frame(m.BODY, 1, b"x", True) + frame(m.BODY, 1, b"x", True))


def test_a_refusal_after_the_beginning_is_an_error_and_leaves_the_exchange_to_be_settled() -> None:
    wire = holding(begun=True)
    with pytest.raises(RemoteProtocolError, match=r"^exchange 1 was refused after its reply had begun$"):
        wire.dispatcher.receive(frame(m.REFUSED, 1))
    assert wire.dispatcher.held == {1: "A"}


@pytest.mark.parametrize("number", [number for number, row in SCHEMA.items() if row.side is Side.DISPATCHER])
@pytest.mark.parametrize("state", ["new", "serving"])
def test_a_worker_that_speaks_as_a_dispatcher_is_an_error(state: str, number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^{SCHEMA[number].name} came from the wrong side$"):
        in_state(state).dispatcher.receive(frame(number, *EXAMPLES[number]))


@pytest.mark.parametrize("number", [number for number, row in SCHEMA.items() if row.side is Side.WORKER])
@pytest.mark.parametrize("state", ["new", "serving"])
def test_a_dispatcher_that_speaks_as_a_worker_is_an_error(state: str, number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^{SCHEMA[number].name} came from the wrong side$"):
        in_state(state).worker.receive(frame(number, *EXAMPLES[number]))


@pytest.mark.parametrize(
    "fields",
    [
        (3 + 1, "new field"),
        (4,),
        (2, SHOP.instance, SHOP.applications, 8, {}, WORKER_NONCE, b""),
        (0,),
        (2**64 - 1, ()),
    ],
)
def test_a_worker_of_another_version_is_known_by_its_version_alone(fields: tuple[Any, ...]) -> None:
    wire = in_state("new")
    wire.dispatcher.receive(frame(m.REGISTER, *fields))
    assert wire.dispatcher_hears.entries == [("register", fields[0], "", (), 0, {}, b"", b"")]
    assert wire.dispatcher.rejected("version", "This dispatcher speaks LRWP/3.")


@pytest.mark.parametrize("fields", [(), ("3",), (3,), (True, "", (), 0, {}, b"", b""), (3.0,)])
def test_a_registration_without_a_version_or_its_fields_is_an_error(fields: tuple[Any, ...]) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^register"):
        in_state("new").dispatcher.receive(frame(m.REGISTER, *fields))


def test_only_the_first_registration_may_be_of_another_version() -> None:
    with pytest.raises(RemoteProtocolError, match=r"^register has 7 fields, not 1$"):
        in_state("challenged").dispatcher.receive(frame(m.REGISTER, 4))


def test_the_window_is_what_the_worker_asked_for_last() -> None:
    wire = in_state("challenged")
    assert wire.dispatcher.window == 8
    wire.dispatcher.receive(frame(m.REGISTER, 3, "i", (), 2, {}, WORKER_NONCE, PROOF))
    assert wire.dispatcher.window == 2


def test_a_frame_over_the_first_limit_is_refused_until_the_worker_is_registered() -> None:
    long = frame(m.REGISTER, 3, "x" * limits.REGISTRATION_FRAME, (), 1, {}, b"", b"")
    with pytest.raises(RemoteProtocolError, match=r"^a frame of \d+ bytes is over the limit of 65536$"):
        in_state("new").dispatcher.receive(long)


def test_a_registered_worker_may_send_longer_frames() -> None:
    wire = holding()
    body = bytes(limits.FRAME - limits.HEAD)
    wire.dispatcher.receive(frame(m.RESPONSE, 1, 200, PAGE, body, True))
    assert wire.dispatcher_hears.entries == [("response", "A", 200, PAGE, body, True)]


# ── The worker's end against dispatchers that misbehave ──────────────────────────────────────────


@pytest.mark.parametrize("exchange", [0, 1, 3, -1, 2**64 - 1])
def test_an_id_that_is_not_one_more_than_the_last_one_is_an_error(exchange: int) -> None:
    wire = holding()
    with pytest.raises(RemoteProtocolError, match=f"^exchange {exchange} came after exchange 1$"):
        wire.worker.receive(frame(m.REQUEST, exchange, *request_fields()))


def test_a_request_over_the_window_is_an_error() -> None:
    wire = in_state("serving")
    wire.play([request("A") for _ in range(8)])
    with pytest.raises(
        RemoteProtocolError, match=r"^exchange 9 is one more than the window of 8 lets us hold$"
    ):
        wire.worker.receive(frame(m.REQUEST, 9, *request_fields()))


def test_a_body_for_a_complete_request_is_an_error() -> None:
    with pytest.raises(
        RemoteProtocolError, match=r"^a body came for exchange 1, whose request was complete$"
    ):
        holding().worker.receive(frame(m.BODY, 1, b"", True))


def test_a_body_after_the_last_piece_is_an_error() -> None:
    wire = in_state("serving")
    wire.play([request("A", b"", False), dispatcher("body", 1, b"", True)])
    with pytest.raises(
        RemoteProtocolError, match=r"^a body came for exchange 1, whose request was complete$"
    ):
        wire.worker.receive(frame(m.BODY, 1, b"", True))


def test_a_body_after_cancel_is_an_error() -> None:
    wire = in_state("serving")
    wire.play([request("A", b"", False), dispatcher("cancel", 1)])
    with pytest.raises(
        RemoteProtocolError, match=r"^a body came for exchange 1, whose request was complete$"
    ):
        wire.worker.receive(frame(m.BODY, 1, b"", True))


@pytest.mark.parametrize("exchange", [0, 2, -1])
@pytest.mark.parametrize("name", ["body", "cancel"])
def test_a_message_for_an_exchange_that_never_came_is_an_error(name: str, exchange: int) -> None:
    fields = {"body": (m.BODY, exchange, b"", True), "cancel": (m.CANCEL, exchange)}[name]
    with pytest.raises(RemoteProtocolError, match=f"^{name} names exchange {exchange}, which never came$"):
        holding().worker.receive(frame(*fields))


@pytest.mark.parametrize(
    "bounds",
    [{}, {"frame": 1}, {"frame": 0, "piece": 1}, {"frame": "1", "piece": 1}, {"frame": True, "piece": 1}],
)
def test_limits_that_a_worker_cannot_keep_are_an_error(bounds: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^registered\.limits has no usable (frame|piece)$"):
        in_state("asked").worker.receive(frame(m.REGISTERED, bounds, 10_000))


def test_limits_that_a_worker_does_not_know_are_for_later_versions() -> None:
    wire = in_state("asked")
    wire.worker.receive(frame(m.REGISTERED, {**BOUNDS, "hedgehogs": 3}, 10_000))
    assert wire.worker_hears.entries == [("registered", {**BOUNDS, "hedgehogs": 3}, 10_000)]


@pytest.mark.parametrize("heartbeat", [0, -1])
def test_a_heartbeat_that_is_no_time_is_an_error(heartbeat: int) -> None:
    with pytest.raises(
        RemoteProtocolError, match=f"^registered.heartbeat is {heartbeat}, not a number of millis"
    ):
        in_state("asked").worker.receive(frame(m.REGISTERED, BOUNDS, heartbeat))


# ── Our own errors ───────────────────────────────────────────────────────────────────────────────


def test_a_dispatcher_keeps_to_the_window() -> None:
    wire = in_state("serving")
    wire.play([request("A") for _ in range(8)])
    with pytest.raises(LocalProtocolError, match=r"^the link holds 8 exchanges, as many as its window$"):
        wire.dispatcher_says("request", "B", *request_fields())


def test_a_cancelled_exchange_keeps_its_place_in_the_window_until_it_is_settled() -> None:
    wire = in_state("serving")
    wire.play([request("A") for _ in range(8)])
    wire.play([dispatcher("cancel", 1)])
    with pytest.raises(LocalProtocolError):
        wire.dispatcher_says("request", "B", *request_fields())
    wire.play([worker("refused", 1), ARRIVES, request("B")])
    assert list(wire.dispatcher.held) == list(wire.worker.held) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_a_request_that_does_not_fit_into_a_frame_holds_no_place_and_uses_no_id() -> None:
    wire = in_state("serving")
    with pytest.raises(LocalProtocolError, match=r"over the frame limit"):
        wire.dispatcher_says("request", "A", *request_fields(bytes(limits.FRAME), True, "POST"))
    assert wire.dispatcher.held == {}
    wire.play([request("B")])
    assert wire.worker_hears.entries[1:] == [requested(1)]


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [request("A")],
        [request("A", b"", False), dispatcher("body", 1, b"", True)],
        [request("A", b"", False), dispatcher("cancel", 1)],
        [request("A", b"", False), ARRIVES, worker("response", 1, 413, PAGE, b"", True)],
    ],
    ids=["unknown", "complete", "completed", "cancelled", "settled"],
)
def test_a_dispatcher_sends_no_body_that_nobody_reads(steps: list[Any]) -> None:
    wire = in_state("serving")
    wire.play(steps)
    assert wire.dispatcher.is_sending(1) is False
    with pytest.raises(
        LocalProtocolError, match=r"^exchange 1 takes no body: complete, cancelled or settled$"
    ):
        wire.dispatcher.body(1, b"", True)


def test_a_dispatcher_goes_on_with_a_body_while_the_reply_begins_and_another_one_ends() -> None:
    wire = in_state("serving")
    wire.play([request("A", b"", False), request("B", b"", False), ARRIVES])
    wire.play([worker("response", 1, 200, PAGE, b"", False), worker("response", 2, 413, PAGE, b"", True)])
    assert [wire.dispatcher.is_sending(1), wire.dispatcher.is_sending(2)] == [True, False]
    assert wire.dispatcher.body(1, b"more", True) == frame(m.BODY, 1, b"more", True)


@pytest.mark.parametrize("steps", [[], [dispatcher("cancel", 1)], [worker("refused", 1)]])
def test_a_dispatcher_cancels_what_the_link_holds_and_only_once(steps: list[Any]) -> None:
    wire = holding()
    wire.play(steps)
    exchange = 1 if steps else 2
    with pytest.raises(
        LocalProtocolError, match=f"^exchange {exchange} cannot be cancelled: the link does not"
    ):
        wire.dispatcher.cancel(exchange)


@pytest.mark.parametrize(
    ("begun", "verb", "fields"),
    [
        (True, "response", (1, 200, PAGE, b"", True)),
        (True, "refused", (1,)),
        (False, "response", (2, 200, PAGE, b"", True)),
        (False, "refused", (2,)),
        (False, "body", (1, b"", True)),
        (False, "body", (2, b"", True)),
    ],
)
def test_a_worker_replies_to_what_it_holds_and_only_once(
    begun: bool, verb: str, fields: tuple[Any, ...]
) -> None:
    wire = holding(begun=begun)
    with pytest.raises(LocalProtocolError, match=f"^exchange {fields[0]} is not held, or its reply has"):
        getattr(wire.worker, verb)(*fields)
    assert wire.worker.held == {1: begun}


@pytest.mark.parametrize("verb", ["response", "body"])
def test_a_reply_that_does_not_fit_into_a_frame_settles_nothing(verb: str) -> None:
    wire = holding(begun=verb == "body")
    fields = (1, 200, PAGE) if verb == "response" else (1,)
    with pytest.raises(LocalProtocolError, match=r"over the frame limit"):
        getattr(wire.worker, verb)(*fields, bytes(limits.FRAME), True)
    assert wire.worker.held == {1: verb == "body"}


def test_a_registration_that_does_not_fit_into_a_frame_can_be_tried_again() -> None:
    end = WorkerEnd(Diary())
    with pytest.raises(LocalProtocolError, match=r"over the frame limit"):
        end.register(SHOP, bytes(limits.FRAME))
    assert (end.state, end.window) == (State.NEW, 0)
    assert end.register(SHOP, WORKER_NONCE)


def test_ends_begin_with_nothing() -> None:
    ends: list[Any] = [DispatcherEnd(Diary()), WorkerEnd(Diary())]
    assert [(end.state, end.held, end.window) for end in ends] == [(State.NEW, {}, 0)] * 2


def test_a_cancelled_exchange_that_never_began_or_goes_on_is_heard_of_once() -> None:
    wire = holding(begun=True, cancelled=True)
    wire.play([worker("body", 1, b"more", False), worker("body", 1, b"", True)])
    assert wire.dispatcher_hears.entries == [("discarded", "A")]
    assert wire.dispatcher.cancelled == set()


def test_the_first_bytes_of_a_link_are_those_of_its_register_message() -> None:
    wire = Wire()
    wire.play(OPENING)
    assert wire.worker_hears.entries == [REGISTERED]
    assert WorkerEnd(Diary()).register(SHOP, WORKER_NONCE)[:1] == b"\0"
