"""The progress bar of a run, on standard error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from lrwp.load.tally import Tally

INTERVAL: Final = 0.5
"""Seconds between two pictures. Drawing one holds the event loop for 0.5 ms, which shows in the latency of
the requests in flight; a thread of its own would do the same at any time, by taking the GIL."""


class ProgressBar:
    """A bar that is drawn while a run goes on and vanishes after it; a context manager.

    Args:
        requests: how many requests the run has, if that ends it.
        seconds: how long it lasts, if that ends it.
        console: where to draw; standard error if none is given.
    """

    def __init__(self, requests: int | None, seconds: float | None, console: Console | None = None) -> None:
        self._seconds = seconds
        self._drawn = -math.inf
        self._progress = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}"),
            console=console or Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=seconds or requests, words="connecting")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def draw(self, now: float, tally: Tally) -> None:
        """Show how far the run is, ``now`` seconds after its start, unless that was shown a moment ago."""
        if now < self._drawn + INTERVAL:
            return
        self._drawn = now
        words = f"{tally.answers / now:,.0f} requests/s" if now else ""
        if tally.failed:
            words += f", {tally.failed:,} failed"
        completed: Any = now if self._seconds else tally.answers + tally.failed
        self._progress.update(self._task, completed=completed, words=words, refresh=True)
