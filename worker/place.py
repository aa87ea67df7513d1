"""Places: where in a nest of routers a request is, and which addresses are known there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from worker.errors import RouteError
from worker.patterns import IN_SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from worker.patterns import Pattern
    from worker.router import Router


class Place(NamedTuple):
    """Where a request is.

    Attributes:
        router: whose routes are looked at.
        above: the decoded segments of the path down to that router.
        outer: the place that the request came from; None for an application's own router.
    """

    router: Router
    above: Sequence[str]
    outer: Place | None

    def outwards(self) -> Iterator[Place]:
        """Yield this place and those around it."""
        place: Place | None = self
        while place is not None:
            yield place
            place = place.outer


def write_address(places: Iterable[Place], name: str, values: Mapping[str, Any]) -> str:
    """Return the address of a route, from the root of the host, percent-encoded.

    Args:
        places: where to look for it, one after the other.
        name: its name.
        values: a value for each parameter of its path, and for those fields of its query that it is to have.

    Raises:
        RouteError: there is no such route, or the values are not for it.
    """
    known: list[str] = []
    for place in places:
        patterns = place.router.names.find(name)
        if patterns:
            return _write(place.above, patterns, values)
        known += place.router.names
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else "lrwp worker TARGET --routes shows all names"
    raise RouteError(f"no route is called {name}: {advice}")


def _write(above: Sequence[str], patterns: Sequence[Pattern], values: Mapping[str, Any]) -> str:
    *mounts, last = patterns
    for name in values:
        if not any(name in pattern.names for pattern in patterns) and name not in dict(last.query):
            raise RouteError(f"{last.text} has no parameter {name}: leave it out, or add it to the route")
    path = "".join(f"/{quote(segment, safe=IN_SEGMENT)}" for segment in above)
    path += "".join(pattern.write(values).removesuffix("/") for pattern in mounts)
    return path + last.write(values) + last.write_query(values)
