"""A pool: the processes of one application under one small parent.

The parent never imports the application, so each process that it starts runs the code as it is then. What it
does about a process that ended::

    exit code 0         retired: it has done what it was there for, and nobody takes its place
    RECYCLE             it has served for long enough: replaced at once
    HUNG                a request hung in it: replaced at once
    anything else       replaced: at once, or after a back-off if it died within seconds of its start

SIGTERM and SIGINT drain, a second SIGINT kills, SIGHUP replaces the processes one after another. In
development mode a file that changes does the same as SIGHUP. A process that has served for long enough says
so, and serves on until it is replaced.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from protocol.errors import LrwpError
from worker.backoff import Backoff
from worker.child import READY_FD, SIGNS_FD, Process, describe_end, tell_file, tell_news
from worker.output import Output
from worker.renewal import Place, Renewal
from worker.supervision import Supervisor
from worker.watching import Imports, Watch

if TYPE_CHECKING:
    from worker.settings import WorkerSettings

RECYCLE: Final = 75
"""Exit code of a process that has served for long enough; <sysexits.h> has it for "try again"."""

HUNG: Final = 70
"""Exit code of a process in which a request hangs; <sysexits.h> has it for an internal error."""

SETTLED: Final = 5.0
"""Seconds after which a process has shown that it can live: its death is no reason to wait."""

READY_TIMEOUT: Final = 60.0
"""Seconds that a process which replaces another gets to become ready."""

_SECOND_LOOK: Final = 0.5
"""Seconds that a process which owes a sign of life gets when we notice: we may have been stopped as well."""

_LAST_WORDS: Final = 1.0
"""Seconds that a process which is killed for its silence gets to say where it is."""

LOOK: Final = 0.5
"""Seconds between two looks at whether a file has changed."""

_SETTLE: Final = 0.1
"""Seconds for which no file may have changed before the processes are replaced: editors save in several
steps, and a version control system changes many files."""

_FIRST_PAUSE: Final = 1.0
"""Least seconds before the second try of a process that could not start, while none of the pool has started:
so long its reason is held back, because the others are about to give the same one."""


def seconds_to_restart(code: int, lived: float, backoff: Backoff) -> float | None:
    """Return in how many seconds a process that ended is to be replaced; None for never.

    Args:
        code: its exit code, or minus the signal that killed it.
        lived: for how many seconds it lived.
        backoff: what its place has seen of early deaths.
    """
    if code == 0:
        return None
    if code in {RECYCLE, HUNG} or lived >= SETTLED:
        backoff.reset()
        return 0.0
    return backoff.next()


def name_processes(settings: WorkerSettings) -> list[str]:
    """Return the labels of a pool's processes: those that were given, then NAME-2, NAME-3 and so on."""
    name = settings.name[0] if settings.name else settings.target.partition(":")[0].rpartition(".")[2]
    count = settings.processes or 1
    return [*settings.label, *(f"{name}-{number}" for number in range(len(settings.label) + 1, count + 1))]


