"""Faults: what is done to a system that runs, and what may come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.ledger import Expected

if TYPE_CHECKING:
    from tests.chaos.site import Site

SETTLED: Final = 5.5
"""Seconds after which what dies is replaced at once, however often its place has lost one before."""


class Fault:
    """One fault. What may come of it is data; what is done is :meth:`strike`.

    Attributes:
        name: what the command line calls it.
        row: what happens, and what is promised for it.
        workers: how many workers there are.
        rate: requests a second of the constant load.
        warm: requests before the first look at the dispatcher: the first ones fill its caches.
        posts: how many in a hundred of them are POSTs.
        limits: lines of the dispatcher's ``[limits]``.
        expected: what it may cost.
        patience: seconds after which it is given up.
        is_long: whether it is tried in the full version only.
    """

    name: str
    row: str
    workers: int = 3
    rate: float = 300
    warm: int = 150
    posts: int = 50
    limits: str = ""
    expected: Expected = Expected()
    patience: float = 60.0
    is_long: bool = False

    def arrange(self, site: Site) -> None:
        """Start a dispatcher and its workers."""
        site.start_dispatcher(limits=self.limits)
        site.start_pool(self.workers)

    def strike(self, site: Site) -> None:
        """Do what is to be survived, while the load goes on."""
        raise NotImplementedError
