"""A stream of frames, from a stranger and from a worker that has registered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocol import limits
from protocol.errors import RemoteProtocolError
from protocol.frames import FrameReader, encode_frame
from tests.fuzz.target import Target, ways_to_cut

LIMITS = (limits.REGISTRATION_FRAME, limits.FRAME)


def read(data: bytes) -> None:
    for _ in messages_in(data, limits.REGISTRATION_FRAME):
        pass


def messages_in(data: bytes, limit: int) -> Iterator[tuple[Any, ...]]:
    """Yield the messages in a stream."""
    reader = FrameReader(limit)
    for payload in reader.feed(data):
        yield reader.unpack(payload)
    reader.check_excess()


def heard(pieces: list[bytes], limit: int) -> tuple[str, str]:
    """Return what is heard of a stream until its end, or until its first mistake, and what that is.

    As text, because one NaN is not equal to another.
    """
    reader = FrameReader(limit)
    messages = []
    try:
        for piece in pieces:
            for payload in reader.feed(piece):
                messages.append(reader.unpack(payload))
            reader.check_excess()
    except RemoteProtocolError as error:
        return repr(messages), str(error)
    return repr(messages), ""


def is_heard_the_same_however_it_is_cut(data: bytes) -> None:
    for limit in LIMITS:
        whole = heard([data], limit)
        for pieces in ways_to_cut(data):
            assert heard(pieces, limit) == whole


def is_read_back_as_it_was_written(data: bytes) -> None:
    try:
        messages = [*messages_in(data, limits.FRAME)]
    except RemoteProtocolError:
        return
    written = b"".join(map(encode_frame, messages))
    assert repr([*messages_in(written, limits.FRAME)]) == repr(messages)


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


TARGET = Target(
    read=read,
    refusals=(RemoteProtocolError,),
    laws=(is_heard_the_same_however_it_is_cut, is_read_back_as_it_was_written),
    seeds=(
        encode_frame((5,)),
        encode_frame((4, 1)) + encode_frame((3, 1, b"piece", True)),
        encode_frame((1, 3, "i", (("shop", "", "/shop"),), 8, {"host": "a1"}, bytes(32), b"")),
        framed(b"\x91\x91\x91\x91\x05"),
        framed(b"\xdc\x00\x01\x05") + framed(b"\xc1"),
        b"\x01\x00\x00\x00\x91\x05",
        b"\x00\x01\x00\x01" + bytes(10),
    ),
    words=(
        *(framed(payload) for payload in (b"\x91\x05", b"\x91", b"\x80", b"", b"\xc0")),
        *(b"\x91", b"\xdc\x03\xe8", b"\xdd\xff\xff\xff\xff", b"\x81\xa0\xc0", b"\xdf\x00\x00\x00\x01"),
        *(b"\xd9\x02\xc3\xa9", b"\xc4\x01a", b"\xc7\x00\x05", b"\xd4\x01\x00", b"\xcb\x7f\xf8\0\0\0\0\0\0"),
        *(b"\x00\x00\x00\x02", b"\x00\x01\x00\x00", b"\x00\x20\x00\x00", b"\x00\x20\x00\x01"),
    ),
    each=12,
    fixed=500_000,
)
