"""Processes: found, counted, stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tests.bench.processes import Process, Running, busy_seconds, find_tree, process_table, read_process

STAT = (
    "42 (a (bad) name) S 7 42 40 0 -1 4194560 100 200 0 0 11 5 3 1 20 0 1 0 9000 1000 50 18446744073709551615"
)

STUBBORN_GRANDCHILD = """
import os, signal
if os.fork():
    os.write(1, b"%d\\n" % os.getpid())
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"%d\\n" % os.getpid())
signal.pause()
"""
"""A parent that ends at once and leaves a child behind that does not mind SIGTERM."""

SPENDER = """
import os, signal
if not (child := os.fork()):
    while sum(os.times()[:2]) < 0.2: pass
    os._exit(0)
os.waitpid(child, 0)
os.write(1, b"spent\\n")
signal.pause()
"""
"""Has a child that uses 0.2 s of CPU time and ends."""


def process(pid: int, parent: int = 1, session: int = 1) -> Process:
    return Process(pid, parent, session, started=0, ticks=0, is_zombie=False)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[TextIO]:
    """What the processes print: a pipe in the place of a log file, so that reading a line waits for it."""
    path = tmp_path / "output.log"
    os.mkfifo(path)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as pipe:
        os.set_blocking(pipe.fileno(), True)
        yield pipe


@pytest.fixture
def running(tmp_path: Path, output: TextIO) -> Iterator[Running]:
    with Running(folder=tmp_path, environment=os.environ, log=tmp_path / "output.log") as running:
        yield running


def test_a_name_with_spaces_and_parentheses_does_not_shift_the_fields() -> None:
    assert read_process(STAT) == Process(
        pid=42, parent=7, session=40, started=9000, ticks=11 + 5 + 3 + 1, is_zombie=False
    )


def test_a_zombie_is_recognised() -> None:
    assert read_process(STAT.replace(") S ", ") Z ")).is_zombie


def test_a_tree_is_its_root_and_everything_below_it() -> None:
    table = [process(30, parent=20), process(10), process(20, parent=10), process(99)]
    assert {found.pid for found in find_tree([10], table)} == {10, 20, 30}


def test_the_child_of_a_dead_parent_is_found_by_its_session_and_brings_its_children() -> None:
    table = [process(30, parent=1, session=10), process(40, parent=30, session=40)]
    assert {found.pid for found in find_tree([10], table)} == {30, 40}


def test_the_process_table_has_ourselves() -> None:
    assert os.getpid() in {found.pid for found in process_table()}


def test_the_processors_of_this_machine_have_been_busy() -> None:
    assert busy_seconds() > 0


def test_the_time_of_children_that_ended_is_counted(running: Running, output: TextIO) -> None:
    running.start([sys.executable, "-c", SPENDER])
    assert output.readline() == "spent\n"
    assert running.cpu_seconds() >= 0.2


def test_stopping_ends_what_a_dead_parent_left_behind(running: Running, output: TextIO) -> None:
    running.start([sys.executable, "-c", STUBBORN_GRANDCHILD])
    pids = {int(output.readline()), int(output.readline())}
    running.stop()
    assert not pids & {found.pid for found in process_table() if not found.is_zombie}


def test_a_process_that_ended_is_noticed(running: Running) -> None:
    running.start([sys.executable, "-c", "import signal; signal.pause()"])
    assert not running.has_ended()
    running.stop()
    assert running.has_ended()
