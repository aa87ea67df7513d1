"""The late reply: what comes for a request that nobody waits for any more reaches nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.dispatcher.house import House, a_house
from tests.dispatcher.test_links import serves
from tests.peers import Browser, Peer

Reply = Callable[[Peer, int, bytes], None]


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


@pytest.fixture
def peer(house: House) -> Iterator[Peer]:
    with house.peer() as peer:
        yield peer.register()


def whole(peer: Peer, exchange: int, body: bytes) -> None:
    peer.answer(exchange, body)


def streamed(peer: Peer, exchange: int, body: bytes) -> None:
    peer.say("response", exchange, 200, b"X-Accel-Buffering: no\r\n", body[:1], False)
    peer.say("body", exchange, body[1:], False)
    peer.say("body", exchange, b"", True)


def with_a_length(peer: Peer, exchange: int, body: bytes) -> None:
    peer.say("response", exchange, 200, b"Content-Length: %d\r\n" % len(body), b"", False)
    peer.say("body", exchange, body, True)


replies = pytest.mark.parametrize("reply", [whole, streamed, with_a_length])


@replies
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_answer_to_a_request_that_timed_out_is_not_that_to_the_next(
    house: House, peer: Peer, method: str, reply: Reply
) -> None:
    with house.browser() as one, house.browser() as two, ExitStack() as stack:
        one.ask(method, "/pages/a")
        late = peer.expect_request().exchange
        house.pass_time(60.1)
        assert one.read().status == 504
        other = stack.enter_context(house.peer(instance="other")).register()
        two.ask(method, "/pages/b")
        exchange = other.expect_request().exchange
        assert exchange == late  # each link counts for itself
        with suppress(OSError):  # the link was cut off
            reply(peer, late, b"late")
        one.ask(method, "/pages/c")  # and on the connection that has had the 504
        reply(other, exchange, b"right")
        assert two.read().body == b"right"
        request = other.expect_request()
        assert request.target == b"/pages/c"
        reply(other, request.exchange, b"right as well")
        assert one.read().body == b"right as well"
        peer.expect_end()


@replies
def test_an_answer_that_times_out_in_its_middle_does_not_go_on_in_the_next(
    house: House, peer: Peer, reply: Reply
) -> None:
    with house.browser() as one, house.browser() as two, ExitStack() as stack:
        one.ask("GET", "/pages/a")
        late = peer.expect_request().exchange
        peer.say("response", late, 200, b"X-Accel-Buffering: no\r\n", b"the beginning", False)
        assert one.begin().read(13) == b"the beginning"
        house.pass_time(60.1)
        other = stack.enter_context(house.peer(instance="other")).register()
        two.ask("GET", "/pages/b")
        exchange = other.expect_request().exchange
        with suppress(OSError):
            peer.say("body", late, b"the end", True)
        reply(other, exchange, b"right")
        assert two.read().body == b"right"


def two_behind_one(house: House, peer: Peer, one: Browser, two: Browser) -> tuple[int, int]:
    """Have a link hold two requests, of which its worker has begun neither; returns their ids."""
    connection = house.connection_of(peer)
    with house.browser() as first:
        first.ask("GET", "/pages/first")
        exchange = peer.expect_request().exchange
        (queue,) = house.do(lambda: list(house.front.broker.queues.values()))
        for number, browser in enumerate((one, two), 1):
            browser.ask("GET", f"/pages/{number}")
            house.until(lambda: len(queue) == number)  # noqa: B023 - called at once
        assert connection.link is not None
        connection.link.window = 2
        peer.answer(exchange, b"first")
        assert first.read().body == b"first"
    return peer.expect_request().exchange, peer.expect_request().exchange


@replies
def test_on_a_link_that_lives_on_a_late_answer_is_told_from_the_next_by_its_id(
    house: House, peer: Peer, reply: Reply
) -> None:
    with house.browser() as one, house.browser() as two:
        late, following = two_behind_one(house, peer, one, two)
        one.leave()
        assert peer.expect("cancel") == (late,)
        reply(peer, late, b"late")
        reply(peer, following, b"right")
        assert two.read().body == b"right"
    assert serves(house, peer)


def test_the_pieces_of_a_late_answer_do_not_mix_with_those_of_the_next(house: House, peer: Peer) -> None:
    with house.browser() as one, house.browser() as two:
        late, following = two_behind_one(house, peer, one, two)
        one.leave()
        assert peer.expect("cancel") == (late,)
        for exchange, letter in ((late, b"x"), (following, b"r")):
            peer.say("response", exchange, 200, b"X-Accel-Buffering: no\r\n", letter, False)
        for late_piece, piece in ((b"1", b"i"), (b"2", b"g"), (b"3", b"h")):
            peer.say("body", late, late_piece, False)
            peer.say("body", following, piece, False)
        peer.say("body", following, b"t", True)
        assert two.read().body == b"right"
        peer.say("body", late, b"4", True)
    assert serves(house, peer)


@replies
def test_of_two_workers_with_one_request_only_the_one_that_it_was_given_to_last_answers(
    house: House, peer: Peer, reply: Reply
) -> None:
    with house.browser() as one, house.browser() as two, house.peer(instance="other") as other:
        slow, behind = two_behind_one(house, peer, one, two)
        other.register()
        house.time += 0.02
        house.do(lambda: house.front.relieve(house.time))
        assert peer.expect("cancel") == (behind,)
        request = other.expect_request()
        assert (request.target, request.attempt) == (b"/pages/2", 2)
        reply(peer, behind, b"stale")
        reply(peer, slow, b"slow")
        assert one.read().body == b"slow"
        reply(other, request.exchange, b"fresh")
        assert two.read().body == b"fresh"
    assert serves(house, peer)
