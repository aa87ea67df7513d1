"""The dispatcher's end of a link, spoken to through real sockets by peers that behave well, and badly."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from dispatcher.keyring import Keyring
from dispatcher.settings import ApplicationSettings, Limits
from dispatcher.spool import Spool
from dispatcher.stranger import CLOSING_TIME, REGISTRATION_TIME
from protocol import limits, messages
from protocol.frames import encode_frame
from protocol.registration import Claim, Registration
from protocol.settings import Duration
from tests.dispatcher.fakes import an_exchange
from tests.dispatcher.house import House, a_house
from tests.peers import Browser, Peer, Request

SECRET = b"sixteen bytes or more"
GARBAGE = b"\x00\x00\x00\x01\xc1"
"""A frame with the one byte that msgpack never uses."""


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


@pytest.fixture
def guarded() -> Iterator[House]:
    with a_house(keyring=Keyring((SECRET,))) as house:
        yield house


@pytest.fixture
def peer(house: House) -> Iterator[Peer]:
    with house.peer() as peer:
        yield peer.register()


@pytest.fixture
def browser(house: House) -> Iterator[Browser]:
    with house.browser() as browser:
        yield browser


def serves(house: House, peer: Peer, path: str = "/pages") -> bool:
    """Whether a worker gets a request and its client the answer."""
    with house.browser() as browser:
        browser.ask("GET", path)
        peer.answer(peer.expect_request().exchange, b"alive")
        return browser.read().body == b"alive"


# Registration


def test_a_worker_that_registers_hears_the_limits_and_the_heartbeat(house: House) -> None:
    with house.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        bounds = {"frame": limits.FRAME, "piece": limits.PIECE, "request_timeout": 60_000}
        assert peer.expect("registered") == (bounds, 10_000)


def test_a_registration_may_come_byte_by_byte(house: House) -> None:
    with house.peer() as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in peer.end.register(peer.registration, peer.nonce):
            peer.socket.sendall(bytes([byte]))
        peer.expect("registered")
        assert serves(house, peer)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\xff\x00\x01", b"pages\0127.0.0.1\0"])
def test_who_speaks_no_version_of_the_protocol_is_sent_away_with_one_line(
    house: House, peer: Peer, first: bytes
) -> None:
    with capture_logs() as log, house.peer() as stranger:
        stranger.socket.sendall(first)
        sentence = b"this is no registration: is it meant for another port?"
        refusal = b"REJECTED\xff%b\xff" if first.startswith(b"\xff") else b"ERROR: %b"
        assert stranger.socket.recv(100) == refusal % sentence
        assert stranger.socket.recv(100) == b""
        house.until(lambda: len(house.front.links) == 1)
        assert [entry["event"] for entry in log] == ["worker rejected"]
        assert "is it meant for another port?" in log[0]["reason"]
    assert serves(house, peer)


@pytest.mark.parametrize("beginning", [b"", b"\x00\x00\x00"])
def test_who_does_not_register_in_time_is_dropped(house: House, beginning: bytes) -> None:
    with house.peer() as peer:
        peer.socket.sendall(beginning)
        house.until(lambda: house.front.links)
        house.pass_time(REGISTRATION_TIME)
        assert peer.is_quiet()
        house.pass_time(0.1)
        peer.expect_end()


@pytest.mark.parametrize(
    "frame",
    [
        GARBAGE,
        b"\x00\x02\x00\x00",  # longer than a registration may be
        encode_frame((messages.RESPONSE, 1, 200, b"", b"", True)),
        encode_frame((messages.REGISTER, 3, "peer")),
        encode_frame((messages.PING,)),
    ],
)
def test_a_worker_that_begins_with_anything_but_a_registration_is_dropped(house: House, frame: bytes) -> None:
    with house.peer() as peer:
        peer.socket.sendall(frame)
        peer.expect_end()


def test_a_worker_of_a_future_version_hears_why_it_is_rejected(house: House) -> None:
    with house.peer() as peer:
        peer.socket.sendall(encode_frame((messages.REGISTER, 4, {"a field": "of the future"})))
        assert peer_is_rejected(peer) == ("version", "this dispatcher speaks LRWP/3, not LRWP/4")


def peer_is_rejected(peer: Peer) -> tuple[str, str]:
    """Return what a worker is told before its connection ends; its own end need not have registered."""
    if peer.end.state.value == "new":
        peer.end.register(peer.registration, peer.nonce)
    code, sentence = peer.expect("rejected")
    peer.expect_end()
    return code, sentence


def test_a_registration_that_breaks_a_rule_is_rejected_with_a_sentence(house: House) -> None:
    with house.peer(path="/pages/") as peer:
        peer.say("register", peer.registration, peer.nonce)
        code, sentence = peer_is_rejected(peer)
        assert (code, sentence.partition(":")[0]) == ("registration", "the path of pages must be plain")


def test_a_path_of_another_application_is_rejected(house: House, peer: Peer) -> None:
    with house.peer("shop", path="/pages", instance="other") as other:
        other.say("register", other.registration, other.nonce)
        assert peer_is_rejected(other) == (
            "registration",
            "/pages is served by the application pages: choose another path for shop",
        )
    assert serves(house, peer)


def test_two_applications_of_one_worker_cannot_share_a_path_and_leave_nothing_behind(house: House) -> None:
    with house.peer("pages", "shop", path="/both") as peer:
        peer.say("register", peer.registration, peer.nonce)
        assert peer_is_rejected(peer)[0] == "registration"
    assert house.do(lambda: list(house.front.broker.queues)) == []
    with house.peer("shop", path="/both") as peer:
        assert serves(house, peer.register(), "/both")


def test_a_second_link_with_an_instance_id_fences_the_first(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("GET", "/pages")
    peer.expect_request()
    with house.peer(instance="peer") as heir:
        heir.register()
        assert peer_is_rejected(peer) == (
            "fenced",
            "another link has registered as this instance: name each dispatcher once, and give each worker an"
            " instance of its own",
        )
        request = heir.expect_request()
        assert (request.exchange, request.attempt) == (1, 2)
        heir.answer(request.exchange, b"from the heir")
        assert browser.read().body == b"from the heir"
        assert house.do(lambda: len(house.front.broker.links)) == 1
        assert serves(house, heir)


def test_what_a_fenced_worker_had_begun_is_settled_as_if_it_had_died_and_its_late_reply_goes_nowhere(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("POST", "/pages")
    exchange = peer.expect_request().exchange
    late = peer.end.response(exchange, 200, b"", b"late", True)
    with house.peer(instance="peer") as heir:
        heir.register()
        assert browser.read().status == 502
        with suppress(OSError):
            peer.socket.sendall(late)
        browser.ask("POST", "/pages")
        request = heir.expect_request()
        assert request.attempt == 1
        heir.answer(request.exchange, b"from the heir")
        assert browser.read().body == b"from the heir"


def test_a_fenced_worker_gets_nothing_that_was_still_to_be_written(house: House, peer: Peer) -> None:
    connection = house.connection_of(peer)
    exchange = an_exchange("POST", "/pages")

    def hand_over_and_fence() -> None:
        house.front.handle(exchange)
        connection.fence()

    house.do(hand_over_and_fence)
    assert peer_is_rejected(peer)[0] == "fenced"
    with house.peer(instance="other") as other:
        request = other.register().expect_request()
        assert (request.method, request.attempt) == ("POST", 2)
        other.answer(request.exchange)
        house.until(lambda: exchange.client.status == 200)  # type: ignore[attr-defined]  # it is a FakeClient


def test_a_fenced_worker_that_does_not_read_does_not_keep_its_link(house: House, peer: Peer) -> None:
    connection = house.connection_of(peer)
    house.do(lambda: connection._transport.write(bytes(50_000_000)))
    with house.peer(instance="peer") as heir:
        heir.register()
        with house.peer(instance="peer") as third, capture_logs() as log:
            third.register()
            assert peer_is_rejected(heir)[0] == "fenced"
            assert [entry["event"] for entry in log] == ["link fenced", "link joined"]
            house.pass_time(CLOSING_TIME + 0.1)
            house.until(lambda: len(house.front.links) == 1)
            assert serves(house, third)


def test_an_instance_is_not_fenced_for_the_sake_of_other_applications(house: House, peer: Peer) -> None:
    with house.peer("shop", instance="peer") as stranger:
        stranger.say("register", stranger.registration, stranger.nonce)
        assert peer_is_rejected(stranger) == (
            "registration",
            "the instance peer is registered for other applications: give each worker one of its own",
        )
    assert serves(house, peer)
    with house.peer("shop", "pages", instance="peer") as heir:
        assert serves(house, heir.register())
        assert peer_is_rejected(peer)[0] == "fenced"


# The secret


def test_a_worker_that_proves_to_know_the_secret_is_registered(guarded: House) -> None:
    with guarded.peer() as peer:
        assert serves(guarded, peer.register(SECRET))


@pytest.mark.parametrize("proof", [b"", bytes(32), b"short"])
def test_a_wrong_proof_is_rejected(guarded: House, proof: bytes) -> None:
    with guarded.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        peer.expect("challenge")
        peer.say("register", peer.registration, peer.nonce, proof)
        assert peer_is_rejected(peer) == (
            "proof",
            "the proof is wrong: give the worker the secret_file of the dispatcher's [applications.pages],"
            " or that of [dispatcher] if there is none",
        )


def test_a_proof_is_worth_nothing_on_another_link(guarded: House) -> None:
    with guarded.peer() as peer, guarded.peer() as thief:
        peer.say("register", peer.registration, peer.nonce)
        proof = peer.prove(SECRET, *peer.expect("challenge"))
        thief.say("register", peer.registration, peer.nonce)
        thief.expect("challenge")
        thief.say("register", peer.registration, peer.nonce, proof)
        assert peer_is_rejected(thief)[0] == "proof"
        peer.say("register", peer.registration, peer.nonce, proof)
        peer.expect("registered")


def test_a_proof_is_for_the_applications_that_it_was_made_for(guarded: House) -> None:
    with guarded.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        proof = peer.prove(SECRET, *peer.expect("challenge"))
        claim = peer.registration.applications[0]._replace(path="/")
        peer.say("register", replace(peer.registration, applications=(claim,)), peer.nonce, proof)
        assert peer_is_rejected(peer)[0] == "proof"


def test_a_proof_that_comes_before_the_challenge_counts_for_nothing(guarded: House) -> None:
    with guarded.peer() as peer:
        peer.say("register", peer.registration, peer.nonce, peer.prove(SECRET, bytes(32)))
        peer.expect("challenge")
        assert guarded.do(lambda: len(guarded.front.broker.links)) == 0


def test_a_challenged_worker_may_say_nothing_but_its_proof(guarded: House) -> None:
    with guarded.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        peer.expect("challenge")
        peer.socket.sendall(encode_frame((messages.PONG,)))
        peer.expect_end()


def test_a_challenged_worker_has_no_more_time_than_any_other(guarded: House) -> None:
    with guarded.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        peer.expect("challenge")
        guarded.pass_time(REGISTRATION_TIME + 0.1)
        peer.expect_end()


# Secrets of applications


DIVIDED = Keyring((SECRET,), {"shop": (b"the shop's own secret", b"the shop's newer secret")})


@pytest.fixture
def divided() -> Iterator[House]:
    with a_house(keyring=DIVIDED) as house:
        yield house


@pytest.mark.parametrize("secret", [b"the shop's own secret", b"the shop's newer secret"])
def test_each_secret_of_an_application_registers_its_workers(divided: House, secret: bytes) -> None:
    with divided.peer("shop") as peer:
        assert serves(divided, peer.register(secret), "/shop")


@pytest.mark.parametrize(
    ("names", "secret"),
    [
        (["shop"], SECRET),
        (["pages"], b"the shop's own secret"),
        (["shop", "pages"], b"the shop's own secret"),
    ],
)
def test_a_secret_for_other_applications_is_rejected_in_one_frame(
    divided: House, names: tuple[str, ...], secret: bytes
) -> None:
    with divided.peer(*names) as peer:
        peer.say("register", peer.registration, peer.nonce)
        peer.say("register", peer.registration, peer.nonce, peer.prove(secret, *peer.expect("challenge")))
        code, sentence = peer_is_rejected(peer)
        assert (code, sentence.partition(":")[0]) == ("proof", "the proof is wrong")
        assert divided.do(lambda: list(divided.front.broker.queues)) == []


INSIDE = [
    ("", "/shop/cart"),
    ("example.org", "/shop"),
    ("example.org", "/shop/cart"),
]
"""Hosts and paths whose requests the application that serves /shop would lose to whoever registers them."""


def a_worker_for(house: House, name: str, path: str, host: str = "") -> Peer:
    """Return a worker that has connected and is about to register an application there."""
    peer = house.peer(instance=f"of {name}")
    peer.registration = Registration(f"of {name}", (Claim(name, host, path),))
    return peer


@pytest.mark.parametrize(("host", "path"), INSIDE)
def test_who_may_not_answer_for_an_application_gets_none_of_its_paths(
    divided: House, host: str, path: str
) -> None:
    with (
        divided.peer("shop") as shop,
        a_worker_for(divided, "thief", path, host) as thief,
        a_worker_for(divided, "blog", "/shopping") as blog,
    ):
        shop.register(b"the shop's own secret")
        thief.say("register", thief.registration, thief.nonce)
        thief.say(
            "register", thief.registration, thief.nonce, thief.prove(SECRET, *thief.expect("challenge"))
        )
        code, sentence = peer_is_rejected(thief)
        assert (code, "shop, which has a secret of its own" in sentence) == ("registration", True)
        assert serves(divided, shop, path)
        assert serves(divided, blog.register(SECRET), "/shopping")


@pytest.mark.parametrize(("host", "path"), INSIDE)
def test_the_configuration_may_give_another_application_a_path_inside(host: str, path: str) -> None:
    applications = {"cart": ApplicationSettings(path=(path,), host=host)}
    with (
        a_house(keyring=DIVIDED, applications=applications) as house,
        house.peer("shop") as shop,
        a_worker_for(house, "cart", path, host) as cart,
    ):
        shop.register(b"the shop's own secret")
        cart.register(SECRET)


def test_paths_inside_an_application_without_a_secret_of_its_own_are_for_everybody(divided: House) -> None:
    with (
        divided.peer("pages") as pages,
        a_worker_for(divided, "blog", "/pages/blog") as blog,
        a_worker_for(divided, "shop", "/pages/shop") as shop,
    ):
        pages.register(SECRET)
        assert serves(divided, blog.register(SECRET), "/pages/blog")
        assert serves(divided, shop.register(b"the shop's own secret"), "/pages/shop")


def test_links_that_were_proved_with_a_secret_that_is_withdrawn_end_when_they_are_done(
    divided: House,
) -> None:
    with (
        divided.peer("shop", instance="old") as old,
        divided.peer("shop", instance="new") as new,
        divided.browser() as browser,
    ):
        old.register(b"the shop's own secret")
        browser.ask("GET", "/shop")
        exchange = old.expect_request().exchange
        new.register(b"the shop's newer secret")
        keyring = Keyring((SECRET,), {"shop": (b"the shop's newer secret",)})
        with capture_logs() as log:
            divided.do(lambda: divided.front.use(keyring))
        assert [(entry["event"], entry["link"]) for entry in log] == [("secret withdrawn", "old")]
        assert serves(divided, new, "/shop")
        assert serves(divided, new, "/shop")
        old.answer(exchange, b"in time")
        assert browser.read().body == b"in time"
        old.expect_end()
    with divided.peer("shop") as peer:
        peer.say("register", peer.registration, peer.nonce)
        proof = peer.prove(b"the shop's own secret", *peer.expect("challenge"))
        peer.say("register", peer.registration, peer.nonce, proof)
        assert peer_is_rejected(peer)[0] == "proof"


def test_who_is_about_to_prove_a_secret_may_prove_one_that_has_just_come(divided: House) -> None:
    with divided.peer("pages") as peer:
        peer.say("register", peer.registration, peer.nonce)
        (nonce,) = peer.expect("challenge")
        divided.do(lambda: divided.front.use(Keyring((b"another secret, just come", SECRET))))
        proof = peer.prove(b"another secret, just come", nonce)
        peer.say("register", peer.registration, peer.nonce, proof)
        peer.expect("registered")


# Requests and answers


def test_a_request_reaches_the_worker_as_it_came(house: House, peer: Peer, browser: Browser) -> None:
    browser.ask("POST", "/pages/a%20b?c=d", b"body", "X-Field: value\r\n")
    request = peer.expect_request()
    assert request == Request(
        1,
        "pages",
        "POST",
        b"/pages/a%20b?c=d",
        b"Host: site\r\nContent-Length: 4\r\nX-Field: value\r\n",
        "http",
        "{}:{}".format(*browser.socket.getsockname()),
        1,
        b"body",
        True,
    )


def test_an_answer_reaches_the_client(peer: Peer, browser: Browser) -> None:
    browser.ask("GET", "/pages")
    peer.answer(peer.expect_request().exchange, b"text", 201, b"X-Field: value\r\n")
    reply = browser.read()
    assert (reply.status, reply.body, reply.headers["X-Field"]) == (201, b"text", "value")


def test_an_answer_in_pieces_with_a_length_reaches_the_client(peer: Peer, browser: Browser) -> None:
    browser.ask("GET", "/pages")
    exchange = peer.expect_request().exchange
    peer.say("response", exchange, 200, b"Content-Length: 6\r\n", b"", False)
    for piece in (b"ab", b"cd", b"ef"):
        peer.say("body", exchange, piece, piece == b"ef")
    reply = browser.read()
    assert (reply.body, reply.headers["Content-Length"]) == (b"abcdef", "6")


def test_a_stream_reaches_the_client_piece_by_piece(peer: Peer, browser: Browser) -> None:
    browser.ask("GET", "/pages")
    exchange = peer.expect_request().exchange
    peer.say("response", exchange, 200, b"", b"one", False)
    response = browser.begin()
    assert (response.headers["Transfer-Encoding"], response.read(3)) == ("chunked", b"one")
    peer.say("body", exchange, b"two", False)
    assert response.read(3) == b"two"
    peer.say("body", exchange, b"", True)
    assert response.read() == b""


@pytest.mark.parametrize(
    ("status", "head"),
    [(200, b"X: a\r\nb\r\n"), (200, b"no colon\r\n"), (101, b""), (99, b""), (1000, b""), (-1, b"")],
)
def test_an_answer_that_cannot_be_passed_on_is_a_502_and_the_link_stays(
    house: House, peer: Peer, browser: Browser, status: int, head: bytes
) -> None:
    with capture_logs() as log:
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        peer.say("response", exchange, status, head, b"secret", True)
        reply = browser.read()
    assert (reply.status, b"secret" in reply.body) == (502, False)
    assert [entry["event"] for entry in log] == ["unusable answer"]
    assert serves(house, peer)


def test_the_rest_of_an_answer_that_cannot_be_passed_on_goes_nowhere(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("GET", "/pages")
    exchange = peer.expect_request().exchange
    peer.say("response", exchange, 99, b"", b"", False)
    assert browser.read().status == 502
    assert peer.expect("cancel") == (exchange,)
    peer.say("body", exchange, b"rest", False)
    peer.say("body", exchange, b"", True)
    assert serves(house, peer)


# Peers that break the rules


SECOND_REPLY = encode_frame((messages.RESPONSE, 1, 200, b"", b"", True))


@pytest.mark.parametrize(
    "misdeed",
    [
        encode_frame((messages.RESPONSE, 7, 200, b"", b"", True)),
        encode_frame((messages.BODY, 1, b"", True)),
        encode_frame((messages.REFUSED, 2)),
        encode_frame((messages.RESPONSE, 1, "200", b"", b"", True)),
        encode_frame((99,)),
        encode_frame((messages.PING,)),
        encode_frame((messages.REGISTER, 3, "peer", (("pages", "", "/pages"),), 8, {}, b"", b"")),
        GARBAGE,
        b"\x00\x20\x00\x01",  # a byte over the longest frame
    ],
    ids=["wrong id", "no reply", "refused", "type", "unknown", "side", "again", "garbage", "oversized"],
)
def test_a_worker_that_breaks_the_rules_is_dropped_and_nobody_else_notices(
    house: House, peer: Peer, browser: Browser, misdeed: bytes
) -> None:
    with house.peer(instance="other") as other, house.browser() as neighbour, capture_logs() as log:
        browser.ask("POST", "/pages")
        peer.expect_request()
        neighbour_asks = other.register() and neighbour.ask("GET", "/pages")
        request = other.expect_request()
        peer.socket.sendall(misdeed)
        assert browser.read().status == 502
        peer.expect_end()
        other.answer(request.exchange, b"unharmed")
        assert neighbour_asks.read().body == b"unharmed"
        assert serves(house, other)
    assert [entry["event"] for entry in log if entry["log_level"] == "warning"] == ["link dropped"]


def test_a_second_reply_drops_the_link_and_reaches_nobody(house: House, peer: Peer, browser: Browser) -> None:
    with house.peer(instance="other") as other:
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        peer.socket.sendall(
            peer.end.response(exchange, 200, b"", b"first", True)
            + encode_frame((messages.RESPONSE, exchange, 200, b"", b"second", True))
        )
        assert browser.read().body == b"first"
        peer.expect_end()
        browser.ask("GET", "/pages")
        other.register()
        other.answer(other.expect_request().exchange, b"other")
        assert browser.read().body == b"other"


def test_what_came_in_front_of_garbage_counts(house: House, peer: Peer, browser: Browser) -> None:
    browser.ask("GET", "/pages")
    answer = peer.end.response(peer.expect_request().exchange, 200, b"", b"whole", True)
    peer.socket.sendall(answer + GARBAGE)
    assert browser.read().body == b"whole"
    peer.expect_end()


def test_a_safe_request_goes_on_to_another_worker_when_its_own_dies(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("GET", "/pages")
    peer.expect_request()
    with house.peer(instance="other") as other:
        other.register()
        peer.socket.close()
        request = other.expect_request()
        assert request.attempt == 2
        other.answer(request.exchange, b"other")
        assert browser.read().body == b"other"


@pytest.mark.parametrize("head", [b"", b"Content-Length: 10\r\n"])
def test_an_answer_that_breaks_off_is_visibly_cut_short(peer: Peer, browser: Browser, head: bytes) -> None:
    browser.ask("GET", "/pages")
    peer.say("response", peer.expect_request().exchange, 200, head, b"half", False)
    response = browser.begin()
    assert response.read(4) == b"half"
    peer.socket.close()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()


def test_half_a_frame_at_the_end_of_a_link_is_no_answer(peer: Peer, browser: Browser) -> None:
    browser.ask("POST", "/pages")
    frame = peer.end.response(peer.expect_request().exchange, 200, b"", b"text", True)
    peer.socket.sendall(frame[:-1])
    peer.socket.close()
    assert browser.read().status == 502


# Clients that leave


def test_the_worker_hears_that_its_client_has_left_and_its_late_answer_goes_nowhere(
    house: House, peer: Peer
) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/pages/late")
        late = peer.expect_request().exchange
        browser.leave()
    assert peer.expect("cancel") == (late,)
    with house.browser() as next_one:
        next_one.ask("GET", "/pages/next")
        peer.answer(late, b"late")
        request = peer.expect_request()
        assert request.target == b"/pages/next"
        peer.answer(request.exchange, b"right")
        assert next_one.read().body == b"right"


def test_the_request_of_a_client_that_leaves_while_it_waits_never_runs(house: House, peer: Peer) -> None:
    with house.browser() as first, house.browser() as second:
        first.ask("POST", "/pages/1")
        exchange = peer.expect_request().exchange
        second.ask("POST", "/pages/2")
        queue = house.front.broker.queues["pages"]
        house.until(lambda: len(queue) == 1)
        second.leave()
        house.until(lambda: len(queue) == 0)
        peer.answer(exchange)
        assert first.read().status == 200
    assert peer.is_quiet()


# Bodies of requests


LARGE = bytes(range(256)) * 40_000
"""10 MB: more than two sockets hold."""


def test_a_large_body_comes_in_pieces_that_fit_into_frames(peer: Peer, browser: Browser) -> None:
    browser.socket.sendall(b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: 1000000\r\n\r\n")
    browser.socket.sendall(LARGE[:1_000_000])
    request = peer.expect_request()
    assert (request.body, request.last) == (b"", False)
    pieces = []
    while sum(map(len, pieces)) < 1_000_000:
        exchange, piece, last = peer.expect("body")
        assert (exchange, last) == (request.exchange, sum(map(len, pieces)) + len(piece) == 1_000_000)
        pieces.append(piece)
    assert b"".join(pieces) == LARGE[:1_000_000]
    assert max(map(len, pieces)) == limits.PIECE


def test_a_body_never_comes_before_the_request_that_it_belongs_to(house: House, peer: Peer) -> None:
    connection = house.connection_of(peer)
    exchange = an_exchange("POST", "/pages", content=LARGE[: 2 * limits.PIECE])

    def hand_over_while_a_body_goes_out() -> None:
        house.front.handle(exchange)
        connection.resume_writing()  # as does the end of an earlier body, in the same turn of the loop

    house.do(hand_over_while_a_body_goes_out)
    request = peer.expect_request()
    assert peer.expect_body() == exchange.content
    peer.answer(request.exchange)
    house.until(lambda: exchange.client.status == 200)  # type: ignore[attr-defined]  # it is a FakeClient


def test_a_body_that_cannot_be_read_back_is_a_502_and_the_link_stays(
    peer: Peer, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spool: Spool, offset: int, size: int) -> bytes:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Spool, "read", fail)
    with capture_logs() as log:
        browser.socket.sendall(b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: 1000000\r\n\r\n")
        browser.socket.sendall(LARGE[:1_000_000])
        request = peer.expect_request()
        assert peer.expect("cancel") == (request.exchange,)
        assert browser.read().status == 502
    assert [entry["reason"] for entry in log if entry["log_level"] == "error"] == ["the disk is gone"]
    peer.say("refused", request.exchange)
    browser.ask("GET", "/pages")
    assert peer.expect_request().method == "GET"


def test_a_worker_that_does_not_read_stops_its_own_body_only(
    house: House, peer: Peer, browser: Browser
) -> None:
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    browser.socket.sendall(b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % len(LARGE))
    browser.socket.sendall(LARGE)
    request = peer.expect_request()
    connection = house.connection_of(peer)
    house.until(lambda: connection._full)
    assert house.do(connection._transport.get_write_buffer_size) <= 2 * limits.PIECE
    with house.peer(instance="other") as other:
        assert serves(house, other.register())
    assert peer.expect_body() == LARGE
    peer.answer(request.exchange, b"all of it")
    assert browser.read().body == b"all of it"


def test_a_worker_that_takes_a_body_slowly_is_not_taken_for_silent(house: House, peer: Peer) -> None:
    with house.browser() as browser:
        browser.socket.sendall(
            b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
        )
        browser.socket.sendall(LARGE)
        exchange = peer.expect_request().exchange
        last = False
        while not last:
            house.pass_time(30)
            for _ in range(40):
                _, _, last = peer.expect("body")
                if last:
                    break
        peer.answer(exchange, b"thank you")
        assert browser.read().body == b"thank you"


def test_a_large_body_that_is_refused_goes_to_another_worker_whole(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("POST", "/pages", LARGE[:1_000_000])
    request = peer.expect_request()
    with house.peer(instance="other") as other:
        other.register()
        peer.say("refused", request.exchange)
        again = other.expect_request()
        assert again.attempt == 2
        assert other.expect_body() == LARGE[:1_000_000]
        other.answer(again.exchange, b"whole")
        assert browser.read().body == b"whole"


def test_the_rest_of_a_body_is_not_sent_once_it_is_answered(
    house: House, peer: Peer, browser: Browser
) -> None:
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    browser.socket.sendall(b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % len(LARGE))
    browser.socket.sendall(LARGE)
    exchange = peer.expect_request().exchange
    connection = house.connection_of(peer)
    house.until(lambda: connection._full)
    peer.answer(exchange, b"enough", 413)
    assert browser.read().body == b"enough"
    assert serves_after_bodies(house, peer) < len(LARGE) / 2


def serves_after_bodies(house: House, peer: Peer) -> int:
    """Serve another request; returns how many bytes of an earlier one's body came first."""
    with house.browser() as browser:
        browser.ask("GET", "/pages")
        received = 0
        while True:
            while not peer.heard:
                data = peer.socket.recv(65536)
                received += len(data)
                peer.end.receive(data)
            heard = peer.heard.popleft()
            if heard.name == "request":
                peer.answer(Request(*heard.fields).exchange)
                assert browser.read().status == 200
                return received


