"""Guesses: wrong logins, of which each costs a worker a fifth of a second that readers wait for."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST: Final = 5
"""Wrong logins in a while after which nobody may try: more than people need who mistype."""

WHILE: Final = 60.0
"""Seconds of such a while."""


class Guesses:
    """The wrong logins at one worker; each has its own count, so that nothing has to be written for it.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MOST)

    def __repr__(self) -> str:
        return f"<Guesses, {len(self._times)} of late>"

    def note(self) -> None:
        """Count a wrong login."""
        self._times.append(self._clock())

    def forget(self) -> None:
        """Begin anew."""
        self._times.clear()

    @property
    def are_too_many(self) -> bool:
        """Whether nobody may try now: whoever guesses names is not known by one."""
        return len(self._times) == MOST and self._clock() - self._times[0] < WHILE
