"""A child process: as its parent knows it, and how it begins and ends its own life.

A child talks to its parent through a pipe whose number is in ``LRWP_READY_FD``::

    one byte                  it is ready for work
    ! SENTENCE                it never will be, and this is why; nothing comes after it
    @ STAMP PATH, a line      its code is from this file, which looked like this before it was read
    ~ SECONDS, a line         it will say so again within this time, as long as it lives
    ^, a line                 it has served for long enough, and wants somebody to take its place
    > NEWS, a line            a pool replaces its processes, and this is how it goes
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from worker.lines import Lines

READY_FD: Final = "LRWP_READY_FD"
"""Name of the variable with the number of the pipe that a child reports through."""

SIGNS_FD: Final = "LRWP_SIGNS_FD"
"""Name of the variable with the number of the same pipe for what a child says once it is ready, when it has
closed the first."""

LABEL: Final = "LRWP_LABEL"
"""Name of the variable with a child's label."""

STDOUT: Final = 1
STDERR: Final = 2

HANDLED: Final = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""The signals that a parent handles, and that wait while it forks: one that came between the fork and the
child's own handling of signals would be lost."""

_PR_SET_PDEATHSIG: Final = 1
"""From <linux/prctl.h>."""


class Process:
    """A child, as its parent knows it.

    Attributes:
        label: what people know it by.
        pid: its process id, and its group's if it leads one.
        started: when it was started, by its parent's clock.
        leads_group: whether it and what it starts are a process group of their own.
        lines: what it writes to STDOUT and STDERR.
        is_ready: whether it has said that it is ready for work.
        promise: seconds within which it has promised the next sign of life; None if there is no new promise.
        due: at which age it has to have given it; None if it has promised nothing.
        is_hung: whether it was killed because it did not give it.
        is_worn: whether it wants somebody to take its place.
        files: the files that its code is from, and their stamps; whoever has read them empties it.
        news: what a pool has said about the replacing of its processes; whoever has read it empties it.
        is_overdue: whether it was killed because it did not end in time.
    """

    __slots__ = (
        "_report",
        "due",
        "files",
        "is_hung",
        "is_overdue",
        "is_ready",
        "is_worn",
        "label",
        "leads_group",
        "lines",
        "news",
        "pid",
        "promise",
        "started",
    )

    def __init__(self, label: str, pid: int, started: float, *, leads_group: bool = False) -> None:
        self.label = label
        self.pid = pid
        self.started = started
        self.leads_group = leads_group
        self.is_ready = False
        self.promise: float | None = None
        self.due: float | None = None
        self.is_hung = False
        self.is_worn = False
        self.files: dict[str, str] = {}
        self.news: list[str] = []
        self.is_overdue = False
        self.lines = {STDOUT: Lines(), STDERR: Lines()}
        self._report = b""

    def __repr__(self) -> str:
        return f"<Process {self.label}, {self.pid}{', ready' if self.is_ready else ''}>"

    def take_report(self, data: bytes) -> None:
        """Take in what the child wrote into the pipe for reports."""
        self._report += data
        while self._report and not self._report.startswith(b"!"):
            if not self._report.startswith((b"@", b"~", b"^", b">")):
                self.is_ready = True
                self._report = self._report[1:]
                continue
            line, end, rest = self._report.partition(b"\n")
            if not end:  # the rest of it is on the way
                return
            self._report = rest
            self._take_line(line[:1], line[1:])

    def _take_line(self, kind: bytes, text: bytes) -> None:
        if kind == b"~":
            self.promise = float(text)
        elif kind == b"^":
            self.is_worn = True
        elif kind == b">":
            self.news.append(text.strip().decode(errors="replace"))
        else:
            stamp, _, path = text.partition(b" ")
            self.files[os.fsdecode(path)] = stamp.decode()

    @property
    def failure(self) -> str:
        """The sentence in which it said why it cannot work; empty if it did not."""
        return self._report[1:].decode(errors="replace") if self._report.startswith(b"!") else ""

    def send(self, number: int) -> None:
        """Send it a signal; SIGKILL goes to all of its group."""
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL and self.leads_group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)


def tell_ready() -> None:
    """Tell our parent, if it wants to hear it, that we are ready for work; that is all it will hear."""
    if (file := os.environ.pop(READY_FD, None)) is not None:
        with suppress(OSError), os.fdopen(int(file), "wb", buffering=0) as report:
            report.write(b"+")


def tell_file(report: int, path: str, stamp: str) -> None:
    """Tell our parent, through the pipe with this number, of a file that our code is from."""
    with suppress(OSError):  # it is gone, and nobody wants to know any more
        os.write(report, b"@%s %s\n" % (stamp.encode(), os.fsencode(path)))


def tell_promise(report: int, seconds: float) -> None:
    """Promise our parent, through the pipe with this number, another sign of life within so many seconds."""
    with suppress(OSError):  # as above
        os.write(report, b"~%.3f\n" % seconds)


def tell_wear(report: int) -> None:
    """Tell our parent, through the pipe with this number, that somebody should take our place."""
    with suppress(OSError):  # as above
        os.write(report, b"^\n")


def tell_news(report: int, news: str) -> None:
    """Tell our parent, through the pipe with this number, how the replacing of our processes goes."""
    with suppress(OSError):  # as above
        # All of it at once, as a pipe takes up to 4096 bytes, and in one line.
        os.write(report, b"> %s\n" % " ".join(news.split()).encode(errors="replace")[:2000])


def describe_end(code: int) -> str:
    """Say how a process ended: ``code`` is its exit code, or minus the signal that killed it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"


def live(
    entry: Callable[[], int],
    label: str,
    *,
    leads_group: bool,
    parent: int,
    pipes: Sequence[int],
    others: Sequence[int],
) -> NoReturn:
    """Be the child, right after the fork: run ``entry`` and end with the exit code that it returns.

    Args:
        entry: what the child does.
        label: what it is called.
        leads_group: whether it becomes the leader of a process group.
        parent: the parent's process id.
        pipes: where to write standard output, standard error and reports to.
        others: the parent's files, which are none of ours.
    """
    code = 1
    try:
        _take_over_signals(parent)
        if leads_group:
            os.setpgid(0, 0)
        for file in others:
            os.close(file)
        _take_over_streams(pipes)
        os.environ[LABEL] = label
        os.environ[READY_FD] = str(pipes[2])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED - {signal.SIGINT})
        if leads_group:  # no terminal sends it anything
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        code = entry()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        _exit(code)


def _take_over_signals(parent: int) -> None:
    """Handle signals as a new process does, but leave to our parent what a terminal sends to us both.

    SIGHUP is ignored and SIGINT stays blocked, whatever handlers we install: the parent sends SIGTERM for it.
    Two different signals at one moment left Python's main thread asleep in Thread.join(), with neither
    handled, 35 times in 100 (CPython 3.11).
    """
    os.close(signal.set_wakeup_fd(-1))
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel was told to tell us
            os._exit(1)


def _take_over_streams(pipes: Sequence[int]) -> None:
    """Read nothing, and write line by line to our parent."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in ((nothing, 0), (pipes[0], STDOUT), (pipes[1], STDERR)):
        os.dup2(ours, standard)
        os.close(ours)
    sys.stdout = os.fdopen(STDOUT, "w", buffering=1, closefd=False, errors="backslashreplace")
    sys.stderr = os.fdopen(STDERR, "w", buffering=1, closefd=False, errors="backslashreplace")


def _exit(code: int) -> NoReturn:
    """End this process as Python would, but not by way of the parent's code, which is still on our stack."""
    with suppress(BaseException):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 0xFF)
