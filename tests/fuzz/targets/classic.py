"""What peers of LRWP/1 and LRWP/2 say: an opening, the answer to a challenge, replies."""

from __future__ import annotations

from protocol.classic import CHALLENGE, ClassicEnd, State, read_opening
from protocol.errors import RemoteProtocolError
from protocol.heads import read_response_head
from protocol.registration import RegistrationError
from tests.fuzz.target import Target, outcome, ways_to_cut
from tests.protocol.test_classic import FakeHand, an_end

STATES = (State.NEW, State.CHALLENGED, State.IDLE, State.BUSY)
"""Where a link stands, by the first byte of an input."""

REFUSALS = (RemoteProtocolError, RegistrationError)


class Registrar(FakeHand):
    """A hand that accepts whoever has answered."""

    end: ClassicEnd

    def on_answer(self, answer: bytes) -> None:
        super().on_answer(answer)
        self.end.accept(2)


def situation(data: bytes) -> tuple[ClassicEnd, FakeHand, bytes]:
    """Return an end, its hand, and what it hears."""
    state = STATES[data[0] % len(STATES)] if data else State.NEW
    hand: FakeHand
    if state is State.CHALLENGED:
        hand = Registrar()
        end = hand.end = ClassicEnd(hand)
        end.receive(b"\xff2.0\xffhello\xff\xff")
        end.challenge(bytes(CHALLENGE))
        hand.told.clear()
    else:
        end, hand = an_end(state)
    return end, hand, data[1:]


def read(data: bytes) -> None:
    end, _, stream = situation(data)
    end.receive(stream)


def heard(data: bytes, pieces: list[bytes]) -> tuple[list[object], bytes, bool]:
    """Return what the hand is told of a stream that comes like this, the page, and whether it was refused.

    Only whether a page has come in several pieces is left out.
    """
    end, hand, _ = situation(data)
    try:
        for piece in pieces:
            end.receive(piece)
    except REFUSALS:
        return [], b"", True
    return [told for told in hand.told if told != "last"], hand.page, False


def is_heard_the_same_however_it_is_cut(data: bytes) -> None:
    """But for openings, whose last byte may come later: then they are told twice."""
    stream = data[1:]
    if not stream:
        return
    whole = heard(data, [stream])
    for pieces in ways_to_cut(stream):
        told, page, is_refused = heard(data, pieces)
        assert is_refused == whole[2]
        if situation(data)[0].state is State.NEW:
            assert told[-1:] == whole[0]
        else:
            assert (told, page) == whole[:2]


def tells_of_each_reply_once(data: bytes) -> None:
    end, hand, stream = situation(data)
    if end.state is not State.BUSY:
        return
    outcome(end.receive, stream, refusals=REFUSALS)
    heads = [told for told in hand.told if isinstance(told, tuple)]
    assert len(heads) <= 1
    for head, length in heads:
        assert 200 <= head.status <= 599
        assert len(hand.page) <= length
        read_response_head(head.head)
        assert not head.location or head.location.startswith("/")
        assert ("settled" in hand.told) == (len(hand.page) == length)
    assert hand.told.count("settled") == (repr(end) == "<ClassicEnd idle>")


def openings_have_names(data: bytes) -> None:
    opening = outcome(read_opening, data, refusals=REFUSALS)
    if opening is not RegistrationError and opening is not None:
        assert opening.name
        assert opening.path[0] in "/."
        assert (
            (opening.name + opening.host).isprintable()
            or not opening.name.isascii()
            or not opening.host.isascii()
        )


def reply(state: State, text: bytes) -> bytes:
    return bytes([STATES.index(state)]) + text


def sized(text: bytes) -> bytes:
    return reply(State.BUSY, b"%09d%b" % (len(text), text))


TARGET = Target(
    read=read,
    refusals=REFUSALS,
    laws=(is_heard_the_same_however_it_is_cut, tells_of_each_reply_once, openings_have_names),
    seeds=(
        *(
            reply(State.NEW, text)
            for text in (b"hello\xff\xff", b"/hello\xffwww.example.org\xff\xff", b".ks\xff\xff.ks\xff")
        ),
        reply(State.NEW, b"\xff2.0\xffhello\xfflocalhost\xff"),
        reply(State.CHALLENGED, b"%09d%b" % (CHALLENGE, bytes(CHALLENGE))),
        reply(State.IDLE, b"what?"),
        sized(b"Content-type: text/html\r\n\r\n<p>hello"),
        sized(b"<p>hello"),
        sized(b"Status: 404 Not Found\nContent-Length: 3\nX: y\n\nabc"),
        sized(b"HTTP/1.0 200 OK\r\nLocation: http://a/\r\n\r\n"),
        sized(b"Location: /other?x\r\n\r\n"),
        sized(b""),
        sized(b"Bad\x01: x\r\n\r\n" + b"y" * 100),
    ),
    words=(
        b"\xff|\xff\xff|\xff2.0\xff|\xff2.1\xff|hello|.ks|/|000000000|000000010|999999999|000000032|\r\n\r\n"
        b"|\n\n|\r\n|\n\r\n|\r|\n|<|HTTP/1.1 |Status: |Location: /|Location: |Content-Length: 1|404|199|600"
        b"|200 OK|: |\x00|\x01|\x02|\x03|\x0b|\x0c|\x1c|\x85|\xe2\x80\xa8"
    ).split(b"|"),
    each=40,
    fixed=100_000,
)
