"""What templates print: a value as text, an iolist piece by piece, and all of it escaped but for HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from jinja2 import pass_context
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2.runtime import Context

_PRINTED_AS_IS: Final = frozenset({str, int, float, Markup})
"""Types that a template prints without a further look; a set spares nine values of ten five checks."""


class Rendered(list[str]):
    """The pieces of a page or of a part of one: HTML already, and so not escaped again by another template.

    A handler returns it as it stands.
    """

    __slots__ = ()

    def __html__(self) -> Markup:
        return Markup("".join(self))  # noqa: S704 - a template wrote it, and escaped it

    def __str__(self) -> str:
        return "".join(self)


@pass_context  # or Jinja would print constants while it compiles, and without asking
def printed(_: Context, value: Any) -> Any:
    """Return what stands for ``value`` on a page; Jinja escapes it then, unless it is HTML.

    None is nothing: a column without a value is not the word "None". Lists, tuples and iterators are pieces.
    """
    if type(value) in _PRINTED_AS_IS or hasattr(value, "__html__"):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple | Iterator):
        return Markup("").join(leaves(value))
    return value


def safe(value: Any) -> Markup:
    """Return ``value`` as the HTML that its author says it is: the ``safe`` filter, also of pieces."""
    if isinstance(value, list | tuple | Iterator):
        return Markup("".join(map(str, leaves(value))))  # noqa: S704 - the template says |safe
    return Markup(value)  # noqa: S704 - the same


def leaves(pieces: Any) -> Iterator[str]:
    """Yield the text of nested pieces; what is HTML stays marked as such."""
    for piece in pieces:
        if isinstance(piece, str):
            yield piece
        elif isinstance(piece, bytes):
            yield piece.decode("utf-8", "replace")
        elif hasattr(piece, "__html__"):
            yield escape(piece)
        elif isinstance(piece, list | tuple | Iterator):
            yield from leaves(piece)
        elif piece is not None:
            yield str(piece)