def test_the_body_of_a_client_that_has_left_is_not_sent_on(house: House, peer: Peer) -> None:
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    with house.browser() as browser:
        browser.socket.sendall(
            b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
        )
        browser.socket.sendall(LARGE)
        exchange = peer.expect_request().exchange
        connection = house.connection_of(peer)
        house.until(lambda: connection._full)
        browser.leave()
    received = 0
    while (heard := peer.heard.popleft() if peer.heard else None) is None or heard.name == "body":
        received += len(heard.fields[1]) if heard else 0
        if not peer.heard:
            peer.end.receive(peer.socket.recv(65536))
    assert (heard.name, heard.fields, received < len(LARGE)) == ("cancel", (exchange,), True)


# Slow clients of streams


@contextmanager
def streaming(peer: Peer, exchange: int) -> Iterator[None]:
    """Stream 25 MB in a thread, whether or not somebody takes them."""

    def send() -> None:
        peer.say("response", exchange, 200, b"X-Accel-Buffering: no\r\n", b"", False)
        for _ in range(200):
            peer.say("body", exchange, bytes(limits.PIECE), False)
        peer.say("body", exchange, b"end", True)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        assert not thread.is_alive()


def test_a_slow_client_of_a_stream_holds_up_its_own_link_only() -> None:
    limits_ = Limits(send_timeout=Duration(7200))
    with a_house(limits=limits_) as house, house.peer() as peer, house.browser() as browser:
        connection = house.connection_of(peer.register())
        browser.ask("GET", "/pages")
        with streaming(peer, peer.expect_request().exchange):
            house.until(lambda: connection.link is not None and connection.link.paused)
            with house.peer(instance="other") as other:
                assert serves(house, other.register())
            house.pass_time(3600)  # who waits for the client is not taken for silent
            body = browser.read().body
        assert (len(body), body[-3:]) == (200 * limits.PIECE + 3, b"end")
        assert house.until(lambda: connection.link is not None and not connection.link.paused)
        assert serves(house, peer)


