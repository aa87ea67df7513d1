"""Dialogues with peers of LRWP/1 and LRWP/2, each byte by byte and all at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol import limits
from protocol.classic import (
    CHALLENGE,
    MOST,
    ClassicEnd,
    Opening,
    ReplyHead,
    State,
    answer_challenge,
    read_opening,
    reject,
    split_reply,
    write_environment,
)
from protocol.errors import HeaderError, LocalProtocolError, RemoteProtocolError
from protocol.registration import RegistrationError

PLAIN = b"Content-type: text/plain\r\n"


class FakeHand:
    """Notes what it is told, with what has come of a page joined."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.page = b""

    def on_opening(self, opening: Opening) -> None:
        self.told.append(opening)

    def on_answer(self, answer: bytes) -> None:
        self.told.append(answer)

    def on_response(self, head: ReplyHead, length: int, piece: bytes) -> None:
        self.told.append((head, length))
        self.page += piece

    def on_body(self, piece: bytes, last: bool) -> None:
        self.page += piece
        self.told += ["last"] * last

    def on_unusable(self, reason: str) -> None:
        self.told.append(reason)

    def on_settled(self) -> None:
        self.told.append("settled")


Feed = Callable[[ClassicEnd, bytes], None]


def all_at_once(end: ClassicEnd, data: bytes) -> None:
    end.receive(data)


def byte_by_byte(end: ClassicEnd, data: bytes) -> None:
    for index in range(len(data)):
        end.receive(data[index : index + 1])


@pytest.fixture(params=[all_at_once, byte_by_byte])
def feed(request: pytest.FixtureRequest) -> Feed:
    given: Feed = request.param
    return given


def an_end(state: State) -> tuple[ClassicEnd, FakeHand]:
    """Return an end in this state, and its hand, which has been told nothing."""
    hand = FakeHand()
    end = ClassicEnd(hand)
    if state is not State.NEW:
        end.receive(b"hello\xff\xff\xff")
    if state is State.CHALLENGED:
        end.challenge(bytes(CHALLENGE))
    if state in {State.IDLE, State.BUSY}:
        end.accept(1)
    if state is State.BUSY:
        end.request(write_environment([]), 0)
    hand.told.clear()
    return end, hand


# ── Openings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "opening", "path"),
    [
        (b"hello\xff\xff", Opening(1, "hello", "", False), "/hello"),
        (b"/hello\xff\xff\xff", Opening(1, "hello", "", True), "/hello"),
        (b"hello\xffWWW.example.com\xfffilter", Opening(1, "hello", "www.example.com", False), "/hello"),
        (b"shop/cart\xff\xfffilter\xff", Opening(1, "shop/cart", "", True), "/shop/cart"),
        (b".ks\xff\xff\xff", Opening(1, ".ks", "", True), ".ks"),
        (
            "café\xff\xff\xff".replace("\xff", "|").encode().replace(b"|", b"\xff"),
            Opening(1, "café", "", True),
            "/café",
        ),
        (b"\xff2.0\xffhello\xff\xff", Opening(2, "hello", "", True), "/hello"),
        (b"\xff2.0\xffhello\xffhost\xff", Opening(2, "hello", "host", True), "/hello"),
        (b"n" * 200 + b"\xff\xff\xff", Opening(1, "n" * 200, "", True), "/" + "n" * 200),
    ],
)
def test_an_opening_says_who_the_peer_is(data: bytes, opening: Opening, path: str) -> None:
    assert read_opening(data) == opening
    assert opening.path == path


@pytest.mark.parametrize(
    "data", [b"h", b"hello", b"hello\xff", b"\xff", b"\xff2.0\xff", b"\xff2.0\xffhello\xffhost"]
)
def test_an_opening_may_come_in_pieces(data: bytes) -> None:
    assert read_opening(data) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"n" * 201, "at most 200 bytes each"),
        (b"hello\xff" + b"h" * 201, "at most 200 bytes each"),
        (b"hello\xff\xff\xff\xff", "at most 200 bytes each"),
        (b"\xff" * 2000, "at most 200 bytes each"),
        (b"hello\xff\xff\xffGET", "waits for an answer before it sends more"),
        (b"\xff2.0\xffhello\xff\xff000", "waits for an answer before it sends more"),
        (b"\xff2.1\xffhello\xff\xff", "LRWP/1, LRWP/2.0 and LRWP/3"),
        (b"\xff2.0\xff\xff\xff", "is missing"),
        (b"/\xff\xff", "is missing"),
        (b".\xff\xff", "no suffix such as .ks"),
        (b"../etc\xff\xff", "no suffix such as .ks"),
        (b"caf\xe9\xff\xff", "names are UTF-8"),
        (b"GET / HTTP/1.1\r\n", "is it meant for another port"),
        (b"\x00\x00", "is it meant for another port"),
    ],
)
def test_an_opening_that_cannot_be_used_says_why(data: bytes, sentence: str) -> None:
    with pytest.raises(RegistrationError, match=sentence):
        read_opening(data) or read_opening(data + b"\xff")


