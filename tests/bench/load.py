"""Load: wrk with the headers of a browser, and what it reports."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.errors import BenchError

CONNECTIONS: Final = 64
"""Keep-alive connections, each with one request on its way at any time."""

SCRIPT: Final = Path("tests/bench/browser.lua")
"""What wrk sends and reports; relative to the project, as the printed commands are."""

MARK: Final = "RESULT "


class Load(NamedTuple):
    """What one run of wrk found.

    Attributes:
        requests: how many were answered.
        seconds: for how long.
        size: bytes of all answers together, heads and bodies.
        p50: median time from request to answer, in milliseconds.
        p99: time in milliseconds within which 99 of 100 answers came.
        errors: how often each kind of error was seen; only kinds that were.
        cpu: seconds of CPU time that wrk itself used.
    """

    requests: int
    seconds: float
    size: int
    p50: float
    p99: float
    errors: dict[str, int]
    cpu: float


def load_command(url: str, seconds: int) -> list[str]:
    """Return the command that loads ``url``."""
    return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(SCRIPT), url]


def run_load(url: str, seconds: int, *, folder: Path) -> Load:
    """Load ``url`` for that many seconds and return what was found.

    Raises:
        BenchError: wrk failed.
    """
    process = subprocess.Popen(
        load_command(url, seconds), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        with process.stdout as output:
            text = output.read()
        # wait4 rather than wait: it tells what this one child used, not what all children did.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        process.kill()
    return read_load(text, cpu=usage.ru_utime + usage.ru_stime)


def read_load(output: str, *, cpu: float) -> Load:
    """Return what the line that ``browser.lua`` wrote says.

    Raises:
        BenchError: there is no such line.
    """
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise BenchError(f"wrk could not load the page; it said: {output.strip()[-300:]}")
    found = json.loads(line.removeprefix(MARK))
    return Load(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        size=found["bytes"],
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        errors={
            kind: found[kind] for kind in ("connect", "read", "write", "timeout", "status") if found[kind]
        },
        cpu=cpu,
    )
