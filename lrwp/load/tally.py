"""What came of the requests, counted; no I/O and no clock."""

from __future__ import annotations

from typing import Any, Final

ERRORS: Final[dict[str, str]] = {
    "connect": "no connection could be opened for it",
    "timeout": "its answer was not complete in time",
    "reset": "the connection ended before a byte of its answer",
    "truncated": "the connection ended within its answer",
    "malformed": "what came was not an HTTP/1 answer",
}
"""The ways in which a request can stay without an answer."""

LONGEST: Final = 3600.0
"""Longest latency in seconds that is told from a longer one."""

_DISTINCT: Final = 50_000
"""How many different latencies are counted one by one before they go into the histogram: about 5 MB."""


class Latencies:
    """A histogram of latencies, exact to a microsecond or to 0.1 %, whichever is more.

    Putting a value into the HDR histogram costs 0.9 µs, counting it in a dict 0.1; as latencies repeat, they
    are counted in a dict, which is emptied into the histogram now and then.
    """

    __slots__ = ("_counts", "_histogram")

    def __init__(self) -> None:
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415 - the command line is imported for --help too

        self._counts: dict[int, int] = {}
        self._histogram = HdrHistogram(1, int(LONGEST * 1e6), 3)

    def record(self, seconds: float) -> None:
        """Count one latency."""
        counts = self._counts
        value = int(seconds * 1e6)
        counts[value] = counts.get(value, 0) + 1
        if len(counts) > _DISTINCT:
            self._empty()

    def _empty(self) -> None:
        longest = int(LONGEST * 1e6)
        for value, count in self._counts.items():
            self._histogram.record_value(min(max(value, 1), longest), count)
        self._counts.clear()

    @property
    def count(self) -> int:
        """How many latencies were recorded."""
        self._empty()
        return int(self._histogram.total_count)

    @property
    def minimum(self) -> float:
        """The shortest latency in seconds."""
        self._empty()
        return float(self._histogram.get_min_value()) / 1e6 if self.count else 0.0

    @property
    def maximum(self) -> float:
        """The longest latency in seconds."""
        self._empty()
        return float(self._histogram.get_max_value()) / 1e6 if self.count else 0.0

    @property
    def mean(self) -> float:
        """The mean latency in seconds."""
        self._empty()
        return float(self._histogram.get_mean_value()) / 1e6 if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the latency in seconds that ``percent`` of all do not exceed."""
        self._empty()
        return float(self._histogram.get_value_at_percentile(percent)) / 1e6 if self.count else 0.0

    def recorded(self) -> list[tuple[float, int]]:
        """Return latencies in seconds, rising, each with how often it was recorded."""
        self._empty()
        items: Any = self._histogram.get_recorded_iterator()
        return [(item.value_iterated_to / 1e6, item.count_at_value_iterated_to) for item in items]


class Tally:
    """Counts what happens in a run.

    Attributes:
        answers: complete answers, whatever their status.
        received: bytes read, heads included.
        reconnects: connections that were opened in place of one that had ended.
        abandoned: requests in flight when the user ended the run.
        statuses: answers by status.
        errors: requests that stayed without an answer, by kind; see :data:`ERRORS`.
        latencies: of all answers.
    """

    __slots__ = ("abandoned", "answers", "errors", "latencies", "received", "reconnects", "statuses")

    def __init__(self) -> None:
        self.answers = 0
        self.received = 0
        self.reconnects = 0
        self.abandoned = 0
        self.statuses: dict[int, int] = {}
        self.errors = dict.fromkeys(ERRORS, 0)
        self.latencies = Latencies()

    def answer(self, status: int, seconds: float) -> None:
        """Count an answer that took ``seconds``."""
        self.answers += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.record(seconds)

    @property
    def failed(self) -> int:
        """How many requests stayed without an answer."""
        return sum(self.errors.values())
