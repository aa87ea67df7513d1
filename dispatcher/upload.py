"""Uploads: the body of a request as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatcher.chunks import ChunkedBody
from dispatcher.framing import CHUNKED
from dispatcher.spool import Spool

if TYPE_CHECKING:
    from dispatcher.framing import RequestHead
    from dispatcher.settings import Limits
    from dispatcher.storage import Storage


class Upload:
    """Collects a body, in memory as long as there is room, then in a temporary file.

    Attributes:
        head: the head of its request.
    """

    __slots__ = ("_chunks", "_left", "_spool", "head")

    def __init__(self, head: RequestHead, limits: Limits, storage: Storage) -> None:
        self.head = head
        self._left = head.length
        self._chunks = ChunkedBody(limits.body) if head.length == CHUNKED else None
        self._spool = Spool(storage, storage.body_memory)

    @property
    def is_untouched(self) -> bool:
        """Whether nothing of the body has come."""
        return self._spool.length == 0 and (self._chunks is None or self._chunks.is_untouched)

    def feed(self, data: bytes) -> bytes | None:
        """Take in ``data``; returns what follows the body when it is complete, else None.

        Raises:
            BadRequest: a chunk is malformed, or the body is over its limit.
            OSError: there is no room for it.
        """
        if self._chunks is not None:
            pieces, rest = self._chunks.feed(data)
            for piece in pieces:
                self._spool.append(piece)
            return rest if self._chunks.is_complete else None
        piece = data[: self._left]
        self._left -= len(piece)
        self._spool.append(piece)
        return None if self._left else data[len(piece) :]

    def finish(self) -> tuple[bytes, bytes, Spool | None]:
        """Return the header block, and the body: its bytes if they are in memory, else where they are.

        The block of a chunked request says how long the body turned out to be. The room that the body takes,
        in memory or on disk, is the caller's to give back.
        """
        spool = self._spool
        block = self.head.block
        if self._chunks is not None:
            block = b"%bContent-Length: %d\r\n" % (block, spool.length)
        if not spool.in_memory:
            return block, b"", spool
        return block, spool.read(0, spool.length), None

    def close(self) -> None:
        """Drop what has arrived."""
        self._spool.close()
