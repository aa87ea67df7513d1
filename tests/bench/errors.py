"""What can go wrong with a benchmark."""

from __future__ import annotations

from protocol.errors import LrwpError


class BenchError(LrwpError):
    """A benchmark that cannot be run or whose figures would be worth nothing; one sentence says why."""
