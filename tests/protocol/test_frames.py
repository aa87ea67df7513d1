"""Frames: what goes over the wire, and what a stream of bad bytes may cost."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.frames import PREFIX, FrameReader, encode_frame

MESSAGES = st.lists(
    st.tuples(
        st.integers(1, 22),
        st.integers(0, 2**64 - 1),
        st.binary(max_size=300) | st.just(bytes(limits.REGISTRATION_FRAME)),
        st.text(max_size=20),
        st.booleans(),
    ),
    max_size=4,
)


def framed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def messages_of(reader: FrameReader, data: bytes) -> list[Any]:
    messages = [reader.unpack(payload) for payload in reader.feed(data)]
    reader.check_excess()
    return messages


def read(data: bytes, limit: int = limits.FRAME) -> list[Any]:
    return messages_of(FrameReader(limit), data)


# ── What goes over the wire ──────────────────────────────────────────────────────────────────────


def test_a_frame_is_a_length_and_an_array() -> None:
    assert encode_frame((2, 7, 200, b"A: b\r\n", b"hi", True)) == bytes.fromhex(
        "00000012 96 02 07 ccc8 c406 413a20620d0a c402 6869 c3"
    )


def test_the_first_byte_is_zero_even_on_the_longest_frame() -> None:
    body = bytes(limits.FRAME - 8)
    frame = encode_frame((3, 1, body))
    assert (frame[:1], len(frame)) == (b"\0", PREFIX + limits.FRAME)
    assert read(frame) == [(3, 1, body)]


def test_a_message_over_the_limit_is_not_written() -> None:
    with pytest.raises(
        LocalProtocolError, match=r"^a message of 2097153 bytes is over the frame limit of 2097152$"
    ):
        encode_frame((3, 1, bytes(limits.FRAME - 7)))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\udce4", object(), 1 + 2j])
def test_a_value_that_msgpack_cannot_carry_is_our_own_error(value: object) -> None:
    with pytest.raises(LocalProtocolError, match=r"^a message cannot be packed: "):
        encode_frame((2, value))
    assert encode_frame((5,)) == bytes.fromhex("00000002 91 05")


@given(MESSAGES, st.data())
def test_what_is_written_is_read_however_it_is_cut(messages: list[Any], data: st.DataObject) -> None:
    stream = b"".join(map(encode_frame, messages))
    places = data.draw(st.sets(st.integers(0, len(stream)), max_size=6))
    reader = FrameReader(limits.FRAME)
    heard = [
        message
        for start, end in pairwise(sorted({0, *places, len(stream)}))
        for message in messages_of(reader, stream[start:end])
    ]
    assert heard == messages


@given(MESSAGES)
def test_strangers_and_friends_are_read_alike(messages: list[Any]) -> None:
    stream = b"".join(encode_frame(message) for message in messages if len(message[2]) < 1000)
    assert read(stream, limits.REGISTRATION_FRAME) == read(stream, limits.FRAME)


def test_half_a_frame_is_no_message() -> None:
    frame = encode_frame((5,))
    assert [read(frame[:end]) for end in range(len(frame))] == [[]] * len(frame)


def test_the_frames_in_front_of_one_that_is_too_long_count() -> None:
    reader = FrameReader()
    payloads = reader.feed(encode_frame((5,)) + struct.pack(">I", limits.REGISTRATION_FRAME + 1))
    assert [reader.unpack(payload) for payload in payloads] == [(5,)]
    with pytest.raises(RemoteProtocolError):
        reader.check_excess()


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [limits.REGISTRATION_FRAME, limits.FRAME])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_length_over_the_limit_is_refused_before_anything_of_it_is_kept(limit: int, cut: int) -> None:
    prefix = struct.pack(">I", limit + 1)
    reader = FrameReader(limit)
    assert messages_of(reader, prefix[: cut - 1]) == []
    with pytest.raises(RemoteProtocolError) as caught:
        messages_of(reader, prefix[cut - 1 :] + b"the beginning")
    assert str(caught.value) == f"a frame of {limit + 1} bytes is over the limit of {limit}"
    with pytest.raises(RemoteProtocolError):
        messages_of(reader, b"and more")


def test_the_limit_may_grow_between_frames() -> None:
    reader = FrameReader()
    long = encode_frame((3, 1, bytes(limits.REGISTRATION_FRAME)))
    assert messages_of(reader, encode_frame((5,))) == [(5,)]
    reader.limit = limits.FRAME
    assert messages_of(reader, long) == [(3, 1, bytes(limits.REGISTRATION_FRAME))]


NOT_A_MESSAGE = {
    "nothing": b"",
    "a byte that msgpack never uses": b"\xc1",
    "half an array": b"\x92\x05",
    "half an integer": b"\x91\xcd\x01",
    "half a text": b"\x91\xa5abc",
    "half a map": b"\x92\x05\x81\xa1a",
    "a key without its value, and no more": b"\x91\x81",
    "an array longer than the frame": b"\xdd\x00\x00\x03\xe8",
    "an array longer than any": b"\xdd\xff\xff\xff\xff",
    "a map longer than any": b"\x91\xdf\xff\xff\xff\xff",
    "a text longer than any": b"\x91\xdb\xff\xff\xff\xff",
    "a map with too many keys": b"\x91\xde\x00\x11" + b"".join(b"\xa1%cx" % c for c in range(97, 114)),
    "a map with a number for a key": b"\x91\x81\x05\x05",
    "a map with an array for a key": b"\x91\x81\x91\x05\x05",
    "a map with nil for a key": b"\x91\x81\xc0\x05",
    "text that is not UTF-8": b"\x92\x05\xa2\xc3\x28",
    "text with half a surrogate pair": b"\x92\x05\xa3\xed\xa0\x80",
    "an extension": b"\x92\x05\xd4\x01\x00",
    "a timestamp": b"\x92\x05\xd6\xff\x00\x00\x00\x00",
    "a timestamp of no bytes": b"\x92\x05\xc7\x00\xff",
    "arrays in arrays": b"\x91" * 2000 + b"\xc0",
    "maps in maps": b"\x91" + b"\x81\xa1a" * 2000 + b"\xc0",
}
NOT_ONE_ARRAY = {
    "an integer": b"\x05",
    "nil": b"\xc0",
    "a text": b"\xa5hello",
    "a map": b"\x81\xa1a\x05",
    "an empty map": b"\x80",
    "an empty array": b"\x90",
}


@pytest.mark.parametrize("limit", [limits.REGISTRATION_FRAME, limits.FRAME])
@pytest.mark.parametrize("name", NOT_A_MESSAGE)
def test_what_is_not_valid_is_refused(name: str, limit: int) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^a frame does not hold valid msgpack: ."):
        read(framed(NOT_A_MESSAGE[name]), limit)


def test_a_stranger_is_told_that_its_frame_ends_too_early() -> None:
    with pytest.raises(
        RemoteProtocolError, match=r"^a frame does not hold valid msgpack: it ends too early$"
    ):
        read(framed(NOT_A_MESSAGE["half an array"]), limits.REGISTRATION_FRAME)


@pytest.mark.parametrize("limit", [limits.REGISTRATION_FRAME, limits.FRAME])
@pytest.mark.parametrize("name", NOT_ONE_ARRAY)
def test_what_is_not_an_array_is_refused(name: str, limit: int) -> None:
    with pytest.raises(
        RemoteProtocolError, match=r"^a frame does not hold an array that starts with a message type$"
    ):
        read(framed(NOT_ONE_ARRAY[name]), limit)


@pytest.mark.parametrize("limit", [limits.REGISTRATION_FRAME, limits.FRAME])
@pytest.mark.parametrize("rest", [b"\xc0", b"\x91\x05", b"\xc1", b"\x00\x00"])
def test_bytes_after_the_message_are_refused(rest: bytes, limit: int) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^a frame holds more than one message$"):
        read(framed(b"\x91\x05" + rest), limit)


def test_what_is_odd_but_valid_is_left_to_the_table_of_messages() -> None:
    odd = [float("inf"), -(2**63), 2**64 - 1, None, {b"k": ()}, {}, msgpack.ExtType(5, b"")]
    for limit in (limits.REGISTRATION_FRAME, limits.FRAME):
        assert read(encode_frame((5, *odd)), limit) == [(5, *odd)]
        assert repr(read(framed(b"\x91\xcb\x7f\xf8" + bytes(6)), limit)) == "[(nan,)]"


def test_a_registration_may_name_as_many_applications_as_the_limit_says() -> None:
    claims = tuple((f"a{number}", "", f"/a{number}") for number in range(limits.APPLICATIONS))
    labels = {f"l{number}": "x" for number in range(limits.LABELS)}
    message = (1, 3, "i", claims, 8, labels, bytes(32), bytes(32))
    assert read(encode_frame(message), limits.REGISTRATION_FRAME) == [message]


@pytest.mark.parametrize(
    "message",
    [
        (1, tuple(range(limits.APPLICATIONS + 1))),
        (1, (((5,),),)),
        (1, ((({},),),)),
        (1, *(((None,) * limits.APPLICATIONS,) * 5)),
    ],
    ids=["too long an array", "too deep an array", "too deep a map", "too many values"],
)
def test_a_stranger_may_not_send_what_no_registration_needs(message: Any) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^a frame does not hold valid msgpack: it"):
        read(encode_frame(message), limits.REGISTRATION_FRAME)


# ── What bad bytes may cost ──────────────────────────────────────────────────────────────────────


def full_of(pattern: bytes, size: int) -> bytes:
    """A payload of arrays of a thousand elements, each such an array full of ``pattern``."""
    row = b"\xdc\x03\xe8"
    return (row + (row + pattern * 1000) * (size // (1000 * len(pattern)) + 1))[:size]


BOMBS = {
    "array headers": lambda size: b"\x91" * size,
    "long array headers": lambda size: (b"\xdc\x03\xe8" * size)[:size],
    "longest array headers": lambda size: (b"\xdd\xff\xff\xff\xff" * size)[:size],
    "map headers": lambda size: (b"\x81\xa1a" * size)[:size],
    "empty maps": lambda size: full_of(b"\x80", size),
    "small maps": lambda size: full_of(b"\x81\xa0\xc0", size),
    "nils": lambda size: full_of(b"\xc0", size),
    "short texts": lambda size: full_of(b"\xa2\xc4\x80", size),
    "arrays of one": lambda size: full_of(b"\x91\x91\x91\x91\xc0", size),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize(
    ("size", "limit", "bound"),
    [
        (limits.REGISTRATION_FRAME, limits.REGISTRATION_FRAME, 1_000_000),
        (limits.REGISTRATION_FRAME, limits.FRAME, 7_000_000),
        (limits.FRAME, limits.FRAME, 8_000_000),
    ],
    ids=["a stranger's", "a worker's short", "a worker's long"],
)
def test_a_frame_made_to_be_expensive_is_not(name: str, size: int, limit: int, bound: int) -> None:
    """Bounds in bytes, copies of the frame included; 2 MiB of small maps once cost 96 MB."""
    data = framed(BOMBS[name](size))
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            read(data, limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bound


def test_an_empty_frame_costs_no_more_than_another() -> None:
    reader = FrameReader()
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            messages_of(reader, framed(b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_connection_that_says_nothing_costs_next_to_nothing() -> None:
    tracemalloc.start()
    try:
        readers = [FrameReader() for _ in range(100)]
        each = tracemalloc.get_traced_memory()[0] // len(readers)
    finally:
        tracemalloc.stop()
    assert each < 2_000


def test_a_long_frame_leaves_no_buffer_behind() -> None:
    reader = FrameReader(limits.FRAME)
    messages_of(reader, encode_frame((5,)))
    long = encode_frame((3, 1, bytes(limits.FRAME - 100), True))
    tracemalloc.start()
    try:
        for _ in range(3):
            messages_of(reader, long)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 10_000
