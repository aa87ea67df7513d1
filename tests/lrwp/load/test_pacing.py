import pytest

from lrwp.load.pacing import GRACE, ClosedPace, OpenPace


def test_in_a_closed_loop_a_request_is_due_whenever_a_channel_is_free() -> None:
    pace = ClosedPace(requests=3)
    pace.start(100.0)
    assert [pace.take(100.0), pace.take(107.5)] == [100.0, 107.5]
    assert pace.next_due() is None
    assert not pace.is_over(108.0)


def test_a_closed_loop_ends_after_its_requests() -> None:
    pace = ClosedPace(requests=2)
    pace.start(0.0)
    assert [pace.take(1.0), pace.take(1.0), pace.take(1.0)] == [1.0, 1.0, None]
    assert pace.is_over(1.0)


def test_a_closed_loop_ends_with_its_time() -> None:
    pace = ClosedPace(seconds=2.0)
    pace.start(10.0)
    assert pace.take(11.9) == 11.9
    assert pace.take(12.0) is None
    assert pace.is_over(12.0)


def test_a_closed_loop_leaves_nothing_unsent() -> None:
    pace = ClosedPace(seconds=2.0)
    pace.start(10.0)
    assert pace.unsent() == 0
    assert pace.span() == 0.0


def test_in_an_open_loop_requests_are_due_at_even_distances() -> None:
    pace = OpenPace(10, requests=4)
    pace.start(50.0)
    assert [pace.take(50.35) for _ in range(4)] == pytest.approx([50.0, 50.1, 50.2, 50.3])


def test_in_an_open_loop_nothing_can_be_taken_before_it_is_due() -> None:
    pace = OpenPace(10, requests=2)
    pace.start(50.0)
    assert pace.take(50.0) == 50.0
    assert pace.take(50.05) is None
    assert pace.next_due() == pytest.approx(50.1)
    assert not pace.is_over(50.05)


def test_however_late_it_is_taken_a_request_counts_from_when_it_was_due() -> None:
    pace = OpenPace(10, requests=2)
    pace.start(0.0)
    assert [pace.take(60.0), pace.take(60.0)] == pytest.approx([0.0, 0.1])


def test_an_open_loop_ends_when_the_last_request_is_taken() -> None:
    pace = OpenPace(10, requests=1)
    pace.start(0.0)
    pace.take(0.0)
    assert pace.next_due() is None
    assert pace.take(9.0) is None
    assert pace.is_over(0.0)


def test_an_open_loop_with_a_time_has_as_many_requests_as_are_due_in_it() -> None:
    assert OpenPace(10, seconds=2.0).total == 20
    assert OpenPace(0.5, seconds=1.0).total == 1


def test_what_an_open_loop_could_not_send_in_its_time_stays_unsent() -> None:
    pace = OpenPace(10, seconds=1.0)
    pace.start(0.0)
    for _ in range(4):
        pace.take(0.9)
    assert pace.take(1.0 + GRACE) is None
    assert pace.is_over(1.0 + GRACE)
    assert pace.unsent() == 6


def test_what_was_due_at_the_very_end_may_be_sent_a_moment_later() -> None:
    pace = OpenPace(1, seconds=1.0)
    pace.start(0.0)
    assert pace.take(1.0 + GRACE / 2) == 0.0


def test_ten_requests_at_ten_a_second_stand_for_a_second_though_the_last_begins_sooner() -> None:
    pace = OpenPace(10, requests=10)
    pace.start(0.0)
    while pace.take(0.9) is not None:
        pass
    assert pace.span() == pytest.approx(1.0)


def test_rounding_errors_do_not_add_up() -> None:
    pace = OpenPace(3, requests=300_001)
    pace.start(0.0)
    for _ in range(300_000):
        pace.take(200_000.0)
    assert pace.next_due() == pytest.approx(100_000.0, abs=1e-9)


@pytest.mark.parametrize("pace", [ClosedPace(seconds=9.0), ClosedPace(requests=9), OpenPace(9, requests=9)])
def test_a_pace_that_is_stopped_is_over_and_has_nothing_unsent(pace: ClosedPace | OpenPace) -> None:
    pace.start(0.0)
    pace.take(0.0)
    pace.stop()
    assert pace.take(0.5) is None
    assert pace.is_over(0.5)
    assert pace.unsent() == 0
