"""The printed ledger: a line for each fault, and the promises that were broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.vitals import MIB

if TYPE_CHECKING:
    from tests.chaos.trial import Result

HEAD: Final = (
    f"{'fault':17} {'sent':>6}  {'executed 0/1/2':>15} {'longest':>8} {'memory':>12} {'files':>8} {'temp':>5}"
    f" {'workers':>9} {'took':>6}  answered"
)
"""The columns. Executed are POSTs, by the database; memory in MiB, files, temporary files and workers are
the dispatcher's, before and after."""


def write_lines(result: Result) -> list[str]:
    """Return the line of a fault, what else there is to say, and what was promised and not kept."""
    lines = [_write_line(result), *(f"{'':17} {remark}" for remark in result.remarks)]
    if result.broken:
        lines.append(f"BROKEN {result.fault.name} ({result.fault.row}):")
        lines += [f"  - {sentence}" for sentence in result.broken]
    return lines


def _write_line(result: Result) -> str:
    name = result.fault.name
    if result.left_out:
        return f"{name:17} left out: {result.left_out}"
    account, before, after = result.account, result.before, result.after
    if account is None or before is None or after is None:
        return f"{name:17} could not be carried through"
    times = "/".join(f"{count}" for count in account.times_done())
    memory = f"{before.memory / MIB:.1f}→{after.memory / MIB:.1f}"
    outcomes = ", ".join(f"{outcome} {count:,}" for outcome, count in account.outcomes().most_common())
    return (
        f"{name:17} {len(account.entries):6,}  {times:>15} {account.longest():6.2f} s {memory:>12}"
        f" {_pair(before.files, after.files):>8} {_pair(before.temporary, after.temporary):>5}"
        f" {_pair(before.workers, after.workers):>9} {result.seconds:4.1f} s  {outcomes}"
    )


def _pair(before: int, after: int) -> str:
    return f"{before}→{after}"
