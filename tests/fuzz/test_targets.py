"""A short search, the same at each run: what was found before, and hundreds of inputs for each target."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.fuzz.findings import CORPUS, kept
from tests.fuzz.mutation import Mutation
from tests.fuzz.targets import NAMES, load

EXAMPLES = 300
LONG_EXAMPLES = 8
LONG = 32 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_once_is_mended(name: str) -> None:
    target = load(name)
    for data in [*target.seeds, *(path.read_bytes() for path in kept(name))]:
        target.check(data)
        target.weigh(data)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_accepted_or_refused_and_nothing_else(name: str) -> None:
    target = load(name)
    for data in islice(Mutation(target, name).inputs(), EXAMPLES):
        target.check(data)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_input_costs_does_not_grow_faster_than_it(name: str) -> None:
    target = load(name)
    for data in islice(Mutation(target, name).long_inputs(LONG), LONG_EXAMPLES):
        target.weigh(data)


def test_findings_are_kept_for_targets_that_exist() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= set(NAMES)
