"""Load: what wrk sends, and how its report is read."""

from __future__ import annotations

import re

import pytest

from tests.bench.errors import BenchError
from tests.bench.load import SCRIPT, Load, load_command, read_load
from tests.bench.software import PROJECT

REPORT = """\
Running 5s test @ http://127.0.0.1:8000/plain
  1 threads and 64 connections
RESULT {"requests": 1000, "microseconds": 2500000, "bytes": 5000, "p50": 1250, "p99": 4750, \
"connect": 0, "read": 2, "write": 0, "timeout": 0, "status": 7}
"""


@pytest.fixture
def script() -> str:
    return (PROJECT / SCRIPT).read_text()


def test_a_report_is_read_in_seconds_and_milliseconds_and_with_the_errors_that_occurred() -> None:
    expected = Load(
        requests=1000, seconds=2.5, size=5000, p50=1.25, p99=4.75, errors={"read": 2, "status": 7}, cpu=0.5
    )
    assert read_load(REPORT, cpu=0.5) == expected


def test_what_wrk_says_instead_of_a_report_is_passed_on() -> None:
    with pytest.raises(BenchError, match="wrk could not load the page; it said: unable to connect"):
        read_load("unable to connect to 127.0.0.1:1\n", cpu=0)


def test_with_the_host_a_browser_sends_fifteen_headers(script: str) -> None:
    names = re.findall(r'^wrk\.headers\["([\w-]+)"\]', script, re.MULTILINE)
    assert len({name.lower() for name in names} | {"host"}) == 15


def test_wrk_runs_no_lua_for_a_request(script: str) -> None:
    assert re.findall(r"^function (\w+)", script, re.MULTILINE) == ["done"]


def test_the_report_has_all_fields_that_are_read(script: str) -> None:
    fields = re.findall(r'"(\w+)": %d', script)
    line = "RESULT {" + ", ".join(f'"{field}": 1' for field in fields) + "}"
    assert read_load(line, cpu=0).requests == 1


def test_the_command_is_64_connections_from_one_thread() -> None:
    command = load_command("http://127.0.0.1:8000/plain", 5)
    assert command[:4] == ["wrk", "-t1", "-c64", "-d5s"]
