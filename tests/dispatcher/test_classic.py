"""Peers of LRWP/1 and LRWP/2 at a real dispatcher, through real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Self

import pytest
from structlog.testing import capture_logs

from dispatcher import classic
from dispatcher.keyring import Keyring
from dispatcher.settings import ApplicationSettings, Limits
from dispatcher.stranger import REGISTRATION_TIME
from protocol.classic import answer_challenge
from protocol.settings import Duration, Size
from tests.dispatcher.house import House, a_house

SECRET = b"sixteen bytes or more"
PLAIN = b"Content-type: text/plain\r\n\r\n"


class ClassicPeer:
    """A program of 1997: it knows what its library knew, and nothing of what this project has written."""

    def __init__(self, house: House) -> None:
        self.socket = socket.create_connection(house.link)
        self.socket.settimeout(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def take(self, count: int) -> bytes:
        """Return so many bytes, or fewer if the connection ends."""
        data = b""
        while len(data) < count and (piece := self.socket.recv(count - len(data))):
            data += piece
        return data

    def register(self, name: bytes = b"hello", host: bytes = b"") -> Self:
        """Register in one write, as most libraries do it, and wait to be accepted."""
        self.send(b"%b\xff%b\xff" % (name, host))
        assert self.take(2) == b"OK"
        return self

    def request(self) -> tuple[dict[bytes, bytes], bytes]:
        """Wait for a request; returns its environment and its body."""
        environment = self.take(int(self.take(9)))
        assert environment.endswith(b"\0\0")
        variables = dict(each.split(b"=", 1) for each in environment[:-2].split(b"\0"))
        return variables, self.take(int(self.take(9)))

    def reply(self, output: bytes) -> None:
        """Send what a CGI program would print."""
        self.send(b"%09d" % len(output) + output)

    def serve(self, page: bytes) -> dict[bytes, bytes]:
        """Answer a request with a plain text; returns its environment."""
        variables, _ = self.request()
        self.reply(PLAIN + page)
        return variables


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


@pytest.fixture
def peer(house: House) -> Iterator[ClassicPeer]:
    with ClassicPeer(house) as peer:
        yield peer.register()


# ── Registration ─────────────────────────────────────────────────────────────────────────────────


def test_a_peer_registers_and_serves(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        for page in (b"one", b"two"):
            browser.ask("GET", "/hello")
            peer.serve(page)
            assert browser.read().body == page


def test_both_versions_may_come_byte_by_byte(house: House) -> None:
    for opening, answer in ((b"hello\xff\xff\xff", b"OK"), (b"\xff2.0\xffhello\xff\xff", b"OK\xff")):
        with ClassicPeer(house) as peer:
            peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in opening:
                peer.send(bytes([byte]))
            assert peer.take(len(answer)) == answer


def test_a_filter_may_take_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "OPENING_PAUSE", 60.0)
    with ClassicPeer(house) as peer:
        peer.send(b"hello\xff\xff")
        first = house.until(lambda: pause_of_opening(house))
        peer.send(b"fil")
        second = house.until(lambda: (pause := pause_of_opening(house)) is not first and pause)
        assert first.cancelled()
        assert second.when() >= first.when()
        peer.send(b"ter\xff")
        assert peer.take(2) == b"OK"


def pause_of_opening(house: House) -> asyncio.TimerHandle | None:
    """Return what waits for the rest of the only peer's opening."""
    (connection,) = house.front.links or [None]
    return connection._opening_ends if isinstance(connection, classic.ClassicConnection) else None


def test_peers_of_all_three_versions_share_an_application(house: House, peer: ClassicPeer) -> None:
    with ClassicPeer(house) as second, house.peer("hello", path="/hello") as third:
        second.send(b"\xff2.0\xffhello\xff\xff")
        assert second.take(3) == b"OK\xff"
        third.register()
        with house.browser() as one, house.browser() as two, house.browser() as three:
            for browser in (one, two, three):
                browser.ask("GET", "/hello")
            peer.serve(b"1")
            second.serve(b"2")
            third.answer(third.expect_request().exchange, b"3")
            assert sorted(browser.read().body for browser in (one, two, three)) == [b"1", b"2", b"3"]


