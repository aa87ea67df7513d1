"""What a client has sent and nobody has read yet, without I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dispatcher import framing
from dispatcher.framing import BadRequest

if TYPE_CHECKING:
    from dispatcher.framing import RequestHead
    from dispatcher.settings import Limits
    from dispatcher.storage import Room

EMPTY_LINES: Final = 8
"""Empty lines before a request that are skipped, as RFC 9112 §2.2 wants; a client that sends more is not
speaking HTTP."""

LOGGED: Final = 1024
"""Bytes of a refused request's first line that go to the access log."""


# For a browser's head this takes 0.36 µs, where find() takes 0.50 because of all the CRs on the way.
_search_end: Final = re.compile(rb"\r\n\r\n").search


class Inbox:
    """Keeps bytes until they are a head, however they are cut into segments.

    A head that arrives whole is read where it is. One that comes in pieces is looked at with its first piece
    and whenever a line is complete, so that a head of single bytes costs no more for each than one of lines.

    The beginning of a head is always kept. What is sent ahead of an answer is kept while there is room; where
    there is none, the connection ends with that answer, for which a client that sends ahead must be ready
    (RFC 9112 §9.3.2).

    Args:
        memory: the room that all inboxes share.

    Attributes:
        has_begun: whether a part of a head has come and the rest is awaited.
        has_just_begun: whether that is new with the last call.
    """

    __slots__ = ("_bytes", "_memory", "_searched", "_skipped", "_taken", "has_begun", "has_just_begun")

    def __init__(self, memory: Room) -> None:
        self._memory = memory
        self._taken = 0  # bytes of that room
        self._bytes = bytearray()
        self._searched = 0  # no head ends before here
        self._skipped = 0  # empty lines since the last request
        self.has_begun = False
        self.has_just_begun = False

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, data: bytes) -> bool:
        """Keep ``data`` for later; False if there is no room for it."""
        if not self._memory.take(len(data)):
            return False
        self._taken += len(data)
        self._bytes += data
        return True

    def _count(self) -> None:
        """Take or give back room, so that it is as much as is kept."""
        self._memory.used += len(self._bytes) - self._taken
        self._taken = len(self._bytes)

    def take(self, data: bytes) -> bytes:
        """Return all that is kept, and ``data`` behind it."""
        if not self._bytes:
            return data
        taken = bytes(self._bytes) + data
        self._bytes.clear()
        self._count()
        return taken

    def clear(self) -> None:
        """Drop everything."""
        self._bytes.clear()
        self._count()
        self._searched = 0
        self.has_begun = False

    def next_head(self, data: bytes, limits: Limits) -> RequestHead | None:
        """Return the next head of what is kept and ``data`` behind it, None if more must come.

        Raises:
            BadRequest: what has come cannot become a head that may be served.
        """
        kept = self._bytes
        buffer: bytes | bytearray = data
        if kept:
            kept += data
            buffer = kept
        if buffer[:1] == b"\r":
            buffer = self._skip_empty_lines(buffer)
        blank = _search_end(buffer, self._searched, limits.head)
        if blank is None:
            self._wait(buffer, data, limits)
            return None
        end = blank.end()
        raw = data
        if buffer is not data or end != len(data):
            raw = bytes(buffer[:end])
            if buffer is kept:
                del blank, kept[:end]  # the match holds the buffer, which cannot be cut then
            else:
                kept += buffer[end:]
            self._count()
        self._searched = self._skipped = 0
        self.has_begun = False
        try:
            head = framing.read_head(raw, limits)
        except BadRequest as error:
            error.line = _first_line(raw)
            raise
        if kept and not head.length and self._memory.used > self._memory.most:
            self.clear()
            return head._replace(keep_alive=False)
        return head

    def _skip_empty_lines(self, buffer: bytes | bytearray) -> bytes | bytearray:
        count = 0
        while buffer.startswith(b"\r\n", count):
            count += 2
            self._skipped += 1
            if self._skipped > EMPTY_LINES:
                raise BadRequest(400, "The request line is malformed.")
        if buffer is not self._bytes:
            return buffer[count:]
        del self._bytes[:count]
        self._searched = 0
        self.has_begun = False
        return self._bytes

    def _wait(self, buffer: bytes | bytearray, data: bytes, limits: Limits) -> None:
        """Keep the beginning of a head, unless it is none."""
        has_begun = len(buffer) > 0 and buffer != b"\r"  # which is half of an empty line
        try:
            framing.check_size(buffer, limits)
            if has_begun and (not self.has_begun or b"\n" in data):
                framing.check_beginning(bytes(buffer))
        except BadRequest as error:
            error.line = _first_line(bytes(buffer))
            raise
        if buffer is not self._bytes:
            self._bytes += buffer
        self._count()
        self._searched = max(len(self._bytes) - 3, 0)
        self.has_just_begun = has_begun and not self.has_begun
        self.has_begun = has_begun

    def first_line(self) -> bytes:
        """Return the first line of what is kept, as far as it has come, for the access log."""
        return _first_line(bytes(self._bytes))


def _first_line(data: bytes) -> bytes:
    return data[:LOGGED].partition(b"\n")[0].removesuffix(b"\r")
