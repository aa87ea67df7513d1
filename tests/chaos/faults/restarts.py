"""What ``lrwp up`` keeps going, and ``lrwp restart`` replaces."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.chaos.entry import CLOSED, CUT
from tests.chaos.fault import SETTLED, Fault
from tests.chaos.ledger import Expected, only
from tests.waiting import until

if TYPE_CHECKING:
    from tests.chaos.site import Site
    from tests.chaos.up import Kept


class Up(Fault):
    """What these faults have in common: an ``lrwp up``."""

    dispatcher: Kept

    def arrange(self, site: Site) -> None:
        """Start ``lrwp up``."""
        self.dispatcher = site.start_up(self.workers, self.limits)

    def succeed(self, site: Site, *names: str) -> None:
        """Run an ``lrwp restart`` that must succeed."""
        done = self.dispatcher.restart(*names)
        site.expect(done.returncode == 0, f"lrwp restart exits with 0: {done.returncode}, {done.stderr}")


class BrokenCode(Up):
    name = "broken-code"
    row = "new code broken at a rolling restart: the old keeps serving, and the command fails"

    def strike(self, site: Site) -> None:
        before = site.workers()
        (site.folder / "broken").touch()
        done = self.dispatcher.restart("chaos")
        site.expect(
            done.returncode == 1, f"lrwp restart fails and says why: {done.returncode}, {done.stderr}"
        )
        site.load.more(200)
        site.expect(site.workers() == before, "the old workers keep serving: some have been replaced")
        (site.folder / "broken").unlink()
        self.succeed(site, "chaos")
        site.wait_for_links(self.workers)
        site.expect(not set(site.workers()) & set(before), "mended code is taken up: an old worker is left")


class RestartDispatcher(Up):
    name = "dispatcher-restart"
    row = "another dispatcher on the same sockets: nobody is refused, nothing fails"
    expected = Expected(longest=5.0)
    patience = 180.0

    def strike(self, site: Site) -> None:
        """Restart it with requests in hand and in the queue."""
        for _ in range(20 if site.is_full else 2):
            before = self.dispatcher.pid
            held = [site.hold("held", "POST", "/chaos/held-before")[0] for _ in range(self.workers)]
            until(lambda: site.waiting() >= 50)
            for entry in held:
                site.let_go(entry)
            self.succeed(site, "dispatcher")
            site.expect(self.dispatcher.pid != before, "the dispatcher is another one: it is the same")
            site.load.more(200)
        site.wait_for_links(self.workers)


class KillDispatcher(Up):
    name = "dispatcher-kill-up"
    row = "dispatcher SIGKILL under lrwp up: nobody is refused, only what it had accepted is lost"
    expected = Expected(
        fates={"GET": only("200", CLOSED, CUT), "POST": only("200", CLOSED, CUT)}, longest=5.0, recovery=10.0
    )

    def strike(self, site: Site) -> None:
        age = SETTLED if site.is_full else 0.0
        for _ in range(5 if site.is_full else 1):
            until(lambda: self.dispatcher.status()["uptime"] >= age)
            before = self.dispatcher.pid
            os.kill(before, signal.SIGKILL)
            site.load.more(200)
            site.wait_for_links(self.workers)
            site.expect(self.dispatcher.pid != before, "the dispatcher is another one: it is the same")
