"""Dispatchers that leave, or die."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.chaos.entry import CLOSED, CUT, REFUSED
from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected, only
from tests.waiting import until

if TYPE_CHECKING:
    from tests.chaos.site import Site


class Terminate(Fault):
    name = "dispatcher-term"
    row = "dispatcher SIGTERM under load: nothing that was accepted fails, exit 0"
    expected = Expected(
        fates={"GET": only("200", REFUSED), "POST": only("200", REFUSED)}, longest=5.0, recovery=10.0
    )

    def strike(self, site: Site) -> None:
        """Have it drain with requests in hand and in the queue; when it has gone, another takes its place."""
        held = [site.hold("held", "POST", "/chaos/held-before")[0] for _ in range(self.workers)]
        until(lambda: site.waiting() >= 50)
        leaving = site.dispatcher.program
        leaving.send(signal.SIGTERM)
        leaving.wait_for("info draining")
        for entry in held:
            site.let_go(entry)
        code = leaving.wait()
        site.expect(code == 0, f"a dispatcher that is told to stop exits with 0: it was {code}")
        site.restart_dispatcher()
        site.wait_for_links(self.workers)


class Kill(Fault):
    name = "dispatcher-kill"
    row = "dispatcher SIGKILL and restart, with many links: all are back within seconds"
    # What it had accepted is lost with it: nobody else knows of it.
    expected = Expected(
        fates={"GET": only("200", REFUSED, CLOSED, CUT), "POST": only("200", REFUSED, CLOSED, CUT)},
        longest=15.0,
        recovery=20.0,
        growth=12 << 20,
    )
    patience = 120.0

    def arrange(self, site: Site) -> None:
        """Start workers with many threads, each of which has a link."""
        site.start_dispatcher(limits=self.limits)
        self.workers = 500 if site.is_full else 100
        self.warm = 2 * self.workers  # so that each link has been of use: its buffers are made then
        site.start_pool(self.workers // 50, "--threads", "50")
        site.wait_for_links(self.workers, 60)

    def strike(self, site: Site) -> None:
        site.dispatcher.program.send(signal.SIGKILL)
        site.dispatcher.program.wait()
        site.restart_dispatcher()
        site.expect_soon(
            lambda: len(site.dispatcher.status()["links"]) == self.workers,
            f"all {self.workers} links are back within 10 s",
            10,
        )
