"""Measuring: one system at a time, started afresh for each round, probed, warmed up, loaded."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.bench import site
from tests.bench.errors import BenchError
from tests.bench.load import run_load
from tests.bench.processes import Running, busy_seconds
from tests.bench.software import PROJECT
from tests.bench.systems import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.systems import System

STARTING: Final = 15.0
"""Seconds that a system has to answer its first request."""

WARM_UP: Final = 1
"""Seconds of load before the load that counts."""

FOREIGN_VARIABLES: Final = ("GRANIAN_", "GUNICORN_", "LRWP_", "PYTHON", "UWSGI_")
"""Beginnings of environment variables that would change how a system runs; none of them is handed on."""


class Page(NamedTuple):
    """A page to ask for.

    Attributes:
        name: what it is called on the command line.
        title: what it is called in the tables.
        path: where the application serves it.
    """

    name: str
    title: str
    path: str


PAGES: Final = (
    Page("12-byte", "12-byte page", site.PLAIN),
    Page("database", "database page", site.DATABASE),
)


class Sample(NamedTuple):
    """What one system did with one page in one round.

    Attributes:
        system: the system's name.
        page: the page's name.
        logs: whether it wrote an access log.
        rate: requests a second.
        p50: median time of an answer in milliseconds.
        p99: time in milliseconds within which 99 of 100 answers came.
        cpu: microseconds of CPU time per request, of all processes of the system.
        disturbance: the part of the machine's processors that neither the system nor wrk used, from 0 to 1:
            other programs, and the kernel on nobody's account.
        faults: what went wrong, in words; figures with a fault are worth nothing.
    """

    system: str
    page: str
    logs: bool
    rate: float
    p50: float
    p99: float
    cpu: float
    disturbance: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be measured.

    Attributes:
        systems: which systems, in order.
        pages: which pages, in order.
        logs: with an access log, without, or both.
        rounds: how often.
        seconds: for how long each.
    """

    systems: tuple[System, ...]
    pages: tuple[Page, ...]
    logs: tuple[bool, ...]
    rounds: int
    seconds: int


def measure(plan: Plan, tell: Callable[[Sample], None]) -> list[Sample]:
    """Return the samples of all rounds; ``tell`` hears of each as it comes.

    Every round visits every system: what changes in the machine over the minutes meets all of them alike.

    Raises:
        BenchError: a system does not start or does not serve the right pages.
    """
    samples = []
    with tempfile.TemporaryDirectory(prefix="lrwp-bench-") as name, _database(Path(name)):
        for turn in range(plan.rounds):
            for logs in plan.logs:
                for system in plan.systems:
                    folder = Path(name) / f"{turn}-{system.name}-{'logs' if logs else 'silent'}"
                    for sample in _measure_system(system, plan, folder, logs=logs):
                        tell(sample)
                        samples.append(sample)
    return samples


@contextlib.contextmanager
def _database(folder: Path) -> Iterator[None]:
    """Create the application's database and name it to the application, here and in the systems."""
    path = folder / "pages.sqlite"
    site.create_database(path)
    os.environ["BENCH_DATABASE"] = str(path)
    try:
        yield
    finally:
        site.close_database()
        del os.environ["BENCH_DATABASE"]


def _measure_system(system: System, plan: Plan, folder: Path, *, logs: bool) -> list[Sample]:
    folder.mkdir()
    port, admin_port = free_ports(2)
    place = Place(folder=folder, port=port, admin_port=admin_port, logs=logs)
    for name, text in system.files(place).items():
        (folder / name).write_text(text)
    output = folder / "output.log"
    answered = 0
    samples = []
    with Running(folder=PROJECT, environment=_environment(), log=output) as running:
        for command in system.commands(place):
            running.start(command)
        for page in plan.pages:
            _probe(system, place, page, running, output)
            url = f"http://{place.http}{page.path}"
            answered += run_load(url, WARM_UP, folder=PROJECT).requests
            sample, requests = _measure_page(system, page, url, running, plan.seconds, logs=logs)
            answered += requests
            samples.append(sample)
    if logs:
        written = count_lines(folder / system.log)
        if written < answered:
            fault = f"its access log has {written} lines for {answered} answers"
            samples[-1] = samples[-1]._replace(faults=(*samples[-1].faults, fault))
    (folder / system.log).unlink(missing_ok=True)  # at 60,000 requests a second the rounds would fill a disk
    return samples


def _measure_page(
    system: System, page: Page, url: str, running: Running, seconds: int, *, logs: bool
) -> tuple[Sample, int]:
    busy, cpu, began = busy_seconds(), running.cpu_seconds(), time.monotonic()
    load = run_load(url, seconds, folder=PROJECT)
    busy, cpu, elapsed = busy_seconds() - busy, running.cpu_seconds() - cpu, time.monotonic() - began
    faults = [f"{count} {kind} errors" for kind, count in load.errors.items()]
    if load.size < load.requests * len(expected_body(page)):
        faults.append("answers without their whole body")
    if not load.requests:
        raise BenchError(
            f"{system.name} answered nothing to {page.name}: {', '.join(faults) or 'no error seen'}"
        )
    sample = Sample(
        system=system.name,
        page=page.name,
        logs=logs,
        rate=load.requests / load.seconds,
        p50=load.p50,
        p99=load.p99,
        cpu=cpu / load.requests * 1e6,
        disturbance=disturbance(busy - cpu - load.cpu, elapsed),
        faults=tuple(faults),
    )
    return sample, load.requests


def disturbance(busy: float, elapsed: float) -> float:
    """Return which part of the machine's processors ``busy`` seconds are in ``elapsed`` ones, from 0 to 1.

    All times come in clock ticks: over a short time their difference may fall outside of these bounds.
    """
    return min(1.0, max(0.0, busy / (elapsed * (os.cpu_count() or 1))))


def _probe(system: System, place: Place, page: Page, running: Running, output: Path) -> None:
    """Wait until the system serves the page with its right body.

    Raises:
        BenchError: it ended, or did not serve it in time.
    """
    found = "it did not answer"
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline and not running.has_ended():
        try:
            status, body = fetch(place, page)
        except (OSError, http.client.HTTPException) as error:
            found = f"it did not answer: {error or type(error).__name__}"
        else:
            if status == 200 and body == expected_body(page):
                return
            found = f"it answered {status} with {len(body)} bytes"
        time.sleep(0.05)
    said = output.read_text(errors="replace").strip().splitlines()[-5:]
    raise BenchError(
        f"{system.name} does not serve {page.name}: {found}; it printed: {' | '.join(said)[-600:]}"
    )


def fetch(place: Place, page: Page) -> tuple[int, bytes]:
    """Return the status and the body with which the system in this place answers a page."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", page.path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def expected_body(page: Page) -> bytes:
    """Return the page as the application makes it, without any server."""
    return b"".join(site.application({"PATH_INFO": page.path}, lambda *_: lambda _: None))


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def count_lines(path: Path) -> int:
    """Return how many lines a log has; 0 if there is none."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
