"""What ``lrwp up`` runs: a dispatcher, and pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.backoff import Backoff
    from worker.child import Process


class Member:
    """One of the programs.

    Attributes:
        label: the dispatcher, or a pool's name.
        labels: what the processes of a pool put in front of their lines.
        entry: becomes the program, in a child.
        drain_timeout: seconds that it gives itself to drain.
        backoff: what it has seen of early deaths.
        process: the process that it is; None while there is none.
        is_retired: whether it has done what it was there for.
    """

    __slots__ = ("backoff", "drain_timeout", "entry", "is_retired", "label", "labels", "process")

    def __init__(
        self, label: str, labels: list[str], entry: Callable[[], int], drain_timeout: float, backoff: Backoff
    ) -> None:
        self.label = label
        self.labels = labels
        self.entry = entry
        self.drain_timeout = drain_timeout
        self.backoff = backoff
        self.process: Process | None = None
        self.is_retired = False

    def __repr__(self) -> str:
        return f"<Member {self.label}, {self.process}>"