def test_a_peer_opens_the_link_and_is_accepted(feed: Feed) -> None:
    end, hand = an_end(State.NEW)
    feed(end, b"hello\xff\xff\xff")
    assert hand.told[-1] == Opening(1, "hello", "", True)
    assert (end.accept(1), end.state) == (b"OK", State.IDLE)


def test_the_last_byte_of_an_opening_may_come_late_or_never() -> None:
    end, hand = an_end(State.NEW)
    end.receive(b"hello\xff\xff")
    end.receive(b"\xff")
    assert [opening.is_whole for opening in hand.told if isinstance(opening, Opening)] == [False, True]


def test_a_peer_of_lrwp_2_proves_that_it_knows_the_secret(feed: Feed) -> None:
    end, hand = an_end(State.NEW)
    feed(end, b"\xff2.0\xffhello\xff\xff")
    nonce = bytes(range(CHALLENGE))
    assert end.challenge(nonce) == b"CHALLENGE\xff000000032" + nonce
    feed(end, b"000000032" + answer_challenge(nonce, b"secret"))
    assert hand.told[-1] == bytes(byte ^ b"secret"[index % 6] for index, byte in enumerate(nonce))
    assert end.accept(2) == b"OK\xff"


@pytest.mark.parametrize("data", [b"x", b"000000031" + bytes(31), b"000000032" + bytes(33)])
def test_what_is_no_answer_to_a_challenge_ends_the_link(data: bytes) -> None:
    end, _ = an_end(State.CHALLENGED)
    with pytest.raises(RemoteProtocolError):
        end.receive(data)


def test_each_version_is_refused_in_its_own_words() -> None:
    assert reject(1, "no room") == b"ERROR: no room"
    assert reject(2, "no room") == b"REJECTED\xffno room\xff"


# ── Requests ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_is_an_environment_and_the_size_of_a_body() -> None:
    end, _ = an_end(State.IDLE)
    environment = write_environment([(b"REQUEST_METHOD", b"GET"), (b"PATH_INFO", b"")])
    assert end.request(environment, 0) == b"000000031REQUEST_METHOD=GET\0PATH_INFO=\0\0" + b"000000000"
    assert end.state is State.BUSY


def test_a_peer_has_one_request_at_a_time() -> None:
    end, _ = an_end(State.BUSY)
    with pytest.raises(LocalProtocolError):
        end.request(write_environment([]), 0)


# ── Replies ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "head", "page"),
    [
        (PLAIN + b"\r\nhi", ReplyHead(200, b"Content-type: text/plain\r\n", ""), b"hi"),
        (b"Content-type: text/plain\n\nhi", ReplyHead(200, b"Content-type: text/plain\r\n", ""), b"hi"),
        (b"Status: 404 Not Found\r\n" + PLAIN + b"\r\n", ReplyHead(404, PLAIN, ""), b""),
        (
            b"Location: http://example.com/\r\n\r\n",
            ReplyHead(302, b"Location: http://example.com/\r\n", ""),
            b"",
        ),
        (b"Status: 301 Moved\nLocation: /b\n\n", ReplyHead(301, b"Location: /b\r\n", ""), b""),
        (b"Location: /local?a=1\r\n\r\n", ReplyHead(200, b"", "/local?a=1"), b""),
        (b"HTTP/1.0 403 Forbidden\r\n" + PLAIN + b"\r\nno", ReplyHead(403, PLAIN, ""), b"no"),
        (PLAIN + b"Content-Length: 99\r\n\r\nhi", ReplyHead(200, PLAIN, ""), b"hi"),
        (b"\r\n\r\nhi", ReplyHead(200, b"", ""), b"hi"),
        (b"<p>hi", ReplyHead(200, b"Content-Type: text/html\r\n", ""), b"<p>hi"),
        (
            b"plain words\nof a peer",
            ReplyHead(200, b"Content-Type: text/html\r\n", ""),
            b"plain words\nof a peer",
        ),
        (PLAIN + b"\r\na\0b\r\n\r\nc\n\nd", ReplyHead(200, PLAIN, ""), b"a\0b\r\n\r\nc\n\nd"),
    ],
)
def test_a_reply_is_what_a_cgi_program_prints(feed: Feed, reply: bytes, head: ReplyHead, page: bytes) -> None:
    end, hand = an_end(State.BUSY)
    feed(end, b"%09d%b" % (len(reply), reply))
    assert (hand.told[0], hand.page) == ((head, len(page)), page)
    assert (hand.told[-1], hand.told.count("settled"), end.state) == ("settled", 1, State.IDLE)


