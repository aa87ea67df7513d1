"""Spools: bytes that are written one after the other and read from anywhere, beyond a bound from a file."""

from __future__ import annotations

import io
import os
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, cast


class Spool:
    """Bytes in memory; all of them in one temporary file without a name, once they are too many.

    Args:
        memory: bytes up to which they are kept in memory.

    Attributes:
        size: how many there are.
    """

    __slots__ = ("_file", "_memory", "size")

    def __init__(self, memory: int) -> None:
        self.size = 0
        self._memory = memory
        self._file: IO[bytes] = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Add ``data`` at the end.

        Raises:
            OSError: the disk is full, or cannot be written to.
        """
        if self.size <= self._memory < self.size + len(data):
            held = cast("io.BytesIO", self._file)
            self._file = TemporaryFile()  # noqa: SIM115 - close() closes it
            self._file.write(held.getbuffer())
        self._file.write(data)
        self.size += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on.

        Raises:
            ValueError: the spool is closed.
        """
        if isinstance(self._file, io.BytesIO):
            return bytes(self._file.getbuffer()[offset : offset + size])
        self._file.flush()
        return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        """Give back the memory or the room on the disk."""
        self._file.close()


class _Part(io.RawIOBase):
    """A part of a spool as a file of its own."""

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool = spool
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        left = max(0, self._size - self._position)
        data = self._spool.read(self._start + self._position, min(len(buffer), left))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_part(spool: Spool, start: int, size: int) -> BinaryIO:
    """Return ``size`` bytes of a spool from ``start`` on as a file to read from."""
    return io.BufferedReader(_Part(spool, start, size))
