"""The page of development mode for what went wrong: the exceptions, and the code that they came through.

It shows no values of variables, because these may be anybody's password, and of the request only method and
path. Whoever does not ask for HTML gets Python's own traceback as text.
"""

from __future__ import annotations

import linecache
import os
import traceback
from functools import cache
from itertools import groupby
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from protocol.heads import read_request_head
from protocol.paths import decode_path
from worker.error_page import error_page
from worker.errors import phrase
from worker.origin import is_own
from worker.response import Response
from worker.templates import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.exchange import Answer, Exchange

log = structlog.get_logger()

AROUND: Final = 4
"""Lines of code that are shown before and after those that failed."""

LONGEST: Final = 10
"""Most lines of one statement that are shown as failing: a call may go on for pages."""

FRAMES: Final = 60
"""Most calls that are shown of one exception, half of them from either end: endless recursion has many."""

_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
)


_LRWP: Final = f"{Path(__file__).parents[1]}{os.sep}"


class Line(NamedTuple):
    """A line of code."""

    number: int
    text: str
    is_failing: bool


class Frame(NamedTuple):
    """A call: where it stood when the exception came through."""

    file: str
    number: int
    function: str
    lines: list[Line]
    is_own: bool


class Stretch(NamedTuple):
    """Calls that follow each other and are all in the user's own code, or all in that of others."""

    is_own: bool
    is_open: bool
    frames: list[Frame]


class Fault(NamedTuple):
    """One exception of a chain.

    Attributes:
        relation: what it is to the one before.
        kind: its class.
        text: what it says.
        notes: what was added to it on its way.
        stretches: the calls that it came through, the innermost first.
        left_out: how many calls in the middle are not shown.
    """

    relation: str
    kind: str
    text: str
    notes: list[str]
    stretches: list[Stretch]
    left_out: int


def traceback_page(exchange: Exchange, error: BaseException, status: int = 500) -> Answer:
    """Return the answer that shows what went wrong; the plain page if even that cannot be shown."""
    try:
        return _show(exchange, error, status).answer(exchange.method)
    except Exception:
        log.exception("the traceback page failed")
        return error_page(status).answer(exchange.method)


def _show(exchange: Exchange, error: BaseException, status: int) -> Response:
    path = decode_path(exchange.target)
    title = f"{status} {phrase(status)}"
    if not _wants_html(exchange):
        trace = "".join(traceback.format_exception(error))
        text = f"{title}\n{exchange.method} {path}\n\n{trace}"
        return Response(text, status, _HEADERS, "text/plain; charset=utf-8")
    page = _template().stream(title=title, method=exchange.method, path=path, faults=list(read_faults(error)))
    return Response("".join(page), status, _HEADERS, "text/html; charset=utf-8")


@cache
def _template() -> Template:
    return Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


def _wants_html(exchange: Exchange) -> bool:
    """Whether the client names HTML, as browsers do. Programs that take anything are read on a terminal."""
    accepted = [value for name, value in read_request_head(exchange.head) if name.lower() == "accept"]
    return "text/html" in ",".join(accepted).lower()


def read_faults(error: BaseException) -> Iterator[Fault]:
    """Yield an exception, and those that it came from."""
    relation = ""
    each: traceback.TracebackException | None = traceback.TracebackException.from_exception(
        error, compact=True
    )
    while each is not None:
        yield _read_fault(each, relation)
        for nested in each.exceptions or ():
            yield _read_fault(nested, "one of those in the group above")
        if each.__cause__ is not None:
            relation, each = "which was caused by", each.__cause__
        elif each.__context__ is not None and not each.__suppress_context__:
            relation, each = "which was raised while this was handled", each.__context__
        else:
            return


def _read_fault(trace: TracebackException, relation: str) -> Fault:
    calls = [*reversed(trace.stack)]
    left_out = max(0, len(calls) - FRAMES)
    if left_out:
        del calls[FRAMES // 2 : -FRAMES // 2]
    frames = [_read_frame(call) for call in calls]
    if isinstance(trace.exc_type, type) and issubclass(trace.exc_type, SyntaxError):
        frames.insert(0, _read_syntax_error(trace))
    has_own = any(frame.is_own for frame in frames)
    stretches = [(key, [*group]) for key, group in groupby(frames, key=lambda frame: frame.is_own)]
    return Fault(
        relation,
        _name_class(trace.exc_type),
        str(trace),
        list(trace.__notes__ or ()),
        [
            Stretch(key, key or (number == 0 and not has_own), group)
            for number, (key, group) in enumerate(stretches)
        ],
        left_out,
    )


def _name_class(kind: type[BaseException] | None) -> str:
    if kind is None:
        return ""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _read_frame(call: traceback.FrameSummary) -> Frame:
    number = call.lineno or 0
    end = getattr(call, "end_lineno", None) or number
    return _frame(call.filename, number, end, call.name)


def _read_syntax_error(trace: TracebackException) -> Frame:
    """Return the place that a SyntaxError is about: no call has been there."""
    number = int(trace.lineno or 0)
    return _frame(trace.filename or "", number, number, "")


def _frame(file: str, number: int, end: int, function: str) -> Frame:
    last = min(end, number + LONGEST - 1)
    code = linecache.getlines(file)
    lines = [
        Line(each, code[each - 1].rstrip(), number <= each <= last)
        for each in range(max(1, number - AROUND), min(len(code), last + AROUND) + 1)
    ]
    # What is in no file and yet has lines is a template that was written in the program.
    own = is_own(file) or (file.startswith("<") and bool(code))
    return Frame(_shorten(file), number, function, lines, own)


def _shorten(file: str) -> str:
    """Return a file as its author calls it: from the current folder, or from where packages are installed."""
    if is_own(file):
        return file.removeprefix(f"{os.getcwd()}{os.sep}")
    _, _, installed = file.rpartition("-packages/")
    return installed.removeprefix(_LRWP)
