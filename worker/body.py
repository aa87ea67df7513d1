"""The body of a request, as it comes over the link."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class LinkBody:
    """A body that arrives in pieces: reading it waits for the next ones.

    The dispatcher has the whole body before it sends the request, so a read waits for the link, never for
    the client.
    """

    def __init__(self, fetch: Callable[[], None]) -> None:
        self._fetch = fetch
        self._pieces: deque[bytes] = deque()
        self._complete = False

    def add(self, piece: bytes, last: bool) -> None:
        """Take in a piece that has arrived."""
        if piece:
            self._pieces.append(piece)
        self._complete = last

    def end(self) -> None:
        """Give up waiting: nothing more will come."""
        self._complete = True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, b"" at the end; all that is left if ``size`` is negative."""
        wanted = float("inf") if size is None or size < 0 else size
        taken = []
        while wanted > 0 and self._has_piece():
            piece = self._pieces.popleft()
            if len(piece) > wanted:
                self._pieces.appendleft(piece[int(wanted) :])
                piece = piece[: int(wanted)]
            taken.append(piece)
            wanted -= len(piece)
        return b"".join(taken)

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line with its line end, at most ``size`` bytes of it."""
        wanted = float("inf") if size is None or size < 0 else size
        taken = []
        while wanted > 0 and self._has_piece():
            piece = self._pieces.popleft()
            end = piece.find(b"\n") + 1 or len(piece)
            end = int(min(end, wanted))
            if end < len(piece):
                self._pieces.appendleft(piece[end:])
                piece = piece[:end]
            taken.append(piece)
            wanted -= len(piece)
            if piece.endswith(b"\n"):
                break
        return b"".join(taken)

    def _has_piece(self) -> bool:
        while not self._pieces and not self._complete:
            self._fetch()
        return bool(self._pieces)
