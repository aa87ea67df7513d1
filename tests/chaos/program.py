"""Programs that write to a file, so that they never wait for somebody to read; stopped in every case."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.programs import PATIENCE, in_session
from tests.waiting import until

ROOT: Final = Path(__file__).parents[2]
LRWP: Final = (sys.executable, "-P", "-m", "lrwp")
"""What runs the command line."""

DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")
"""Ends a program even when nobody is left to do it; of util-linux, where that is."""


class Program:
    """A process whose output, both streams of it, is in a file.

    It has what :class:`tests.programs.Program` has, where that makes sense for a file.

    Attributes:
        process: the process.
        environ: its environment.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, environ: Mapping[str, str]) -> None:
        self.process = process
        self.environ = environ
        self._log = log
        self._read_to = 0

    @property
    def name(self) -> str:
        """What its log is called."""
        return self._log.stem

    @property
    def output(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Return the next match of ``pattern`` in the output, after what was waited for before."""
        deadline = time.monotonic() + patience
        expression = re.compile(pattern, re.MULTILINE)
        while (match := expression.search(self.output, self._read_to)) is None:
            is_over = self.process.poll() is not None or time.monotonic() > deadline
            if is_over and expression.search(self.output, self._read_to) is None:
                raise AssertionError(f"{pattern!r} did not come; there was:\n{self.output[-3000:]}")
            time.sleep(0.01)
        self._read_to = match.end()
        return match

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the end, and return the exit code."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end; there was:\n{self.output[-3000:]}") from None

    def kill(self) -> None:
        """End it, and all that it has started."""
        for pid in in_session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: not in_session(self.pid))


@contextmanager
def running(command: Sequence[str], log: Path, *, cwd: Path, environ: Mapping[str, str]) -> Iterator[Program]:
    """Run a command in a session of its own, and leave nothing of it behind."""
    if shutil.which(DIE_WITH_PARENT[0]):
        command = [*DIE_WITH_PARENT, *command]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    program = Program(process, log, environ)
    try:
        yield program
    finally:
        program.kill()
