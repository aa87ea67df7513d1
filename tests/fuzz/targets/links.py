"""What one end of a link says to the other, out of turn and with whatever in it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgpack

from protocol.errors import RemoteProtocolError
from protocol.link import State
from protocol.messages import SCHEMA, Side
from tests.fuzz.target import SEPARATOR, Target, ways_to_cut
from tests.fuzz.targets.frames import framed
from tests.protocol.fakes import BOUNDS, DISPATCHER_NONCE, REGISTER, Wire, in_state
from tests.protocol.test_link_laws import busy, settled

SITUATIONS = (*(state.value for state in State), "busy")
"""How far a link has come, by the first byte of an input; the bit above says who hears the rest."""


class Listener:
    """One end of a link that hears something."""

    def __init__(self, situation: int) -> None:
        number = situation & 7
        self.wire: Wire = busy() if number == 7 else in_state(SITUATIONS[number])
        self.is_worker = bool(situation & 8)
        self.end: Any = self.wire.worker if self.is_worker else self.wire.dispatcher
        self.diary = self.wire.worker_hears if self.is_worker else self.wire.dispatcher_hears
        self.subjects = Counter(self.wire.dispatcher.held.values()) + settled(self.wire)
        self.earlier = len(self.diary.entries)

    def hear(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.end.receive(piece)

    def result(self, pieces: list[bytes]) -> tuple[str, ...]:
        """Return all that becomes of a stream, as text: NaN is not equal to NaN."""
        complaint = ""
        try:
            self.hear(pieces)
        except RemoteProtocolError as error:
            complaint = str(error)
        cancelled = () if self.is_worker else sorted(self.end.cancelled)
        return complaint, repr(self.diary.entries), repr(self.end.held), repr(cancelled), self.end.state.value


def stream_of(data: bytes) -> tuple[int, bytes]:
    """Return an input's situation, and the stream that is heard in it: a frame for each part."""
    return data[0] if data else 0, b"".join(map(framed, data[1:].split(SEPARATOR)))


def read(data: bytes) -> None:
    situation, stream = stream_of(data)
    Listener(situation).hear([stream])


def comes_to_the_same_however_it_is_cut(data: bytes) -> None:
    situation, stream = stream_of(data)
    whole = Listener(situation).result([stream])
    for pieces in ways_to_cut(stream):
        assert Listener(situation).result(pieces) == whole


def settles_each_exchange_once(data: bytes) -> None:
    situation, stream = stream_of(data)
    listener = Listener(situation)
    listener.result([stream])
    if listener.is_worker:
        assert len(listener.end.held) <= listener.end.window
        assert listener.end._receiving <= listener.end.held.keys()
    else:
        held = Counter(listener.wire.dispatcher.held.values())
        assert held + settled(listener.wire) == listener.subjects
        assert listener.wire.dispatcher.cancelled <= listener.wire.dispatcher.held.keys()


def passes_on_what_the_table_allows(data: bytes) -> None:
    situation, stream = stream_of(data)
    listener = Listener(situation)
    complaint = listener.result([stream])[0]
    assert (listener.end.state is State.LOST) or not complaint
    if listener.is_worker:
        rows = {row.name: row for row in SCHEMA.values() if row.side is not Side.WORKER}
        for name, *fields in listener.diary.entries[listener.earlier :]:
            assert [kind for _, kind in rows[name].fields] == [*map(type, fields)]


def said(situation: int, *messages: tuple[Any, ...]) -> bytes:
    return bytes([situation]) + SEPARATOR.join(map(msgpack.packb, messages))


WORKER = 8
SERVING = SITUATIONS.index("serving")
ASKED = SITUATIONS.index("asked")
BUSY = SITUATIONS.index("busy")
REGISTERS = (1, *REGISTER[1:], b"")
REQUEST = (19, 1, "shop", "GET", b"/shop", b"Host: a\r\n", "http", "192.0.2.7:5", 1, b"", True)

TARGET = Target(
    read=read,
    refusals=(RemoteProtocolError,),
    laws=(
        comes_to_the_same_however_it_is_cut,
        settles_each_exchange_once,
        passes_on_what_the_table_allows,
    ),
    seeds=(
        said(0, REGISTERS),
        said(0, (1, 4, "from the future")),
        said(SITUATIONS.index("challenged"), REGISTERS),
        said(WORKER + ASKED, (16, DISPATCHER_NONCE)),
        said(WORKER + ASKED, (17, BOUNDS, 10_000), REQUEST, (21,)),
        said(WORKER + ASKED, (18, "proof", "No.")),
        said(
            WORKER + SERVING, REQUEST, (20, 1), (19, 2, *REQUEST[2:-1], False), (3, 2, b"more", True), (22,)
        ),
        said(BUSY, (3, 1, b"x", True), (2, 4, 200, b"", b"", True), (4, 5), (5,), (6,)),
        said(
            BUSY,
            (2, 6, 200, b"A: b\r\n", b"", False),
            (3, 6, b"x", False),
            (3, 6, b"", True),
            (3, 2, b"", True),
        ),
        said(WORKER + BUSY, (20, 5), (3, 5, b"rest", True), (22,), (19, 7, *REQUEST[2:]), (20, 7)),
    ),
    words=(
        *(bytes([situation]) for situation in range(16)),
        *(SEPARATOR + msgpack.packb((number, exchange)) for number in (4, 20) for exchange in (1, 4, 5, 7)),
        *(
            SEPARATOR + msgpack.packb((2, exchange, 200, b"", b"", last))
            for exchange in (4, 6)
            for last in (0, 1)
        ),
        *(SEPARATOR + msgpack.packb((3, exchange, b"", True)) for exchange in (1, 2, 5, 6)),
        *(SEPARATOR + msgpack.packb((number,)) for number in (5, 6, 21, 22)),
        *(b"\xc2", b"\xc3", b"\x93", b"\x96", b"\x9b"),
    ),
    each=130,
    fixed=400_000,
)
