from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest
import typer

from lrwp.flags import flags_of, read_flags, write_flags
from lrwp.schema import schema
from protocol.addresses import Address
from protocol.errors import SettingsError
from protocol.settings import Duration, setting
from worker.settings import WorkerSettings


@dataclass(frozen=True)
class Kettle:
    """A settings class of its own for these tests."""

    water: str = setting("What is in it.")
    cups: int = setting("How many.", default=2, flag="-n --cups", least=1)
    whistle: bool = setting("Whether it is heard.", default=False, flag="--whistle")
    time: Duration = setting("How long.", default=Duration(60), flag="--time")
    guests: tuple[str, ...] = setting("Who comes.", default=(), flag="--guest")
    thermostat: int = setting("Only in the file.", default=90)


def run(*arguments: str) -> dict[str, Any]:
    """Return what a command with the kettle's flags is given."""
    given: dict[str, Any] = {}
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command()
    @flags_of(Kettle)
    def boil(water: str, **flags: Any) -> None:
        given.update(read_flags(Kettle, {"water": water, **flags}))

    typer.main.get_command(app).main([*arguments], standalone_mode=False)
    return given


def test_flags_come_as_values() -> None:
    assert run("tap", "-n", "3", "--whistle", "--time", "5m", "--guest", "Ann", "--guest=Bo") == {
        "water": "tap",
        "cups": 3,
        "whistle": True,
        "time": 300.0,
        "guests": ("Ann", "Bo"),
    }


def test_flags_that_are_not_given_say_nothing() -> None:
    assert run("tap") == {"water": "tap"}


def test_settings_without_a_flag_have_none() -> None:
    with pytest.raises(typer.TyperException, match="--thermostat"):
        run("tap", "--thermostat", "3")


def test_a_value_that_cannot_be_used_is_told_with_its_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--cups must be at least 1, not 0$"):
        run("tap", "-n", "0")


def test_the_command_keeps_its_own_parameters_and_name() -> None:
    @flags_of(Kettle)
    def boil(water: str, **flags: Any) -> None:
        """Boil."""

    assert list(inspect.signature(boil).parameters) == ["water", "cups", "whistle", "time", "guests"]
    assert (boil.__name__, boil.__doc__) == ("boil", "Boil.")


def test_settings_are_written_as_flags_that_read_the_same() -> None:
    kettle = Kettle(water="tap", cups=3, whistle=True, time=Duration(0.5), guests=("Ann", "-Bo"))
    flags = write_flags(kettle)
    assert flags == ["--cups=3", "--whistle", "--time=500ms", "--guest=Ann", "--guest=-Bo"]
    assert Kettle(**run("tap", *flags)) == kettle


def test_defaults_are_not_written() -> None:
    assert write_flags(Kettle(water="tap")) == []


def test_a_pool_s_settings_are_written_without_its_secrets() -> None:
    settings = WorkerSettings(
        target="shop:app",
        dispatcher=(Address("unix", path="/run/lrwp"),),
        processes=2,
        env=(("PASSWORD", "x"),),
    )
    assert write_flags(settings) == ["--dispatcher=unix:///run/lrwp", "--processes=2"]


def test_every_flag_is_a_flag() -> None:
    flags = [flag for each in schema(WorkerSettings).values() for flag in each.flags]
    assert all(flag.startswith("-") for flag in flags)
    assert len(set(flags)) == len(flags)
