"""``python -m tests.fuzz [--seconds N] [TARGET…]``: look for inputs that break what reads them.

One target after the other, each in a process of its own, as some findings end theirs. What a search has
learnt is kept in ``.fuzz``, where the next one begins.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fuzz import targets
from tests.fuzz.findings import complaint_about, keep, shortened
from tests.fuzz.machines import MACHINES, play

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT: Final = Path(__file__).parents[2]
LEARNT: Final = PROJECT / ".fuzz"

SECONDS: Final = 120.0
"""Seconds for all targets together."""

PATIENCE: Final = 60.0
"""Seconds beyond its time after which a search is hung."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Search, and return the exit code: 1 if something was found."""
    everything = [*MACHINES, *targets.NAMES]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"{', '.join(everything)}; all if none is given"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for all of them together (default: 120)"
    )
    options = parser.parse_args(arguments)
    names = options.targets or everything
    if unknown := [name for name in names if name not in everything]:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(everything)}")
    try:
        found = [search(name, options.seconds / len(names)) for name in names]
    except KeyboardInterrupt:
        print("fuzz: interrupted", file=sys.stderr)
        return 1
    return int(any(found))


def search(name: str, seconds: float) -> bool:
    """Search one target for so long and say what came of it; returns whether something was found."""
    print(f"{name:14} ", end="", flush=True)
    if name in MACHINES:
        print(f"{play(name, seconds):,} plays")
        return False
    folder = LEARNT / name
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / "found"
    found.unlink(missing_ok=True)
    started = time.monotonic()
    output, is_over = run_search(name, seconds, folder)
    if found.exists():
        tell(name, found.read_bytes(), output)
    elif not is_over:
        print(f"the search failed:\n{output}")
    else:
        known = len([*(folder / "known").iterdir()])
        print(
            f"{runs_in(output):>12,} inputs in {time.monotonic() - started:.0f} s; {known} kept to go on from"
        )
    return found.exists() or not is_over


def run_search(name: str, seconds: float, folder: Path) -> tuple[str, bool]:
    """Return what a search has printed, and whether it came to its end."""
    command = [sys.executable, "-m", "tests.fuzz.search", name, str(seconds), str(folder)]
    # What a search leaves in its temporary files goes with them: libFuzzer ends it without further ado.
    with tempfile.TemporaryDirectory() as temporary:
        try:
            done = subprocess.run(
                command,
                cwd=PROJECT,
                env={**os.environ, "TMPDIR": temporary},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds + PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it hung", False
    return done.stdout + done.stderr, done.returncode == 0


def runs_in(output: str) -> int:
    """Return how many inputs a search has tried, by what it has printed."""
    lines = [line.split() for line in output.splitlines()]
    counts = [words[-1] for words in lines if words and words[0] == "stat::number_of_executed_units:"]
    counts += [words[1] for words in lines if words[:1] == ["Done"]]
    return int(counts[-1]) if counts else 0


def tell(name: str, data: bytes, output: str) -> None:
    """Say what was found, and keep it as a test."""
    target = targets.load(name)
    complaint = complaint_about(target, data)
    if not complaint:
        print(f"an input of {len(data)} bytes ended the process, and is harmless here:\n{output}")
    else:
        data = shortened(target, data)
        print(f"{complaint}\n  {data!r:.300}")
    print(f"  kept as {keep(name, data).relative_to(PROJECT)}: make test fails until it is mended")


if __name__ == "__main__":
    sys.exit(main())
