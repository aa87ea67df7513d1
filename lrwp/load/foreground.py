"""A run in the foreground: its event loop, its signals, and what the user sees of it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import uvloop

from lrwp.load.matches import matching_lines
from lrwp.load.report import is_clean, summarize, write_text
from lrwp.load.run import Run

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from lrwp.load.pacing import Pace
    from lrwp.load.run import Plan


def go(plan: Plan, pace: Pace, pattern: re.Pattern[str] | None, *, as_json: bool) -> int:
    """Run ``plan``, print matching lines while it runs and the report after it, and return the exit code.

    Raises:
        UnreachableError: the server cannot be reached at all.
        SettingsError: there may not be so many connections.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        run = runner.run(_run(plan, pace, pattern))
    report = summarize(run)
    print(json.dumps(report) if as_json else write_text(report, _block(sys.stdout.encoding)))
    return 0 if is_clean(report) else 1


async def _run(plan: Plan, pace: Pace, pattern: re.Pattern[str] | None) -> Run:
    loop = asyncio.get_running_loop()
    run = Run(plan, pace)
    with ExitStack() as stack:
        if pattern is not None:
            # Not at once: it is called while the run deals with an answer.
            run.show = _shower(pattern, lambda: loop.call_soon(run.stop))
        elif sys.stderr.isatty():
            from lrwp.load.progress import ProgressBar  # noqa: PLC0415 - rich takes 40 ms, and only people look

            bar = stack.enter_context(ProgressBar(pace.total, pace.seconds))
            run.watch = lambda now: bar.draw(now, run.tally)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, run.stop)
        await run.run()
    return run


def _shower(pattern: re.Pattern[str], stop: Callable[[], object]) -> Callable[[int, bytes], None]:
    """Return what prints the matching lines of a body, with the number of the channel in front."""

    def show(number: int, body: bytes) -> None:
        try:
            for line in matching_lines(pattern, body):
                print(f"{number:3}  {line}")
        except BrokenPipeError:
            stop()

    return show


def _block(encoding: str) -> str:
    """Return the character that bars are drawn with."""
    try:
        "█".encode(encoding)
    except UnicodeEncodeError:
        return "#"
    return "█"