class Pool:
    """Supervises the processes of one application.

    Args:
        settings: what they run; ``processes`` says how many there are.
        run: what each of them does, given its own settings and its label; it returns its exit code.
        backoff: makes the back-off of a place.
        ready_timeout: seconds that a process which replaces another gets to become ready.
        look: in development mode, seconds between two looks at whether a file has changed.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        run: Callable[[WorkerSettings, str], int],
        *,
        backoff: Callable[[], Backoff] = Backoff,
        ready_timeout: float = READY_TIMEOUT,
        look: float = LOOK,
    ) -> None:
        labels = name_processes(settings)
        self._settings = settings
        self._run = run
        self._places = [Place(label, backoff()) for label in labels]
        self._output = Output(labels)
        self._supervisor = Supervisor(self)
        self._renewal = Renewal(
            self._places,
            self._start,
            self._fill,
            self._supervisor,
            self._output,
            settings,
            ready_timeout,
            self._tell,
        )
        self._was_ready = False
        self._watch = Watch()
        self._seconds_to_look = look
        self._changed: list[str] = []
        # Who started us wants to hear when all are ready; that is not our processes' business.
        report = os.environ.pop(READY_FD, None)
        self._report_to = int(report) if report else None
        self._was_reported = False

    def run(self) -> int:
        """Run the pool until it is told to stop, or all its processes have retired; returns the exit code."""
        return self._supervisor.run()

    def on_begin(self) -> None:
        """Fill all places."""
        for place in self._places:
            self._fill(place)
        if self._settings.reload:
            self._supervisor.after(self._seconds_to_look, self._look)

    def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None:
        """Pass on what a process wrote, under its label."""
        self._output.write(process.label, stream, lines)

    # Starting and restarting

    def _fill(self, place: Place) -> None:
        """Start the process of an empty place, now or, if the system refuses, later."""
        if place.process or place.is_retired or self._renewal.awaits(place) or self._supervisor.is_stopping:
            return
        place.process = self._start(place)
        if place.process is None:
            self._supervisor.after(place.backoff.next(), partial(self._fill, place))

    def _start(self, place: Place) -> Process | None:
        try:
            return self._supervisor.start(place.label, partial(self._be_process, place.label))
        except OSError as error:
            self._output.say(f"{place.label} cannot be started now: {error.strerror}")
            return None

    def _be_process(self, label: str) -> int:
        """Be one of the processes: this runs in the child."""
        # A file of its own: the application's side closes the other one, and its number may be used again.
        report = os.dup(int(os.environ[READY_FD]))
        os.environ[SIGNS_FD] = str(report)
        os.environ.update(self._settings.env)
        if self._settings.reload:
            Imports(partial(tell_file, report)).install()
        try:
            return self._run(replace(self._settings, processes=None, label=(label,)), label)
        except LrwpError as error:
            os.write(report, f"!{error}".encode())
            return 1

    def on_report(self, process: Process) -> None:
        """A process is ready for work, has named its files, or wants to be replaced."""
        self._watch.add(process.files)
        process.files.clear()
        self._expect(process)
        if not process.is_ready:
            return
        self._was_ready = True
        self._renewal.on_ready(process)
        if process.is_worn:
            for place in self._places:
                if place.process is process:
                    self._renewal.ask(place)
        if self._report_to is not None and not self._was_reported:
            self._report_readiness(self._report_to)

    def _report_readiness(self, report: int) -> None:
        if all(place.is_served for place in self._places):
            self._was_reported = True
            with suppress(OSError):
                os.write(report, b"1")

    def _tell(self, news: str) -> None:
        """Tell who started us how the replacing of all processes goes."""
        if self._report_to is not None:
            tell_news(self._report_to, news)

    # Signs of life

    def _expect(self, process: Process) -> None:
        """Expect the sign of life that a process has promised."""
        if process.promise is None:
            return
        is_watched = process.due is not None
        process.due = self._supervisor.age(process) + process.promise
        if not is_watched:
            self._supervisor.after(process.promise, partial(self._on_due, process))
        process.promise = None

    def _on_due(self, process: Process, overdue: float | None = None) -> None:
        """Look whether a process has kept its promise; kill it if it has not by the second look."""
        if not self._supervisor.lives(process) or process.due is None:
            return
        left = process.due - self._supervisor.age(process)
        if left > 0:
            self._supervisor.after(left, partial(self._on_due, process))
        elif process.due != overdue:
            self._supervisor.after(_SECOND_LOOK, partial(self._on_due, process, process.due))
        else:
            self._output.say(f"{process.label} gives no sign of life any more and is killed")
            process.is_hung = True
            # Python's faulthandler answers ABRT with a traceback, even from within a call that never ends.
            process.send(signal.SIGABRT)
            self._supervisor.after(_LAST_WORDS, partial(self._kill, process))

    def _kill(self, process: Process) -> None:
        if self._supervisor.lives(process):
            process.send(signal.SIGKILL)

    def on_ended(self, process: Process, code: int) -> None:
        """A process is gone: decide what becomes of its place."""
        if process.is_overdue:
            seconds = self._settings.drain_timeout
            self._output.say(f"{process.label} had not finished after {seconds:g} s and was killed")
        if self._supervisor.is_stopping:
            if code > 0 and code != RECYCLE:
                self._output.say(f"{process.label} {_reason(process, code)}")
                self._supervisor.fail()
        elif not self._renewal.on_ended(process, _reason(process, code)):
            for place in self._places:
                if place.process is process:
                    self._on_vacancy(place, process, code)

    def _on_vacancy(self, place: Place, process: Process, code: int) -> None:
        place.process = None
        if self._renewal.awaits(place) and code:
            return  # its heir is on the way
        if code:
            self._renewal.on_vacancy(place, _reason(process, code))
        if process.failure and not self._was_ready:
            self._on_false_start(place, process)
            return
        outcome = HUNG if process.is_hung else code
        seconds = seconds_to_restart(outcome, self._supervisor.age(process), place.backoff)
        if seconds is None:
            self._retire(place)
            return
        if code != RECYCLE:
            when = f"trying again in {seconds:.1f} s" if seconds else "starting it again"
            self._output.say(f"{place.label} {_reason(process, code)}; {when}")
        self._supervisor.after(seconds, partial(self._fill, place))

    def _on_false_start(self, place: Place, process: Process) -> None:
        """Give up if no process of the pool could start; the reasons are told once, at the end.

        In development mode it is worth another try, silent while the reason is the same: the next change of
        a file, or of a database that is still starting, may mend it.
        """
        if self._settings.reload:
            if process.failure not in [each.failure for each in self._places]:
                self._output.say(f"{process.failure}; a change of the code will be tried at once")
            place.failure = process.failure
            self._supervisor.after(max(_FIRST_PAUSE, place.backoff.next()), partial(self._fill, place))
            return
        place.failure = place.failure or process.failure
        if all(place.failure for place in self._places):
            for sentence in dict.fromkeys(place.failure for place in self._places):
                self._output.say(sentence)
            self._supervisor.stop(code=1)
            return

        def try_again() -> None:
            if not self._supervisor.is_stopping:
                self._output.say(f"{place.label} {_reason(process, 1)}; starting it again")
                self._fill(place)

        self._supervisor.after(max(_FIRST_PAUSE, place.backoff.next()), try_again)

    def _retire(self, place: Place) -> None:
        place.is_retired = True
        self._renewal.on_retired(place)
        if all(place.is_retired for place in self._places):
            self._supervisor.stop()

    # Renewing

    def on_renew(self) -> None:
        """Replace the processes one after another, each as soon as the one before it has left."""
        self._output.say("replacing the processes one after another")
        self._renewal.begin_round()

    def _look(self) -> None:
        """Replace the processes when files have changed, and have then been left alone for a moment."""
        if self._supervisor.is_stopping:
            return
        changed = self._watch.look()
        self._changed += changed
        if self._changed and not changed:
            self._output.say(f"{_list_files(self._changed)} changed: replacing the processes")
            self._changed.clear()
            for place in self._places:
                place.failure = ""  # whatever it is next, it is news
            self._renewal.begin_round()
        self._supervisor.after(_SETTLE if changed else self._seconds_to_look, self._look)

    # Leaving

    def on_stop(self) -> None:
        """Have all processes drain."""
        for process in self._supervisor.processes.values():
            self._supervisor.terminate(process, self._settings.drain_timeout)


def _list_files(paths: list[str]) -> str:
    """Name the first of some files as seen from the current folder, and say how many others there are."""
    first, *others = dict.fromkeys(paths)
    relative = os.path.relpath(first)
    name = first if relative.startswith(os.pardir) else relative
    return f"{name} and {len(others)} more have" if others else f"{name} has"


def _reason(process: Process, code: int) -> str:
    """Say why a process is gone, after its label."""
    if code == HUNG:
        return "has ended because a request hung in it"
    return f"could not go on: {process.failure}" if process.failure else describe_end(code)
