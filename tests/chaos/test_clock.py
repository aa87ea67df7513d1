"""The clock on the wall: who asks for it, and that a test can set it."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.clock import read_clock, set_clock
from tests.chaos.program import ROOT

ASKS = frozenset(
    {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "now", "utcnow", "today", "formatdate"}
)
"""What returns the time of day, of the modules ``time``, ``datetime`` and ``email.utils``."""

MAY_ASK = {
    "dispatcher/front.py": "the Date of answers, and the stamps of the access log",
    "dispatcher/static.py": "when a file was changed, against now",
}
"""Who may ask for the time of day in the dispatcher: what is for people's eyes, and decides nothing."""


def asked(file: Path) -> Iterator[str]:
    """Yield the names by which a module asks for the time of day."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in {"time", "datetime", "date"} and node.attr in ASKS:
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime", "email.utils"}:
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in ASKS)


@pytest.mark.parametrize("package", ["dispatcher", "protocol"])
def test_deadlines_and_heartbeats_know_nothing_of_the_clock_on_the_wall(package: str) -> None:
    found = {str(file.relative_to(ROOT)): list(asked(file)) for file in (ROOT / package).rglob("*.py")}
    assert {name for name, words in found.items() if words} <= MAY_ASK.keys()


def test_who_asks_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import time\nfrom datetime import date\nfrom time import time_ns\ntime.time(), date.today()\n"
    )
    assert sorted(asked(file)) == ["date.today", "time.time", "time.time_ns"]


def test_a_program_can_be_given_another_time(tmp_path: Path) -> None:
    set_clock(tmp_path, 3600.0)
    assert read_clock(tmp_path) == 3600.0
    code = f"""
from pathlib import Path
from tests.chaos.clock import replace_clock
replace_clock(Path({str(tmp_path)!r}))
import time
from email.utils import formatdate, parsedate_to_datetime
print(time.time(), time.time_ns() / 1e9, time.mktime(time.localtime()), time.monotonic())
print(parsedate_to_datetime(formatdate()).timestamp())
"""
    before = time.time(), time.monotonic()
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT, timeout=10
    ).stdout
    *shifted, monotonic, date = (float(word) for word in output.split())
    for moment in (*shifted, date):
        assert 3598 < moment - before[0] < 3610
    assert 0 <= monotonic - before[1] < 10
