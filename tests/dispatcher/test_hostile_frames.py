"""Frames that are made to hurt, over real links: one link ends, nobody else notices, memory stays flat."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgpack
import pytest
from structlog.testing import capture_logs

from protocol import limits, messages
from tests.dispatcher.house import House, a_house
from tests.dispatcher.test_links import serves

if TYPE_CHECKING:
    from tests.peers import Peer

LONG: Final = 1024 * 1024


def framed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def padded(header: bytes, size: int) -> bytes:
    """Return a payload of so many bytes that begins like a message and then repeats a header."""
    return (b"\x92\x02" + header * (size // len(header) + 1))[:size]


HOSTILE: Final = {
    "arrays in arrays": lambda size: padded(b"\x91", size),
    "arrays of 65,535 in each other": lambda size: padded(b"\xdc\xff\xff", size),
    "arrays of 4 G in each other": lambda size: padded(b"\xdd\xff\xff\xff\xff", size),
    "maps in maps": lambda size: padded(b"\x81\x01", size),
    "maps of 4 G in each other": lambda size: padded(b"\xdf\xff\xff\xff\xff", size),
    "an array of many small values": lambda size: (
        padded(b"\x91" + b"\xdd" + struct.pack(">I", size), 7) + bytes(size - 7)
    ),
    "a string of 4 G": lambda size: padded(b"\xdb\xff\xff\xff\xff", size),
    "bytes of 4 G": lambda size: padded(b"\xc6\xff\xff\xff\xff", size),
    "an extension of 4 G": lambda size: padded(b"\xc9\xff\xff\xff\xff\x05", size),
    "a time": lambda size: msgpack.packb([2, msgpack.Timestamp(1)]),
    "an extension": lambda size: msgpack.packb([2, msgpack.ExtType(5, bytes(min(size, 60_000)))]),
    "nil": lambda size: msgpack.packb([messages.REFUSED, None]),
    "a float": lambda size: msgpack.packb([messages.REFUSED, 1.0]),
    "a bool for an int": lambda size: msgpack.packb([messages.REFUSED, True]),
    "text that is none": lambda size: b"\x92\x04\xa2\xff\xfe",
    "a map": lambda size: msgpack.packb({1: 2}),
    "an empty array": lambda size: b"\x90",
    "nothing": lambda size: b"",
    "two messages": lambda size: msgpack.packb([messages.PONG]) * 2,
    "half a message": lambda size: msgpack.packb([messages.REFUSED, 1])[:-1],
    "the byte that is never used": lambda size: b"\xc1",
}


@pytest.fixture
def house() -> Iterator[House]:
    with a_house() as house:
        yield house


def send(peer: Peer, data: bytes) -> None:
    with suppress(OSError):  # it may be dropped in the middle
        peer.socket.sendall(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_frame_ends_its_link_and_no_other(house: House, name: str) -> None:
    with house.peer(instance="good") as good, house.peer(instance="bad") as bad, capture_logs() as log:
        good.register()
        send(bad.register(), framed(HOSTILE[name](LONG)))
        bad.expect_end()
        house.until(lambda: len(house.front.broker.links) == 1)
        assert serves(house, good)
    assert [entry["event"] for entry in log if entry["log_level"] == "warning"] == ["link dropped"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_stranger_s_hostile_frame_ends_its_connection(house: House, name: str) -> None:
    with house.peer(instance="bad") as bad:
        send(bad, framed(HOSTILE[name](limits.REGISTRATION_FRAME)))
        bad.expect_end()
        house.until(lambda: not house.front.links)
    assert house.front.gate.refused == 1


@pytest.mark.parametrize("length", [limits.FRAME + 1, 2**24 - 1])
def test_a_length_over_the_limit_ends_the_link_before_its_payload_is_kept(house: House, length: int) -> None:
    with house.peer(instance="bad") as bad:
        connection = house.connection_of(bad.register())
        send(bad, struct.pack(">I", length) + bytes(3))
        bad.expect_end()
        assert connection._end._reader._buffer == b""


def test_a_length_over_that_of_a_registration_ends_a_stranger(house: House) -> None:
    with house.peer(instance="bad") as bad:
        send(bad, struct.pack(">I", limits.REGISTRATION_FRAME + 1))
        bad.expect_end()


@pytest.mark.parametrize("name", [name for name in HOSTILE if " in " in name or "small" in name])
def test_a_hostile_frame_costs_little_more_memory_than_it_is_long(house: House, name: str) -> None:
    frame = framed(HOSTILE[name](LONG))
    with house.peer(instance="bad") as bad:
        bad.register()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            send(bad, frame)
            bad.expect_end()
            house.until(lambda: not house.front.links)
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert peak < 6 * LONG, peak
