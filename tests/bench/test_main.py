"""The command line."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import __main__ as command
from tests.bench.errors import BenchError
from tests.bench.measure import PAGES, Plan, Sample
from tests.bench.systems import SYSTEMS
from tests.bench.test_measure import Other, Wsgiref


class Missing(Wsgiref):
    name = "missing"

    def provide(self) -> None:
        raise BenchError("it is missing: install it")


class FakeMeasure:
    """Stands in for the measuring: remembers the plan, and finds one sample for each of its cells."""

    plan: Plan

    def __init__(self) -> None:
        self.faults: tuple[str, ...] = ()
        self.disturbance = 0.0

    def __call__(self, plan: Plan, tell: Callable[[Sample], None]) -> list[Sample]:
        self.plan = plan
        return [
            Sample(system.name, page.name, logs, 1000.0, 1.0, 2.0, 30.0, self.disturbance, self.faults)
            for logs in plan.logs
            for system in plan.systems
            for page in plan.pages
        ]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMeasure:
    """The command with two systems, whose measuring and whose folder are fakes."""
    first, second = Wsgiref(), Other()
    fake = FakeMeasure()
    monkeypatch.setattr(command, "measure", fake)
    monkeypatch.setattr(command, "provide_program", lambda name: None)
    monkeypatch.setattr(command, "PROJECT", tmp_path)
    monkeypatch.setattr(command, "SYSTEMS", (first, second))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return fake


def test_all_systems_and_pages_are_measured_three_times_for_five_seconds_and_written_down(
    bench: FakeMeasure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([]) == 0
    assert [system.name for system in bench.plan.systems] == ["wsgiref", "other"]
    assert (bench.plan.pages, bench.plan.logs) == (PAGES, (True,))
    assert (bench.plan.rounds, bench.plan.seconds) == (3, 5)
    assert sorted(path.name for path in (tmp_path / "docs").iterdir()) == ["bench.md", "bench.svg"]
    assert "wrote docs/bench.md\nwrote docs/bench.svg\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", ["--quick", "--only other", "--pages database", "--logs off"])
def test_what_leaves_something_out_is_printed_and_not_written(
    bench: FakeMeasure, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    assert command.main(arguments.split()) == 0
    assert "1,000" in capsys.readouterr().out
    assert not (tmp_path / "docs").exists()


def test_quick_is_one_round_of_one_second(bench: FakeMeasure) -> None:
    command.main(["--quick"])
    assert (bench.plan.rounds, bench.plan.seconds) == (1, 1)


def test_both_logs_make_both_tables(bench: FakeMeasure, tmp_path: Path) -> None:
    command.main(["--logs", "both"])
    text = (tmp_path / "docs/bench.md").read_text()
    assert "## Database page, with access logs" in text
    assert "## Database page, without access logs" in text


def test_a_missing_system_is_said_in_one_sentence_and_the_others_are_measured(
    bench: FakeMeasure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SYSTEMS", (Missing(), Wsgiref()))
    assert command.main([]) == 0
    assert capsys.readouterr().err == "bench: it is missing: install it\n"
    assert [system.name for system in bench.plan.systems] == ["wsgiref"]
    assert not (tmp_path / "docs").exists()


def test_with_nothing_installed_there_is_nothing_to_measure(
    bench: FakeMeasure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SYSTEMS", (Missing(),))
    assert command.main([]) == 1
    assert "there is nothing to measure" in capsys.readouterr().err


def test_a_fault_is_loud_and_nothing_is_written(
    bench: FakeMeasure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.faults = ("7 read errors",)
    assert command.main([]) == 1
    error = capsys.readouterr().err
    assert "THESE FIGURES ARE NOT VALID" in error
    assert "wsgiref on the database page: 7 read errors." in error
    assert not (tmp_path / "docs").exists()


def test_other_programs_on_the_machine_are_complained_of(
    bench: FakeMeasure, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.disturbance = 0.4
    command.main(["--quick"])
    assert "other programs used up to 40% of the processors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--only apache", "there is no 'apache': choose from"),
        ("--pages index", "there is no 'index': choose from 12-byte, database"),
        ("--rounds 0", "'0' is not a whole number from 1 up"),
        ("--seconds soon", "'soon' is not a whole number from 1 up"),
    ],
)
def test_a_wrong_option_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: str, sentence: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments.split())
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_systems_are_measured_in_their_own_order_however_they_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = command._read_options(["--only", "granian, lrwp"])
    assert options.only == (SYSTEMS[0], SYSTEMS[-1])
