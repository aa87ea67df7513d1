"""Frames: a 4-byte big-endian length, then that many bytes of msgpack, holding one array.

The length is checked before anything is buffered, and on writing. A few bytes of msgpack can ask for a lot
of memory: with every one of its limits set, 64 KiB of nested array headers still took 9.5 MB to unpack, and
2 MiB of one-element arrays 96 MB. So a frame of a stranger, and every long frame, is opened level by level,
and the values that have really come are counted: 0.5 MB at the worst, beside copies of the frame itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import msgpack

from protocol import limits
from protocol.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

_read_length = struct.Struct(">I").unpack_from
_write_length = struct.Struct(">I").pack
_pack = msgpack.Packer(autoreset=True).pack

PREFIX: Final = 4
"""Bytes of the length in front of every frame."""

_SHORT: Final = limits.REGISTRATION_FRAME
"""Longest payload in bytes that is unpacked in one step once the peer is known: 6 MB at the worst."""

_DEPTH: Final = 3
"""Deepest nesting of a message: the message, its applications, one of them."""

_VALUES: Final = 5 * limits.APPLICATIONS
"""Most values in a message, arrays and maps included: an application has four."""

_ARRAYS: Final = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})
_MAPS: Final = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
"""First bytes of arrays and maps in msgpack."""

_FIELDS: Final = 16
"""Longest array that is unpacked in one step; the longest message has eleven elements."""


def encode_frame(message: tuple[Any, ...]) -> bytes:
    """Return the frame that carries ``message``.

    Raises:
        LocalProtocolError: the message does not fit into a frame, or has a value that msgpack cannot carry.
    """
    try:
        payload: bytes = _pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"a message cannot be packed: {error}") from error
    if len(payload) > limits.FRAME:
        raise LocalProtocolError(
            f"a message of {len(payload)} bytes is over the frame limit of {limits.FRAME}"
        )
    return _write_length(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into frames, and opens them.

    One for each link: after an error it is not used again.

    Attributes:
        limit: the longest payload accepted now, in bytes; small until the peer has registered.
        excess: the length of a frame over the limit, with which the stream goes on after the frames that
            :meth:`feed` has returned; 0 if there is none.
    """

    __slots__ = ("_buffer", "_unpacked", "_unpacker", "excess", "limit")

    def __init__(self, limit: int = limits.REGISTRATION_FRAME) -> None:
        self.limit = limit
        self.excess = 0
        self._buffer = bytearray()
        # One unpacker for the life of the link, as unpackb() builds a new one for each frame, which took
        # 0.34 µs for a small response instead of 0.18. It comes with the first frame of a known peer, since
        # it takes 45 KB.
        self._unpacker: msgpack.Unpacker | None = None
        self._unpacked = 0

    def feed(self, data: bytes) -> Sequence[bytes]:
        """Return the payloads that ``data`` completes, in order, for :meth:`unpack`.

        The frames in front of one that is too long count, however the stream was cut.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < PREFIX or len(buffer) - PREFIX < _read_length(buffer)[0] <= self.limit:
                return ()
            data = bytes(buffer)
            buffer.clear()
        end = len(data)
        if end >= PREFIX and _read_length(data)[0] == end - PREFIX <= self.limit:
            return (data[PREFIX:],)  # one whole frame, as nearly always
        payloads: list[bytes] = []
        offset = 0
        while end - offset >= PREFIX:
            length = _read_length(data, offset)[0]
            if length > self.limit:
                self.excess = length
                return payloads
            start = offset + PREFIX
            if end - start < length:
                break
            offset = start + length
            payloads.append(data[start:offset])
        buffer += data[offset:]
        return payloads

    def check_excess(self) -> None:
        """Raise RemoteProtocolError if the stream goes on with a frame over the limit."""
        if self.excess:
            raise RemoteProtocolError(f"a frame of {self.excess} bytes is over the limit of {self.limit}")

    def unpack(self, payload: bytes) -> tuple[Any, ...]:
        """Return the message in a payload.

        Raises:
            RemoteProtocolError: it is not msgpack, or holds something else than one array with a type.
        """
        try:
            if len(payload) <= _SHORT < self.limit:
                unpacker = self._unpacker = self._unpacker or _unpacker(
                    _SHORT, arrays=_FIELDS, maps=limits.LABELS
                )
                unpacker.feed(payload)
                message = unpacker.unpack()
                self._unpacked += len(payload)
                complete = unpacker.tell() == self._unpacked
            else:
                levels = _Levels(payload)
                message, complete = levels.unpack(), levels.is_complete()
        except Exception as error:  # msgpack raises a dozen kinds; each means the same to us
            reason = str(error) or type(error).__name__
            raise RemoteProtocolError(f"a frame does not hold valid msgpack: {reason}") from error
        if not complete:
            raise RemoteProtocolError("a frame holds more than one message")
        if type(message) is not tuple or not message:
            raise RemoteProtocolError("a frame does not hold an array that starts with a message type")
        return message


def _unpacker(size: int, *, arrays: int, maps: int) -> msgpack.Unpacker:
    return msgpack.Unpacker(
        None,
        read_size=min(size, 4096),  # what it allocates at once: 1 MiB if nobody says
        raw=False,
        use_list=False,
        strict_map_key=True,
        max_buffer_size=size,
        max_str_len=size,
        max_bin_len=size,
        max_array_len=arrays,
        max_map_len=maps,
        max_ext_len=0,
    )


class _Levels:
    """Unpacks one payload level by level, at a known price in memory."""

    __slots__ = ("_payload", "_unpacker", "_values")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._unpacker = _unpacker(len(payload) or 1, arrays=0, maps=0)  # 0 stands for 1 MiB
        self._unpacker.feed(payload)
        self._values = 0

    def is_complete(self) -> bool:
        """Return whether all of the payload was unpacked."""
        return bool(self._unpacker.tell() == len(self._payload))

    def unpack(self, depth: int = 0) -> Any:
        """Return the next value, which stands ``depth`` arrays and maps deep.

        Raises:
            Exception: of whatever kind msgpack chooses, or ValueError.
        """
        self._values += 1
        if self._values > _VALUES:
            raise ValueError("it holds too many values")
        if self.is_complete():
            raise ValueError("it ends too early")
        unpacker = self._unpacker
        first = self._payload[unpacker.tell()]
        if first in _ARRAYS:
            length = _bounded(unpacker.read_array_header(), limits.APPLICATIONS, depth)
            return tuple([self.unpack(depth + 1) for _ in range(length)])
        if first in _MAPS:
            length = _bounded(unpacker.read_map_header(), limits.LABELS, depth)
            return {_text(self.unpack(depth + 1)): self.unpack(depth + 1) for _ in range(length)}
        return unpacker.unpack()


def _bounded(length: int, most: int, depth: int) -> int:
    if depth == _DEPTH:
        raise ValueError("its arrays and maps are nested too deeply")
    if length > most:
        raise ValueError(f"it holds an array or a map of {length} elements, over the limit of {most}")
    return length


def _text(key: Any) -> str | bytes:
    if type(key) is str or type(key) is bytes:
        return key
    raise ValueError("it holds a map whose keys are not text")
