"""One trial: a system is started, loaded, struck, given time to recover, and judged."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.chaos.errors import MissingError
from tests.chaos.ledger import Account, judge
from tests.chaos.site import Site, a_site
from tests.chaos.vitals import Vitals, at_rest, compare, settle

if TYPE_CHECKING:
    from tests.chaos.fault import Fault

AFTER: Final = 100
"""Requests after the fault, which show that the system serves as before."""

STOPPING: Final = 60.0
"""Seconds to stop everything."""


class Result(NamedTuple):
    """What came of a fault.

    Attributes:
        fault: the fault.
        seconds: how long it took in all.
        broken: the promises that were broken; none, if all is well.
        account: what was found; None if it did not come to that.
        before: the dispatcher's vital signs before the fault.
        after: those after it.
        remarks: what else there is to say.
        left_out: why it was not tried; empty if it was.
    """

    fault: Fault
    seconds: float
    broken: list[str]
    account: Account | None = None
    before: Vitals | None = None
    after: Vitals | None = None
    remarks: tuple[str, ...] = ()
    left_out: str = ""


class OverdueError(AssertionError):
    """A trial that has taken longer than its patience."""


def attempt(fault: Fault, *, is_full: bool) -> Result:
    """Try a fault on a new system, of which nothing is left afterwards."""
    began = time.monotonic()
    try:
        with bounded(fault.patience + STOPPING), a_site(is_full=is_full) as site:
            found = _try(fault, site)
    except MissingError as error:
        return Result(fault, 0.0, [], left_out=str(error))
    return found._replace(seconds=time.monotonic() - began)


def _try(fault: Fault, site: Site) -> Result:
    try:
        with bounded(fault.patience):
            account, before, after = _strike(fault, site)
        stopping = site.stop()
    except MissingError:
        raise
    except Exception as error:  # whatever it was, the next fault has its turn
        sentence = f"the system can be used all the time: {_describe(error)}"
        return Result(
            fault, 0.0, [*site.broken, sentence, *_judge_what_there_is(fault, site), *site.last_words()]
        )
    expected = fault.expected
    broken = [*site.broken, *judge(account, expected), *compare(before, after, expected), *stopping]
    return Result(fault, 0.0, broken, account, before, after, tuple(site.remarks))


def _judge_what_there_is(fault: Fault, site: Site) -> list[str]:
    """Judge the requests of a trial that was not carried through: they often tell why."""
    with suppress(Exception):  # there may be no load, or no database
        site.load.rest()
        return judge(site.account(), fault.expected)
    return []


def _strike(fault: Fault, site: Site) -> tuple[Account, Vitals, Vitals]:
    fault.arrange(site)
    site.start_load(fault.posts)
    site.wait_for_links(fault.workers)
    load = site.load
    load.start(fault.rate)
    load.more(fault.warm)
    load.rest()
    before = at_rest(site.vitals)
    load.start(fault.rate)
    fault.strike(site)
    load.start(fault.rate)
    load.more(AFTER)
    load.rest()
    after = settle(site.vitals, before, fault.expected)
    return site.account(), before, after


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise OverdueError in the main thread after so many seconds."""

    def raise_error(number: int, frame: FrameType | None) -> None:
        raise OverdueError(f"this took longer than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, raise_error)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if left:  # somebody else's time, which has gone on
            signal.setitimer(signal.ITIMER_REAL, max(0.01, left - (time.monotonic() - began)))


def _describe(error: Exception) -> str:
    """Say what went wrong, and in which line of the fault."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/faults/" in frame.filename] or frames
    return f"{type(error).__name__} in `{ours[-1].line}`: {str(error).partition(chr(10))[0]}"