def test_the_end_of_a_page_that_came_in_pieces_is_told() -> None:
    end, hand = an_end(State.BUSY)
    reply = PLAIN + b"\r\nhello"
    end.receive(b"%09d%b" % (len(reply), reply[:-2]))
    end.receive(reply[-2:])
    assert (hand.told[1:], hand.page) == (["last", "settled"], b"hello")


def test_a_long_page_is_passed_on_as_it_comes() -> None:
    end, hand = an_end(State.BUSY)
    size = len(PLAIN) + 2 + 10_000_000
    end.receive(b"%09d%b\r\n" % (size, PLAIN))
    for _ in range(10):
        end.receive(bytes(1_000_000))
    assert (len(hand.page), end.state) == (10_000_000, State.IDLE)


def test_a_page_without_any_head_is_not_kept_for_longer_than_a_head_may_be() -> None:
    end, hand = an_end(State.BUSY)
    end.receive(b"%09d" % MOST)
    end.receive(b"x" * (limits.HEAD + 1))
    assert hand.page == b"x" * (limits.HEAD + 1)


@pytest.mark.parametrize(
    "reply",
    [
        b"Status: teapot\r\n\r\npage",
        b"Status: 100 Go on\r\n\r\npage",
        b"HTTP/1.0 99\r\n\r\npage",
        b"X: a\x01b\r\n\r\npage",
        b"bad name: x\r\n\r\npage",
        b"no field\r\n\r\npage",
        b"X: a\rY: b\r\n\r\n",
        b"X: a\rSet-Cookie: b\n\npage",
        b"Location: /a b\r\n\r\n",
    ],
)
def test_a_reply_that_cannot_be_passed_on_is_dropped_and_the_peer_goes_on(feed: Feed, reply: bytes) -> None:
    end, hand = an_end(State.BUSY)
    feed(end, b"%09d%b" % (len(reply), reply))
    assert (len(hand.told), hand.told[-1], hand.page, end.state) == (2, "settled", b"", State.IDLE)
    with pytest.raises(HeaderError):
        split_reply(reply, True)


def test_an_empty_reply_cannot_be_passed_on(feed: Feed) -> None:
    end, hand = an_end(State.BUSY)
    feed(end, b"000000000")
    assert (hand.told, end.state) == (["it is empty", "settled"], State.IDLE)


@pytest.mark.parametrize(
    "data", [b"x", b"12345678x", b"-00000001", b"000000001<>", b"000000000x", b"000000002<>x"]
)
def test_what_is_no_reply_ends_the_link(feed: Feed, data: bytes) -> None:
    end, _ = an_end(State.BUSY)
    with pytest.raises(RemoteProtocolError):
        feed(end, data)


def test_a_byte_from_an_idle_peer_ends_the_link() -> None:
    end, _ = an_end(State.IDLE)
    with pytest.raises(RemoteProtocolError, match="without being asked"):
        end.receive(b"\0")


def test_a_lost_link_acts_on_nothing() -> None:
    end, hand = an_end(State.BUSY)
    end.lose()
    end.receive(b"000000002<>")
    assert (hand.told, repr(end)) == ([], "<ClassicEnd lost>")


def test_a_hand_may_lose_the_link_while_it_is_told_of_a_reply() -> None:
    end, _ = an_end(State.BUSY)

    class Impatient(FakeHand):
        def on_response(self, head: ReplyHead, length: int, piece: bytes) -> None:
            super().on_response(head, length, piece)
            end.lose()

    impatient = Impatient()
    end._hand = impatient
    end.receive(b"000000003<p>")
    assert ("settled" in impatient.told, end.state) == (False, State.LOST)
