"""Frames: a 4-byte big-endian length, then that many bytes of msgpack, holding one array.

The length is checked before anything is buffered, and on writing. Every limit of msgpack is set: with its
defaults a 1 MiB frame of nested array headers took 75 MB to unpack.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgpack

from protocol import limits
from protocol.errors import LocalProtocolError, RemoteProtocolError

_read_length = struct.Struct(">I").unpack_from
_write_length = struct.Struct(">I").pack
_pack = msgpack.Packer(autoreset=True).pack

PREFIX: Final = 4
"""Bytes of the length in front of every frame."""


def encode_frame(message: tuple[Any, ...]) -> bytes:
    """Return the frame that carries ``message``.

    Raises:
        LocalProtocolError: the message does not fit into a frame.
    """
    payload: bytes = _pack(message)
    if len(payload) > limits.FRAME:
        raise LocalProtocolError(f"a message of {len(payload)} bytes is over the frame limit of {limits.FRAME}")
    return _write_length(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into messages.

    One for each link: after an error it is not used again.

    Attributes:
        limit: the longest payload accepted now, in bytes; small until the peer has registered.
    """

    __slots__ = ("_buffer", "_unpacked", "_unpacker", "limit")

    def __init__(self, limit: int = limits.REGISTRATION_FRAME) -> None:
        self.limit = limit
        self._buffer = bytearray()
        # One unpacker for the life of the link: unpackb() builds a new one for each frame, which took
        # 0.38 µs for a small response instead of 0.17.
        self._unpacker = msgpack.Unpacker(
            None,
            raw=False,
            use_list=False,
            strict_map_key=True,
            max_buffer_size=limits.FRAME,
            max_str_len=limits.FRAME,
            max_bin_len=limits.FRAME,
            max_array_len=limits.APPLICATIONS,
            max_map_len=limits.LABELS,
            max_ext_len=0,
        )
        self._unpacked = 0

    def feed(self, data: bytes) -> list[tuple[Any, ...]]:
        """Return the messages that ``data`` completes, in order.

        Raises:
            RemoteProtocolError: a frame is too long, is not msgpack, or holds something else than one array.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < PREFIX or len(buffer) < PREFIX + self._length(buffer, 0):
                return []
            data = bytes(buffer)
            buffer.clear()
        messages = []
        offset, end = 0, len(data)
        while end - offset >= PREFIX:
            length = self._length(data, offset)
            start = offset + PREFIX
            if end - start < length:
                break
            offset = start + length
            messages.append(self._unpack(data[start:offset]))
        if offset < end:
            buffer += data[offset:]
        return messages

    def _length(self, data: bytes | bytearray, offset: int) -> int:
        length: int = _read_length(data, offset)[0]
        if length > self.limit:
            raise RemoteProtocolError(f"a frame of {length} bytes is over the limit of {self.limit}")
        return length

    def _unpack(self, payload: bytes) -> tuple[Any, ...]:
        self._unpacker.feed(payload)
        try:
            message = self._unpacker.unpack()
        except Exception as error:  # msgpack raises a dozen kinds; each means the same to us
            reason = str(error) or type(error).__name__
            raise RemoteProtocolError(f"a frame does not hold valid msgpack: {reason}") from error
        self._unpacked += len(payload)
        if self._unpacker.tell() != self._unpacked:
            raise RemoteProtocolError("a frame holds more than one message")
        if type(message) is not tuple or not message:
            raise RemoteProtocolError("a frame does not hold an array that starts with a message type")
        return message
