from __future__ import annotations

from worker.backoff import Backoff


def largest(_: float, bound: float) -> float:
    return bound


def test_the_bound_doubles_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3.0, draw=largest)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_success_starts_again_from_the_first_bound() -> None:
    backoff = Backoff(0.5, 3.0, draw=largest)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 0.5


def test_the_wait_is_anywhere_between_zero_and_the_bound() -> None:
    drawn: list[tuple[float, float]] = []
    backoff = Backoff(0.5, 3.0, draw=lambda low, high: drawn.append((low, high)) or 0.25)  # type: ignore[func-returns-value]
    assert (backoff.next(), drawn) == (0.25, [(0.0, 0.5)])


def test_a_thousand_failures_are_no_trouble() -> None:
    backoff = Backoff(0.5, 30.0, draw=largest)
    assert {backoff.next() for _ in range(1000)} <= {0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0}
