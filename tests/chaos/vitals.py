"""Vital signs of a dispatcher: what it uses when nobody wants anything of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from tests.chaos.ledger import Expected

MIB: Final = 1 << 20

QUIET: Final = 0.1
"""Seconds without a file being closed after which all are closed that nobody needs."""


class Vitals(NamedTuple):
    """What a dispatcher uses.

    Attributes:
        memory: bytes that are in memory.
        files: open file descriptors.
        temporary: files in its folder for temporary files, those without a name too.
        workers: links that are registered with it.
    """

    memory: int
    files: int
    temporary: int
    workers: int


def look(pid: int, folder: Path, workers: int) -> Vitals:
    """Return the vital signs of a process whose temporary files are in ``folder``."""
    opened = list(_opened(pid))
    nameless = sum(path.startswith(f"{folder}/") for path in opened)
    named = len(os.listdir(f"/proc/{pid}/root{folder}"))  # where it may have a disk of its own
    return Vitals(resident(pid), len(opened), nameless + named, workers)


def _opened(pid: int) -> Iterator[str]:
    """Yield the paths of open files; of a socket and the like, what stands for one."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while we looked
            yield os.readlink(path)


def resident(pid: int) -> int:
    """Return the memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget_peak(pid: int) -> None:
    """Begin anew to watch the memory of a process (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """Return the most memory that a process has had since then, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(before: Vitals, after: Vitals, expected: Expected) -> list[str]:
    """Return what is not as it was, each as the promise that was broken."""
    broken = []
    if after.memory > before.memory + expected.growth:
        most = expected.growth / MIB
        broken.append(
            f"the dispatcher's memory is back where it was, within {most:g} MiB:"
            f" it grew from {before.memory / MIB:.1f} to {after.memory / MIB:.1f} MiB"
        )
    if after.files != before.files:
        broken.append(f"the dispatcher has as many files open as before: {before.files} became {after.files}")
    if after.temporary > before.temporary:
        broken.append(f"no temporary file is left: there are {after.temporary}")
    if after.workers != before.workers:
        broken.append(f"the workers are back: of {before.workers} there are {after.workers}")
    return broken


def at_rest(take: Callable[[], Vitals]) -> Vitals:
    """Return the vital signs once no file has been closed for a while: who has left is forgotten by then."""
    lowest, since = take(), time.monotonic()
    while time.monotonic() - since < QUIET:
        time.sleep(0.005)
        sight = take()
        if sight.files < lowest.files:
            lowest, since = sight, time.monotonic()
    return lowest


def settle(take: Callable[[], Vitals], before: Vitals, expected: Expected) -> Vitals:
    """Return the vital signs once they are as before, or when that has taken too long."""
    deadline = time.monotonic() + expected.recovery
    while compare(before, after := take(), expected) and time.monotonic() < deadline:
        time.sleep(0.05)
    return after
