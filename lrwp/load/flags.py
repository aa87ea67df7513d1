"""The command line of ``lrwp load``; what a run needs is imported when there is one."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrwp.values import KINDS
from protocol.errors import SettingsError
from protocol.settings import Duration

if TYPE_CHECKING:
    from lrwp.load.pacing import Pace


def command(
    url: Annotated[str, typer.Argument(metavar="URL", help="What to ask for, as http://host:port/path.")],
    connections: Annotated[
        int, typer.Option("-c", "--connections", min=1, max=60_000, help="Connections kept open.")
    ] = 10,
    requests: Annotated[
        int | None,
        typer.Option("-n", "--requests", min=1, help="Requests in all. [default: 1000, without -d]"),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("-d", "--duration", metavar="SECONDS", help="Send requests for so long.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="R", help="Send R requests each second, whatever the server does."),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match", metavar="REGEX", help="Print the lines of the answers that REGEX is found in."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    method: Annotated[
        str | None, typer.Option("-X", "--method", help="The method. [default: GET, or POST with a body]")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header; may be given several times."),
    ] = None,
    body: Annotated[str | None, typer.Option("--body", help="The body of each request.")] = None,
    body_file: Annotated[
        Path | None, typer.Option("--body-file", help="A file with the body of each request.")
    ] = None,
    timeout: Annotated[
        str,
        typer.Option("--timeout", metavar="SECONDS", help="Longest wait for an answer or for a connection."),
    ] = "30",
) -> int:
    """Ask a server for one page again and again, and report how fast the answers come.

    Each connection sends its next request when it has its answer. With --rate, requests are due at that rate
    instead, and one that has to wait for a free connection counts from the moment when it was due. Opening a
    connection counts where a request waits for it; the first -c connections are opened before the clock
    starts. After -d SECONDS nothing more is sent, and what is in flight is waited for. INT ends the run at
    once. Either way there is a report.

    A request stays without an answer if no connection could be opened for it (connect), its answer was not
    complete in time (timeout), the connection ended before a byte of the answer (reset) or within it
    (truncated), or what came was not HTTP (malformed). When a server closes an idle connection while a GET,
    HEAD, OPTIONS or TRACE is on its way, that is sent once more on a new connection, counted as a reconnect.

    The object that --json prints has the keys url, method, connections, rate, seconds, answers,
    requests_per_second, bytes (read, heads included), bytes_per_second, latency_ms (min, mean, p50, p75, p90,
    p95, p99, p99.9, max; null without answers), histogram_ms (pairs of an upper bound and a count), status (a
    count for each), errors (a count for each kind named above), reconnects, unsent (due within -d, but no
    connection was free), abandoned (in flight at INT) and cpu_seconds (used by this client).

    Exit code: 0 when every request got a complete answer, whatever its status; 1 when one did not or none was
    sent; 2 for wrong usage.
    """
    pattern = _read_pattern(match, as_json=as_json)
    payload = _read_body(body, body_file)
    pace = _choose_pace(requests, _read_duration("-d", duration), rate)

    from lrwp.load.foreground import go  # noqa: PLC0415 - uvloop, ssl and hdrh: --help should not pay for them
    from lrwp.load.run import Plan  # noqa: PLC0415 - as above
    from lrwp.load.target import read_url, write_request  # noqa: PLC0415 - as above

    target = read_url(url)
    request = write_request(target, method or ("GET" if payload is None else "POST"), header or (), payload)
    seconds = _read_duration("--timeout", timeout) or math.inf
    plan = Plan(target, request, min(connections, pace.total or connections), seconds)
    return go(plan, pace, pattern, as_json=as_json)


def _choose_pace(requests: int | None, seconds: float | None, rate: float | None) -> Pace:
    from lrwp.load.pacing import ClosedPace, OpenPace  # noqa: PLC0415 - as above

    if requests is not None and seconds is not None:
        raise SettingsError("-n and -d each say when to end: give one of them")
    if rate is not None and not 0 < rate < math.inf:
        raise SettingsError("--rate must be a number of requests above 0")
    if requests is None and seconds is None:
        requests = 1000
    if rate is None:
        return ClosedPace(requests=requests, seconds=seconds)
    return OpenPace(rate, requests=requests, seconds=seconds)


def _read_duration(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(KINDS[Duration].read(text))
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise SettingsError(f"{flag} must be a number of seconds above 0, or a duration such as 250ms or 5m")
    return seconds


def _read_pattern(match: str | None, *, as_json: bool) -> re.Pattern[str] | None:
    if match is None:
        return None
    if as_json:
        raise SettingsError("--match prints lines and --json one object: give one of them")
    try:
        return re.compile(match)
    except re.error as error:
        raise SettingsError(f"{match!r} is not a regular expression: {error}") from error


def _read_body(body: str | None, body_file: Path | None) -> bytes | None:
    if body_file is None:
        # What a shell passes need not be UTF-8; it goes out as it came.
        return None if body is None else body.encode("utf-8", "surrogateescape")
    if body is not None:
        raise SettingsError("--body and --body-file are both the body: give one of them")
    try:
        return body_file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{body_file} cannot be read: {error.strerror}") from error
