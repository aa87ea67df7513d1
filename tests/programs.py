"""Programs under test: started as processes, read line by line, stopped in every case."""

from __future__ import annotations

import os
import pty
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 15.0
"""Seconds to wait for what normally takes a fraction of one."""


class Program:
    """A process whose output, both streams of it, is read until something appears in it."""

    def __init__(self, process: subprocess.Popen[bytes], reader: int) -> None:
        self.process = process
        self.output = ""
        self._reader = reader
        self._read_to = 0

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Return the next match of ``pattern`` in the output, after what was waited for before."""
        deadline = time.monotonic() + patience
        expression = re.compile(pattern, re.MULTILINE)
        while (match := expression.search(self.output, self._read_to)) is None:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} did not come; there was:\n{self.output}")
        self._read_to = match.end()
        return match

    def wait_for_all(self, *patterns: str) -> None:
        """Wait until each pattern has come after what was waited for before, in any order."""
        start = ends = self._read_to
        for pattern in patterns:
            self._read_to = start
            self.wait_for(pattern)
            ends = max(ends, self._read_to)
        self._read_to = ends

    def _read(self, seconds: float) -> bool:
        """Read some output; returns False at its end, or after so many seconds."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            if seconds <= 0 or not selector.select(seconds):
                return False
        try:
            data = os.read(self._reader, 65536)
        except OSError:  # how the end of a terminal is told
            return False
        self.output += data.decode(errors="replace")
        return bool(data)

    def stop_reading(self) -> None:
        """Close our end, so that the program writes to nobody."""
        os.close(self._reader)
        self._reader = -1

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Read the output to its end and return the exit code."""
        deadline = time.monotonic() + patience
        while self._reader >= 0 and self._read(deadline - time.monotonic()):
            pass
        try:
            return self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; there was:\n{self.output}") from None


@contextmanager
def running(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    terminal: bool = False,
    files: Sequence[int] = (),
) -> Iterator[Program]:
    """Run Python with these arguments in a session of its own, and leave nothing of it behind.

    With ``terminal`` its streams are a terminal, but not the one that controls it. It has the open ``files``
    under their numbers.
    """
    reader, writer = pty.openpty() if terminal else os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, **(environ or {})},
            stdin=writer if terminal else subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=files,
        )
    finally:
        os.close(writer)
    program = Program(process, reader)
    try:
        yield program
    finally:
        for pid in in_session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        with suppress(OSError):
            program.stop_reading()


def _state_and_session(pid: int) -> tuple[str, int]:
    """Return what /proc says of a process; a Z stands for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "Z", 0
    return fields[0], int(fields[3])


def lives(pid: int) -> bool:
    """Whether there is a process with this id that has not ended."""
    return _state_and_session(pid)[0] != "Z"


def in_session(session: int) -> list[int]:
    """Return the processes that live in a session: a program, and all that it has started."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if lives(pid) and _state_and_session(pid)[1] == session]


def wait_until_gone(pid: int, patience: float = PATIENCE) -> None:
    """Wait until the process is gone, by a descriptor that becomes readable then."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with selectors.DefaultSelector() as selector, os.fdopen(descriptor) as file:
        selector.register(file, selectors.EVENT_READ)
        assert selector.select(patience), f"process {pid} is still there"