def test_a_peer_may_be_limited_to_a_virtual_host(house: House) -> None:
    with ClassicPeer(house).register(host=b"WWW.example.com") as peer, house.browser() as browser:
        browser.socket.sendall(b"GET /hello HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
        assert peer.serve(b"here")[b"SERVER_NAME"] == b"www.example.com"
        assert browser.read().body == b"here"
        assert browser.get("/hello").status == 404


def test_a_name_that_begins_with_a_point_is_for_all_paths_that_end_so(house: House) -> None:
    with ClassicPeer(house).register(b".ks") as peer, house.browser() as browser:
        browser.ask("GET", "/deep/down/page.ks?a=1")
        variables = peer.serve(b"ks")
        assert browser.read().body == b"ks"
        assert (variables[b"SCRIPT_NAME"], variables[b"PATH_INFO"]) == (b"/deep/down/page.ks", b"")
        assert browser.get("/page.ksx").status == 404
        assert browser.get("/page.ks/more").status == 404


@pytest.mark.parametrize(
    ("opening", "answer"),
    [
        (b"a/../b\xff\xff\xff", b"ERROR: the path of a/../b must be plain"),
        (b"\xff2.0\xffhello\xffbad host\xff", b"REJECTED\xffthe host of hello must be a host name"),
        (b"\xff3.0\xffhello\xff\xff", b"REJECTED\xffthis dispatcher speaks"),
        (b"\xff2.0\xffhello\xff\xffmore", b"REJECTED\xffa peer waits for an answer"),
        (b"GET / HTTP/1.1\r\n", b"ERROR: this is no registration: is it meant for another port?"),
        (b"x" * 300, b"ERROR: name, host and filter"),
    ],
)
def test_a_registration_that_cannot_be_used_is_answered_with_the_reason(
    house: House, opening: bytes, answer: bytes
) -> None:
    with capture_logs() as logs, ClassicPeer(house) as peer:
        peer.send(opening)
        assert peer.take(1000).startswith(answer)
    assert [entry["event"] for entry in logs] == ["worker rejected"]


def test_a_peer_that_never_ends_its_registration_is_sent_away(house: House) -> None:
    with ClassicPeer(house) as peer:
        peer.send(b"hel")
        house.until(lambda: any(link.peer for link in house.front.links))
        house.pass_time(REGISTRATION_TIME + 1)
        assert peer.take(1) == b""


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def guarded() -> Iterator[House]:
    with a_house(keyring=Keyring((b"another secret, an older one", SECRET))) as house:
        yield house


def challenged(peer: ClassicPeer) -> bytes:
    """Register as LRWP/2 and return the challenge."""
    peer.send(b"\xff2.0\xffhello\xff\xff")
    assert peer.take(19) == b"CHALLENGE\xff000000032"
    return peer.take(32)


def test_a_peer_that_knows_the_secret_may_register(guarded: House) -> None:
    with ClassicPeer(guarded) as peer:
        peer.send(b"000000032" + answer_challenge(challenged(peer), SECRET))
        assert peer.take(3) == b"OK\xff"
        with guarded.browser() as browser:
            browser.ask("GET", "/hello")
            peer.serve(b"known")
            assert browser.read().body == b"known"


def test_a_peer_that_does_not_is_rejected(guarded: House) -> None:
    with ClassicPeer(guarded) as peer:
        peer.send(b"000000032" + answer_challenge(challenged(peer), b"a guess"))
        assert peer.take(1000) == b"REJECTED\xffthe secret is wrong\xff"


def test_the_challenge_is_another_one_each_time(guarded: House) -> None:
    with ClassicPeer(guarded) as one, ClassicPeer(guarded) as two:
        assert challenged(one) != challenged(two)


def test_a_suffix_takes_no_requests_from_an_application_with_a_secret_of_its_own() -> None:
    keyring = Keyring((SECRET,), {"shop": (b"the shop's own secret",)})
    applications = {"shop": ApplicationSettings()}
    with a_house(keyring=keyring, applications=applications) as house, ClassicPeer(house) as peer:
        peer.send(b"\xff2.0\xff.html\xff\xff")
        peer.send(b"000000032" + answer_challenge(peer.take(51)[19:], SECRET))
        assert peer.take(1000).startswith(b"REJECTED\xff.html would take requests from shop")


def test_lrwp_1_cannot_prove_anything(guarded: House) -> None:
    with ClassicPeer(guarded) as peer:
        peer.send(b"hello\xff\xff\xff")
        assert peer.take(1000) == b"ERROR: this dispatcher wants a proof, which LRWP/1 does not know"


# ── Requests ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_is_told_as_to_a_cgi_program(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        browser.socket.sendall(
            b"POST /hello/caf%C3%A9/x?a=1&b==2 HTTP/1.1\r\nHost: example.com:8000\r\nContent-Length: 4\r\n"
            b"Content-Type: text/plain\r\nX-Odd: a=b\r\n\r\nbody"
        )
        variables, body = peer.request()
        peer.reply(PLAIN)
        assert browser.read().status == 200
    assert body == b"body"
    expected = {
        b"REQUEST_METHOD": b"POST",
        b"SCRIPT_NAME": b"/hello",
        b"PATH_INFO": "/café/x".encode(),
        b"QUERY_STRING": b"a=1&b==2",
        b"CONTENT_TYPE": b"text/plain",
        b"CONTENT_LENGTH": b"4",
        b"SERVER_PROTOCOL": b"HTTP/1.0",
        b"SERVER_NAME": b"example.com",
        b"SERVER_PORT": b"8000",
        b"REMOTE_ADDR": b"127.0.0.1",
        b"REMOTE_USER": b"-",
        b"HTTP_X_ODD": b"a=b",
        b"GATEWAY_INTERFACE": b"CGI/1.1",
    }
    assert {name: variables.get(name) for name in expected} == expected


