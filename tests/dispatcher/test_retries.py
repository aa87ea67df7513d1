from __future__ import annotations

from dispatcher.retries import FIRST, MOST, SHARE, RetryBudget


def drain(budget: RetryBudget, answered: int) -> int:
    """Return how many may be tried again when so many have been answered in all."""
    count = 0
    while budget.take(answered):
        count += 1
    return count


def test_an_application_that_has_answered_nothing_has_some_to_begin_with() -> None:
    assert drain(RetryBudget(), 0) == FIRST


def test_a_tenth_of_what_was_answered_may_be_tried_again() -> None:
    budget = RetryBudget()
    drain(budget, 0)
    assert [drain(budget, answered) for answered in (9, 20, 20, 520)] == [0, 2, 0, 50]
    assert SHARE == 0.1


def test_what_is_saved_up_has_a_bound() -> None:
    budget = RetryBudget()
    assert drain(budget, 10_000_000) == MOST
    assert repr(budget) == "<RetryBudget 0.0>"
