"""A pool: the processes of one application under one small parent.

The parent never imports the application, so each process that it starts runs the code as it is then. What it
does about a process that ended::

    exit code 0         retired: it has done what it was there for, and nobody takes its place
    RECYCLE             it has served its number of requests: replaced at once
    HUNG                a request hung in it: replaced at once
    anything else       replaced: at once, or after a back-off if it died within seconds of its start

SIGTERM and SIGINT drain, a second SIGINT kills, SIGHUP replaces the processes one after another. In
development mode a file that changes does the same as SIGHUP.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from protocol.errors import LrwpError
from worker.backoff import Backoff
from worker.child import READY_FD, SIGNS_FD, Process, describe_end, tell_file
from worker.output import Output
from worker.supervision import Supervisor
from worker.watching import Imports, Watch

if TYPE_CHECKING:
    from worker.settings import WorkerSettings

RECYCLE: Final = 75
"""Exit code of a process that has served its number of requests; <sysexits.h> has it for "try again"."""

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


class Place:
    """One of the pool's places.

    Attributes:
        label: what its process is called.
        process: the process that fills it; None between two of them.
        backoff: what it has seen of early deaths.
        is_retired: whether its process did what it was there for.
        failure: why its first process could not start.
    """

    __slots__ = ("backoff", "failure", "is_retired", "label", "process")

    def __init__(self, label: str, backoff: Backoff) -> None:
        self.label = label
        self.backoff = backoff
        self.process: Process | None = None
        self.is_retired = False
        self.failure = ""

    def __repr__(self) -> str:
        return f"<Place {self.label}, {'retired' if self.is_retired else self.process}>"

    @property
    def is_served(self) -> bool:
        """Whether there is nothing to wait for: its process is ready, or has done all that it was to do."""
        return self.is_retired or (self.process is not None and self.process.is_ready)


class Succession(NamedTuple):
    """A process that is being replaced while it still serves.

    Attributes:
        place: whose process is replaced.
        heir: the process that will take its place once it is ready.
    """

    place: Place
    heir: Process


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
        self._ready_timeout = ready_timeout
        self._places = [Place(label, backoff()) for label in labels]
        self._output = Output(labels)
        self._supervisor = Supervisor(self)
        self._was_ready = False
        self._to_renew: deque[Place] = deque()
        self._succession: Succession | None = None
        self._leaving: Process | None = None
        self._watch = Watch()
        self._seconds_to_look = look
        self._changed: list[str] = []
        # Who started us wants to hear when all are ready; that is not our processes' business.
        self._report_to = os.environ.pop(READY_FD, None)

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
        if place.process or self._supervisor.is_stopping:
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
        """A process is ready for work: then one that it replaces may leave. Or it has named its files."""
        self._watch.add(process.files)
        process.files.clear()
        self._expect(process)
        if not process.is_ready:
            return
        self._was_ready = True
        if self._succession and process is self._succession.heir:
            self._succeed(self._succession)
        if self._report_to and all(place.is_served for place in self._places):
            with suppress(OSError):
                os.write(int(self._report_to), b"1")
            self._report_to = None

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
        elif self._succession and process is self._succession.heir:
            self._give_up_renewal(self._succession, _reason(process, code))
        elif process is self._leaving:
            self._renew_next()
        else:
            for place in self._places:
                if place.process is process:
                    self._on_vacancy(place, process, code)

    def _on_vacancy(self, place: Place, process: Process, code: int) -> None:
        place.process = None
        if self._succession and self._succession.place is place:
            return  # its heir is on the way
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
        if all(place.is_retired for place in self._places):
            self._supervisor.stop()

    # Renewing

    def on_renew(self) -> None:
        """Replace the processes one after another, each as soon as the one before it has left."""
        self._output.say("replacing the processes one after another")
        self._renew()

    def _renew(self) -> None:
        self._to_renew = deque(self._places)
        if self._succession:
            # What it has loaded may be outdated, and broken.
            heir, self._succession = self._succession.heir, None
            self._supervisor.terminate(heir, self._settings.drain_timeout)
        if self._leaving is None:
            self._renew_next()

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
            self._renew()
        self._supervisor.after(_SETTLE if changed else self._seconds_to_look, self._look)

    def _renew_next(self) -> None:
        self._leaving = None
        while self._to_renew:
            place = self._to_renew.popleft()
            if place.is_retired:
                continue
            if place.process is None:  # it waits for its next try, and now is as good as later
                self._fill(place)
            else:
                self._begin_succession(place)
                return
        if all(place.is_served for place in self._places):
            self._output.say("all processes have been replaced")

    def _begin_succession(self, place: Place) -> None:
        heir = self._start(place)
        if heir is None:
            self._to_renew.clear()
            return
        self._succession = Succession(place, heir)
        self._supervisor.after(self._ready_timeout, partial(self._on_late, self._succession))

    def _succeed(self, succession: Succession) -> None:
        self._succession = None
        place = succession.place
        self._leaving, place.process = place.process, succession.heir
        if self._leaving is not None:
            self._supervisor.terminate(self._leaving, self._settings.drain_timeout)
        # What died before its time has left, and no stream that goes on is to hold up who works on the code.
        if self._leaving is None or self._settings.reload:
            self._renew_next()

    def _on_late(self, succession: Succession) -> None:
        if succession is self._succession and not self._supervisor.is_stopping:
            succession.heir.send(signal.SIGKILL)
            self._give_up_renewal(succession, f"was not ready within {self._ready_timeout:g} s")

    def _give_up_renewal(self, succession: Succession, reason: str) -> None:
        """Keep the old processes, because a new one does not work."""
        self._succession = None
        self._to_renew.clear()
        place = succession.place
        self._output.say(f"the new {place.label} {reason}; the old processes stay as they are")
        self._supervisor.after(place.backoff.next(), partial(self._fill, place))

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
