"""How long to wait before the next attempt at something that failed."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Exponential back-off with full jitter.

    The bound doubles with each failure, and the wait is anything from zero to the bound. Many that failed at
    one moment, such as all workers of a dispatcher that died, so come back spread evenly over time; with
    waits of equal length they would all come at once, again and again.

    Args:
        first: the bound after the first failure, in seconds.
        longest: what the bound never exceeds, in seconds.
        draw: returns a number between two others; random.uniform but in tests.
    """

    __slots__ = ("_draw", "_first", "_longest", "failures")

    def __init__(
        self,
        first: float = 0.5,
        longest: float = 30.0,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first
        self._longest = longest
        self._draw = draw
        self.failures = 0

    def next(self) -> float:
        """Count a failure and return how many seconds to wait."""
        # Past 2**30 the bound is the longest wait in any case, and the power would grow without end.
        bound = min(self._longest, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self._draw(0.0, bound)

    def reset(self) -> None:
        """Forget the failures: it worked."""
        self.failures = 0
