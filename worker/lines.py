"""Bytes from a pipe, cut into lines."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 64 * 1024
"""Bytes after which a line without an end is passed on in parts: no process may fill our memory."""


class Lines:
    """What one process writes to one stream."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes and return the lines that they complete, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > LONGEST:
            lines.append(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]
        return lines

    def rest(self) -> bytes:
        """Return what has come of a line that will have no end."""
        rest, self._rest = self._rest, b""
        return rest
