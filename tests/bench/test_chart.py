"""The chart."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.bench.chart import LONGEST, draw_chart
from tests.bench.table import Figures

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = {"lrwp": Figures(20_000, 1, 2.25, 40), "granian": Figures(10_000, 2, 8, 30)}
TITLES = {"lrwp": "LRWP", "granian": "Granian <WSGI>"}


@pytest.fixture
def chart() -> ElementTree.Element:
    return ElementTree.fromstring(draw_chart({"one & only": FIGURES}, TITLES))


def texts_of(chart: ElementTree.Element, style: str) -> list[str | None]:
    return [text.text for text in chart.iter(f"{SVG}text") if style in text.get("class", "").split()]


def number(element: ElementTree.Element, name: str) -> int:
    return int(element.get(name, ""))


def test_bars_are_as_long_as_the_rates_and_the_fastest_fills_the_space(chart: ElementTree.Element) -> None:
    assert [number(bar, "width") for bar in chart.iter(f"{SVG}rect")] == [LONGEST, LONGEST // 2]


def test_our_bar_stands_out(chart: ElementTree.Element) -> None:
    assert [bar.get("class") for bar in chart.iter(f"{SVG}rect")] == ["bar ours", "bar"]


def test_the_best_of_each_column_is_marked(chart: ElementTree.Element) -> None:
    assert texts_of(chart, "best") == ["20,000", "2.2", "30"]


def test_titles_are_escaped(chart: ElementTree.Element) -> None:
    assert texts_of(chart, "title") == ["one & only"]
    assert "Granian <WSGI>" in [text.text for text in chart.iter(f"{SVG}text")]


def test_the_chart_says_in_words_what_it_shows(chart: ElementTree.Element) -> None:
    assert chart.findtext(f"{SVG}desc") == "one & only: LRWP 20,000 req/s, Granian <WSGI> 10,000 req/s"


def test_everything_lies_inside_the_picture(chart: ElementTree.Element) -> None:
    width, height = number(chart, "width"), number(chart, "height")
    assert all(0 < number(text, "x") < width for text in chart.iter(f"{SVG}text"))
    assert all(0 < number(text, "y") < height for text in chart.iter(f"{SVG}text"))


def test_it_follows_the_readers_preference_for_dark_pages(chart: ElementTree.Element) -> None:
    assert "@media (prefers-color-scheme: dark)" in chart.findtext(f"{SVG}style", "")
