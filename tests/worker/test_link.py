"""A worker's end of a link, over a pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from protocol.errors import LocalProtocolError
from protocol.registration import Claim, Registration
from tests.waiting import until
from tests.worker.dispatchers import FakeLink
from worker.body import ClientLeftError
from worker.link import Link, LinkLostError

if TYPE_CHECKING:
    from worker.exchange import Exchange

PAGES = Registration("worker", (Claim("pages", "", "/pages"),))


class Desk:
    """A link, what it has taken, and the dispatcher's end of it."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self.taken: list[tuple[int, Exchange]] = []
        self.dispatcher = FakeLink(there)
        self.link = Link(here, PAGES, None, self._take, lambda application, target: "/pages")

    def _take(self, link: Link, exchange_id: int, exchange: Exchange) -> None:
        assert link is self.link
        self.taken.append((exchange_id, exchange))

    def close(self) -> None:
        self.link.close()
        self.dispatcher.socket.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A desk whose link is registered."""
    desk = Desk()
    desk.dispatcher.register()
    desk.link.read()
    yield desk
    desk.close()


def test_a_link_that_is_accepted_knows_the_heartbeat(desk: Desk) -> None:
    assert (desk.link.is_registered, desk.link.heartbeat) == (True, 10.0)
    assert repr(desk.link) == "<Link <WorkerEnd serving, holds 0>>"


def test_a_link_learns_how_long_the_dispatcher_waits(desk: Desk) -> None:
    assert desk.link.patience == 0.0
    desk.link.on_registered({"request_timeout": 60_000}, 250)
    assert desk.link.patience == 60.0
    desk.link.on_registered({"request_timeout": "long"}, 250)
    assert desk.link.patience == 60.0


def test_whether_a_link_is_cut_is_seen_without_reading(desk: Desk) -> None:
    desk.dispatcher.request()
    assert not desk.link.is_cut()
    desk.dispatcher.socket.close()
    until(desk.link.is_cut)
    desk.link.close()
    assert desk.link.is_cut()


def test_looking_does_not_wait(desk: Desk) -> None:
    desk.link.look()
    desk.dispatcher.request()
    desk.link.look()
    assert [number for number, _ in desk.taken] == [1]


def test_reading_takes_all_that_has_come(desk: Desk) -> None:
    for _ in range(3):
        desk.dispatcher.request()
    desk.link.read()
    assert [number for number, _ in desk.taken] == [1, 2, 3]
    assert list(desk.link.held) == [1, 2, 3]


@pytest.mark.parametrize("look", ["read", "look"])
def test_the_end_of_the_connection_is_the_end_of_the_link(desk: Desk, look: str) -> None:
    desk.dispatcher.socket.close()
    with pytest.raises(LinkLostError, match="the dispatcher has closed the link"):
        getattr(desk.link, look)()


@pytest.mark.parametrize("look", ["read", "look"])
def test_a_reset_is_the_end_of_the_link(desk: Desk, look: str) -> None:
    desk.link.drain()  # what the dispatcher has not read when it closes becomes a reset
    desk.dispatcher.socket.close()
    with pytest.raises(LinkLostError, match="the dispatcher is gone: Connection reset by peer"):
        getattr(desk.link, look)()


def test_sending_to_nobody_is_the_end_of_the_link(desk: Desk) -> None:
    desk.dispatcher.request()
    desk.link.read()
    desk.dispatcher.socket.close()
    with pytest.raises(LinkLostError, match="the dispatcher is gone: Broken pipe"):
        desk.link.respond(1, 200, b"", b"", True)


def test_a_dispatcher_that_breaks_the_rules_is_the_end_of_the_link(desk: Desk) -> None:
    desk.dispatcher.socket.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(LinkLostError, match="the dispatcher broke the protocol: a frame of 4294967295 bytes"):
        desk.link.read()
    with pytest.raises(LocalProtocolError):
        desk.link.drain()


def test_goodbye_is_said_once(desk: Desk) -> None:
    desk.link.drain()
    desk.link.drain()
    desk.dispatcher.expect("draining")
    assert desk.dispatcher.is_quiet()


def test_a_request_that_crossed_the_goodbye_is_given_back_with_its_body(desk: Desk) -> None:
    exchange = desk.dispatcher.request("POST", last=False)
    desk.dispatcher.say("body", exchange, b"text", True)
    desk.link.drain()
    desk.link.read()
    desk.dispatcher.expect("draining")
    assert desk.dispatcher.expect("refused") == (0,)
    assert desk.taken == []


def test_an_exchange_for_which_nobody_waits_is_given_back_if_it_is_not_begun(desk: Desk) -> None:
    desk.dispatcher.say("cancel", desk.dispatcher.request())
    desk.link.read()
    assert desk.link.cancelled == {1}
    desk.link.settle(1)
    assert desk.dispatcher.expect("discarded") == (0,)
    assert (desk.link.cancelled, desk.link.held) == (set(), {})


def test_an_exchange_for_which_nobody_waits_is_ended_if_it_is_begun(desk: Desk) -> None:
    exchange = desk.dispatcher.request()
    desk.link.read()
    desk.link.respond(exchange, 200, b"", b"half", False)
    desk.dispatcher.expect("response")
    desk.dispatcher.say("cancel", exchange)
    desk.link.read()
    desk.link.settle(exchange)
    assert desk.dispatcher.expect("discarded") == (0,)
    assert (desk.link.cancelled, desk.link.held) == (set(), {})


def test_a_body_waits_for_the_pieces_that_come_over_the_link(desk: Desk) -> None:
    exchange = desk.dispatcher.request("POST", body=b"one ", last=False)
    desk.link.read()
    ((_, taken),) = desk.taken
    desk.dispatcher.say("body", exchange, b"two ", False)
    desk.dispatcher.say("body", exchange, b"three", True)
    assert taken.body.read() == b"one two three"


def test_a_body_is_cut_when_its_client_leaves(desk: Desk) -> None:
    exchange = desk.dispatcher.request("POST", body=b"one", last=False)
    desk.link.read()
    ((_, taken),) = desk.taken
    desk.dispatcher.say("cancel", exchange)
    with pytest.raises(ClientLeftError):
        taken.body.read()


def test_what_is_left_of_a_body_is_dropped_with_its_exchange(desk: Desk) -> None:
    exchange = desk.dispatcher.request("POST", last=False)
    desk.link.read()
    desk.link.respond(exchange, 200, b"", b"", True)
    desk.link.forget(exchange)
    assert desk.link._bodies == {}
    frame = desk.dispatcher.end.body(exchange, b"late", True)
    desk.dispatcher.socket.sendall(frame)
    desk.link.read()


def test_a_connection_that_has_ended_already_makes_no_link() -> None:
    here, there = socket.socketpair()
    there.close()
    with here, pytest.raises(LinkLostError):
        Link(here, PAGES, None, lambda *_: None, lambda *_: "")
