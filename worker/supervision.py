"""Processes under one parent: started, listened to, told to stop, never left behind.

:class:`Supervisor` is the part of a pool, and of ``lrwp up``, that deals with the system: forks, pipes,
signals, timers. What becomes of the processes its :class:`Owner` decides. Nothing is polled: children and
signals wake it through file descriptors. When it dies, the kernel sends its children SIGTERM (on Linux).
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol

from worker.child import HANDLED, STDERR, STDOUT, Process, live

_ONE_PRESS: Final = 0.3
"""Seconds within which two SIGINT are one Ctrl-C: ``timeout``, ``uv run`` and others pass on to us what the
terminal has sent to us as well."""

_READ: Final = 64 * 1024
"""Bytes to read at once: all that a pipe holds, unless somebody made it larger."""

_REPORTS: Final = 0
"""Stands beside STDOUT and STDERR for the pipe that a child reports through."""


class Owner(Protocol):
    """Who decides what becomes of the processes."""

    def on_begin(self) -> None:
        """Processes may be started now."""

    def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None:
        """A process has written lines, given without their ends, to STDOUT or STDERR."""

    def on_report(self, process: Process) -> None:
        """A process has become ready, or has said why it never will."""

    def on_ended(self, process: Process, code: int) -> None:
        """A process is gone; ``code`` is its exit code, or minus the signal that killed it."""

    def on_renew(self) -> None:
        """SIGHUP came: it is time to replace the processes one after another."""

    def on_stop(self) -> None:
        """It is time to leave: tell the processes."""


class Supervisor:
    """Runs processes and tells its owner what happens to them.

    Attributes:
        processes: the children that live, by process id.
        is_stopping: whether it is time to leave; the last process to end then ends :meth:`run`.
    """

    def __init__(self, owner: Owner, clock: Callable[[], float] = time.monotonic) -> None:
        self.processes: dict[int, Process] = {}
        self.is_stopping = False
        self._owner = owner
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._had_terminal = os.isatty(0)
        self._stopped_at = 0.0
        self._code = 0

    def run(self) -> int:
        """Run until told to stop and all processes have ended; returns the exit code."""
        with self._selector, self._woken_by_signals():
            self._owner.on_begin()
            while self.processes or not self.is_stopping:
                for key, _ in self._selector.select(self._until_next_timer()):
                    # What came before it in this turn may have closed it, and its number may be in use again.
                    if self._selector.get_map().get(key.fd) is key:
                        key.data()
                self._run_timers()
        return self._code

    def stop(self, code: int = 0) -> None:
        """Begin to leave, with ``code`` as the exit code unless something goes wrong on the way."""
        if not self.is_stopping:
            self.is_stopping = True
            self._stopped_at = self._clock()
            self._code = code
            self._owner.on_stop()

    def terminate(self, process: Process, within: float, number: int = signal.SIGTERM) -> None:
        """Ask a process to finish and leave, and kill it if it is still there after ``within`` seconds."""
        process.send(number)
        self.after(within, partial(self._kill_overdue, process))

    def _kill_overdue(self, process: Process) -> None:
        if self.lives(process):
            process.is_overdue = True
            process.send(signal.SIGKILL)
            if self.is_stopping:
                self.fail()

    def fail(self) -> None:
        """Have :meth:`run` return 1: something went wrong on the way out."""
        self._code = 1

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call ``action`` in so many seconds."""
        heapq.heappush(self._timers, (self._clock() + seconds, next(self._order), action))

    def lives(self, process: Process) -> bool:
        """Return whether a process has not ended."""
        return self.processes.get(process.pid) is process

    def age(self, process: Process) -> float:
        """Return for how many seconds a process has lived."""
        return self._clock() - process.started

    # Children

    def start(self, label: str, entry: Callable[[], int], *, leads_group: bool = False) -> Process:
        """Start a process that runs ``entry`` and ends with the exit code that it returns.

        Raises:
            OSError: the system has no room for another process or its pipes.
        """
        parent = os.getpid()
        with _pipes(3) as (readers, writers):
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
            try:
                pid = os.fork()
                if pid == 0:
                    others = [*readers, *self._files()]
                    live(entry, label, leads_group=leads_group, parent=parent, pipes=writers, others=others)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if leads_group:  # the child does the same: whoever comes first
            with suppress(OSError):
                os.setpgid(pid, pid)
        process = Process(label, pid, self._clock(), leads_group=leads_group)
        self.processes[pid] = process
        for stream, reader in zip((STDOUT, STDERR, _REPORTS), readers, strict=True):
            self.listen(reader, partial(self._read, process, stream, reader))
        return process

    def _files(self) -> list[int]:
        """Return the files that we listen to, and the selector's own."""
        own = self._selector.fileno() if hasattr(self._selector, "fileno") else None
        files = [key.fd for key in self._selector.get_map().values()]
        return files if own is None else [*files, own]

    def listen(self, reader: int, action: Callable[[], None]) -> None:
        """Call ``action`` whenever there is something to read; a child does not have this file."""
        os.set_blocking(reader, False)
        self._selector.register(reader, selectors.EVENT_READ, action)

    def forget(self, reader: int) -> None:
        """Listen no more to a file, which is then its owner's to close."""
        self._selector.unregister(reader)

    def _read(self, process: Process, stream: int, reader: int) -> None:
        """Read what a process has written."""
        try:
            data = os.read(reader, _READ)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(reader)
            os.close(reader)
        elif stream == _REPORTS:
            process.take_report(data)
            self._owner.on_report(process)
        elif lines := process.lines[stream].feed(data):
            self._owner.on_lines(process, stream, lines)

    def _reap(self) -> None:
        """Take leave of the children that have ended and, as process 1 of a container, of its orphans."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                process = self.processes.pop(ended[0], None)
                if process is not None:
                    self._read_rest(process)
                    self._owner.on_ended(process, os.waitstatus_to_exitcode(ended[1]))

    def _read_rest(self, process: Process) -> None:
        """Read what a dead process has left in its pipes, so that it stands before the news of its death."""
        for key in list(self._selector.get_map().values()):
            if process in getattr(key.data, "args", ()):
                key.data()
        for stream, lines in process.lines.items():
            if rest := lines.rest():
                self._owner.on_lines(process, stream, [rest])

    # Signals and timers

    @contextmanager
    def _woken_by_signals(self) -> Iterator[None]:
        """Have signals wake the selector; in the end, leave no file open and signals as they were."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self.listen(reader, partial(self._on_wakeup, reader))
        before = {number: signal.signal(number, _note) for number in HANDLED}
        fd_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            for file in (writer, *(key.fd for key in self._selector.get_map().values())):
                os.close(file)

    def _on_wakeup(self, reader: int) -> None:
        numbers = os.read(reader, _READ)
        if signal.SIGCHLD in numbers:
            self._reap()
        for number in numbers:
            if number == signal.SIGTERM:
                self.stop()
            elif number == signal.SIGINT:
                self._on_interrupt()
            elif number == signal.SIGHUP:
                self._on_hangup()

    def _on_interrupt(self) -> None:
        if not self.is_stopping:
            self.stop()
        elif self._clock() - self._stopped_at > _ONE_PRESS:
            self.fail()
            for process in self.processes.values():
                process.send(signal.SIGKILL)

    def _on_hangup(self) -> None:
        # A terminal that is closed sends this signal too, and then nobody is left to stop us later.
        if self._had_terminal and not os.isatty(0):
            self.stop()
        elif not self.is_stopping:
            self._owner.on_renew()

    def _until_next_timer(self) -> float | None:
        return max(0.0, self._timers[0][0] - self._clock()) if self._timers else None

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self._clock():
            heapq.heappop(self._timers)[2]()


def _note(number: int, frame: Any) -> None:
    """Stand in for a signal's default action: its number is in the pipe that wakes us."""


@contextmanager
def _pipes(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """Open pipes; closes the writing ends in the end, and the reading ends too if something failed."""
    readers: list[int] = []
    writers: list[int] = []
    try:
        for _ in range(count):
            reader, writer = os.pipe()
            readers.append(reader)
            writers.append(writer)
        yield readers, writers
    except BaseException:
        for reader in readers:
            os.close(reader)
        raise
    finally:
        for writer in writers:
            os.close(writer)
