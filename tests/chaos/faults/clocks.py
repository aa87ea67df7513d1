"""A clock on the wall that jumps."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tests.chaos import clock
from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected

if TYPE_CHECKING:
    from tests.chaos.site import Site

HOUR = 3600.0


class Jump(Fault):
    name = "clock"
    row = "the clock jumps an hour, and back: nothing happens"
    limits = 'heartbeat = "500ms"\nwait_timeout = "5s"\nrequest_timeout = "5s"'
    expected = Expected()

    def arrange(self, site: Site) -> None:
        """Start programs whose wall clock is ours to set."""
        site.program = clock.COMMAND
        clock.set_clock(site.folder, 0.0)
        super().arrange(site)

    def strike(self, site: Site) -> None:
        workers = site.workers()
        for shift in (HOUR, -HOUR, 0.0) * (5 if site.is_full else 1):
            before = self._date(site)
            shown = before + shift - clock.read_clock(site.folder)
            clock.set_clock(site.folder, shift)
            # That the jump was felt is seen by the date of the answers.
            site.expect_soon(
                lambda shown=shown: abs(self._date(site) - shown) < 60, "the date of answers is the date", 2
            )
            site.load.more(300)
        site.expect(site.workers() == workers, "no worker is lost by a jump of the clock: some were")

    @staticmethod
    def _date(site: Site) -> float:
        with site.dispatcher.browser() as browser:
            return parsedate_to_datetime(browser.get("/nothing").headers["Date"]).timestamp()
