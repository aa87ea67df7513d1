"""Spools: bytes that wait, in memory as long as there is room, then in an unlinked temporary file."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.storage import Storage


def find_folder() -> None:
    """Find out where temporary files go, as long as there are descriptors.

    Python tries that with a file; when it cannot open one, it says that there is no such folder.
    """
    with contextlib.suppress(FileNotFoundError):  # as each body will be told that needs it
        tempfile.gettempdir()


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
        storage: the room that all spools share.
        memory: how many bytes of this one are kept in memory at most.

    Attributes:
        length: how many bytes it holds.
    """

    __slots__ = ("_file", "_memory", "_pieces", "_storage", "length")

    def __init__(self, storage: Storage, memory: int) -> None:
        self._storage = storage
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
            OSError: the temporary file cannot be written, or the room in such files is used up.
        """
        size = len(data)
        if (
            self._pieces is not None
            and self.length + size <= self._memory
            and self._storage.memory.take(size)
        ):
            self._pieces += data
        else:
            if self._pieces is not None:
                self._leave_memory(self._pieces)
            self._write(data, self.length)
        self.length += size

    def _leave_memory(self, pieces: bytearray) -> None:
        if self._file is None:
            self._file = temporary_file()
        self._write(pieces, 0)
        self._pieces = None
        self._storage.memory.give_back(len(pieces))

    def _write(self, data: bytes | bytearray, offset: int) -> None:
        """Write all of ``data``: on a disk that becomes full, pwrite() first writes a part of it."""
        number = self._opened().fileno()
        disk = self._storage.disk
        if not disk.take(len(data)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            with memoryview(data) as view:
                written = 0
                while written < len(view):
                    written += os.pwrite(number, view[written:], offset + written)
        except OSError:
            disk.give_back(len(data))
            raise

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
        if self._pieces is not None:
            self._storage.memory.give_back(len(self._pieces))
            self._pieces = None
        elif self._file is not None:
            self._storage.disk.give_back(self.length)
        if self._file is not None:
            self._file.close()
            self._file = None
