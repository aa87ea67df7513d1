import json
from typing import Any

import pytest

from lrwp.load.pacing import ClosedPace, OpenPace, Pace
from lrwp.load.report import KEYS, histogram, is_clean, summarize, write_text
from lrwp.load.run import Run
from tests.lrwp.load.servers import plan_for


def finished(pace: Pace | None = None, seconds: float = 2.0) -> Run:
    """Return a run as if it had taken ``seconds``, in which nothing has happened."""
    run = Run(plan_for("http://localhost:8080/page"), pace or ClosedPace(requests=4))
    run.seconds = seconds
    return run


def with_answers() -> Run:
    run = finished()
    for milliseconds in (1, 2, 3):
        run.tally.answer(200, milliseconds / 1e3)
    run.tally.answer(503, 0.04)
    run.tally.received = 3_000_000
    run.tally.reconnects = 7
    run.cpu = 0.5
    return run


def test_a_report_has_the_documented_keys_and_goes_through_json_unchanged() -> None:
    for run in (finished(), with_answers()):
        report = summarize(run)
        assert list(report) == list(KEYS)
        assert json.loads(json.dumps(report)) == report | {
            "histogram_ms": [list(pair) for pair in report["histogram_ms"]]
        }


def test_a_report_holds_what_was_counted() -> None:
    report = summarize(with_answers())
    assert report | {"histogram_ms": None} == {
        "url": "http://localhost:8080/page",
        "method": "GET",
        "connections": 4,
        "rate": None,
        "seconds": 2.0,
        "answers": 4,
        "requests_per_second": 2.0,
        "bytes": 3_000_000,
        "bytes_per_second": 1_500_000.0,
        "latency_ms": pytest.approx(
            {
                "min": 1.0,
                "mean": 11.5,
                "p50": 2.0,
                "p75": 3.0,
                "p90": 40.0,
                "p95": 40.0,
                "p99": 40.0,
                "p99.9": 40.0,
                "max": 40.0,
            },
            rel=1e-3,
        ),
        "histogram_ms": None,
        "status": {"200": 3, "503": 1},
        "errors": {"connect": 0, "timeout": 0, "reset": 0, "truncated": 0, "malformed": 0},
        "reconnects": 7,
        "unsent": 0,
        "abandoned": 0,
        "cpu_seconds": 0.5,
    }


def test_the_histogram_counts_each_latency_below_the_next_bound() -> None:
    assert histogram([(0.001, 5), (0.0012, 1), (0.0013, 2), (0.0016, 4)]) == [(1.0, 5), (1.25, 1), (1.6, 6)]


def test_the_histogram_of_one_latency_has_one_row() -> None:
    assert histogram([(0.0042, 9)]) == [(5.0, 9)]


def test_the_histogram_of_nothing_is_empty() -> None:
    assert histogram([]) == []


@pytest.mark.parametrize("high", [2e-6, 1e-3, 0.1, 30.0, 3600.0])
def test_the_histogram_fits_on_a_screen_and_loses_nothing(high: float) -> None:
    rows = histogram([(1e-6, 1), (high / 2, 2), (high, 3)])
    assert len(rows) <= 14
    assert sum(count for _, count in rows) == 6
    assert [bound for bound, _ in rows] == sorted({bound for bound, _ in rows})


def test_the_text_is_what_people_read() -> None:
    assert (
        write_text(summarize(with_answers()))
        == """\
GET http://localhost:8080/page on 4 connections

answers     4 in 2.00 s
throughput  2 requests/s, 1.4 MiB/s (2.9 MiB)
status      3 x 200, 1 x 503
errors      none
reconnects  7

latency ms       p50       p75       p90       p95       p99     p99.9       max
               2.000     3.001     40.03     40.03     40.03     40.03     40.03

  up to ms   answers
         1         1  ########################################
       1.6         0
       2.5         1  ########################################
         4         1  ########################################
       6.3         0
        10         0
        16         0
        25         0
        40         0
        63         1  ########################################"""
    )


def test_the_text_names_what_went_wrong() -> None:
    run = finished(OpenPace(10, seconds=1.0))
    run.tally.errors |= {"timeout": 3, "reset": 1}
    run.tally.abandoned = 4
    text = write_text(summarize(run))
    assert "at 10 requests/s" in text
    assert "errors      3 x timeout, 1 x reset" in text
    assert "unsent      10 were due, but no connection was free" in text
    assert "abandoned   4 were in flight" in text
    assert "latency" not in text


def test_a_client_that_is_as_busy_as_it_can_be_says_so() -> None:
    run = with_answers()
    run.cpu = 1.98
    assert "this client used 99 % of a core" in write_text(summarize(run))


def test_one_connection_is_not_two() -> None:
    report = summarize(finished()) | {"connections": 1}
    assert write_text(report).startswith("GET http://localhost:8080/page on 1 connection\n")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1,023 B"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (2**50, "1,048,576.0 GiB")],
)
def test_sizes_are_written_in_their_unit(count: int, text: str) -> None:
    assert f"({text})" in write_text(summarize(finished()) | {"bytes": count})


@pytest.mark.parametrize(
    ("changes", "clean"),
    [
        ({"answers": 5}, True),
        ({"answers": 5, "status": {"500": 5}}, True),
        ({"answers": 5, "errors": {"reset": 1}}, False),
        ({"answers": 0}, False),
    ],
)
def test_a_run_is_clean_when_every_request_has_its_answer(changes: dict[str, Any], clean: bool) -> None:
    assert is_clean(summarize(finished()) | changes) is clean
