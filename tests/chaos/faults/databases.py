"""Databases that are gone, or locked."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected, only

if TYPE_CHECKING:
    from tests.chaos.site import Site
    from tests.services import Postgresql


class Gone(Fault):
    name = "database-gone"
    row = "database gone: 503 until it is back, then reopened for the next request; no worker is lost"
    expected = Expected(fates={"POST": only("200", "500", "503")}, unbegun=(), longest=8.0)
    server: Postgresql

    def arrange(self, site: Site) -> None:
        """Have the workers use PostgreSQL."""
        self.server = site.start_postgresql()
        super().arrange(site)

    def strike(self, site: Site) -> None:
        workers = site.workers()
        for _ in range(5 if site.is_full else 1):
            site.hits += self.workers  # each may be at a commit, of which nobody knows what became
            self.server.stop()
            time.sleep(3)  # longer than a worker waits for a database to come back
            self.server.start()
            site.load.more(300)
        in_doubt = site.account().outcomes()["500"]
        site.expect(
            in_doubt <= site.hits, f"at most {site.hits} requests are in doubt: {in_doubt} were answered 500"
        )
        site.expect(site.workers() == workers, "no worker is lost with its database: some were")


class Locked(Fault):
    name = "database-locked"
    row = "database locked: a bounded wait, then 503"
    rate = 200
    expected = Expected(fates={"POST": only("200", "503")}, unbegun=(), longest=8.0)
    WAIT: Final = 0.5

    def arrange(self, site: Site) -> None:
        """Have the workers wait for a lock no longer than half a second."""
        site.use_database(wait=self.WAIT)
        super().arrange(site)

    def strike(self, site: Site) -> None:
        with closing(sqlite3.connect(site.folder / "done.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(4 if site.is_full else 2)
            other.execute("ROLLBACK")
        site.load.more(200)
        busy = [entry for entry in site.load.entries if entry.outcome == "503"]
        site.expect(bool(busy), "who waits for a lock in vain is told so with a 503: nobody was")
        early = [entry for entry in busy if entry.seconds < self.WAIT]
        site.expect(not early, f"nobody is told so before the wait is over: {len(early)} were")