def test_a_client_that_leaves_lets_the_link_that_it_held_up_go_on(house: House, peer: Peer) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        connection = house.connection_of(peer)
        with streaming(peer, exchange):
            house.until(lambda: connection.link is not None and connection.link.paused)
            browser.close()
            house.until(lambda: connection.link is not None and not connection.link.paused)
    assert serves(house, peer)


def test_a_link_is_not_held_up_by_an_answer_that_it_has_given(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("GET", "/pages")
    exchange = peer.expect_request().exchange
    frames = [peer.end.response(exchange, 200, b"", b"", False)]
    frames += [peer.end.body(exchange, bytes(limits.PIECE), False) for _ in range(100)]
    frames += [peer.end.body(exchange, b"end", True)]
    connection = house.connection_of(peer)
    house.do(lambda: connection.data_received(b"".join(frames)))
    assert connection.link is not None
    assert not connection.link.paused
    assert serves(house, peer)
    assert len(browser.read().body) == 100 * limits.PIECE + 3


# What was not sent was not begun


def test_an_exchange_whose_frame_was_not_sent_moves_on_whatever_its_method(house: House, peer: Peer) -> None:
    with house.peer(instance="other") as other:
        other.register()
        connection = house.connection_of(peer)
        exchange = an_exchange("POST", "/pages")

        def hand_over_and_end() -> None:
            house.front.handle(exchange)
            connection.eof_received()

        house.do(hand_over_and_end)
        request = other.expect_request()
        assert (request.method, request.attempt) == ("POST", 2)
        other.answer(request.exchange)
        house.until(lambda: exchange.client.status == 200)  # type: ignore[attr-defined]  # it is a FakeClient
        peer.expect_end()


def test_an_exchange_whose_frame_was_sent_may_have_been_begun(
    house: House, peer: Peer, browser: Browser
) -> None:
    with house.peer(instance="other") as other:
        other.register()
        browser.ask("POST", "/pages")
        peer.expect_request()
        peer.socket.close()
        assert browser.read().status == 502
        assert other.is_quiet()


# Time passes


def test_an_idle_link_is_pinged_and_lives_as_long_as_it_answers(house: House, peer: Peer) -> None:
    for _ in range(5):
        house.pass_time(9.9)
        assert peer.is_quiet()
        house.pass_time(0.1)
        peer.expect("ping")
        peer.say("pong")
        connection = house.connection_of(peer)
        house.until(lambda: connection._heard_at == house.time)  # noqa: B023 - called at once
    assert serves(house, peer)


def test_an_idle_link_that_misses_three_heartbeats_is_dropped(house: House, peer: Peer) -> None:
    for _ in range(3):
        house.pass_time(10)
        peer.expect("ping")
    assert peer.is_quiet()
    with capture_logs() as log:
        house.pass_time(0.1)
        peer.expect_end()
        house.until(lambda: not house.front.links)
    assert [entry["reason"] for entry in log] == ["it was silent for 3 heartbeats"]


def test_a_busy_link_is_watched_by_the_deadline_of_its_exchange_alone(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("GET", "/pages")
    exchange = peer.expect_request().exchange
    for _ in range(5):
        house.pass_time(12)
    assert peer.is_quiet()
    peer.answer(exchange, b"slow")
    assert browser.read().body == b"slow"


def test_a_worker_that_is_silent_about_a_request_is_cut_off_and_its_client_gets_504(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("POST", "/pages")
    peer.expect_request()
    house.pass_time(60.1)
    assert browser.read().status == 504
    peer.expect_end()


def test_a_worker_that_is_cut_off_need_not_take_what_was_written_to_it(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.socket.sendall(b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n" % len(LARGE))
    browser.socket.sendall(LARGE)
    connection = house.connection_of(peer)
    house.until(lambda: connection._full)
    house.pass_time(60.1)
    assert browser.read().status == 504
    house.until(lambda: not house.front.links)


# Goodbyes


def test_a_worker_that_says_goodbye_gets_nothing_new_and_is_let_go_when_it_is_done(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("GET", "/pages/1")
    exchange = peer.expect_request().exchange
    peer.say("draining")
    house.until(lambda: next(iter(house.front.broker.links)).draining)
    with house.browser() as second, house.peer(instance="other") as other:
        second.ask("GET", "/pages/2")
        peer.answer(exchange, b"done")
        assert browser.read().body == b"done"
        peer.expect_end()
        other.register()
        request = other.expect_request()
        assert (request.target, request.attempt) == (b"/pages/2", 1)
        other.answer(request.exchange)
        assert second.read().status == 200


def test_a_request_that_crossed_the_goodbye_goes_to_another_worker_whatever_its_method(
    house: House, peer: Peer, browser: Browser
) -> None:
    browser.ask("POST", "/pages", b"once")
    request = peer.expect_request()
    peer.say("draining")
    peer.say("refused", request.exchange)
    peer.expect_end()
    with house.peer(instance="other") as other:
        other.register()
        request = other.expect_request()
        assert (request.method, request.body, request.attempt) == ("POST", b"once", 2)
        other.answer(request.exchange, b"other")
        assert browser.read().body == b"other"


def test_what_was_written_to_a_link_is_sent_before_it_is_closed(house: House, peer: Peer) -> None:
    connection = house.connection_of(peer)

    def ping_and_close() -> None:
        connection.beat(house.time + 10)
        connection.close("the test says so")

    house.do(ping_and_close)
    peer.expect("ping")
    peer.expect_end()


def test_a_worker_that_does_not_take_the_last_words_of_a_link_does_not_keep_it(
    house: House, peer: Peer
) -> None:
    connection = house.connection_of(peer)

    def say_much_and_close() -> None:
        connection._transport.write(bytes(50_000_000))
        connection.close("the test says so")

    house.do(say_much_and_close)
    house.pass_time(CLOSING_TIME)
    assert house.front.links == {connection}
    house.pass_time(0.1)
    house.until(lambda: not house.front.links)


def test_a_link_says_who_it_is(house: House, peer: Peer) -> None:
    host, port = peer.socket.getsockname()
    assert repr(house.connection_of(peer)) == (
        f"<LinkConnection {host}:{port} <Link peer idle, holds 0 of 1>>"
    )
