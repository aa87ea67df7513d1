"""Names: what the routes of a router are known by, so that nobody writes an address twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.errors import RouteError
from worker.patterns import read_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.calls import Mount
    from worker.patterns import Pattern

BELOW: Final = read_pattern("/{path:rest}")
"""What stands behind a mount that is no router, such as a folder of files."""


class Names:
    """The names of one router's routes and mounts."""

    def __init__(self) -> None:
        self._patterns: dict[str, Pattern | None] = {}  # None for a name that several routes happen to have
        self._given: set[str] = set()
        self._mounts: dict[str, Mount] = {}
        self._nameless: list[Mount] = []

    def add(self, name: str, pattern: Pattern, *, is_given: bool) -> None:
        """Note a route's name; one that was given beats one that a handler happens to have.

        Raises:
            RouteError: the name was given to another route.
        """
        if not name or (name in self._given and not is_given):
            return
        known = self._patterns.get(name, pattern)
        if is_given and name in self._given and known != pattern:
            raise RouteError(f"two routes are called {name}: give each its own name")
        self._patterns[name] = pattern if is_given or known == pattern else None
        if is_given:
            self._given.add(name)

    def add_mount(self, mount: Mount) -> None:
        """Note a mount's name; the routes of one without a name are known by their own.

        Raises:
            RouteError: another mount has the name.
        """
        if not mount.name:
            self._nameless.append(mount)
        elif self._mounts.setdefault(mount.name, mount) is not mount:
            raise RouteError(f"two mounts are called {mount.name!r}: give each its own name=")

    def find(self, name: str) -> tuple[Pattern, ...]:
        """Return the patterns that lead to the route of this name, those of mounts first; () if none has it.

        Raises:
            RouteError: several routes have the name.
        """
        if name in self._patterns:
            pattern = self._patterns[name]
            if pattern is None:
                raise RouteError(f"several routes are called {name}: register them with a name= of their own")
            return (pattern,)
        first, _, rest = name.partition(".")
        if first in self._mounts:
            return _below(self._mounts[first], rest)
        return next(filter(None, (_below(mount, name) for mount in self._nameless)), ())

    def __iter__(self) -> Iterator[str]:
        yield from self._patterns
        for name, mount in self._mounts.items():
            if mount.router is None:
                yield name
            else:
                yield from (f"{name}.{below}" for below in mount.router.names)
        for mount in self._nameless:
            if mount.router is not None:
                yield from mount.router.names


def _below(mount: Mount, name: str) -> tuple[Pattern, ...]:
    """Return the patterns that lead through a mount to a route; () if none behind it has the name."""
    if mount.router is None:
        return () if name else (mount.pattern, BELOW)
    below = mount.router.names.find(name)
    return (mount.pattern, *below) if below else ()
