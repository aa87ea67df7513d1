"""The log: a line for each event, which nobody outside can forge."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from lrwp.log import configure_log


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    configure_log()
    yield
    structlog.reset_defaults()


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on standard error, without their times; nothing may be anywhere else."""
    out, err = capsys.readouterr()
    assert out == ""
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d "
    return [re.sub(f"^{time}", "", line) for line in err.splitlines()]


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_an_event_is_a_line_with_its_level_and_its_values(
    capsys: pytest.CaptureFixture[str], level: str
) -> None:
    getattr(structlog.get_logger(), level)("link joined", link="ONE", held=3, peer=None)
    assert written(capsys) == [f"{level} link joined link=ONE held=3 peer=None"]


def test_details_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().debug("a detail")
    assert written(capsys) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("one word", '"one word"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("line\nerror forged", r'"line\nerror forged"'),
        ("\x1b[31mred\x7f", r'"\x1b[31mred\x7f"'),
        ("café", "café"),
        ("\u2028", r'"\u2028"'),
        (b"\x00\xff", r'"b\'\\x00\\xff\'"'.replace("\\'", "'")),
    ],
)
def test_a_value_is_quoted_unless_it_is_one_plain_word(
    capsys: pytest.CaptureFixture[str], value: Any, shown: str
) -> None:
    structlog.get_logger().info("event", value=value)
    assert written(capsys) == [f"info event value={shown}"]


def test_a_traceback_is_indented_escaped_and_without_values_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    password = "hunter" + str(2)
    try:
        raise ValueError("\x1b[31mone\nerror two")
    except ValueError:
        structlog.get_logger().exception("application raised", application="pages")
    first, *rest = written(capsys)
    assert first == "error application raised application=pages"
    assert rest[0] == "  Traceback (most recent call last):"
    assert rest[-2:] == [r"  ValueError: \x1b[31mone", "  error two"]
    assert all(line.startswith("  ") for line in rest)
    assert password not in "".join(rest)


def test_nobody_who_reads_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    structlog.get_logger().info("event")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    structlog.get_logger().info("event")
