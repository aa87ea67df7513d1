"""The body of a request, as it comes over the link."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ClientLeftError(LrwpError):
    """The client has left, and the rest of its body will not come.

    Raised where the application reads the body: an end would look as if the body were whole, and half an
    upload would be stored as if it were all of it.
    """


class LinkBody:
    """A body that arrives in pieces: reading it waits for the next ones.

    The dispatcher has the whole body before it sends the request, so a read waits for the link, never for
    the client.

    Args:
        fetch: waits until something has come over the link, and adds what belongs to this body.
    """

    __slots__ = ("_fetch", "_is_complete", "_is_cut", "_offset", "_pieces")

    def __init__(self, fetch: Callable[[], None]) -> None:
        self._fetch = fetch
        self._pieces: deque[bytes] = deque()
        self._offset = 0  # in the first piece: cutting off what was read would copy it for every line
        self._is_complete = False
        self._is_cut = False

    def add(self, piece: bytes, last: bool) -> None:
        """Take in a piece that has arrived."""
        if piece:
            self._pieces.append(piece)
        self._is_complete = last

    def cut(self) -> None:
        """Note that the rest will not come, if it has not come yet."""
        self._is_cut = not self._is_complete

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes, b"" at the end; all that is left if ``size`` is negative or None.

        Raises:
            ClientLeftError: the client has left.
        """
        return b"".join(self._take(size, line=False))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line with its line end, at most ``size`` bytes of it.

        Raises:
            ClientLeftError: the client has left.
        """
        return b"".join(self._take(size, line=True))

    def _take(self, size: int | None, line: bool) -> Iterator[bytes]:
        left = sys.maxsize if size is None or size < 0 else size
        while left > 0 and self._has_piece():
            piece, start = self._pieces[0], self._offset
            end = min(len(piece), start + left)
            newline = piece.find(b"\n", start, end) if line else -1
            if newline >= 0:
                end = newline + 1
            if end == len(piece):
                self._pieces.popleft()
                self._offset = 0
            else:
                self._offset = end
            yield piece[start:end]
            if newline >= 0:
                return
            left -= end - start

    def _has_piece(self) -> bool:
        while not (self._pieces or self._is_complete or self._is_cut):
            self._fetch()
        if self._is_cut:
            raise ClientLeftError("the client left before its body was read")
        return bool(self._pieces)
