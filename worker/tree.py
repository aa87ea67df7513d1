"""The tree of a router: from the segments of a path to what answers there.

It knows nothing of requests and percent-escapes: paths come as decoded segments. Finding a path takes one
step for each of its segments, however many patterns there are; only where a branch turns out to be a dead end
does it step back to the next best, and no node is ever visited twice.

From the left, segment by segment, a literal beats a parameter of some kind, that beats one which takes any
text, that beats the rest of a path, and all of them beat what is mounted at or above that segment: of several
mounts the deepest wins. The path decides first and the method second: where ``GET /page/new`` and
``POST /page/{name}`` are registered, ``POST /page/new`` finds the first and is not allowed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from worker.patterns import KINDS, REST, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.patterns import Kind

RouteT = TypeVar("RouteT")
MountT = TypeVar("MountT")


class Node(Generic[RouteT, MountT]):
    """A place in the tree.

    Attributes:
        literals: the nodes below, by their segment.
        parameters: the nodes below that stand for any segment of a kind, as they are tried.
        routes: what answers here, by method.
        mount: what answers here and below, where nothing else does.
        is_folder: whether the mount answers below only, and whoever comes here is to add a slash.
    """

    __slots__ = ("is_folder", "literals", "mount", "parameters", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, Node[RouteT, MountT]] = {}
        self.parameters: list[tuple[Kind, Node[RouteT, MountT]]] = []
        self.routes: dict[str, RouteT] = {}
        self.mount: MountT | None = None
        self.is_folder = False

    def reach(self, segments: Sequence[str | Parameter]) -> Node[RouteT, MountT]:
        """Return the node at the end of these segments; what is missing on the way is made."""
        node = self
        for segment in segments:
            node = (
                node._reach_parameter(segment.kind)
                if isinstance(segment, Parameter)
                else node.literals.setdefault(segment, Node())
            )
        return node

    def _reach_parameter(self, kind: Kind) -> Node[RouteT, MountT]:
        for known, node in self.parameters:
            if known is kind:
                return node
        made = Node[RouteT, MountT]()
        self.parameters.append((kind, made))
        self.parameters.sort(key=lambda parameter: _ORDER[parameter[0]])
        return made

    def find(self, segments: Sequence[str]) -> Match[RouteT, MountT] | None:
        """Return what answers for the path of these segments, or None."""
        return _find(self, segments, 0, [])

    def visit(self) -> Iterator[RouteT | MountT]:
        """Yield all routes and mounts in the order in which they would be found; literals by the alphabet."""
        yield from self.routes.values()
        for segment in sorted(self.literals):
            yield from self.literals[segment].visit()
        for _, node in self.parameters:
            yield from node.visit()
        if self.mount is not None:
            yield self.mount


class Match(NamedTuple, Generic[RouteT, MountT]):
    """Where a path led: to routes, to a mount, or, if neither is here, to a folder whose slash is missing.

    Attributes:
        routes: what answers, by method.
        mount: what answers the path from ``depth`` on.
        values: what the parameters stand for, in their order.
        depth: how many segments are behind us.
    """

    routes: dict[str, RouteT]
    mount: MountT | None
    values: tuple[Any, ...]
    depth: int


_ORDER: Final = {kind: place for place, kind in enumerate(KINDS.values())}


def _find(
    node: Node[RouteT, MountT], segments: Sequence[str], depth: int, values: list[Any]
) -> Match[RouteT, MountT] | None:
    """Descend from ``node``; ``values`` grows by what parameters stand for, and shrinks on the way back."""
    if depth == len(segments):
        return _end(node, depth, values)
    segment = segments[depth]
    literal = node.literals.get(segment)
    if literal is not None:
        match = _find(literal, segments, depth + 1, values)
        if match is not None:
            return match
    for kind, child in node.parameters:
        if kind is REST:
            rest = "/".join(segments[depth:])
            if rest:
                return Match(child.routes, None, (*values, rest), len(segments))
            break
        value = kind.read(segment)
        if value is not None:
            values.append(value)
            match = _find(child, segments, depth + 1, values)
            if match is not None:
                return match
            values.pop()
    return None if node.mount is None else Match({}, node.mount, tuple(values), depth)


def _end(node: Node[RouteT, MountT], depth: int, values: list[Any]) -> Match[RouteT, MountT] | None:
    if node.routes:
        return Match(node.routes, None, tuple(values), depth)
    if node.mount is not None and not node.is_folder:
        return Match({}, node.mount, tuple(values), depth)
    slashed = node.literals.get("")
    if node.is_folder or (slashed is not None and slashed.routes):
        return Match({}, None, tuple(values), depth)
    return None
