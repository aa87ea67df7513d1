"""``python -m tests.chaos``: try the faults, print the ledger, and fail if a promise was broken."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tests.chaos.faults import FAULTS
from tests.chaos.report import HEAD, write_lines
from tests.chaos.trial import attempt

if TYPE_CHECKING:
    from tests.chaos.fault import Fault
    from tests.chaos.trial import Result


def main(
    arguments: Sequence[str] | None = None,
    faults: Sequence[type[Fault]] = FAULTS,
    attempt: Callable[..., Result] = attempt,
) -> int:
    """Try the faults and return the exit code: 1 if a promise was broken."""
    options = _read_options(arguments, faults)
    # SIGTERM as the exception that Ctrl-C is, so that everything is stopped then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options.faults, attempt, is_full=not options.short)
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return 1


def _run(faults: Sequence[type[Fault]], attempt: Callable[..., Result], *, is_full: bool) -> int:
    began = time.monotonic()
    broken = []
    print(HEAD, flush=True)
    for fault in faults:
        result = attempt(fault(), is_full=is_full)
        if result.left_out and os.environ.get("CI"):
            result.broken.append(f"in CI nothing is left out: {result.left_out}")
        if result.broken:
            broken.append(result)
        print(*write_lines(result), sep="\n", flush=True)
    print(f"{len(faults)} faults in {time.monotonic() - began:.0f} s, {len(broken)} with broken promises")
    for result in broken:
        print(f"chaos: {result.fault.name}: {result.broken[0].partition(chr(10))[0]}", file=sys.stderr)
    return 1 if broken else 0


def _read_options(arguments: Sequence[str] | None, faults: Sequence[type[Fault]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Load a real system, strike it, and hold what clients saw against what was done.",
        epilog="faults:\n" + "\n".join(f"  {fault.name:18} {fault.row}" for fault in faults),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="what CI runs: some minutes, without the soak")
    length.add_argument("--full", dest="short", action="store_false", help="everything (default)")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="which faults; all if none is named")
    options = parser.parse_args(arguments)
    known = {fault.name: fault for fault in faults}
    for name in options.faults:
        if name not in known:
            parser.error(f"there is no fault {name!r}: choose from {', '.join(known)}")
    options.faults = [known[name] for name in options.faults] or [
        fault for fault in faults if not (options.short and fault.is_long)
    ]
    return options


if __name__ == "__main__":
    sys.exit(main())
