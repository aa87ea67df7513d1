"""From samples to figures to a table."""

from __future__ import annotations

from tests.bench.measure import Sample
from tests.bench.table import Figures, faults_of, summarise, write_table

TITLES = {"lrwp": "LRWP", "granian": "Granian WSGI"}


def sample(
    system: str = "lrwp",
    page: str = "12-byte",
    *,
    logs: bool = True,
    rate: float = 100.0,
    p99: float = 2.0,
    faults: tuple[str, ...] = (),
) -> Sample:
    return Sample(system, page, logs, rate, 1.0, p99, 10.0, 0.0, faults)


def test_each_figure_is_the_median_over_the_rounds() -> None:
    rounds = [sample(rate=300, p99=9), sample(rate=100, p99=1), sample(rate=200, p99=5)]
    assert summarise(rounds, "12-byte", logs=True) == {"lrwp": Figures(200, 1.0, 5, 10.0)}


def test_pages_and_logs_are_kept_apart() -> None:
    samples = [sample(rate=1), sample(rate=2, page="database"), sample(rate=3, logs=False)]
    assert summarise(samples, "12-byte", logs=True)["lrwp"].rate == 1
    assert summarise(samples, "database", logs=True)["lrwp"].rate == 2
    assert summarise(samples, "12-byte", logs=False)["lrwp"].rate == 3


def test_systems_keep_the_order_of_their_first_samples() -> None:
    samples = [sample("granian"), sample("lrwp"), sample("granian")]
    assert list(summarise(samples, "12-byte", logs=True)) == ["granian", "lrwp"]


def test_a_table_divides_our_figures_by_theirs() -> None:
    figures = {"lrwp": Figures(30_000, 1, 2, 30), "granian": Figures(20_000, 2, 8, 20)}
    assert write_table(figures, TITLES).splitlines() == [
        "| system       |  req/s | p50 ms | p99 ms | CPU µs/req | req/s ratio | p99 ratio | CPU ratio |",
        "|--------------|-------:|-------:|-------:|-----------:|------------:|----------:|----------:|",
        "| LRWP         | 30,000 |   1.00 |   2.00 |       30.0 |             |           |           |",
        "| Granian WSGI | 20,000 |   2.00 |   8.00 |       20.0 |        1.50 |      0.25 |      1.50 |",
    ]


def test_without_our_own_figures_there_are_no_ratios() -> None:
    row = write_table({"granian": Figures(20_000, 2, 8, 20)}, TITLES).splitlines()[2]
    assert [cell.strip() for cell in row.strip("|").split("|")][5:] == ["", "", ""]


def test_a_figure_of_nothing_is_not_divided_by() -> None:
    figures = {"lrwp": Figures(1, 1, 1, 1), "granian": Figures(1, 1, 1, 0)}
    assert write_table(figures, TITLES).splitlines()[3].endswith("|         - |")


def test_every_fault_is_named_with_its_system_and_page() -> None:
    samples = [sample(), sample("granian", "database", faults=("3 read errors", "2 timeout errors"))]
    assert faults_of(samples) == [
        "granian on the database page: 3 read errors.",
        "granian on the database page: 2 timeout errors.",
    ]
