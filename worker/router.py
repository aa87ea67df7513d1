"""The Router: a prefix tree of path segments, from a path to the handlers that serve it.

It knows nothing of requests and percent-escapes: paths come as decoded segments. Finding a path takes one
step for each of its segments, however many routes there are; only where a literal branch turns out to be a
dead end does it step back to a parameter, and no node is ever visited twice.

The path decides first and the method second: where ``GET /page/new`` and ``POST /page/{name}`` are
registered, ``POST /page/new`` finds the first and is not allowed there.
"""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.errors import RouteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Handler = Callable[..., Any]


class Route(NamedTuple):
    """What answers one method of a path.

    Attributes:
        handler: what to call.
        names: the names of the path's parameters, in their order.
    """

    handler: Handler
    names: tuple[str, ...]


class Match(NamedTuple):
    """Where a path led.

    Attributes:
        routes: what answers there, by method.
        values: the segments that parameters stood for, in their order.
    """

    routes: Mapping[str, Route]
    values: tuple[str, ...]


class _Node:
    __slots__ = ("literals", "parameter", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Paths with the handlers that serve them.

    A segment of a path is a literal, or a ``{parameter}`` that stands for any segment which is not empty.
    """

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, method: str, path: str, handler: Handler) -> Route:
        """Let ``handler`` answer ``method`` on ``path``.

        Raises:
            RouteError: the path cannot be used, or is answered already.
        """
        node = self._root
        names: list[str] = []
        for segment in _read_path(path):
            name = _parameter_name(segment, path)
            if name is None:
                node = node.literals.setdefault(segment, _Node())
            elif name in names:
                raise RouteError(f"the route {path} has two parameters {name!r}: give each its own name")
            else:
                names.append(name)
                node.parameter = node = node.parameter or _Node()
        if method in node.routes:
            other = node.routes[method].handler
            raise RouteError(
                f"{method} {path} is answered by {describe(other)} already: remove one of the two"
            )
        node.routes[method] = Route(handler, tuple(names))
        return node.routes[method]

    def find(self, segments: Sequence[str]) -> Match | None:
        """Return what serves the path of these segments, or None."""
        values: list[str] = []
        node = _find(self._root, segments, 0, values)
        return None if node is None else Match(node.routes, tuple(values))


def _find(node: _Node, segments: Sequence[str], depth: int, values: list[str]) -> _Node | None:
    """Descend from ``node``; ``values`` grows by what parameters stand for, and shrinks on the way back."""
    if depth == len(segments):
        return node if node.routes else None
    segment = segments[depth]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _find(literal, segments, depth + 1, values)
        if found is not None:
            return found
    if node.parameter is None or not segment:
        return None
    values.append(segment)
    found = _find(node.parameter, segments, depth + 1, values)
    if found is None:
        values.pop()
    return found


def _read_path(path: str) -> list[str]:
    """Return the segments of a route's path."""
    if not path.startswith("/"):
        raise RouteError(f"the route {path!r} must start with /")
    segments = path[1:].split("/")
    if "" in segments[:-1] or {".", ".."} & set(segments):
        raise RouteError(f"the route {path} can never match: requests come without //, /./ and /../")
    return segments


def _parameter_name(segment: str, path: str) -> str | None:
    """Return the name of the parameter that ``segment`` is, or None for a literal."""
    if "{" not in segment and "}" not in segment:
        return None
    name = segment[1:-1]
    if segment != f"{{{name}}}" or not name.isidentifier() or iskeyword(name):
        raise RouteError(f"the route {path} must have a parameter as a whole segment, as in /page/{{name}}")
    return name


def describe(handler: Handler) -> str:
    """Return what to call a handler in a message."""
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{name}() in {getattr(handler, '__module__', None)}"
