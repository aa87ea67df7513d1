"""``lrwp status``: what a dispatcher does, as tables for people or as JSON for programs."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lrwp.admin import AdminError, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.addresses import Address

INTERVAL: Final = 1.0
"""Seconds between two looks at a dispatcher that is watched."""


class Column(NamedTuple):
    """One column of a table: its title, the key that it shows, and how."""

    title: str
    key: str
    show: Callable[[Any], str] | None = None


def _join(values: list[str]) -> str:
    return ", ".join(values)


def _milliseconds(value: float) -> str:
    return f"{value:,.2f} ms"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


APPLICATIONS: Final = (
    Column("application", "name"),
    Column("paths", "paths", _join),
    Column("host", "host"),
    Column("links", "links"),
    Column("idle", "idle"),
    Column("busy", "busy"),
    Column("waiting", "waiting"),
    Column("served", "served"),
    Column("failed", "failed"),
    Column("service", "service_ms", _milliseconds),
    Column("wait", "wait_ms", _milliseconds),
)
LINKS: Final = (
    Column("worker", "label"),
    Column("from", "peer"),
    Column("state", "state"),
    Column("applications", "applications", _join),
    Column("holds", "held"),
    Column("window", "window"),
    Column("served", "served"),
    Column("linked for", "since", _duration),
)


def show(address: Address, *, as_json: bool) -> int:
    """Print what the dispatcher with this admin address does; returns the exit code.

    Raises:
        AdminError: no dispatcher answers there.
    """
    status = fetch(address)
    if as_json:
        print(json.dumps(status, indent=2))
    else:
        _console().print(render(status))
    return 0


def watch(address: Address) -> int:
    """Show it anew each second until Ctrl-C; returns the exit code.

    Raises:
        AdminError: no dispatcher answers there, or none does any more.
    """
    console = _console()
    pause = threading.Event()
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            tables = render(fetch(address))
            if console.is_terminal:
                live.update(tables, refresh=True)
            else:  # there a Live shows nothing before its end
                console.print(tables)
            pause.wait(INTERVAL)
    return 0


def _console() -> Console:
    console = Console()
    # A table that goes into a file or a pipe is not cut to the width of a screen that is not there.
    return console if console.is_terminal else Console(width=200)


def fetch(address: Address) -> dict[str, Any]:
    """Return the dispatcher's status.

    Raises:
        AdminError: no dispatcher answers.
    """
    try:
        status = json.loads(ask(address, "/status"))
    except ValueError:
        status = None
    if not isinstance(status, dict) or not {"state", "gate", "applications", "links"} <= status.keys():
        raise AdminError(f"what answers at {address} is not the admin of a dispatcher")
    return status


def render(status: dict[str, Any]) -> Group:
    """Return a dispatcher's status as a heading and two tables."""
    http = status["http"]
    heading = Text(
        f"{http['address']}  {status['state']} for {_duration(status['uptime'])}"
        f"  {http['connections']:,} connections  {http['requests']:,} requests"
    )
    if refused := status["gate"]["refused"]:
        heading.append(f"  {refused:,} workers refused")
    for application in status["applications"]:
        if missing := application["missing"]:
            heading.append(f"  {application['name']} lacks {missing:,} worker{'s' * (missing > 1)}")
    return Group(heading, _table(APPLICATIONS, status["applications"]), _table(LINKS, status["links"]))


def _table(columns: tuple[Column, ...], rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        is_number = bool(rows) and isinstance(rows[0][column.key], int | float)
        table.add_column(column.title, justify="right" if is_number else "left")
    for row in rows:
        # Text, because rich would take a label such as [red] for an instruction.
        table.add_row(*(Text(_cell(column, row[column.key])) for column in columns))
    return table


def _cell(column: Column, value: Any) -> str:
    if column.show is not None:
        return column.show(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
