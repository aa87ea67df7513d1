"""One line of the ledger: a request, and what its client saw of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLOSED: Final = "closed"
"""Outcome: the connection ended before an answer began."""

CUT: Final = "cut"
"""Outcome: the connection ended before the answer did."""

REFUSED: Final = "refused"
"""Outcome: nobody accepted the connection, so nothing was asked."""

FOREIGN: Final = "foreign"
"""Outcome: a 200 that is the answer to another request."""

TWICE: Final = "twice"
"""Outcome: something came behind the answer."""

SILENT: Final = "silent"
"""Outcome: no answer came for as long as the client waited."""

LEFT: Final = "left"
"""Outcome: the client has left."""


@dataclass(slots=True, eq=False)
class Entry:
    """One request.

    Attributes:
        id: what tells it from all others.
        kind: what faults call requests like this one; those of the constant load are called GET and POST.
        method: its method.
        due: when it was to be sent, in seconds of a monotonic clock.
        outcome: the status of its answer, or one of the words above; empty until that is known.
        seconds: from when it was due until its outcome was known.
        has_begun: whether the head of an answer has come.
        reason: the first line of an answer that is no 200.
    """

    id: int
    kind: str
    method: str
    due: float
    outcome: str = ""
    seconds: float = 0.0
    has_begun: bool = False
    reason: str = ""

    def end(self, outcome: str, now: float) -> None:
        """Note what became of it."""
        self.outcome = outcome
        self.seconds = now - self.due
