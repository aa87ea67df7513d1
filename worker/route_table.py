"""The table of routes: what answers which paths, to be read by people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        method: the method; ``*`` for whatever the handler takes.
        path: the path below that of the application, as it was registered; ``/*`` for everything below.
        name: what :meth:`worker.request.Request.url_for` knows it by; empty if it has no name.
        handler: what answers.
    """

    method: str
    path: str
    name: str
    handler: str


HEADING = Row("METHOD", "PATH", "NAME", "HANDLER")


def write_table(rows: Iterable[Row]) -> str:
    """Return the rows under their heading, in columns, each line with its end."""
    lines = [HEADING, *rows]
    *widths, _ = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1])) + "\n"
        for line in lines
    )
