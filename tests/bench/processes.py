"""Processes of a measured system: started together, counted together, stopped whatever happens.

A system is the processes that were started and everything below them. All of it is found through ``/proc``,
so the benchmark needs Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""Clock ticks in a second, the unit of the times in ``/proc``."""

PATIENCE: Final = 10.0
"""Seconds that a system has to stop after SIGTERM before it is killed."""

PR_SET_PDEATHSIG: Final = 1
"""prctl(2): send this process a signal when its parent dies."""

_libc = ctypes.CDLL(None)


class Process(NamedTuple):
    """One line of the process table.

    Attributes:
        pid: its number.
        parent: the number of its parent.
        session: the number of its session, which the children of a dead parent keep.
        started: clock ticks from boot to its start; with the number it names a process for good.
        ticks: clock ticks of CPU time, user and system, of itself and of the children that it has reaped.
        is_zombie: whether it has ended and its parent has not looked yet.
    """

    pid: int
    parent: int
    session: int
    started: int
    ticks: int
    is_zombie: bool


def read_process(stat: str) -> Process:
    """Return the process that a ``/proc/PID/stat`` line describes (proc_pid_stat(5))."""
    # The name in parentheses may have spaces and parentheses of its own: the last one ends it.
    pid, _, rest = stat.partition(" ")
    fields = rest[rest.rindex(")") + 2 :].split()
    return Process(
        pid=int(pid),
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        ticks=sum(int(field) for field in fields[11:15]),
        is_zombie=fields[0] == "Z",
    )


def process_table() -> list[Process]:
    """Return all processes of the machine."""
    table = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            table.append(read_process((folder / "stat").read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while the table was read
    return table


def find_tree(roots: Iterable[int], table: Iterable[Process]) -> list[Process]:
    """Return the processes that are one of ``roots``, descend from one, or are in the session of one.

    The session finds those whose parent ended before them: their parent is now another process.
    """
    rest = list(table)
    known = set(roots)
    tree: list[Process] = []
    while True:
        found = [process for process in rest if known & {process.pid, process.parent, process.session}]
        if not found:
            return tree
        tree += found
        known |= {process.pid for process in found}
        rest = [process for process in rest if process.pid not in known]


def busy_seconds() -> float:
    """Return the seconds for which the machine's processors have been busy since boot, all together."""
    user, nice, system, _idle, _wait, irq, soft_irq, steal = map(
        int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    )
    return (user + nice + system + irq + soft_irq + steal) / TICKS


class Running:
    """The processes of one system while they run.

    A context manager: leaving it stops them all, first politely, then not.
    """

    def __init__(self, *, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._log = log
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str]) -> None:
        """Start one more process; what it prints goes to the end of the log."""
        with self._log.open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_die_with_the_parent,  # noqa: PLW1509 - this program has one thread
                )
            )

    def has_ended(self) -> bool:
        """Whether one of the started processes is no longer there."""
        return any(process.poll() is not None for process in self._started)

    def cpu_seconds(self) -> float:
        """Return the CPU time that the system has used so far: user and system, of all its processes."""
        return sum(process.ticks for process in self._tree()) / TICKS

    def stop(self) -> None:
        """Stop all processes; the one that was started last is the first to be told."""
        tree = self._tree()
        for process in reversed(self._started):
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _kill_remaining(tree)

    def _tree(self) -> list[Process]:
        return find_tree((process.pid for process in self._started), process_table())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _die_with_the_parent() -> None:
    # A benchmark that is killed outright runs no clean-up: the kernel then ends its servers.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_remaining(tree: Iterable[Process]) -> None:
    """Kill what is left of ``tree`` and wait for it to go: the next system may be given the same port."""
    named = {(process.pid, process.started) for process in tree}
    deadline = time.monotonic() + PATIENCE
    while remaining := [
        process
        for process in process_table()
        if (process.pid, process.started) in named and not process.is_zombie
    ]:
        if time.monotonic() > deadline:
            raise BenchError(f"process {remaining[0].pid} cannot be killed: end it by hand and start again")
        for process in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.01)
