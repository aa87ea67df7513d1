"""From samples to figures, and from figures to a table."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.measure import Sample

OURS: Final = "lrwp"
"""The system that the others are compared with."""

HEADINGS: Final = (
    "system", "req/s", "p50 ms", "p99 ms", "CPU µs/req", "req/s ratio", "p99 ratio", "CPU ratio"
)  # fmt: skip
"""The last three are LRWP's figure divided by this system's."""


class Figures(NamedTuple):
    """One system's figures for one page: the median of each over the rounds.

    Attributes:
        rate: requests a second.
        p50: median time of an answer in milliseconds.
        p99: time in milliseconds within which 99 of 100 answers came.
        cpu: microseconds of CPU time per request.
    """

    rate: float
    p50: float
    p99: float
    cpu: float


def summarise(samples: Sequence[Sample], page: str, *, logs: bool) -> dict[str, Figures]:
    """Return the figures of all systems for a page, in the order of their first samples."""
    chosen = [sample for sample in samples if sample.page == page and sample.logs is logs]
    names = dict.fromkeys(sample.system for sample in chosen)
    return {name: _median_of([sample for sample in chosen if sample.system == name]) for name in names}


def _median_of(samples: Sequence[Sample]) -> Figures:
    return Figures(
        rate=median(sample.rate for sample in samples),
        p50=median(sample.p50 for sample in samples),
        p99=median(sample.p99 for sample in samples),
        cpu=median(sample.cpu for sample in samples),
    )


def faults_of(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each fault: while there is one, the figures are not to be trusted."""
    return [
        f"{sample.system} on the {sample.page} page: {fault}."
        for sample in samples
        for fault in sample.faults
    ]


def write_table(figures: Mapping[str, Figures], titles: Mapping[str, str]) -> str:
    """Return a Markdown table, aligned so that it can be read in a terminal too."""
    ours = figures.get(OURS)
    rows: list[tuple[str, ...]] = [HEADINGS]
    rows += [(titles[name], *_columns(each), *_ratios(ours, each, name)) for name, each in figures.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_write_row(row, widths) for row in rows]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _columns(figures: Figures) -> tuple[str, ...]:
    return (f"{figures.rate:,.0f}", f"{figures.p50:.2f}", f"{figures.p99:.2f}", f"{figures.cpu:.1f}")


def _ratios(ours: Figures | None, theirs: Figures, name: str) -> tuple[str, ...]:
    if ours is None or name == OURS:
        return ("", "", "")
    return tuple(_ratio(getattr(ours, field), getattr(theirs, field)) for field in ("rate", "p99", "cpu"))


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs else "-"


def _write_row(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = row
    cells = [name.ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True)]
    return f"| {' | '.join(cells)} |"
