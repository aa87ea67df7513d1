"""Workers that die, hang, or cannot be started."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from tests.chaos.entry import CUT
from tests.chaos.fault import SETTLED, Fault
from tests.chaos.ledger import Expected, mostly, only
from tests.programs import lives
from tests.waiting import until

if TYPE_CHECKING:
    from tests.chaos.entry import Entry
    from tests.chaos.site import Site

REPLACED: Final = 10.0
"""Seconds in which a worker is replaced that has died: it waits a moment if it died young."""


class KillUnbegun(Fault):
    name = "kill-unbegun"
    row = "SIGKILL, not begun: another worker, and nothing is lost, whatever its method"
    expected = Expected(fates={"held": only("502")}, longest=10.0)

    def strike(self, site: Site) -> None:
        """Have every worker hold a POST, let others wait, and kill all workers."""
        held = [site.hold("held", "POST", "/chaos/held-before") for _ in range(self.workers)]
        until(lambda: site.waiting() >= 100)
        for _, pid in held:
            site.kill(pid)
        site.load.wait_for(*(entry for entry, _ in held))
        until(lambda: not site.waiting(), REPLACED)
        site.wait_for_links(self.workers)


class KillBegun(Fault):
    name = "kill-begun"
    row = "SIGKILL, begun, no byte back: a GET runs once more; a POST is a 502 and has run once at most"
    expected = Expected(
        fates={"POST": mostly("200", "502"), "held GET": only("200"), "held POST": only("502")}, longest=5.0
    )
    patience = 180.0

    def strike(self, site: Site) -> None:
        """Kill workers that are known to be at a request, and then some that may be."""
        for place in ("before", "within", "after"):
            entry, pid = site.hold("held POST", "POST", f"/chaos/held-{place}")
            self._kill(site, pid)
            site.load.wait_for(entry)
        entry, pid = site.hold("held GET", "GET", "/chaos/held")
        site.let_go(entry)
        self._kill(site, pid)
        site.load.wait_for(entry)
        for _ in range(30 if site.is_full else 4):
            self._kill(site, site.oldest_worker(SETTLED if site.is_full else 0.0))

    def _kill(self, site: Site, pid: int) -> None:
        site.kill(pid)
        until(lambda: pid not in site.workers())
        site.wait_for_links(self.workers)


class KillStreaming(Fault):
    name = "kill-streaming"
    row = "SIGKILL after the first byte: the connection ends, and the client sees that something is missing"
    expected = Expected(fates={"stream": only(CUT)}, longest=5.0)

    def strike(self, site: Site) -> None:
        for target in ("/chaos/stream", "/chaos/slow-download"):
            entry = site.load.ask("stream", "GET", target)
            site.load.wait_for_head(entry)
            site.kill(site.worker_of(entry))
            site.load.wait_for(entry)
        site.wait_for_links(self.workers)


class Hang(Fault):
    """What two rows have in common: a worker that does not answer."""

    limits = 'request_timeout = "1s"'

    def watch(self, site: Site, entry: Entry, pid: int) -> None:
        """See that a worker that hangs is cut off, killed and replaced."""
        site.load.wait_for(entry)
        answered = time.monotonic()
        site.expect(1 <= entry.seconds < 2, f"504 at the deadline of 1 s: it was at {entry.seconds:.3f} s")
        is_gone = site.expect_soon(
            lambda: not lives(pid), "a worker that hangs is killed: it still lives after 5 s", 5
        )
        if is_gone:
            site.wait_for_links(self.workers)
            took = time.monotonic() - answered
            site.remarks.append(f"504 after {entry.seconds:.2f} s; killed and replaced {took:.2f} s later")


class Stop(Hang):
    name = "stop"
    row = "SIGSTOP: 504 at the deadline; the worker is cut off, killed and replaced; late replies go nowhere"
    expected = Expected(fates={"held": only("504")}, longest=2.0)

    def strike(self, site: Site) -> None:
        for method, target in (("POST", "/chaos/held-before"), ("GET", "/chaos/held")):
            entry, pid = site.hold("held", method, target)
            os.kill(pid, signal.SIGSTOP)
            try:
                self.watch(site, entry, pid)
            finally:
                site.let_go(entry)  # so that there is a late reply, if the worker still lives
                if lives(pid):
                    os.kill(pid, signal.SIGCONT)


class NeverReturns(Hang):
    name = "never-returns"
    row = "a C call that never returns: 504 at the deadline; the worker is cut off, killed and replaced"
    expected = Expected(fates={"hang": only("504")}, longest=2.0)

    def strike(self, site: Site) -> None:
        entry = site.load.ask("hang", "GET", "/chaos/hang")
        pid = until(lambda: site.worker_of(entry))
        try:
            self.watch(site, entry, pid)
        finally:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)


class DiesAtImport(Fault):
    name = "dies-at-import"
    row = "a worker that dies at import: others serve, it is tried ever less often, status says degraded"
    expected = Expected(fates={"POST": mostly("200", "502")}, longest=2.0)

    def strike(self, site: Site) -> None:
        """Let the code break, and then a worker die."""
        (pool,) = site.pools
        (site.folder / "broken").touch()
        site.kill(site.oldest_worker())
        for _ in range(2):
            pool.wait_for(r"ended with exit code 3; trying again in")
        state = site.dispatcher.status()["state"]
        site.expect(state == "degraded", f"the status says that somebody is missing: it says {state}")
        site.load.more(200)
        (site.folder / "broken").unlink()
        site.wait_for_links(self.workers)
        tries = pool.output.count("; trying again in")
        site.expect(tries < 20, f"it is tried again ever less often: it was tried {tries} times")


class Rolling(Fault):
    name = "rolling"
    row = "rolling restart under load: no POST fails, and there is always a ready worker"
    rate = 400
    posts = 90

    def strike(self, site: Site) -> None:
        (pool,) = site.pools
        wanted = len(site.load.entries) + (3600 if site.is_full else 1200)
        fewest = self.workers
        rounds = 0
        while len(site.load.entries) < wanted or not rounds:
            pool.send(signal.SIGHUP)
            rounds += 1
            while pool.output.count("all processes have been replaced") < rounds:
                ready = sum(link["state"] != "draining" for link in site.dispatcher.status()["links"])
                fewest = min(fewest, ready)
                time.sleep(0.01)
        site.expect(
            fewest >= self.workers, f"all {self.workers} places have a ready worker: there were {fewest} once"
        )


class Poison(Fault):
    name = "poison"
    row = "a request that kills every worker: two workers at most for a GET and one for a POST, then 502"
    expected = Expected(fates={"poison": only("502")}, longest=5.0)

    def strike(self, site: Site) -> None:
        for method, most in (("GET", 2), ("POST", 1)):
            before = site.workers()
            entry = site.load.ask("poison", method, "/chaos/poison")
            site.load.wait_for(entry)
            deaths = site.account().begun[entry.id]
            site.expect(deaths == most, f"a poisonous {method} ends {most} workers: it ended {deaths}")
            site.wait_for_links(self.workers)
            ended = len(set(before) - set(site.workers()))
            site.expect(ended == most, f"only {most} workers end by a poisonous {method}: {ended} did")
