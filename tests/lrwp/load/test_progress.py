import io

import pytest
from rich.console import Console

from lrwp.load.progress import INTERVAL, ProgressBar
from lrwp.load.tally import Tally


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_the_bar_shows_how_many_requests_are_settled(screen: Console) -> None:
    tally = Tally()
    tally.answers = 40
    tally.errors["timeout"] = 10
    with ProgressBar(200, None, screen) as bar:
        bar.draw(2.0, tally)
    assert "25%" in shown(screen)
    assert "20 requests/s, 10 failed" in shown(screen)


def test_the_bar_shows_how_much_time_has_passed(screen: Console) -> None:
    with ProgressBar(None, 10.0, screen) as bar:
        bar.draw(4.0, Tally())
    assert "40%" in shown(screen)


def test_the_bar_is_not_drawn_again_at_once(screen: Console) -> None:
    tally = Tally()
    with ProgressBar(None, 10.0, screen) as bar:
        bar.draw(1.0, tally)
        tally.answers = 5
        bar.draw(1.0 + INTERVAL / 2, tally)
        assert "requests/s" in shown(screen)
        assert "3 requests/s" not in shown(screen)
        bar.draw(1.0 + INTERVAL, tally)
        assert "3 requests/s" in shown(screen)


def test_the_bar_says_what_goes_on_before_the_first_request(screen: Console) -> None:
    with ProgressBar(10, None, screen):
        pass
    assert "connecting" in shown(screen)
