"""The demo, as ``lrwp up`` runs it: the page site and lrtest, behind a dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import free_ports
from tests.programs import Program, running
from tests.system import LRWP

ROOT = Path(__file__).parents[1]


@contextmanager
def a_demo(folder: Path) -> Iterator[tuple[str, Program]]:
    """Run it on free ports with a new database in ``folder``; yields its address and its program."""
    http, link, admin = free_ports(3)
    environ = {
        "LRWP_DISPATCHER_HTTP": f"127.0.0.1:{http}",
        "LRWP_DISPATCHER_LINK": f"127.0.0.1:{link}",
        "LRWP_DISPATCHER_ADMIN": f"127.0.0.1:{admin}",
        "LRWP_WORKER_DATABASE": f"sqlite:///{folder / 'pages.db'}",
    }
    with running([*LRWP, "up"], cwd=ROOT, environ=environ) as program:
        program.wait_for("LRWP is ready: ")
        yield f"http://127.0.0.1:{http}", program