def test_without_a_query_and_a_body_their_variables_are_as_xitami_had_them(
    house: House, peer: ClassicPeer
) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/hello")
        variables = peer.serve(b"")
        assert browser.read().status == 200
    assert b"QUERY_STRING" not in variables
    assert (variables[b"CONTENT_TYPE"], variables[b"CONTENT_LENGTH"], variables[b"PATH_INFO"]) == (
        b"",
        b"",
        b"",
    )


def test_nul_bytes_stay_in_bodies_and_replies(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        browser.ask("POST", "/hello", b"a\0b\xff")
        assert peer.request()[1] == b"a\0b\xff"
        peer.reply(PLAIN + b"\0c\0")
        assert browser.read().body == b"\0c\0"


def test_long_bodies_go_both_ways() -> None:
    body = bytes(range(256)) * 40_000
    with (
        a_house(limits=Limits(body_memory=Size(1000))) as house,
        ClassicPeer(house).register() as peer,
        house.browser() as browser,
    ):
        browser.ask("POST", "/hello", body)
        assert peer.request()[1] == body
        peer.reply(PLAIN + body)
        assert browser.read().body == body


def test_a_peer_that_answers_before_it_has_read_the_body_gets_no_other_request() -> None:
    body = bytes(20_000_000)
    with (
        a_house(limits=Limits(body_memory=Size(1000))) as house,
        ClassicPeer(house).register() as peer,
        house.browser() as browser,
    ):
        browser.ask("POST", "/hello", body)
        peer.take(int(peer.take(9)))
        assert int(peer.take(9)) == len(body)
        peer.reply(PLAIN + b"enough")
        assert browser.read().body == b"enough"
        with ClassicPeer(house).register() as second:
            browser.ask("GET", "/hello")
            second.serve(b"second")
            assert browser.read().body == b"second"
        assert len(peer.take(len(body) + 1)) < len(body)


# ── Replies ──────────────────────────────────────────────────────────────────────────────────────


def test_a_reply_says_its_status(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/hello")
        peer.request()
        peer.reply(b"Status: 404 Not Found\r\nX-A: b\r\n\r\nnothing")
        reply = browser.read()
    assert (reply.status, reply.headers["X-A"], reply.body) == (404, "b", b"nothing")


def test_a_location_elsewhere_is_a_302(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/hello")
        peer.request()
        peer.reply(b"Location: http://example.com/\r\n\r\n")
        reply = browser.read()
    assert (reply.status, reply.headers["Location"]) == (302, "http://example.com/")


def test_a_location_here_is_served_in_its_stead(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser, ClassicPeer(house).register(b"other") as other:
        browser.ask("POST", "/hello", b"body", "Content-Type: text/plain\r\nX-Kept: yes\r\n")
        peer.request()
        peer.reply(b"Location: /other/page?a=1\r\n\r\nignored")
        variables, body = other.request()
        other.reply(PLAIN + b"other")
        assert browser.read().body == b"other"
    assert body == b""
    assert (variables[b"REQUEST_METHOD"], variables[b"QUERY_STRING"]) == (b"GET", b"a=1")
    assert (variables[b"CONTENT_TYPE"], variables[b"HTTP_X_KEPT"]) == (b"", b"yes")


def test_locations_that_lead_in_a_circle_come_to_an_end(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/hello")
        for _ in range(11):
            peer.request()
            peer.reply(b"Location: /hello\r\n\r\n")
        assert browser.read().status == 502


@pytest.mark.parametrize("output", [b"", b"Status: odd\r\n\r\npage", b"Location: /a b\r\n\r\n"])
def test_a_reply_that_cannot_be_passed_on_is_a_502_and_the_peer_goes_on(
    house: House, peer: ClassicPeer, output: bytes
) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/hello")
        peer.request()
        peer.reply(output)
        assert browser.read().status == 502
        browser.ask("GET", "/hello")
        peer.serve(b"alive")
        assert browser.read().body == b"alive"


# ── What goes wrong ──────────────────────────────────────────────────────────────────────────────


def test_a_peer_that_sends_something_unasked_is_dropped(house: House, peer: ClassicPeer) -> None:
    peer.send(b"x")
    assert peer.take(1) == b""


@pytest.mark.parametrize("output", [b"garbage!!", b"000000001xx"])
def test_garbage_ends_the_link_and_the_request(house: House, peer: ClassicPeer, output: bytes) -> None:
    with house.browser() as browser:
        browser.ask("POST", "/hello", b"once")
        peer.request()
        peer.send(output)
        reply = browser.read()
        assert reply.status in {200, 502}
        assert peer.take(1) == b""


def test_a_post_whose_peer_dies_is_a_502_and_a_get_is_tried_once_more(
    house: House, peer: ClassicPeer
) -> None:
    with ClassicPeer(house).register() as second, house.browser() as browser:
        browser.ask("POST", "/hello", b"once")
        peer.request()
        peer.socket.close()
        assert browser.read().status == 502
        with ClassicPeer(house).register() as third:
            browser.ask("GET", "/hello")
            second.request()
            second.socket.close()
            third.serve(b"third")
            assert browser.read().body == b"third"


def test_the_reply_for_a_client_that_left_goes_to_nobody(house: House, peer: ClassicPeer) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/hello?first")
        peer.request()
        browser.leave()
    house.until(lambda: not house.front.connections)
    with house.browser() as browser:
        browser.ask("GET", "/hello?second")
        peer.reply(PLAIN + b"for the first")
        assert peer.serve(b"for the second")[b"QUERY_STRING"] == b"second"
        assert browser.read().body == b"for the second"


def test_a_peer_that_is_silent_for_too_long_costs_its_client_a_504() -> None:
    with (
        a_house(limits=Limits(request_timeout=Duration(5))) as house,
        ClassicPeer(house).register() as peer,
        house.browser() as browser,
    ):
        browser.ask("GET", "/hello")
        peer.request()
        house.pass_time(6)
        assert browser.read().status == 504
        assert peer.take(1) == b""
