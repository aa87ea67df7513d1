"""The log: one line for each event on standard error, for people and for ``grep``.

::

    2026-11-20T16:37:22+01:00 warning link dropped link=ONE peer=127.0.0.1:40112 reason="it broke …"

What came from outside cannot forge a line: control characters are escaped, and the lines of a traceback are
indented. A traceback is the plain one of Python, because prettier ones print the values of variables, and
these may be anybody's password.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Sink(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Write text, now or soon."""

    def flush(self) -> object:
        """Leave nothing in a buffer."""


class Lines:
    """Writes lines to a sink, or to whatever is standard error now: a child that a pool forks has its own."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink

    def write(self, line: str) -> None:
        """Write a line. Who reads it may be gone; that is no reason for a server to stop."""
        sink = self._sink or sys.stderr
        with suppress(OSError, ValueError):
            sink.write(f"{line}\n")
            sink.flush()

    debug = info = warning = error = critical = write


def configure_log(sink: Sink | None = None) -> None:
    """Write the events of this process to ``sink``; to its standard error if none is given."""
    structlog.configure(
        processors=[_stamp, render],
        logger_factory=lambda *_: Lines(sink),
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )


def _stamp(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ARG001 - structlog's signature
    """Say when it happened, and how bad it is."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"stamp": now, "level": "error" if method == "exception" else method, **event}


def render(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:  # noqa: ARG001 - structlog's signature
    """Return the line of an event, and under it the traceback, if the event has one."""
    stamp, level, sentence = (event.pop(key) for key in ("stamp", "level", "event"))
    has_error = event.pop("exc_info", None)
    error = sys.exc_info()[1] if has_error else None
    line = " ".join([stamp, level, str(sentence), *(f"{key}={_show(event[key])}" for key in event)])
    if error is None:
        return line
    return "\n".join([line, *(f"  {_escape(each)}" for each in _lines_of(error))])


def _show(value: Any) -> str:
    """Return a value as it is if it is one plain word, else quoted."""
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    return '"' + _escape(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _lines_of(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).rstrip().split("\n")


def _escape(line: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
