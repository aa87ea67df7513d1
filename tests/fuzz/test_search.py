from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import __main__ as program
from tests.fuzz import search
from tests.fuzz.target import Target, TooExpensiveError


def has_no_bug(data: bytes) -> None:
    assert b"bug" not in data


BUGGY = Target(read=len, laws=(has_no_bug,), seeds=(b"a bg",), words=(b"u",), each=1)
GREEDY = Target(read=lambda data: data * 100, seeds=(b"a",), each=1)


def test_a_bug_is_found_without_looking_too(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        search.search_blindly(BUGGY, 60, tmp_path)
    assert b"bug" in (tmp_path / "found").read_bytes()


def test_what_is_long_and_expensive_is_found(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    with pytest.raises(TooExpensiveError):
        search.weigh_long_inputs(GREEDY, 60, tmp_path)
    assert len((tmp_path / "found").read_bytes()) > search.SIZE // 2


def test_without_a_bug_the_time_is_used_up_and_nothing_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "known").mkdir()
    target = Target(read=len, seeds=(b"a",), each=1)
    search.weigh_long_inputs(target, 0.05, tmp_path)
    search.search_blindly(target, 0.05, tmp_path)
    assert program.runs_in(capsys.readouterr().out) > 10
    assert not (tmp_path / "found").exists()


@pytest.fixture
def learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "LEARNT", tmp_path)
    return tmp_path


def test_a_search_says_how_far_it_came_and_goes_on_from_there(
    learnt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["addresses", "--seconds", "1"]) == 0
    line = capsys.readouterr().out.replace(",", "").split()
    assert line[0] == "addresses"
    assert int(line[1]) > 100
    assert not search.IS_GUIDED or [*(learnt / "addresses" / "known").iterdir()]


def test_a_search_that_fails_is_told(
    learnt: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fuzz.targets.NAMES", ("nothing",))
    assert program.main(["--seconds", "0", "nothing"]) == 1
    assert "the search failed" in capsys.readouterr().out
    assert not (learnt / "nothing" / "found").exists()


def test_a_finding_becomes_a_test(
    learnt: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, seconds: float, folder: Path) -> tuple[str, bool]:
        (folder / "found").write_bytes(b"with a bug in it")
        return "output", False

    kept: list[tuple[str, bytes]] = []

    def keep(name: str, data: bytes) -> Path:
        kept.append((name, data))
        return program.PROJECT / "tests/fuzz/corpus/somewhere"

    monkeypatch.setattr(program, "run_search", run)
    monkeypatch.setattr(program, "keep", keep)
    monkeypatch.setattr("tests.fuzz.targets.load", lambda name: BUGGY)
    assert program.main(["addresses"]) == 1
    assert kept == [("addresses", b"bug")]
    output = capsys.readouterr().out
    assert "AssertionError in has_no_bug()" in output
    assert "kept as tests/fuzz/corpus/somewhere" in output


def test_machines_are_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["link-laws", "--seconds", "0.01"]) == 0
    assert capsys.readouterr().out.split() == ["link-laws", "20", "plays"]


def test_a_target_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["nothing"])
    assert (
        "there is no target nothing; there are broker-laws, link-laws, addresses" in capsys.readouterr().err
    )
