"""Spools: bytes that wait, in memory up to a bound, above it in an unlinked temporary file."""

from __future__ import annotations

import os
import tempfile
from typing import IO


def temporary_file() -> IO[bytes]:
    """Return a new file that has no name, so that nothing is left of it whatever happens.

    It is unbuffered, so that an error comes with the write that causes it.

    Raises:
        OSError: there is no room, or no file descriptor is left.
    """
    return tempfile.TemporaryFile(prefix="lrwp-", buffering=0)


class Spool:
    """Bytes that are appended at the end and read from anywhere.

    Args:
        memory: how many bytes are kept in memory.

    Attributes:
        length: how many bytes it holds.
    """

    __slots__ = ("_file", "_memory", "_pieces", "length")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._pieces: bytearray | None = bytearray()
        self._file: IO[bytes] | None = None
        self.length = 0

    @property
    def in_memory(self) -> bool:
        """Whether no file was needed."""
        return self._file is None

    def append(self, data: bytes) -> None:
        """Add ``data`` at the end.

        Raises:
            OSError: the temporary file cannot be written.
        """
        if self._pieces is None:
            _write(self._opened(), data, self.length)
        elif self.length + len(data) <= self._memory:
            self._pieces += data
        else:
            self._file = temporary_file()
            _write(self._file, self._pieces, 0)
            _write(self._file, data, self.length)
            self._pieces = None
        self.length += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on; none only at the end.

        Raises:
            OSError: the temporary file cannot be read.
        """
        size = max(0, min(size, self.length - offset))
        if self._pieces is None:
            return os.pread(self._opened().fileno(), size, offset)
        with memoryview(self._pieces) as view:
            return bytes(view[offset : offset + size])

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("this spool is closed")
        return self._file

    def close(self) -> None:
        """Give memory and disk space back; nothing can be read after this."""
        self._pieces = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _write(file: IO[bytes], data: bytes | bytearray, offset: int) -> None:
    """Write all of ``data``: on a disk that becomes full, pwrite() first writes a part of it."""
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.pwrite(file.fileno(), view[written:], offset + written)
