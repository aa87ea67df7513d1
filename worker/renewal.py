"""How the processes of a pool are replaced while they serve: first an heir is ready, then the old one leaves.

It is one process at a time, so that the others have little more to do. Two things set it off: somebody wants
all of them replaced (a round), and a process has served for long enough (it is worn). Worn ones wait in a
queue, and serve meanwhile; where no heir can be had, they go on.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from worker.backoff import Backoff
    from worker.child import Process
    from worker.output import Output
    from worker.settings import WorkerSettings
    from worker.supervision import Supervisor


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

    @property
    def is_worn(self) -> bool:
        """Whether its process wants somebody to take its place."""
        return self.process is not None and self.process.is_worn


class Succession(NamedTuple):
    """A process that is being replaced while it still serves.

    Attributes:
        place: whose process is replaced.
        heir: the process that will take its place once it is ready.
    """

    place: Place
    heir: Process


class Renewal:
    """Replaces processes one after another.

    Args:
        places: where they are.
        start: starts a process for a place, if the system lets it.
        fill: fills a place that is empty.
        supervisor: tells them to leave.
        output: where we say what goes wrong.
        settings: what the processes run.
        ready_timeout: seconds that an heir gets to become ready.
        tell: called with how a round goes: ``begun``, ``replaced LABEL``, ``done`` or ``failed REASON``.
    """

    def __init__(
        self,
        places: Iterable[Place],
        start: Callable[[Place], Process | None],
        fill: Callable[[Place], None],
        supervisor: Supervisor,
        output: Output,
        settings: WorkerSettings,
        ready_timeout: float,
        tell: Callable[[str], None],
    ) -> None:
        self._places = list(places)
        self._start = start
        self._fill = fill
        self._supervisor = supervisor
        self._output = output
        self._settings = settings
        self._ready_timeout = ready_timeout
        self._tell = tell
        self._is_round = False
        self._is_pausing = False
        self._queue: deque[Place] = deque()
        self._succession: Succession | None = None
        self._leaving: Process | None = None

    def __repr__(self) -> str:
        return f"<Renewal {'of all' if self._is_round else 'of the worn'}, {self._succession}>"

    # What sets it off

    def begin_round(self) -> None:
        """Replace all processes, anew if that is under way: what an heir has loaded may be outdated."""
        self._tell("begun")
        self._is_round = True
        self._queue = deque(self._places)
        self._dismiss_heir()
        if self._leaving is None:
            self._next()

    def ask(self, place: Place) -> None:
        """Replace a process that is worn, when it is its turn."""
        if place not in self._queue and not self.awaits(place):
            self._queue.append(place)
        if not (self._is_pausing or self._succession or self._leaving):
            self._next()

    # What it has to hear

    def awaits(self, place: Place) -> bool:
        """Whether an heir is on its way to this place."""
        return self._succession is not None and self._succession.place is place

    def on_ready(self, process: Process) -> None:
        """A process is ready: then one that it replaces may leave."""
        if self._succession and process is self._succession.heir:
            self._succeed(self._succession)
        else:
            self._end_round()

    def on_ended(self, process: Process, reason: str) -> bool:
        """A process is gone; returns whether that was expected here, so that nobody else has to care."""
        if self._succession and process is self._succession.heir:
            self._give_up(self._succession, reason)
        elif process is self._leaving:
            self._next()
        else:
            return False
        return True

    def on_vacancy(self, place: Place, reason: str) -> None:
        """A place is empty: a round that has only waited for the process there is over."""
        if self._is_round and not (self._queue or self._succession or self._leaving):
            self._end_in_failure(f"{place.label} {reason}")

    def on_retired(self, place: Place) -> None:
        """A process has done what it was there for: nobody takes its place, not even who is on the way."""
        if self.awaits(place):
            self._dismiss_heir()
            self._next()
        else:
            self._end_round()

    # How it goes

    def _next(self) -> None:
        self._leaving = None
        if self._supervisor.is_stopping:
            return
        while self._queue:
            place = self._queue.popleft()
            if place.is_retired or not (self._is_round or place.is_worn):
                continue
            if place.process is None:  # it waits for its next try, and now is as good as later
                self._fill(place)
            else:
                self._begin(place)
                return
        self._end_round()

    def _begin(self, place: Place) -> None:
        heir = self._start(place)
        if heir is None:
            self._pause(place, "could not be started")
            return
        self._succession = Succession(place, heir)
        self._supervisor.after(self._ready_timeout, partial(self._on_late, self._succession))

    def _succeed(self, succession: Succession) -> None:
        self._succession = None
        place = succession.place
        self._leaving, place.process = place.process, succession.heir
        if self._is_round:
            self._tell(f"replaced {place.label}")
        if self._leaving is not None:
            self._supervisor.terminate(self._leaving, self._settings.drain_timeout)
        # What died before its time has left, and no stream that goes on is to hold up who works on the code.
        if self._leaving is None or self._settings.reload:
            self._next()

    def _end_round(self) -> None:
        """End a round when nothing is left to be done or waited for."""
        if not self._is_round or self._queue or self._succession or self._leaving:
            return
        if all(place.is_served for place in self._places):
            self._is_round = False
            self._output.say("all processes have been replaced")
            self._tell("done")

    # What may go wrong

    def _on_late(self, succession: Succession) -> None:
        if succession is self._succession and not self._supervisor.is_stopping:
            succession.heir.send(signal.SIGKILL)
            self._give_up(succession, f"was not ready within {self._ready_timeout:g} s")

    def _give_up(self, succession: Succession, reason: str) -> None:
        """Keep the old processes, because a new one does not work."""
        self._succession = None
        self._pause(succession.place, reason)

    def _pause(self, place: Place, reason: str) -> None:
        """Leave it at that, and try again later what has to be."""
        seconds = place.backoff.next()
        if self._is_round:
            self._output.say(f"the new {place.label} {reason}; the old processes stay as they are")
            self._queue = deque(each for each in self._queue if each.is_worn)
            self._end_in_failure(f"the new {place.label} {reason}")
        else:
            again = f"another try follows in {seconds:.1f} s"
            self._output.say(f"the new {place.label} {reason}; the old one serves on, {again}")
        self._is_pausing = True
        self._supervisor.after(seconds, partial(self._go_on, place))

    def _go_on(self, place: Place) -> None:
        self._is_pausing = False
        self._fill(place)
        if place.is_worn:
            self.ask(place)
        elif not (self._succession or self._leaving):
            self._next()

    def _end_in_failure(self, reason: str) -> None:
        self._is_round = False
        self._tell(f"failed {reason}")

    def _dismiss_heir(self) -> None:
        if self._succession:
            heir, self._succession = self._succession.heir, None
            self._supervisor.terminate(heir, self._settings.drain_timeout)
