"""Clients that leave, are many, or are slow."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from tests.chaos.entry import LEFT
from tests.chaos.errors import MissingError
from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected, only
from tests.chaos.vitals import MIB, forget_peak, peak, resident
from tests.peers import Browser
from tests.waiting import until

if TYPE_CHECKING:
    from tests.chaos.entry import Entry
    from tests.chaos.site import Site

SOON: Final = 1.0
"""Seconds within which it has consequences that a client has left."""


class LeaveWaiting(Fault):
    name = "leave-waiting"
    row = "a client leaves while it waits: it is forgotten within 1 s, and its request never runs"
    expected = Expected(fates={"left": only(LEFT)}, unbegun=("503", LEFT), longest=5.0)

    def strike(self, site: Site) -> None:
        held = [site.hold("held", "POST", "/chaos/held-before")[0] for _ in range(self.workers)]
        leaving = [site.load.ask("left", "POST", "/chaos/item", b"x") for _ in range(20)]
        until(lambda: site.waiting() >= 50)
        site.load.pause()
        waiting = site.waiting()
        for number, entry in enumerate(leaving):
            site.load.leave(entry, reset=number % 2 == 0)
        site.expect_soon(
            lambda: site.waiting() == waiting - len(leaving), "who left is forgotten within 1 s", SOON
        )
        for entry in held:
            site.let_go(entry)


class LeaveUploading(Fault):
    name = "leave-uploading"
    row = "a client leaves while it uploads: the request is forgotten, or cancelled and rolled back"
    expected = Expected(fates={"left": only(LEFT)}, recovery=3.0)
    SIZE: Final = 48 * MIB
    """More than the two ends of a link hold between them, so that the worker does not have all of it."""

    def strike(self, site: Site) -> None:
        """Leave in the middle of a body, and when the worker is in the middle of it."""
        halfway = site.load.note("left", "POST")
        with an_upload(site, halfway, self.SIZE) as browser:
            browser.socket.sendall(bytes(self.SIZE // 2))
            until(lambda: site.vitals().temporary)
        halfway.end(LEFT, time.monotonic())
        site.expect_soon(lambda: not site.vitals().temporary, "half a body is forgotten within 1 s", SOON)
        whole = site.load.note("left", "POST")
        with an_upload(site, whole, self.SIZE, "?held=1") as browser:
            browser.socket.sendall(bytes(self.SIZE))
            until(lambda: site.worker_of(whole))
        whole.end(LEFT, time.monotonic())
        site.expect_soon(lambda: not site.vitals().temporary, "a whole body is forgotten within 1 s", SOON)
        site.let_go(whole)
        site.expect_soon(lambda: site.has_noted("closed", whole), "the handler is told within 1 s", SOON)
        account = site.account()
        site.expect(not account.begun[halfway.id], "a request whose body is not there is not begun: it was")
        site.expect(not account.done[whole.id], "what is cancelled is rolled back: its row is there")


@contextmanager
def an_upload(site: Site, entry: Entry, size: int, query: str = "") -> Iterator[Browser]:
    """Begin an upload, of which the body is still to be sent."""
    with Browser(site.dispatcher.http) as browser:
        head = f"POST /chaos/upload{query} HTTP/1.1\r\nHost: site\r\nX-Id: {entry.id}\r\n"
        browser.socket.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        yield browser


class LeaveDownloading(Fault):
    name = "leave-downloading"
    row = "a client leaves while it downloads: the generator is closed within 1 s"
    rate = 150
    expected = Expected(fates={"left": only(LEFT)})

    def strike(self, site: Site) -> None:
        streams = [site.load.ask("left", "GET", "/chaos/stream") for _ in range(self.workers - 1)]
        site.load.wait_for_head(*streams)
        for number, entry in enumerate(streams):
            site.load.leave(entry, reset=number % 2 == 0)
        site.expect_soon(
            lambda: all(site.has_noted("closed", entry) for entry in streams),
            "the generator of a stream is closed within 1 s",
            SOON,
        )


class Queue(Fault):
    name = "queue"
    row = "queue full: 503 in less than 10 ms; expired: 503, and it never runs later"
    limits = 'queue = 100\nwait_timeout = "1s"'
    expected = Expected(fates={"GET": only("200", "503"), "POST": only("200", "503")}, longest=3.0)

    def strike(self, site: Site) -> None:
        """Have all workers busy for longer than anybody may wait."""
        began = len(site.load.entries)
        held = [site.hold("held", "POST", "/chaos/held-before")[0] for _ in range(self.workers)]
        until(lambda: any(_is_full(entry) for entry in site.load.entries[began:]))
        site.load.more(2 * int(self.rate))
        for entry in held:
            site.let_go(entry)
        site.load.more(100)
        refused = [e for e in site.load.entries[began:] if e.outcome == "503"]
        full = sorted(e.seconds for e in refused if _is_full(e))
        expired = [e.seconds for e in refused if not _is_full(e)]
        site.expect(bool(full and expired), "some find the queue full, and some wait too long: none did")
        usual = full[len(full) * 9 // 10] if full else 0.0
        site.expect(usual < 0.010, f"a full queue answers in less than 10 ms: it took {usual * 1000:.1f} ms")
        early = [seconds for seconds in expired if seconds < 1]
        site.expect(not early, f"nobody is sent away before wait_timeout: {len(early)} were")
        site.remarks.append(f"{len(full)} found the queue full, {len(expired)} waited too long")


def _is_full(entry: Entry) -> bool:
    return "Too many requests are waiting" in entry.reason


class SlowReader(Fault):
    name = "slow-reader"
    row = "100 MB to a reader of 1 KB/s: memory bounded, worker free, others served"
    expected = Expected(fates={"slow": only(LEFT)}, recovery=5.0)

    def strike(self, site: Site) -> None:
        pid = site.dispatcher.pid
        entry = site.load.note("slow", "GET")
        before = resident(pid)
        forget_peak(pid)
        with Browser(site.dispatcher.http) as browser:
            browser.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            browser.ask("GET", "/chaos/download?size=104857600", headers=f"X-Id: {entry.id}\r\n")
            response = browser.begin()
            site.load.rest()
            site.expect_soon(site.is_idle, "a slow reader holds no worker: one is busy", 5)
            site.load.start(self.rate)
            seconds = 20 if site.is_full else 3
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                response.read(100)
                time.sleep(0.1)
            site.load.more(100)
        entry.end(LEFT, time.monotonic())
        grown = (peak(pid) - before) / MIB
        site.expect(grown < 16, f"memory stays within 16 MiB of what it was: it grew by {grown:.1f} MiB")
        site.remarks.append(f"memory grew by {grown:.1f} MiB at most")


class SlowUpload(Fault):
    name = "slow-upload"
    row = "uploads of 1 KB/s: no worker is held, and they arrive"
    expected = Expected(longest=2.0)
    CLIENTS: Final = 50

    def strike(self, site: Site) -> None:
        """Send bodies of so many KB in as many seconds."""
        seconds = 20 if site.is_full else 3
        entries = [site.load.note("slow", "POST") for _ in range(self.CLIENTS)]
        uploads = [site.enter(an_upload(site, entry, seconds * 1024)) for entry in entries]
        for _ in range(seconds * 4 - 1):
            for browser in uploads:
                browser.socket.sendall(bytes(256))
            time.sleep(0.25)
        begun = site.account().begun
        site.expect(not any(begun[entry.id] for entry in entries), "a worker gets whole bodies only: not so")
        for browser, entry in zip(uploads, entries, strict=True):
            browser.socket.sendall(bytes(256))
            entry.end(str(browser.read().status), time.monotonic())
            browser.close()


class Idle(Fault):
    name = "idle"
    row = "many idle connections: memory bounded, new clients served"
    expected = Expected(recovery=10.0, growth=24 * MIB)
    patience = 120.0

    def strike(self, site: Site) -> None:
        """Have them come and go twice: the second time must not take more memory than the first."""
        count = 10_000 if site.is_full else 1_000
        allow_files(count + 200)
        before = resident(site.dispatcher.pid)
        first, second = (self._crowd(site, count) for _ in range(2))
        each = (first - before) / count / 1024
        site.expect(each < 6, f"an idle connection takes less than 6 KiB: it was {each:.1f} KiB")
        more = (second - first) / MIB
        site.expect(more < 2, f"memory is used again: the second time took {more:.1f} MiB more")
        site.remarks.append(f"{count:,} connections, {each:.1f} KiB each")

    def _crowd(self, site: Site, count: int) -> int:
        """Return the dispatcher's memory while so many are connected."""
        with many_connections(site.dispatcher.http, count):
            until(lambda: self._count(site) >= count, 30)
            memory = resident(site.dispatcher.pid)
            site.load.more(300)
        until(lambda: self._count(site) < count)
        return memory

    def _count(self, site: Site) -> int:
        return int(site.dispatcher.status()["http"]["connections"])


def allow_files(count: int) -> None:
    """Raise our own bound on open files, if it is below what we need.

    Raises:
        MissingError: this user may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (OSError, ValueError):
        raise MissingError(f"{count} connections take as many open files; raise `ulimit -n` to it") from None


@contextmanager
def many_connections(address: tuple[str, int], count: int) -> Iterator[None]:
    """Be connected so many times."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(address, 10))
        yield
