"""Where the rest of an answer waits for its client: in a backlog, or in a static file."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from dispatcher.spool import Spool

if TYPE_CHECKING:
    from dispatcher.static import FileAnswer
    from dispatcher.storage import Storage

PORTION: Final = 64 * 1024
"""Bytes that are taken and given to a client in one go: as many as a transport takes before it says stop."""


class Source(Protocol):
    """Where the rest of an answer is taken from."""

    def take(self) -> bytes:
        """Return the next portion, b"" if there is none now.

        Raises:
            OSError: it cannot be read.
        """

    def close(self) -> None:
        """Give back what it holds."""


class Backlog:
    """What a worker has sent and the client has not taken yet: in memory while there is room, then in a file.

    Once there is a file, everything goes through it until it has been read to its end: so the order is kept,
    and each time the client catches up the file is given back.

    Args:
        storage: the room that all backlogs share.

    Attributes:
        length: how many bytes wait.
    """

    __slots__ = ("_file", "_offset", "_pieces", "_storage", "length")

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pieces: deque[bytes] = deque()
        self._file: Spool | None = None
        self._offset = 0
        self.length = 0

    @property
    def is_in_file(self) -> bool:
        """Whether a file was needed."""
        return self._file is not None

    def append(self, data: bytes) -> None:
        """Add what the worker sent.

        Raises:
            OSError: there is no room for it.
        """
        if self._file is None and not self._fits(len(data)):
            self._file = Spool(self._storage, 0)
            self._offset = 0
        if self._file is None:
            self._pieces.append(data)
        else:
            self._file.append(data)
        self.length += len(data)

    def _fits(self, size: int) -> bool:
        """Take room in memory, if it is there."""
        return self.length + size <= self._storage.body_memory and self._storage.memory.take(size)

    def take(self) -> bytes:
        """Return the next portion, b"" if there is none now."""
        data = self._take_pieces() if self._pieces else self._take_from_file()
        self.length -= len(data)
        return data

    def _take_pieces(self) -> bytes:
        pieces = [self._pieces.popleft()]
        size = len(pieces[0])
        while self._pieces and size + len(self._pieces[0]) <= PORTION:
            size += len(self._pieces[0])
            pieces.append(self._pieces.popleft())
        self._storage.memory.give_back(size)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_from_file(self) -> bytes:
        if self._file is None:
            return b""
        data = self._file.read(self._offset, PORTION)
        self._offset += len(data)
        if self._offset == self._file.length:
            self._file.close()
            self._file = None
        return data

    def close(self) -> None:
        """Drop everything."""
        self._storage.memory.give_back(sum(map(len, self._pieces)))
        self._pieces.clear()
        self.length = 0
        if self._file is not None:
            self._file.close()
            self._file = None


class FilePart:
    """A part of a static file, which it closes."""

    __slots__ = ("_file", "_left", "_offset")

    def __init__(self, answer: FileAnswer) -> None:
        self._file = answer.file
        self._offset = answer.offset
        self._left = answer.length

    def take(self) -> bytes:
        """Return the next portion; a file that has shrunk meanwhile ends early, visibly."""
        if self._file is None or not self._left:
            return b""
        data = os.pread(self._file.fileno(), min(PORTION, self._left), self._offset)
        self._offset += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
