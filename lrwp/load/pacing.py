"""When requests are due: as soon as a channel is free, or at a fixed rate.

A closed loop sends the next request when an answer has come, so a server that stalls is asked less, and its
stall is measured once for each channel. An open loop asks at its rate whatever the server does, and a request
that had to wait for a free channel counts from the moment at which it was due, as its user would.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

GRACE: Final = 0.1
"""Seconds after the end of an open loop in which what was due in time is still sent: it may have been due
within the last microsecond, and only a real backlog should count as unsent."""


class Pace(Protocol):
    """Decides when requests are sent. Moments are seconds on any clock that never goes back."""

    @property
    def rate(self) -> float | None:
        """Requests for each second, if that is fixed."""

    @property
    def total(self) -> int | None:
        """How many requests there are to be, if that is fixed."""

    @property
    def seconds(self) -> float | None:
        """For how long requests are due, if that ends the run."""

    def start(self, now: float) -> None:
        """Begin at this moment."""

    def take(self, now: float) -> float | None:
        """Take the next request, if one is due, and return the moment that its latency counts from."""

    def next_due(self) -> float | None:
        """Return when the next request that is not taken is or was due; None if none is, or at any time."""

    def is_over(self, now: float) -> bool:
        """Whether no request will be due any more."""

    def unsent(self) -> int:
        """Return how many requests were due before the end and were never taken."""

    def span(self) -> float:
        """Return how many seconds the requests taken stand for; 0 if the pace does not say."""

    def stop(self) -> None:
        """Let no further request be due."""


class ClosedPace:
    """A request is due as soon as a channel is free."""

    __slots__ = ("_end", "_left", "rate", "seconds", "total")

    def __init__(self, *, requests: int | None = None, seconds: float | None = None) -> None:
        self.rate = None
        self.total = requests
        self.seconds = seconds
        self._left = math.inf if requests is None else requests
        self._end = math.inf

    def start(self, now: float) -> None:
        """Begin at this moment."""
        self._end = math.inf if self.seconds is None else now + self.seconds

    def take(self, now: float) -> float | None:
        """Take the next request; it counts from now."""
        if self._left <= 0 or now >= self._end:
            return None
        self._left -= 1
        return now

    def next_due(self) -> float | None:
        """Return None: only a free channel decides."""
        return None

    def is_over(self, now: float) -> bool:
        """Whether the requests or the time are used up."""
        return self._left <= 0 or now >= self._end

    def unsent(self) -> int:
        """Return 0: nothing is due before a channel is free."""
        return 0

    def span(self) -> float:
        """Return 0: the requests take as long as they take."""
        return 0.0

    def stop(self) -> None:
        """Let no further request be due."""
        self._left = 0


class OpenPace:
    """Requests are due at a fixed rate, evenly spaced, whether a channel is free or not.

    Args:
        rate: requests for each second.
        requests: how many requests there are; all of them are sent, however late.
        seconds: for how long requests are due; what is then left over stays unsent.
    """

    __slots__ = ("_end", "_gap", "_start", "_taken", "rate", "seconds", "total")

    def __init__(self, rate: float, *, requests: int | None = None, seconds: float | None = None) -> None:
        self.rate = rate
        self.total: int | None = requests if seconds is None else math.ceil(seconds * rate)
        self.seconds = seconds
        self._gap = 1 / rate
        self._start = self._end = math.inf
        self._taken = 0

    def start(self, now: float) -> None:
        """Begin at this moment; the first request is due at once."""
        self._start = now
        if self.seconds is not None:
            self._end = now + self.seconds + GRACE

    def take(self, now: float) -> float | None:
        """Take the next request if it is due; it counts from when it was due."""
        due = self.next_due()
        if due is None or due > now or now >= self._end:
            return None
        self._taken += 1
        return due

    def next_due(self) -> float | None:
        """Return the moment at which the next request is or was due; None when there is none left."""
        if self.total is not None and self._taken >= self.total:
            return None
        # Counted from the start each time: adding up gaps would add up rounding errors.
        return self._start + self._taken * self._gap

    def is_over(self, now: float) -> bool:
        """Whether all requests are taken or their time is over."""
        return now >= self._end or self.next_due() is None

    def unsent(self) -> int:
        """Return how many requests were due before the end and were never taken."""
        return 0 if self.total is None else self.total - self._taken

    def span(self) -> float:
        """Return how long the requests taken last at the rate: ten at 10/s, a second."""
        return self._taken * self._gap

    def stop(self) -> None:
        """Let no further request be due; what would have come later does not count as unsent."""
        self.total = self._taken
