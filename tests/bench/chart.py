"""A bar chart of the figures as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from tests.bench.table import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.table import Figures

WIDTH: Final = 880
MARGIN: Final = 24
ROW: Final = 34
BAR: Final = 20
HEADER: Final = 62
"""Height of a panel's title and column heads."""

GAP: Final = 26
"""Height between two panels."""

BARS: Final = 320
"""Where the bars begin; the systems' names stand to the left of it."""

LONGEST: Final = 300
"""Length of the longest bar; its figure stands to the right of it."""

P99: Final = 760
CPU: Final = WIDTH - MARGIN
"""Where the columns of the other figures end."""

# The colours are chosen by the reader's own preference, which an SVG follows in an <img> as well.
STYLE: Final = """\
    text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2933; }
    .title { font-size: 17px; font-weight: 600; }
    .head { font-size: 12px; fill: #66727f; }
    .figure { font-variant-numeric: tabular-nums; }
    .end { text-anchor: end; }
    .ours, .best { font-weight: 600; }
    .bar { fill: #c3ccd5; }
    .bar.ours { fill: #0f766e; }
    .rule { stroke: #d9dfe5; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e4e9ee; }
      .head { fill: #94a1ae; }
      .bar { fill: #4a5663; }
      .bar.ours { fill: #2fbfa9; }
      .rule { stroke: #39434d; }
    }
"""


def draw_chart(panels: Mapping[str, Mapping[str, Figures]], titles: Mapping[str, str]) -> str:
    """Return a chart with one panel for each page: a bar for requests a second, p99 and CPU as figures."""
    parts, top = [], MARGIN
    for title, figures in panels.items():
        parts += _draw_panel(title, figures, titles, top)
        top += HEADER + ROW * len(figures) + GAP
    height = top - GAP + MARGIN
    summary = "; ".join(_describe(title, figures, titles) for title, figures in panels.items())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
            f' height="{height}" role="img" aria-labelledby="title summary">',
            '  <title id="title">Requests per second, 99th percentile and CPU time per request</title>',
            f'  <desc id="summary">{escape(summary)}</desc>',
            f"  <style>\n{STYLE}  </style>",
            *parts,
            "</svg>\n",
        ]
    )


def _describe(title: str, figures: Mapping[str, Figures], titles: Mapping[str, str]) -> str:
    return f"{title}: " + ", ".join(
        f"{titles[name]} {each.rate:,.0f} req/s" for name, each in figures.items()
    )


def _draw_panel(title: str, figures: Mapping[str, Figures], titles: Mapping[str, str], top: int) -> list[str]:
    heads, rule = top + 44, top + 52
    parts = [
        _text(MARGIN, top + 16, title, "title"),
        _text(BARS, heads, "requests per second", "head"),
        _text(P99, heads, "p99, ms", "head end"),
        _text(CPU, heads, "CPU, µs/request", "head end"),
        f'  <line class="rule" x1="{MARGIN}" y1="{rule}" x2="{CPU}" y2="{rule}"/>',
    ]
    fastest = max(each.rate for each in figures.values())
    for row, name in enumerate(figures):
        parts += _draw_row(name, figures, titles[name], top + HEADER + ROW * row, LONGEST / fastest)
    return parts


def _draw_row(
    name: str, figures: Mapping[str, Figures], title: str, top: int, pixels_per_request: float
) -> Sequence[str]:
    each, line = figures[name], top + 19
    length = max(2, round(each.rate * pixels_per_request))
    ours = " ours" if name == OURS else ""
    others = figures.values()
    return (
        _text(MARGIN, line, title, ours.strip()),
        f'  <rect class="bar{ours}" x="{BARS}" y="{top + 4}" width="{length}" height="{BAR}" rx="3"/>',
        _figure(
            BARS + length + 8, line, f"{each.rate:,.0f}", is_best=each.rate == max(o.rate for o in others)
        ),
        _figure(P99, line, f"{each.p99:.1f}", "end", is_best=each.p99 == min(o.p99 for o in others)),
        _figure(CPU, line, f"{each.cpu:.0f}", "end", is_best=each.cpu == min(o.cpu for o in others)),
    )


def _figure(x: int, y: int, text: str, style: str = "", *, is_best: bool) -> str:
    return _text(x, y, text, " ".join(filter(None, ["figure", style, "best" if is_best else ""])))


def _text(x: int, y: int, text: str, style: str) -> str:
    named = f' class="{style}"' if style else ""
    return f'  <text{named} x="{x}" y="{y}">{escape(text)}</text>'
