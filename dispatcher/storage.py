"""Storage: how much may wait in the dispatcher at once, for all clients together.

A bound for each body alone is none for a thousand of them. So every byte of a body, in either direction, is
counted while it waits: in memory, or, where that is used up, in a temporary file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.settings import Limits


class Room:
    """Room for so many bytes, for all who share it.

    Attributes:
        most: how many bytes there are.
        used: how many of them are taken; more than there are where something could not be refused.
    """

    __slots__ = ("most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    def __repr__(self) -> str:
        return f"<Room {self.used} of {self.most} bytes used>"

    @property
    def is_scarce(self) -> bool:
        """Whether less than a quarter is left."""
        return self.used > self.most - self.most // 4

    def take(self, size: int) -> bool:
        """Take room for ``size`` bytes, if it is there."""
        if self.used + size > self.most:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self.used -= size


class Storage:
    """Where bodies wait.

    Attributes:
        memory: the room in memory.
        disk: the room in temporary files.
        body_memory: bytes of one body that may be in memory.
    """

    __slots__ = ("body_memory", "disk", "memory")

    def __init__(self, limits: Limits) -> None:
        self.memory = Room(limits.memory)
        self.disk = Room(limits.disk)
        self.body_memory = limits.body_memory
