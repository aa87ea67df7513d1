"""A restart that somebody has asked ``lrwp up`` for: programs one after another, each while it serves.

A pool replaces its processes when it gets HUP, and tells us how that goes. Of the dispatcher a second one is
started on the same sockets; when that is ready, the first makes room for it (USR1): it lets nobody in any
more, sends its workers on, and ends when it has answered what it had accepted.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from worker.child import Process, describe_end
from worker.pool import READY_TIMEOUT

if TYPE_CHECKING:
    from lrwp.member import Member
    from worker.supervision import Supervisor

MARGIN: Final = 5.0
"""Seconds that a program gets beyond its own time to drain, before we take it for hung and kill it."""

ANSWER_TIME: Final = 5.0
"""Seconds in which a pool begins to replace its processes: one that still starts does not hear of it."""


class Restart:
    """Restarts programs.

    Args:
        members: which, in this order.
        supervisor: starts and ends processes.
        start: starts a program that does not run.
        say: called with sentences on how it goes.
        on_end: called when it is over: with why it has failed, or with nothing.
        ready_timeout: seconds that a new dispatcher gets to become ready.
        answer_time: seconds that a pool gets to begin.
    """

    def __init__(
        self,
        members: Iterable[Member],
        supervisor: Supervisor,
        start: Callable[[Member], None],
        say: Callable[[str], None],
        on_end: Callable[[str], None],
        *,
        ready_timeout: float = READY_TIMEOUT,
        answer_time: float = ANSWER_TIME,
    ) -> None:
        self._queue = deque(members)
        self._supervisor = supervisor
        self._start = start
        self._say = say
        self._on_end = on_end
        self._ready_timeout = ready_timeout
        self._answer_time = answer_time
        self._member: Member | None = None
        self._has_begun = False
        self._is_fresh = False
        self._was_ready = False
        self._attempts = 0
        self._heir: Process | None = None
        self._leaving: Process | None = None
        self._words = ""

    def __str__(self) -> str:
        return self._member.label if self._member else "nothing"

    def begin(self) -> None:
        """Restart the first of the programs."""
        self._next()

    def give_up(self, why: str) -> None:
        """Leave it as it is."""
        self._member = None
        self._queue.clear()
        self._on_end(why)

    # What happens to the programs

    def on_report(self, process: Process) -> None:
        """A program is ready, or a pool says how it goes."""
        member = self._member
        if member is None:
            return
        if process is self._heir:
            self._succeed(member, process)
        elif process is member.process:
            for news in process.news:
                self._take(member, news)
            if process.is_ready and not self._was_ready:
                self._on_ready(member)

    def on_words(self, process: Process, line: bytes) -> None:
        """A program has written a line: if it is the last one, it says why it cannot run."""
        if process is self._heir:
            self._words = line.decode(errors="replace").removeprefix("lrwp: ")

    def on_ended(self, process: Process, code: int) -> bool:
        """A program is gone; returns whether nobody else has to care."""
        member = self._member
        if member is None:
            return False
        if process is self._leaving:
            if code:
                self._say(f"the old {member.label} {describe_end(code)}")
            self._leaving = None
            self._done(member)
            return True
        if process is self._heir:
            self._heir = None
            reason = f"could not start: {self._words}" if self._words else describe_end(code)
            self._fail(f"the new {member.label} {reason}; the old one serves on")
            return True
        if process.label == member.label and member.process is None:
            self._on_lost(member, code)
            return member.process is not None
        return False

    def _on_lost(self, member: Member, code: int) -> None:
        """What was to be restarted has ended meanwhile; a new dispatcher that still starts follows it."""
        member.process, self._heir = self._heir, None
        self._fail(f"{member.label} {describe_end(code)} meanwhile")

    # One after another

    def _next(self) -> None:
        if not self._queue:
            self._member = None
            self._on_end("")
            return
        self._member = member = self._queue.popleft()
        self._has_begun = self._is_fresh = False
        self._was_ready = member.process is not None and member.process.is_ready
        if member.is_retired:
            self._say(f"{member.label} has done all that it was to do")
            self._next()
        elif member.process is None:  # it waits for its next try, and now is as good as later
            self._is_fresh = True
            self._start(member)
        elif member.labels:
            self._have_replaced(member, member.process)
        else:
            self._start_heir(member)

    def _on_ready(self, member: Member) -> None:
        """A program that was starting has become ready: now it surely hears us."""
        self._was_ready = True
        if self._is_fresh:
            self._done(member)
        elif member.process is not None and not self._has_begun:
            self._have_replaced(member, member.process)

    def _done(self, member: Member) -> None:
        self._say(f"{member.label} has been restarted")
        self._next()

    def _fail(self, why: str) -> None:
        self.give_up(why)

    # Pools

    def _have_replaced(self, member: Member, pool: Process) -> None:
        """Have a pool replace its processes."""
        self._attempts += 1
        pool.send(signal.SIGHUP)
        self._supervisor.after(self._answer_time, partial(self._on_silence, member, self._attempts))

    def _take(self, member: Member, news: str) -> None:
        """Hear how the replacing goes; what comes before its beginning is about an earlier one."""
        word, _, rest = news.partition(" ")
        if word == "begun":
            self._has_begun = True
        elif not self._has_begun:
            return
        elif word == "replaced":
            self._say(f"{rest} has been replaced")
        elif word == "failed":
            self._fail(f"{rest}; the old processes serve on")
        elif word == "done":
            self._done(member)

    def _on_silence(self, member: Member, attempt: int) -> None:
        if member is self._member and not self._has_begun and attempt == self._attempts:
            self._fail(f"{member.label} is still starting: try again when it is ready")

    # The dispatcher

    def _start_heir(self, member: Member) -> None:
        if member.process is None or not member.process.is_ready:
            self._fail(f"the {member.label} is still starting: try again when it is ready")
            return
        try:
            self._heir = self._supervisor.start(member.label, member.entry, leads_group=True)
        except OSError as error:
            self._fail(f"the new {member.label} cannot be started now: {error.strerror}")
            return
        self._words = ""
        self._supervisor.after(self._ready_timeout, partial(self._on_late, self._heir))

    def _on_late(self, heir: Process) -> None:
        if heir is self._heir:
            self._words = f"it was not ready within {self._ready_timeout:g} s"
            heir.send(signal.SIGKILL)

    def _succeed(self, member: Member, heir: Process) -> None:
        if not heir.is_ready:
            return
        self._heir = None
        self._leaving, member.process = member.process, heir
        self._say(f"the new {member.label} serves; the old one answers what it has accepted")
        if self._leaving is not None:
            within = member.drain_timeout + MARGIN
            self._supervisor.terminate(self._leaving, within, signal.SIGUSR1)
