"""What a run found out: as one JSON object for programs, and from that as text for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrwp.load.run import Run

PERCENTILES: Final = (50, 75, 90, 95, 99, 99.9)

KEYS: Final[dict[str, str]] = {
    "url": "as given",
    "method": "the method of each request",
    "connections": "how many channels there were",
    "rate": "the rate asked for with --rate, in requests/s, or null",
    "seconds": "how long the run took",
    "answers": "complete answers, whatever their status",
    "requests_per_second": "answers / seconds",
    "bytes": "bytes read, heads included",
    "bytes_per_second": "bytes / seconds",
    "latency_ms": "min, mean, p50, p75, p90, p95, p99, p99.9 and max of all answers, or null without any",
    "histogram_ms": "pairs of an upper bound of latency and how many answers lie below it and above the last",
    "status": "number of answers by status",
    "errors": "number of requests without an answer: connect, timeout, reset, truncated, malformed",
    "reconnects": "connections opened in place of one that had ended",
    "unsent": "requests due in the time given that no channel was free for",
    "abandoned": "requests in flight when the run was interrupted",
    "cpu_seconds": "CPU time that this client used",
}
"""The keys of the JSON object and what they mean; all of them are always there."""

_ROWS: Final = 14
"""Most rows that the histogram should have on a screen."""

_STEPS: Final = (
    (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0),
    (1.0, 1.6, 2.5, 4.0, 6.3),
    (1.0, 2.0, 5.0),
    (1.0,),
)
"""Bounds within a decade, from fine to coarse: preferred numbers, evenly spaced on the logarithmic scale."""

_BAR: Final = 40
"""Width of the longest bar in characters."""

_BUSY: Final = 0.9
"""Share of a core from which on the client itself may be what limits the throughput."""


def summarize(run: Run) -> dict[str, Any]:
    """Return what ``run``, which is over, found out; the keys are :data:`KEYS`."""
    plan, tally, seconds = run.plan, run.tally, run.seconds
    return {
        "url": plan.target.url,
        "method": plan.request.method,
        "connections": plan.connections,
        "rate": run.pace.rate,
        "seconds": round(seconds, 6),
        "answers": tally.answers,
        "requests_per_second": round(tally.answers / seconds, 1) if seconds else 0.0,
        "bytes": tally.received,
        "bytes_per_second": round(tally.received / seconds, 1) if seconds else 0.0,
        "latency_ms": _latency(run) if tally.answers else None,
        "histogram_ms": histogram(tally.latencies.recorded()),
        "status": {str(status): tally.statuses[status] for status in sorted(tally.statuses)},
        "errors": dict(tally.errors),
        "reconnects": tally.reconnects,
        "unsent": run.pace.unsent(),
        "abandoned": tally.abandoned,
        "cpu_seconds": round(run.cpu, 6),
    }


def _latency(run: Run) -> dict[str, float]:
    latencies = run.tally.latencies
    values = {"min": latencies.minimum, "mean": latencies.mean}
    values |= {f"p{percent}": latencies.percentile(percent) for percent in PERCENTILES}
    values["max"] = latencies.maximum
    return {name: round(value * 1e3, 3) for name, value in values.items()}


def histogram(recorded: Iterable[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return rising pairs of an upper bound in ms and how many latencies lie between it and the bound before.

    Args:
        recorded: latencies in seconds, rising, each with how often it was recorded.
    """
    values = [(seconds * 1e3, count) for seconds, count in recorded]
    if not values:
        return []
    bounds: list[float] = []
    for steps in _STEPS:
        bounds = _bounds(values[0][0], values[-1][0], steps)
        if len(bounds) <= _ROWS:
            break
    counts = [0] * len(bounds)
    row = 0
    for value, count in values:
        while value > bounds[row]:
            row += 1
        counts[row] += count
    return list(zip(bounds, counts, strict=True))


def _bounds(low: float, high: float, steps: tuple[float, ...]) -> list[float]:
    """Return the bounds from the first that is not below ``low`` to the first that is not below ``high``."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    bounds = [float(f"{step}e{decade}") for decade in decades for step in steps]
    last = next(index for index, bound in enumerate(bounds) if bound >= high)
    return [bound for bound in bounds[: last + 1] if bound >= low]


def is_clean(report: dict[str, Any]) -> bool:
    """Whether there were answers, and no request stayed without one."""
    return report["answers"] > 0 and not any(report["errors"].values())


def write_text(report: dict[str, Any], block: str = "#") -> str:
    """Return the report for people to read.

    Args:
        report: from :func:`summarize`.
        block: the character that bars are drawn with.
    """
    paced = f" at {report['rate']:,g} requests/s" if report["rate"] else ""
    lines = [
        f"{report['method']} {report['url']} on {_number(report['connections'], 'connection')}{paced}",
        "",
        f"answers     {report['answers']:,} in {report['seconds']:,.2f} s",
        f"throughput  {report['requests_per_second']:,.0f} requests/s, {_size(report['bytes_per_second'])}/s"
        f" ({_size(report['bytes'])})",
        f"status      {_pairs(report['status'])}",
        f"errors      {_pairs(report['errors'])}",
        f"reconnects  {report['reconnects']:,}",
    ]
    lines += _remarks(report)
    if report["latency_ms"]:
        lines += ["", *_write_latency(report["latency_ms"]), "", *_write_bars(report["histogram_ms"], block)]
    return "\n".join(lines)


def _remarks(report: dict[str, Any]) -> list[str]:
    lines = []
    if report["unsent"]:
        lines.append(
            f"unsent      {report['unsent']:,} were due, but no connection was free: give a larger -c"
        )
    if report["abandoned"]:
        lines.append(f"abandoned   {report['abandoned']:,} were in flight when the run was interrupted")
    if report["answers"] and report["cpu_seconds"] > _BUSY * report["seconds"]:
        share = 100 * report["cpu_seconds"] / report["seconds"]
        lines.append(
            f"note        this client used {share:.0f} % of a core; the server may be faster than it"
        )
    return lines


def _write_latency(latency: dict[str, float]) -> list[str]:
    names = [name for name in latency if name not in {"min", "mean"}]
    return [
        "latency ms" + "".join(f"{name:>10}" for name in names),
        " " * 10 + "".join(f"{_round(latency[name]):>10}" for name in names),
    ]


def _write_bars(pairs: list[tuple[float, int]], block: str) -> list[str]:
    most = max(count for _, count in pairs)
    lines = ["  up to ms   answers"]
    for bound, count in pairs:
        bar = block * math.ceil(_BAR * count / most)
        lines.append(f"{bound:>10,g}{count:>10,}  {bar}".rstrip())
    return lines


def _round(value: float) -> str:
    return f"{value:,.3f}" if value < 10 else f"{value:,.2f}" if value < 100 else f"{value:,.1f}"


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} x {name}" for name, count in counts.items() if count) or "none"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
