import pytest

from lrwp.load.tally import ERRORS, LONGEST, Latencies, Tally


def test_percentiles_are_exact_to_a_microsecond_or_a_thousandth() -> None:
    latencies = Latencies()
    for milliseconds in range(1, 1001):
        latencies.record(milliseconds / 1e3)
    assert [latencies.percentile(percent) for percent in (50, 90, 99.9)] == pytest.approx(
        [0.5, 0.9, 0.999], rel=1e-3
    )
    assert (latencies.minimum, latencies.maximum, latencies.mean) == pytest.approx(
        (0.001, 1.0, 0.5005), rel=1e-3
    )


def test_without_latencies_all_numbers_are_zero() -> None:
    latencies = Latencies()
    assert [latencies.minimum, latencies.maximum, latencies.mean, latencies.percentile(99)] == [0.0] * 4
    assert latencies.recorded() == []


@pytest.mark.parametrize("seconds", [-1e-6, 0.0, 1e-9])
def test_what_is_shorter_than_a_microsecond_counts_as_one(seconds: float) -> None:
    latencies = Latencies()
    latencies.record(seconds)
    assert latencies.recorded() == [(1e-6, 1)]


def test_what_is_longer_than_an_hour_counts_as_an_hour() -> None:
    latencies = Latencies()
    latencies.record(10 * LONGEST)
    assert latencies.maximum == pytest.approx(LONGEST, rel=1e-3)


def test_many_different_latencies_do_not_fill_the_memory() -> None:
    latencies = Latencies()
    for value in range(120_000):
        latencies.record(value / 1e5)
    assert len(latencies._counts) <= 50_000
    assert sum(count for _, count in latencies.recorded()) == 120_000


def test_recording_goes_on_after_a_look() -> None:
    latencies = Latencies()
    latencies.record(0.001)
    assert latencies.maximum == 0.001
    latencies.record(0.002)
    assert latencies.recorded() == [(0.001, 1), (0.002, 1)]


def test_a_tally_counts_answers_by_status_and_failures_by_kind() -> None:
    tally = Tally()
    for status in (200, 200, 503):
        tally.answer(status, 0.1)
    tally.errors["reset"] += 2
    assert (tally.answers, tally.statuses, tally.failed) == (3, {200: 2, 503: 1}, 2)
    assert list(tally.errors) == list(ERRORS)
