"""A watch over a client that is not heard of: it takes nothing, or it has closed its side and may have left.

An event loop that does not read tells nothing of what becomes of a connection: uvloop does not notice a reset
once the client has closed its sending side, or when we have stopped reading. So we look ourselves.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

GLANCE: Final = 0.2
"""Seconds between two looks."""

PROBE: Final = 1.0
"""Seconds between two questions to a client that has closed its side whether it still listens."""

SLOWEST: Final = 1024
"""Bytes a second with which a client is still worth waiting for, whatever its system reports."""

STEP: Final = 4
"""Segments that a client may have taken before its system says so."""

_LEFT: Final = select.POLLHUP | select.POLLERR
_SILENT: Final = getattr(select, "POLLRDHUP", 0)  # Linux's


class Watch:
    """What is known of a client since we began to look."""

    __slots__ = ("_asked_at", "_since", "_transport", "_untaken")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._untaken = 0
        self._since = 0.0
        self._asked_at = float("-inf")

    def has_left(self) -> bool:
        """Return whether the connection has ended in both directions."""
        return bool(self._events() & _LEFT)

    def may_ask(self, now: float) -> bool:
        """Return whether it is time to ask a client that has closed its side whether it still listens."""
        if now - self._asked_at < PROBE or not self._events() & _SILENT:
            return False
        self._asked_at = now
        return True

    def _events(self) -> int:
        poll = select.poll()
        poll.register(_socket(self._transport).fileno(), _SILENT)
        events = poll.poll(0)
        return events[0][1] if events else 0

    def is_stuck(self, now: float, patience: float) -> bool:
        """Return whether the client has taken nothing of what waits for it for ``patience`` seconds.

        Its system confirms what it takes in steps of up to four segments (measured): 6 KB on most networks,
        but 128 KB on the loopback interface, for which a client of 1 KB/s takes two minutes. So it has as
        much longer, though never more than three times as long in all.
        """
        untaken = self._count_untaken()
        if untaken != self._untaken:
            self._untaken = untaken
            self._since = now
        grace = min(STEP * _segment(self._transport) / SLOWEST, 2 * patience)
        return untaken > 0 and now - self._since > patience + grace

    def _count_untaken(self) -> int:
        """Return how many bytes the client's system has not confirmed yet.

        What the transport holds is not enough: our system takes megabytes on behalf of a slow client, and
        wants more only when a third of them is gone, which at 1 KB/s takes a quarter of an hour.
        """
        held = self._transport.get_write_buffer_size()
        if not held:
            return 0
        try:
            queued = fcntl.ioctl(_socket(self._transport).fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:  # a system that does not know
            return held
        return held + int(struct.unpack("i", queued)[0])


def reset_on_close(transport: asyncio.Transport) -> None:
    """Let the connection end with a reset: the only sign that an answer without a length is not whole."""
    _socket(transport).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _segment(transport: asyncio.Transport) -> int:
    try:
        return _socket(transport).getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    except OSError:  # a Unix socket
        return 0


def _socket(transport: asyncio.Transport) -> socket.socket:
    found: socket.socket = transport.get_extra_info("socket")
    return found
