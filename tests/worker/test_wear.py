from __future__ import annotations

from typing import TYPE_CHECKING

from worker import wear
from worker.settings import WorkerSettings
from worker.wear import PAUSE, Wear, resident_memory

if TYPE_CHECKING:
    import pytest

MIB = 1024**2


def a_wear(draw: float = 0.0, resident: int = 0, **settings: float) -> Wear:
    """Return the wear of a process that started at 1000 and draws this number."""
    return Wear(
        WorkerSettings(target="shop:app", **settings),  # type: ignore[arg-type]
        clock=lambda: 1000.0,
        resident=lambda: resident,
        draw=lambda least, most: draw,
    )


def test_without_bounds_nothing_is_looked_at() -> None:
    one = a_wear()
    assert (one.most_requests, one.pause, one.look(1e9)) == (0, None, "")


def test_each_process_draws_up_to_a_tenth_fewer_requests() -> None:
    assert [a_wear(draw, max_requests=1000).most_requests for draw in (0.0, 0.05, 0.1)] == [1000, 950, 900]
    drawn = {Wear(WorkerSettings(target="x", max_requests=10**6)).most_requests for _ in range(20)}
    assert len(drawn) > 1
    assert min(drawn) >= 900_000
    assert max(drawn) <= 10**6


def test_a_bound_of_one_request_stays_one() -> None:
    assert a_wear(0.1, max_requests=1).most_requests == 1


def test_each_process_draws_up_to_a_tenth_less_time() -> None:
    assert [a_wear(0.0, max_age=100).look(now) for now in (1099.9, 1100)] == ["", "it has reached its age"]
    assert [a_wear(0.1, max_age=100).look(now) for now in (1089.9, 1090)] == ["", "it has reached its age"]


def test_memory_is_looked_at() -> None:
    assert a_wear(resident=64 * MIB, max_memory=64 * MIB).look(1000) == ""
    assert a_wear(resident=65 * MIB, max_memory=64 * MIB).look(1000) == "it has 65 MiB of memory"


def test_looks_are_a_second_apart_or_as_the_age_demands() -> None:
    assert a_wear(max_memory=MIB).pause == PAUSE
    assert a_wear(max_age=0.25).pause == 0.25
    assert a_wear(max_age=3600).pause == PAUSE


def test_it_says_what_the_bounds_are() -> None:
    assert repr(a_wear(max_requests=5, max_age=10)) == "<Wear 5 requests, 0 bytes, until 1010>"


def test_memory_is_what_the_system_says() -> None:
    before = resident_memory()
    ballast = b"x" * (32 * MIB)
    assert 24 * MIB < resident_memory() - before < 48 * MIB
    del ballast


def test_without_proc_memory_is_the_most_that_there_ever_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise FileNotFoundError(path)

    now = resident_memory()
    monkeypatch.setattr(wear.os, "open", refuse)
    assert resident_memory() > 0.5 * now
