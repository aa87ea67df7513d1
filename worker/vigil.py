"""The vigil: somebody sees to it that no worker hangs for good.

A dispatcher waits for a while for a word about a request that it has handed over. Then it answers the client
504 and cuts the link off, and all that is left to do is here:

* **The main thread watches over the others.** One whose request has outlived the dispatcher's patience and
  whose link is cut off hangs: its traceback goes to the log, the other threads finish what they have, and the
  process ends so that its pool replaces it. A link that was lost earlier is no reason, because then it was
  the dispatcher that died.
* **The parent watches over the process.** The main thread promises, again and again, to give another sign of
  life soon. Where it cannot keep that, because the process is stopped or a call into C keeps all threads from
  running, no Python has run for longer than a dispatcher waits. So whatever it has in hand is lost already,
  and the parent kills it.

Threads at work pay for this with two attributes that they set for each request.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Final

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from worker.serving import InHand, Serving

SHARE: Final = 4
"""How many looks there are in the time for which a dispatcher waits: each request is seen in good time."""

PAUSE: Final = 2.0
"""Most seconds between two looks."""

SOON: Final = 0.25
"""Seconds to the next look while a request outlives the dispatcher's patience. It has to be found cut off
twice: after the whole process was stopped for a while, a handler gets this long to end by itself."""

MARGIN: Final = 1.0
"""Seconds that a promise has to spare, for a machine that is busy."""


class HungError(LrwpError):
    """A request hangs; the traceback says where."""


class Vigil:
    """Watches over the threads of a worker; their main thread looks.

    Args:
        servings: what the threads do.
        promise: called at each look with the seconds within which it is going to be called again.

    Attributes:
        hung: those that hang.
    """

    def __init__(self, servings: Iterable[Serving], promise: Callable[[float], None]) -> None:
        self.hung: list[Serving] = []
        self._servings = list(servings)
        self._promise = promise
        self._suspects: dict[Serving, InHand | None] = {}

    def __repr__(self) -> str:
        return f"<Vigil over {len(self._servings)}, {len(self.hung)} hung>"

    def look(self, now: float) -> float | None:
        """Note who hangs, promise to look again, and return in how many seconds; None until registered.

        A dispatcher that does not say how long it waits is taken to wait for ever.
        """
        patience = max(serving.patience for serving in self._servings)
        if not patience:
            return None
        pause = longest = min(patience / SHARE, PAUSE)
        for serving in self._servings:
            if serving not in self.hung:
                pause = min(pause, self._look_at(serving, now))
        # What was in hand when we stopped looking gets its 504 before our parent acts.
        self._promise(patience + 2 * longest + MARGIN)
        return pause

    def _look_at(self, serving: Serving, now: float) -> float:
        """Return in how many seconds to look again."""
        suspect = self._suspects.pop(serving, None)
        left = serving.seconds_left(now)
        if left > 0:
            return left
        in_hand = serving.in_hand
        if serving.is_cut_off():
            if suspect is not None and suspect is in_hand:
                self.hung.append(serving)
            else:
                self._suspects[serving] = in_hand
        return SOON


def traceback_of(frame: FrameType | None) -> TracebackType | None:
    """Return where a thread is, in the form in which exceptions have it."""
    trace: TracebackType | None = None
    while frame is not None:
        trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return trace
