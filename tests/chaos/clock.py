"""``lrwp`` with a wall clock that a test can set: what Python programs ask for the time is shifted.

A process cannot be given a wall clock of its own: time namespaces have only the monotonic ones, and to set
that of the machine would hit everybody else. So Python's is replaced before anything else is imported. What
is written in C here, the event loop and SQLite, asks the monotonic clock only.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

COMMAND: Final = (sys.executable, "-P", "-m", "tests.chaos.clock")
"""What runs the command line with such a clock."""

_time, _localtime, _gmtime, _strftime = time.time, time.localtime, time.gmtime, time.strftime


def set_clock(folder: Path, shift: float) -> None:
    """Shift the clock of those who run in ``folder`` by so many seconds."""
    new = folder / "clock.new"
    new.write_text(str(shift))
    new.replace(folder / "clock")


def read_clock(folder: Path) -> float:
    """Return by how many seconds it is shifted."""
    return float((folder / "clock").read_text())


def replace_clock(folder: Path) -> None:
    """Replace what Python's ``time`` says of the time of day."""

    def now() -> float:
        return _time() + read_clock(folder)

    time.time = now
    time.time_ns = lambda: int(now() * 1e9)
    time.localtime = lambda seconds=None: _localtime(now() if seconds is None else seconds)
    time.gmtime = lambda seconds=None: _gmtime(now() if seconds is None else seconds)
    time.strftime = lambda form, moment=None: _strftime(form, time.localtime() if moment is None else moment)


if __name__ == "__main__":
    replace_clock(Path(os.environ["CHAOS_FOLDER"]))
    from lrwp.cli import main

    main()
