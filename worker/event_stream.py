"""Events that a server sends: a stream that a page listens to with an EventSource (HTML Standard §9.2).

::

    @app.get("/clock")
    def clock(request):
        return events(ticks())

    def ticks():
        while True:
            yield Event({"now": time.time()}, name="tick")
            time.sleep(1)

A worker thread that sends such a stream does nothing else meanwhile, so there should be more of them than
listeners. The iterator is closed as soon as the listener has left and the next event does not reach it; yield
None now and then, where events are rare, so that this is soon, and so that the dispatcher does not take
silence for the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from worker.content import close_source, encode_json
from worker.errors import ContentError
from worker.response import Response

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_NOT_IN_LINE: Final = re.compile(r"[\r\n\0]")


class Event(NamedTuple):
    """An event.

    Attributes:
        data: text; anything else is sent as JSON.
        name: what the page listens for; empty for "message".
        id: what a browser that lost the connection comes back with, as ``Last-Event-ID``.
    """

    data: Any
    name: str = ""
    id: str = ""


def events(source: Iterable[Any], *, retry: float | None = None) -> Response:
    """Return a response that sends each event of ``source`` when it is there.

    Args:
        source: :class:`Event`, or data alone; None keeps the connection alive.
        retry: seconds after which a browser that lost the connection comes back; None for as it likes.
    """
    headers = [("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
    return Response(_write(source, retry), 200, headers, "text/event-stream")


def _write(source: Iterable[Any], retry: float | None) -> Iterator[str]:
    try:
        # Something comes first, so that the browser knows at once that it is connected.
        yield ":\n\n" if retry is None else f"retry: {retry * 1000:.0f}\n\n"
        for event in source:
            yield write_event(event if isinstance(event, Event) else Event(event))
    finally:
        close_source(source)


def write_event(event: Event) -> str:
    """Return an event as it is sent; a comment for one without data.

    Raises:
        ContentError: its name or id has line ends, or JSON has no words for its data.
    """
    if event.data is None:
        return ":\n\n"
    lines = []
    for field, value in (("event", event.name), ("id", event.id)):
        if _NOT_IN_LINE.search(value):
            raise ContentError(f"the {field} of an event cannot be {value!r:.100}: it must be one line")
        if value:
            lines.append(f"{field}: {value}\n")
    text = event.data if isinstance(event.data, str) else encode_json(event.data).decode()
    return "".join((*lines, *(f"data: {line}\n" for line in _LINE_END.split(text)), "\n"))
