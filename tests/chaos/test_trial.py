"""Trials: one that goes wrong is a result like others, and nothing is left of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.errors import MissingError
from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected
from tests.chaos.trial import OverdueError, attempt, bounded
from tests.programs import wait_until_gone

if TYPE_CHECKING:
    from tests.chaos.site import Site


class Forgery(Fault):
    """Writes rows that no handler has written, and leaves files where none may be left."""

    name = "forgery"
    row = "somebody writes into the database: that is found out"
    workers = 1
    rate = 500
    expected = Expected(recovery=0.2)
    pids: tuple[int, ...] = ()

    def strike(self, site: Site) -> None:
        entry = next(entry for entry in site.load.entries if entry.method == "POST")
        with closing(sqlite3.connect(site.folder / "done.db")) as database, database:
            database.executemany("INSERT INTO done VALUES (?)", [(str(entry.id),), ("1000000",)])
        (site.temporary / "left").touch()
        self.pids = (site.dispatcher.pid, *site.workers())


class Silence(Fault):
    """Ends the dispatcher, and starts no other."""

    name = "silence"
    row = "the dispatcher is gone: that is found out"
    workers = 1

    def arrange(self, site: Site) -> None:
        site.start_dispatcher()
        site.dispatcher.program.send(signal.SIGKILL)
        site.dispatcher.program.wait()
        site.start_pool(self.workers)
        site.dispatcher.status()


class Dream(Fault):
    name = "dream"
    row = "something that no machine can do: it is left out"

    def arrange(self, site: Site) -> None:
        raise MissingError("a dream takes sleep")


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("lrwp-chaos-*"))


def test_a_ledger_that_is_forged_breaks_the_promises_and_nothing_is_left_of_the_trial() -> None:
    before = folders()
    fault = Forgery()
    result = attempt(fault, is_full=False)
    assert [sentence.partition(": not so with 1")[0] for sentence in result.broken] == [
        "a POST never runs twice",
        "nothing runs that nobody has asked for",
        "no temporary file is left: there are 1",
    ]
    assert result.account is not None
    assert result.account.times_done()[2] == 1
    assert set(result.account.outcomes()) == {"200"}
    for pid in fault.pids:
        wait_until_gone(pid)
    assert folders() <= before


def test_a_trial_that_cannot_be_carried_through_tells_why_and_shows_the_logs() -> None:
    result = attempt(Silence(), is_full=False)
    first, *logs = result.broken
    assert first.startswith("the system can be used all the time: URLError in `")
    assert [log.partition(": ")[0] for log in logs] == ["log of dispatcher-0", "log of pool-1-1"]
    assert result.account is None


def test_what_no_machine_can_do_is_left_out() -> None:
    result = attempt(Dream(), is_full=False)
    assert (result.left_out, result.broken) == ("a dream takes sleep", [])


def test_time_is_bounded_within_time_that_is_bounded() -> None:
    with bounded(10):
        with pytest.raises(OverdueError, match=r"longer than 0\.05 s"), bounded(0.05):
            time.sleep(5)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 5 < left < 10
        with pytest.raises(OverdueError, match=r"longer than 0\.05 s"), bounded(0.05):
            os.read(os.pipe()[0], 1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
