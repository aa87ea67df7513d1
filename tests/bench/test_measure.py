"""Measuring, with a small real server and a load that is three requests."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.bench import measure as measuring
from tests.bench.errors import BenchError
from tests.bench.load import Load
from tests.bench.measure import PAGES, Plan, Sample, count_lines, free_ports, measure
from tests.bench.systems import APPLICATION, Command, Place, System

SERVER = f"""
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from importlib import import_module
from wsgiref.simple_server import make_server
module, _, name = {APPLICATION!r}.partition(":")
make_server("127.0.0.1", int(sys.argv[1]), getattr(import_module(module), name)).serve_forever()
"""


class Wsgiref(System):
    """The standard library's server, which logs to its standard error."""

    name = "wsgiref"
    title = "wsgiref"
    note = "As it is."
    log = "output.log"
    program = SERVER

    def provide(self) -> None:
        pass

    def version(self) -> str:
        return "wsgiref"

    def commands(self, place: Place) -> list[Command]:
        return [[sys.executable, "-c", self.program, str(place.port)]]


class Other(Wsgiref):
    name = "other"


class Broken(Wsgiref):
    name = "broken"
    program = "import sys; sys.exit('no such flag')"


class FakeLoad:
    """Stands in for wrk: asks for the page, and reports what a test wants.

    Attributes:
        urls: what was loaded.
        asked: how many requests it really sends.
        report: what it says about them.
    """

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.asked = 3
        self.report = Load(requests=3, seconds=1.0, size=30_000, p50=1.0, p99=2.0, errors={}, cpu=0.0)

    def __call__(self, url: str, seconds: int, *, folder: Path) -> Load:
        self.urls.append(url)
        for _ in range(self.asked):
            with urlopen(url) as answer:
                assert answer.status == 200
        return self.report


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> FakeLoad:
    load = FakeLoad()
    monkeypatch.setattr(measuring, "run_load", load)
    return load


def plan(system: System | None = None, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "systems": (system or Wsgiref(),),
        "pages": PAGES,
        "logs": (True,),
        "rounds": 1,
        "seconds": 1,
    }
    return Plan(**(settings | changes))


def test_each_page_is_warmed_up_and_measured(load: FakeLoad) -> None:
    told: list[Sample] = []
    samples = measure(plan(), told.append)
    assert told == samples
    assert [sample.page for sample in samples] == ["12-byte", "database"]
    assert [url.split("/", 3)[3] for url in load.urls] == [
        "plain", "plain", "page/harbour", "page/harbour",
    ]  # fmt: skip


def test_a_sample_has_the_rate_and_no_fault(load: FakeLoad) -> None:
    first, _ = measure(plan(), lambda _: None)
    assert (first.system, first.rate, first.p50, first.p99, first.faults) == ("wsgiref", 3.0, 1.0, 2.0, ())
    assert first.cpu >= 0
    assert 0 <= first.disturbance <= 1


def test_every_round_visits_every_system_with_and_without_logs(load: FakeLoad) -> None:
    samples = measure(
        plan(systems=(Wsgiref(), Other()), pages=PAGES[:1], logs=(True, False), rounds=2), lambda _: None
    )
    turn = [("wsgiref", True), ("other", True), ("wsgiref", False), ("other", False)]
    assert [(sample.system, sample.logs) for sample in samples] == turn * 2


def test_errors_of_the_load_are_faults(load: FakeLoad) -> None:
    load.report = load.report._replace(errors={"read": 2})
    assert measure(plan(pages=PAGES[:1]), lambda _: None)[0].faults == ("2 read errors",)


def test_answers_that_are_too_short_are_a_fault(load: FakeLoad) -> None:
    load.report = load.report._replace(size=3 * len(b"Hello, world") - 1)
    assert measure(plan(pages=PAGES[:1]), lambda _: None)[0].faults == ("answers without their whole body",)


def test_answers_that_are_not_in_the_access_log_are_a_fault(load: FakeLoad) -> None:
    load.asked = 1
    (sample,) = measure(plan(pages=PAGES[:1]), lambda _: None)
    assert sample.faults == ("its access log has 3 lines for 6 answers",)


def test_without_logs_the_access_log_is_not_counted(load: FakeLoad) -> None:
    load.asked = 1
    assert measure(plan(pages=PAGES[:1], logs=(False,)), lambda _: None)[0].faults == ()


def test_a_system_that_does_not_start_is_named_with_what_it_printed() -> None:
    with pytest.raises(BenchError, match=r"broken does not serve 12-byte: .*; it printed: no such flag"):
        measure(plan(Broken()), lambda _: None)


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_lines_are_counted_and_a_missing_log_has_none(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    assert count_lines(log) == 0
    log.write_text("one\ntwo\n")
    assert count_lines(log) == 2
