from __future__ import annotations

from itertools import islice

import pytest

from tests.fuzz.mutation import Mutation
from tests.fuzz.target import Target


def a_target(*seeds: bytes) -> Target:
    return Target(read=len, seeds=seeds, words=(b"word",), each=0)


def some(mutation: Mutation, count: int = 500) -> list[bytes]:
    return [*islice(mutation.inputs(), count)]


def test_inputs_are_the_same_from_the_same_start() -> None:
    target = a_target(b"one", b"two")
    assert some(Mutation(target, "x")) == some(Mutation(target, "x"))
    assert some(Mutation(target, "x")) != some(Mutation(target, "y"))


def test_inputs_are_some_steps_away_from_what_is_known() -> None:
    inputs = some(Mutation(a_target(b"GET / HTTP/1.1"), 1, [b"0123456789"]))
    assert len(set(inputs)) > 300
    for part in (b"GET", b"012", b"word"):
        assert sum(part in data for data in inputs) > 50


@pytest.mark.parametrize("seed", [b"", b"a", b"a longer one" * 20])
def test_long_inputs_have_about_the_length_that_is_asked_for(seed: bytes) -> None:
    lengths = [len(data) for data in islice(Mutation(a_target(seed), 1).long_inputs(10_000), 50)]
    assert all(9_900 <= length <= 10_000 for length in lengths)
