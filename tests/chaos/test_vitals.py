"""Vital signs: what is not as it was is named, and looked at until it is."""

from __future__ import annotations

import os
import tempfile
import time
from itertools import chain, repeat
from pathlib import Path

import pytest

from tests.chaos.ledger import Expected
from tests.chaos.vitals import (
    MIB,
    Vitals,
    at_rest,
    compare,
    cpu_seconds,
    forget_peak,
    look,
    peak,
    resident,
    settle,
)

BEFORE = Vitals(memory=40 * MIB, files=20, temporary=0, workers=3)


def test_what_is_as_it_was_breaks_no_promise() -> None:
    assert compare(BEFORE, BEFORE, Expected()) == []
    assert compare(BEFORE, BEFORE._replace(memory=30 * MIB), Expected()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"memory": 49 * MIB},
            "the dispatcher's memory is back where it was, within 8 MiB: it grew from 40.0 to 49.0 MiB",
        ),
        ({"files": 21}, "the dispatcher has as many files open as before: 20 became 21"),
        ({"temporary": 1}, "no temporary file is left: there are 1"),
        ({"workers": 2}, "the workers are back: of 3 there are 2"),
    ],
)
def test_what_is_not_as_it_was_is_named(change: dict[str, int], sentence: str) -> None:
    assert compare(BEFORE, BEFORE._replace(**change), Expected()) == [sentence]


def test_the_files_of_who_has_just_left_do_not_count() -> None:
    sights = chain([BEFORE._replace(files=files) for files in (24, 22, 23)], repeat(BEFORE))
    assert at_rest(lambda: next(sights)) == BEFORE


def test_it_is_looked_at_until_it_is_as_it_was() -> None:
    sights = iter([BEFORE._replace(files=22), BEFORE._replace(files=21), BEFORE])
    assert settle(lambda: next(sights), BEFORE, Expected()) == BEFORE
    assert list(sights) == []


def test_it_is_not_looked_at_for_ever() -> None:
    leaking = BEFORE._replace(files=21)
    assert settle(lambda: leaking, BEFORE, Expected(recovery=0.01)) == leaking


def test_temporary_files_are_seen_with_and_without_a_name(tmp_path: Path) -> None:
    before = look(os.getpid(), tmp_path, 3)
    assert (before.temporary, before.workers) == (0, 3)
    (tmp_path / "named").touch()
    with tempfile.TemporaryFile(dir=tmp_path):
        after = look(os.getpid(), tmp_path, 3)
    assert (after.temporary, after.files - before.files) == (2, 1)


def test_a_peak_is_seen_after_it_is_over_and_can_be_forgotten() -> None:
    forget_peak(os.getpid())
    before = resident(os.getpid())
    block = bytearray(os.urandom(16)) * (2 * MIB)
    del block
    assert peak(os.getpid()) - before > 24 * MIB
    forget_peak(os.getpid())
    assert peak(os.getpid()) - before < 24 * MIB


def test_processor_time_is_that_of_the_process() -> None:
    before, end = cpu_seconds(os.getpid()), time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0.02 < cpu_seconds(os.getpid()) - before < 5
