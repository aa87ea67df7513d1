"""Strangers: connections at the link ports whose workers are not registered yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from dispatcher.gate import UNIX, address_of
from protocol.addresses import Address

if TYPE_CHECKING:
    import asyncio

    from dispatcher.gate import Gate

log = structlog.get_logger()

REGISTRATION_TIME: Final = 10.0
"""Seconds for a worker to register after it has connected."""

CLOSING_TIME: Final = 5.0
"""Seconds for a worker to take what was written to it before its link was closed."""

NEVER: Final = float("inf")


class Stranger:
    """A connection until its worker is registered, or is sent away.

    Whoever is sent away later, because of many refusals before, is not read from meanwhile: all that is kept
    of them is the last word.

    Attributes:
        peer: the worker's address.

    Args:
        gate: who lets strangers in.
        transport: the connection.
        now: when it came.
    """

    __slots__ = (
        "_address",
        "_came_at",
        "_gate",
        "_has_left",
        "_last_word",
        "_parts_at",
        "_transport",
        "peer",
    )

    def __init__(self, gate: Gate, transport: asyncio.Transport, now: float) -> None:
        self._gate = gate
        self._transport = transport
        self._came_at = now
        self._parts_at = NEVER
        self._has_left = False
        self._last_word = b""
        self._address = UNIX
        self.peer = "unix:"
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = str(Address("tcp", *peer[:2]))
            self._address = address_of(peer[0])
        if not gate.enter(self._address):
            self.refuse("link turned away", b"", now, reason="too many are not registered yet")
            self.part(b"", now)

    def __repr__(self) -> str:
        return f"<Stranger {self.peer}>"

    def leave(self) -> None:
        """Make room: the worker is registered, or the connection has ended."""
        if not self._has_left:
            self._has_left = True
            self._gate.leave(self._address)

    def refuse(self, event: str, last_word: bytes, now: float, **why: str) -> None:
        """Send it away, with a last word or none: at once, or later if there were many refusals before.

        Args:
            event: what the log says of the first refusal of many.
            last_word: what the worker is told.
            now: the time.
            why: what else the log says.
        """
        delay, is_news = self._gate.refuse(self._address, now)
        if is_news:
            log.warning(event, peer=self.peer, **why)
        self._last_word = last_word
        self._parts_at = now + delay
        if delay:
            self._transport.pause_reading()
        else:
            self.part(last_word, now)

    def part(self, last_word: bytes, now: float) -> None:
        """End the connection, with a last word or none."""
        self._parts_at = now
        if last_word:
            self._transport.write(last_word)
            self._transport.close()
        else:
            self._transport.abort()

    def beat(self, now: float) -> None:
        """Let time pass: for the registration to come, or for what was refused to end."""
        if self._transport.is_closing():
            if now - self._parts_at > CLOSING_TIME:
                self._transport.abort()
        elif self._parts_at <= now:
            self.part(self._last_word, now)
        elif self._parts_at == NEVER and now - self._came_at > REGISTRATION_TIME:
            self.refuse("link dropped", b"", now, reason="it did not register in time")
