"""A scribe: writes to a file for somebody who must not wait, in a thread of its own.

Whoever reads a pipe, a terminal or the journal may stop reading, and a disk may take its time: then write()
blocks for as long as that lasts. To open such a file anew without blocking is no way out, because a socket
cannot be opened, and to set the flag on standard output would set it for everybody who shares that.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from typing import Final

ROOM: Final = 1024 * 1024
"""Bytes that may wait to be written."""

FAREWELL: Final = 1.0
"""Seconds that closing waits until all has been written."""


class Scribe:
    """A file that takes text without delay, or not at all.

    Args:
        descriptor: where the text goes; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0  # bytes that wait, with those that are being written
        self._error: OSError | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        # A daemon, because one that nobody reads from would keep the process from ending.
        self._thread = threading.Thread(target=self._write_on, name="scribe", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Scribe of {self._descriptor}, {self._size} bytes wait>"

    def write(self, text: str) -> None:
        """Have text written.

        Raises:
            BlockingIOError: too much waits already; nothing of the text is written.
        """
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._size and self._size + len(data) > ROOM:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def flush(self) -> None:
        """Tell how it went; what waits is being written as fast as the file takes it anyway.

        Raises:
            OSError: what was tried last could not be written.
        """
        error = self._error
        if error is not None:
            raise OSError(error.errno, error.strerror)  # anew: each raise would add to the traceback

    def close(self) -> None:
        """Wait a moment until all has been written; what has not is lost."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size, FAREWELL)
            self._is_closed = True
            self._changed.notify_all()

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                data = self._waiting.popleft()
            error = self._write(data)
            with self._changed:
                self._size -= len(data)
                self._error = error
                self._changed.notify_all()

    def _write(self, data: bytes) -> OSError | None:
        with memoryview(data) as rest:
            written = 0
            try:
                while written < len(data) and not self._is_closed:
                    written += os.write(self._descriptor, rest[written:])
            except OSError as error:
                return error
        return None
