"""Bursts: log lines that anybody could cause by the thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

PAUSE: Final = 10.0
"""Seconds for which nothing is written after a line."""


class Burst:
    """Writes the first line of a burst, and says in the next how many there were between.

    Args:
        event: what happens.
        clock: returns the time in seconds of a monotonic clock.
    """

    def __init__(self, event: str, clock: Callable[[], float]) -> None:
        self._event = event
        self._clock = clock
        self._quiet_until = float("-inf")
        self._untold = 0

    def note(self, **why: str) -> None:
        """Write a line, or count it."""
        now = self._clock()
        if now < self._quiet_until:
            self._untold += 1
            return
        more = {"untold": self._untold} if self._untold else {}
        log.warning(self._event, **why, **more)
        self._quiet_until = now + PAUSE
        self._untold = 0
