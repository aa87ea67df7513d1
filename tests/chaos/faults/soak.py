"""A soak: high load for ten minutes, and a worker killed every two seconds."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected, mostly
from tests.chaos.vitals import MIB, resident

if TYPE_CHECKING:
    from tests.chaos.site import Site

PAUSE: Final = 2.0
"""Seconds between two deaths."""

MEASURE: Final = 20.0
"""Seconds in which is measured what the system can do while its workers are killed."""

CLIENTS: Final = 32
"""Requests on their way at any time meanwhile."""

SHARE: Final = 0.8
"""Part of that which is the load of the soak."""

MINUTE: Final = 60.0
MINUTES: Final = 10

FLAT: Final = 0.05
"""Part by which the dispatcher's memory may differ at the end from what it was in the second minute."""


class Soak(Fault):
    name = "soak"
    row = "ten minutes at 80 % load, a worker killed every two seconds: the dispatcher's memory stays flat"
    workers = 4
    expected = Expected(fates={"POST": mostly("200", "502")}, longest=10.0)
    patience = MINUTE * (MINUTES + 5)
    is_long = True

    def strike(self, site: Site) -> None:
        site.load.saturate(CLIENTS)
        before = len(site.load.entries)
        self._kill(site, MEASURE)
        rate = SHARE * (len(site.load.entries) - before) / MEASURE
        site.load.start(rate)
        memory = self._kill(site, MINUTE * MINUTES)
        each = len(memory) // MINUTES
        second, last = median(memory[each : 2 * each]), median(memory[-each:])
        site.expect(
            abs(last - second) <= FLAT * second,
            f"memory stays flat: it went from {second / MIB:.1f} to {last / MIB:.1f} MiB",
        )
        site.remarks.append(
            f"{rate:.0f} requests a second, {site.hits} workers killed; memory {second / MIB:.1f} MiB in the"
            f" second minute, {last / MIB:.1f} in the last, {max(memory) / MIB:.1f} at most"
        )

    def _kill(self, site: Site, seconds: float) -> list[int]:
        """Kill the oldest worker again and again; returns the dispatcher's memory at each time."""
        memory = []
        end = due = time.monotonic()
        end += seconds
        while due < end:
            site.kill(site.oldest_worker())
            memory.append(resident(site.dispatcher.pid))
            due += PAUSE
            time.sleep(max(0.0, due - time.monotonic()))
        return memory
