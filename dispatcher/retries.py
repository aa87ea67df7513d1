"""How many requests may be tried again: few, so that trouble is not doubled.

A request whose worker died is tried once more if its method is safe. Where workers die one after another,
because of what they are asked or of a host that fails, second tries would take down those that are left. So
they have a budget: a tenth of the requests that were answered, and some to begin with.
"""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.1
"""Second tries for each answered request."""

FIRST: Final = 100
"""Second tries of an application that has answered nothing yet: a dozen workers may die with full hands."""

MOST: Final = 1000
"""Most second tries that are saved up: a host with a hundred workers may die."""


class RetryBudget:
    """The second tries that an application has left."""

    __slots__ = ("_left", "_seen")

    def __init__(self) -> None:
        self._left: float = FIRST
        self._seen = 0

    def __repr__(self) -> str:
        return f"<RetryBudget {self._left:.1f}>"

    def take(self, answered: int) -> bool:
        """Return whether one more request may be tried again, and if so count it.

        Args:
            answered: how many requests the application has answered in all. That is asked only here, when a
                worker has died: so the budget costs the other requests nothing.
        """
        self._left = min(MOST, self._left + (answered - self._seen) * SHARE)
        self._seen = answered
        if self._left < 1:
            return False
        self._left -= 1
        return True
