"""The payload of a frame: msgpack that may ask for anything, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgpack

from protocol import limits
from protocol.errors import RemoteProtocolError
from protocol.frames import FrameReader
from protocol.messages import BODY, REQUEST, RESPONSE, SCHEMA, check_message
from tests.fuzz.target import Target, outcome

SHORT = 16
"""Longest array of a message that is opened in one step."""

DEEP = 3
"""Deepest nesting of a message that is opened level by level."""


def read(data: bytes) -> int:
    return check_message(FrameReader(limits.FRAME).unpack(data))


def unpack(data: bytes, limit: int) -> Any:
    return outcome(FrameReader(limit).unpack, data, refusals=(RemoteProtocolError,))


def both_ways_to_open_it_agree(data: bytes) -> None:
    by_levels, at_once = unpack(data, limits.REGISTRATION_FRAME), unpack(data, limits.FRAME)
    if type(by_levels) is tuple and type(at_once) is tuple:
        assert repr(at_once) == repr(by_levels)
    elif type(by_levels) is tuple:
        assert max(map(len, arrays_in(by_levels))) > SHORT, "what is opened by levels alone has a long array"
    elif type(at_once) is tuple:
        assert is_deep(at_once), "what is opened at once alone is nested deeper"


def arrays_in(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield an array and those within it; there are few of them."""
    if type(value) is tuple:
        yield value
        for inner in value:
            yield from arrays_in(inner)


def is_deep(value: Any) -> bool:
    """Whether arrays and maps are nested deeper than in any message."""
    level = [value]
    for _ in range(DEEP):
        level = [inner for outer in level for inner in values_in(outer)]
    return any(type(inner) in {tuple, dict} for inner in level)


def values_in(value: Any) -> Iterable[Any]:
    return value if type(value) is tuple else value.values() if type(value) is dict else ()


def msgpack_reads_the_same(data: bytes) -> None:
    message = unpack(data, limits.REGISTRATION_FRAME)
    if type(message) is tuple:
        assert repr(msgpack.unpackb(data, use_list=False)) == repr(message)


def has_the_types_of_the_table(data: bytes) -> None:
    message = unpack(data, limits.FRAME)
    if (
        type(message) is not tuple
        or type(outcome(check_message, message, refusals=(RemoteProtocolError,))) is type
    ):
        return
    row = SCHEMA[message[0]]
    assert len(message) == len(row.fields) + 1
    for (name, kind), value in zip(row.fields, message[1:], strict=True):
        assert type(value) is kind, name


TARGET = Target(
    read=read,
    refusals=(RemoteProtocolError,),
    laws=(both_ways_to_open_it_agree, msgpack_reads_the_same, has_the_types_of_the_table),
    seeds=(
        msgpack.packb((RESPONSE, 7, 200, b"Content-Type: text/plain\r\n", b"hello", True)),
        msgpack.packb((BODY, 2**40, b"", False)),
        msgpack.packb(
            (REQUEST, 1, "shop", "GET", b"/shop", b"Host: a\r\n", "http", "192.0.2.7:5", 1, b"", True)
        ),
        msgpack.packb(
            (1, 3, "i", (("shop", "", "/shop"), ("b", "h", "/")), 8, {"k": "v"}, bytes(32), bytes(32))
        ),
        msgpack.packb((17, {"frame": 2**21, "piece": 2**17}, 10_000)),
        msgpack.packb((18, "draining", "Come back later.")),
        msgpack.packb((5, -(2**63), 2**64 - 1, None, 1.5, {b"k": ()}, msgpack.ExtType(5, b""))),
        b"\x91" * 30 + b"\xc0",
    ),
    words=(
        *(bytes([number]) for number in SCHEMA),
        *(b"\xc2", b"\xc3", b"\xc0", b"\xc1", b"\xca\0\0\0\0", b"\xcc\x01", b"\xcd\0\x01", b"\xce\0\0\0\x01"),
        *(
            b"\xcf" + bytes(7) + b"\x01",
            b"\xd0\xff",
            b"\xd3\x80" + bytes(7),
            b"\xd6\xff\0\0\0\0",
            b"\xc7\0\xff",
        ),
        *(
            b"\xa0",
            b"\xa1a",
            b"\xd9\x01a",
            b"\xda\0\x01a",
            b"\xdb\0\0\0\x01a",
            b"\xa1\xff",
            b"\xa3\xed\xa0\x80",
        ),
        *(b"\xc4\0", b"\xc5\0\x01a", b"\xc6\0\0\0\x01a", b"\xc6\x7f\xff\xff\xff"),
        *(
            b"\x90",
            b"\x91",
            b"\x9f",
            b"\xdc\0\x01",
            b"\xdc\x03\xe8",
            b"\xdc\x03\xe9",
            b"\xdd\xff\xff\xff\xff",
        ),
        *(b"\x80", b"\x81\xa1a", b"\x81\xc4\x01a", b"\x81\x01", b"\x8f", b"\xde\0\x10", b"\xde\0\x11"),
    ),
    each=110,
    fixed=300_000,
)
