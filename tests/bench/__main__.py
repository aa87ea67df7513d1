"""``python -m tests.bench``: measure, print the tables, and write them down when nothing was left out."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Final

from protocol.errors import LrwpError
from tests.bench.errors import BenchError
from tests.bench.measure import PAGES, Plan, Sample, measure
from tests.bench.report import NAMES_OF_LOGS, write_report
from tests.bench.software import PROJECT, provide_program
from tests.bench.systems import SYSTEMS
from tests.bench.table import faults_of, summarise, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.systems import System

LOGS: Final = {"on": (True,), "off": (False,), "both": (True, False)}

DISTURBED: Final = 0.10
"""Part of the processors that others may use: above it the figures say more about them than about us."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit code."""
    options = _read_options(arguments)
    # SIGTERM as the exception that Ctrl-C is, so that all servers are stopped then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options)
    except LrwpError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was written", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    provide_program("wrk")
    systems, missing = _provide(options.only)
    if not systems:
        raise BenchError("there is nothing to measure: none of the systems is installed")
    plan = Plan(
        systems=systems,
        pages=options.pages,
        logs=LOGS[options.logs],
        rounds=1 if options.quick else options.rounds,
        seconds=1 if options.quick else options.seconds,
    )
    samples = measure(plan, _tell)
    _print_tables(plan, samples)
    if faults := faults_of(samples):
        print("\nTHESE FIGURES ARE NOT VALID:", *faults, sep="\n  ", file=sys.stderr)
        return 1
    _warn_of_disturbance(samples)
    if options.quick or missing or systems != SYSTEMS or plan.pages != PAGES or not plan.logs[0]:
        print("\nNothing was written: that takes all systems and pages, with access logs, and not --quick.")
        return 0
    for path in write_report(PROJECT / "docs", plan, samples):
        print(f"wrote {path.relative_to(PROJECT)}")
    return 0


def _provide(wanted: Sequence[System]) -> tuple[tuple[System, ...], list[str]]:
    """Return those systems that can be measured, and a sentence for each that cannot."""
    found, missing = [], []
    for system in wanted:
        try:
            system.provide()
        except BenchError as error:
            missing.append(str(error))
        else:
            found.append(system)
    for sentence in dict.fromkeys(missing):
        print(f"bench: {sentence}", file=sys.stderr)
    return tuple(found), missing


def _tell(sample: Sample) -> None:
    print(
        f"{sample.system:9}{sample.page:9} {'logs' if sample.logs else 'no logs':7} {sample.rate:9,.0f} req/s"
        f"  p50 {sample.p50:6.2f} ms  p99 {sample.p99:7.2f} ms  {sample.cpu:6.1f} µs/req"
        f"  others {sample.disturbance:4.0%}",
        *sample.faults,
        flush=True,
    )


def _print_tables(plan: Plan, samples: Sequence[Sample]) -> None:
    titles = {system.name: system.title for system in plan.systems}
    for logs in plan.logs:
        for page in plan.pages:
            print(f"\n{page.title.capitalize()}, {NAMES_OF_LOGS[logs]}\n")
            print(write_table(summarise(samples, page.name, logs=logs), titles))


def _warn_of_disturbance(samples: Sequence[Sample]) -> None:
    worst = max(samples, key=lambda sample: sample.disturbance)
    if worst.disturbance > DISTURBED:
        print(
            f"\nbench: other programs used up to {worst.disturbance:.0%} of the processors"
            f" while {worst.system} was measured: stop them and repeat",
            file=sys.stderr,
        )


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Compare LRWP with other servers."
    )
    parser.add_argument("--quick", action="store_true", help="one round of one second: a look, not a result")
    systems = ", ".join(system.name for system in SYSTEMS)
    parser.add_argument(
        "--only",
        type=_read_systems,
        default=SYSTEMS,
        metavar="NAME,NAME",
        help=f"which systems, of {systems}",
    )
    pages = " or ".join(page.name for page in PAGES)
    parser.add_argument(
        "--pages", type=_read_pages, default=PAGES, metavar="NAME,NAME", help=f"which pages: {pages}"
    )
    parser.add_argument(
        "--logs", choices=LOGS, default="on", help="with access logs, without, or both (default: on)"
    )
    parser.add_argument(
        "--rounds", type=_read_count, default=3, help="how often each is measured (default: 3)"
    )
    parser.add_argument("--seconds", type=_read_count, default=5, help="for how long each (default: 5)")
    return parser.parse_args(arguments)


def _read_systems(text: str) -> tuple[System, ...]:
    names = _read_names(text, {system.name for system in SYSTEMS})
    return tuple(system for system in SYSTEMS if system.name in names)


def _read_pages(text: str) -> tuple[object, ...]:
    names = _read_names(text, {page.name for page in PAGES})
    return tuple(page for page in PAGES if page.name in names)


def _read_names(text: str, known: set[str]) -> set[str]:
    names = {name.strip() for name in text.split(",")}
    if unknown := names - known:
        raise argparse.ArgumentTypeError(
            f"there is no {min(unknown)!r}: choose from {', '.join(sorted(known))}"
        )
    return names


def _read_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
