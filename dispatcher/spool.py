"""Spools: bytes that wait, in memory up to a bound, above it in an unlinked temporary file."""

from __future__ import annotations

import tempfile
from typing import IO


class Spool:
    """Bytes that are appended at the end and read from anywhere.

    Attributes:
        length: how many bytes it holds.
    """

    __slots__ = ("_file", "_memory", "_pieces", "length")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._pieces = bytearray()
        self._file: IO[bytes] | None = None
        self.length = 0

    def append(self, data: bytes) -> None:
        """Add ``data`` at the end.

        Raises:
            OSError: the temporary file cannot be written.
        """
        if self._file is None and self.length + len(data) > self._memory:
            self._file = tempfile.TemporaryFile(prefix="lrwp-")  # noqa: SIM115 - close() closes it
            self._file.write(self._pieces)
            self._pieces = bytearray()
        if self._file is None:
            self._pieces += data
        else:
            self._file.seek(self.length)
            self._file.write(data)
        self.length += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on."""
        if self._file is None:
            return bytes(self._pieces[offset : offset + size])
        self._file.seek(offset)
        return self._file.read(min(size, self.length - offset))

    def close(self) -> None:
        """Give memory and disk space back."""
        self._pieces = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None
        self.length = 0
