"""Wear: when a process has served for long enough, and another one is to take its place.

Each process draws bounds of its own, up to a tenth below those that were set: a pool that has started
together does not end together.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.settings import WorkerSettings

SPREAD: Final = 0.1
"""The part of a bound that a process may draw less."""

PAUSE: Final = 1.0
"""Seconds between two looks at memory and age; a look takes 10 µs."""

_PAGE: Final = resource.getpagesize()

_PEAK_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""Bytes in which getrusage() counts: the manuals of macOS and of Linux do not agree."""


def resident_memory() -> int:
    """Return how many bytes of memory this process has; without a /proc, the most that it ever had."""
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
    try:
        return int(os.read(file, 128).split()[1]) * _PAGE
    finally:
        os.close(file)


class Wear:
    """The bounds of one process.

    Args:
        settings: what the bounds were set to.
        clock: tells the time in seconds.
        resident: tells how many bytes of memory we have.
        draw: returns a number between two others; random.uniform but in tests.

    Attributes:
        most_requests: how many requests it may answer; 0 for no bound.
        pause: seconds between two looks; None if nothing has to be looked at.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        clock: Callable[[], float] = time.monotonic,
        resident: Callable[[], int] = resident_memory,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.most_requests = settings.max_requests - int(settings.max_requests * draw(0.0, SPREAD))
        self._most_memory = settings.max_memory
        self._resident = resident
        lifetime = settings.max_age * (1 - draw(0.0, SPREAD))
        self._ends_at = clock() + lifetime if lifetime else float("inf")
        is_watched = settings.max_memory or settings.max_age
        self.pause = min(PAUSE, lifetime or PAUSE) if is_watched else None

    def __repr__(self) -> str:
        return f"<Wear {self.most_requests} requests, {self._most_memory} bytes, until {self._ends_at:.0f}>"

    def look(self, now: float) -> str:
        """Return which bound has been reached; empty if none of those that are looked at."""
        if now >= self._ends_at:
            return "it has reached its age"
        if self._most_memory and (size := self._resident()) > self._most_memory:
            return f"it has {size / 1024**2:.0f} MiB of memory"
        return ""
