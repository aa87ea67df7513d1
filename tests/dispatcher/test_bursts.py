"""Lines that anybody could cause by the thousand."""

from __future__ import annotations

from structlog.testing import capture_logs

from dispatcher.bursts import PAUSE, Burst


def test_a_burst_is_one_line_and_the_next_line_counts_it() -> None:
    now = 1000.0
    burst = Burst("it happened", lambda: now)
    with capture_logs() as log:
        for _ in range(5):
            burst.note(reason="first")
        now += PAUSE
        burst.note(reason="second")
        now += PAUSE
        burst.note(reason="third")
    common = {"event": "it happened", "log_level": "warning"}
    assert log == [
        {**common, "reason": "first"},
        {**common, "reason": "second", "untold": 4},
        {**common, "reason": "third"},
    ]
