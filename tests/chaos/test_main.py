"""The command: which faults it tries, what it prints, and when it fails."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.chaos.__main__ import main
from tests.chaos.entry import Entry
from tests.chaos.fault import Fault
from tests.chaos.faults import FAULTS
from tests.chaos.ledger import Account
from tests.chaos.trial import Result
from tests.chaos.vitals import MIB, Vitals


class Flood(Fault):
    name = "flood"
    row = "water everywhere: nothing happens"


class Drought(Fault):
    name = "drought"
    row = "no water anywhere: nothing happens"
    is_long = True


class Attempts:
    """What stands in for trials: it notes which there are, and says of each what it was told to."""

    def __init__(self, *broken: str, left_out: str = "") -> None:
        self.names: list[str] = []
        self._broken = broken
        self._left_out = left_out

    def __call__(self, fault: Fault, *, is_full: bool) -> Result:
        self.names.append(f"{fault.name}, {'full' if is_full else 'short'}")
        if self._left_out:
            return Result(fault, 0.0, [], left_out=self._left_out)
        entries = [Entry(1, "GET", "GET", 0.0, "200", 0.25), Entry(2, "POST", "POST", 0.0, "502", 0.5)]
        account = Account(entries, Counter({1: 1}), Counter())
        before = Vitals(40 * MIB, 20, 0, 3)
        return Result(fault, 2.5, [*self._broken], account, before, before._replace(files=21), ("wet",))


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(*arguments: str, attempts: Attempts) -> int:
    return main(arguments, (Flood, Drought), attempts)


def test_all_faults_are_tried_unless_some_are_named_or_time_is_short() -> None:
    for arguments, names in [
        ([], ["flood, full", "drought, full"]),
        (["--full"], ["flood, full", "drought, full"]),
        (["--short"], ["flood, short"]),
        (["--short", "drought"], ["drought, short"]),
    ]:
        attempts = Attempts()
        assert run(*arguments, attempts=attempts) == 0
        assert attempts.names == names


def test_a_fault_that_does_not_exist_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        run("fire", attempts=Attempts())
    assert leaving.value.code == 2
    assert "there is no fault 'fire': choose from flood, drought" in capsys.readouterr().err


def test_a_line_tells_what_was_sent_answered_done_and_used(capsys: pytest.CaptureFixture[str]) -> None:
    run("flood", attempts=Attempts())
    head, line, remark, total = capsys.readouterr().out.splitlines()
    titles = "fault sent executed 0/1/2 longest memory files temp workers took answered"
    assert " ".join(head.split()) == titles
    assert " ".join(line.split()) == "flood 2 1/0/0 0.50 s 40.0→40.0 20→21 0→0 3→3 2.5 s 200 1, 502 1"
    assert remark.strip() == "wet"
    assert total == "1 faults in 0 s, 0 with broken promises"


def test_a_broken_promise_is_named_and_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("flood", attempts=Attempts("nobody gets wet: not so with 2", "all swim: nobody did")) == 1
    printed = capsys.readouterr()
    assert "BROKEN flood (water everywhere: nothing happens):\n" in printed.out
    assert "  - nobody gets wet: not so with 2\n  - all swim: nobody did\n" in printed.out
    assert printed.err == "chaos: flood: nobody gets wet: not so with 2\n"


def test_a_fault_that_cannot_be_tried_is_left_out_with_the_reason_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert run("flood", attempts=Attempts(left_out="there is no river")) == 0
    assert "left out: there is no river" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert run("flood", attempts=Attempts(left_out="there is no river")) == 1
    assert "in CI nothing is left out: there is no river" in capsys.readouterr().out


def test_every_fault_says_what_it_is_by_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) == 28
    assert all(": " in fault.row for fault in FAULTS)
    assert [fault.name for fault in FAULTS if fault.is_long] == ["soak"]
