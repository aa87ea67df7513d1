"""The systems: how each is started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.systems import APPLICATION, SYSTEMS, Place, System

SYSTEM = pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)


def place(*, logs: bool = True) -> Place:
    return Place(folder=Path("/somewhere"), port=4001, admin_port=4002, logs=logs)


def everything_of(system: System, place: Place) -> str:
    """Return all words of a system's commands and files."""
    words = [word for command in system.commands(place) for word in command]
    return " ".join([*words, *system.files(place).values()])


def test_every_system_has_a_name_of_its_own() -> None:
    assert (
        len({system.name for system in SYSTEMS}) == len({system.title for system in SYSTEMS}) == len(SYSTEMS)
    )


@SYSTEM
def test_every_system_serves_the_same_application(system: System) -> None:
    assert sum(command.count(APPLICATION) for command in system.commands(place())) == 1


@SYSTEM
def test_nothing_listens_beyond_this_machine(system: System) -> None:
    text = everything_of(system, place())
    assert "127.0.0.1" in text
    assert not re.search(r"0\.0\.0\.0|\[::\]|(?<!\S):\d", text)


@SYSTEM
def test_two_processes_run_the_application(system: System) -> None:
    command = next(command for command in system.commands(place()) if APPLICATION in command)
    counts = [
        command[command.index(flag) + 1] for flag in ("-n", "--workers", "--processes") if flag in command
    ]
    assert counts == ["2"]


@SYSTEM
def test_an_access_log_is_written_when_it_is_wanted_and_only_then(system: System) -> None:
    with_log, without = everything_of(system, place()), everything_of(system, place(logs=False))
    assert "access.log" in with_log or "--access-log" in with_log
    assert "access.log" not in without
    assert "--access-log " not in f"{without} "


@SYSTEM
def test_files_and_sockets_are_in_the_folder_of_the_run(system: System) -> None:
    for path in re.findall(r"(?<![\w.])(/\w[^\s;\"]*)", everything_of(system, place())):
        assert path.startswith(("/somewhere", "/usr/", "/etc/nginx/uwsgi_params"))


@SYSTEM
def test_what_was_chosen_is_said_in_whole_sentences(system: System) -> None:
    assert system.note.endswith(".")
