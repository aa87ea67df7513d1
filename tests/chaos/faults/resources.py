"""A machine that runs out of something."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.entry import CLOSED, CUT
from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected, only
from tests.chaos.vitals import MIB, cpu_seconds
from tests.peers import Browser
from tests.waiting import until

if TYPE_CHECKING:
    from tests.chaos.site import Site


class NoFiles(Fault):
    name = "no-files"
    row = "no file descriptors: who is connected is served, the dispatcher does not spin, and it recovers"
    # Whom the system has let in and the dispatcher cannot, libuv lets go.
    expected = Expected(fates={"GET": only("200", CLOSED), "POST": only("200", CLOSED)})
    SPARE: Final = 10
    CROWD: Final = 60

    def strike(self, site: Site) -> None:
        """Let more connect than there are descriptors for."""
        pid = site.dispatcher.pid
        site.load.more(50)
        usual = _load_of(pid, 1.0)
        with few_files(pid, self.SPARE), ExitStack() as stack:
            for _ in range(self.CROWD):
                stack.enter_context(Browser(site.dispatcher.http))
            until(lambda: _has_no_file_left(pid))
            starved = _load_of(pid, 5.0 if site.is_full else 2.0)
            site.load.more(100)
            site.expect(
                starved < usual + 0.25,
                f"it does not spin: it used {starved:.0%} of a processor, and {usual:.0%} before",
            )
            site.remarks.append(f"{starved:.0%} of a processor while starved, {usual:.0%} before")


def _has_no_file_left(pid: int) -> bool:
    return len(os.listdir(f"/proc/{pid}/fd")) >= resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


def _load_of(pid: int, seconds: float) -> float:
    """Return which part of a processor a process uses, measured for so many seconds."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


@contextmanager
def few_files(pid: int, spare: int) -> Iterator[None]:
    """Let a process open only so many files more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = max(int(number) for number in os.listdir(f"/proc/{pid}/fd")) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened + spare, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


class FullDisk(Fault):
    name = "full-disk"
    row = "disk full while a body is stored: that request is a 507, or its answer is cut; nothing is left"
    expected = Expected(fates={"large": only("507"), "small": only("200"), "answer": only(CUT)})
    DISK: Final = 4 * MIB

    def arrange(self, site: Site) -> None:
        """Give the dispatcher a small disk for its temporary files."""
        self.is_mounted = _may_mount()
        if self.is_mounted:
            site.start_dispatcher(
                before=(
                    *("unshare", "--mount", "sh", "-c"),
                    f'mount -t tmpfs -o size={self.DISK} chaos {site.temporary} && exec "$@"',
                    "sh",
                )
            )
        else:  # files of that size, then, instead of a disk
            site.start_dispatcher()
            resource.prlimit(site.dispatcher.pid, resource.RLIMIT_FSIZE, (self.DISK, self.DISK))
            site.remarks.append("mounting is not allowed here: files were limited instead of the disk")
        site.start_pool(self.workers)

    def strike(self, site: Site) -> None:
        for _ in range(20 if site.is_full else 5):
            for kind, size in (("large", 2 * self.DISK), ("small", self.DISK // 4)):
                site.load.wait_for(site.load.ask(kind, "POST", "/chaos/upload", bytes(size)))
        self._read_slowly(site)
        if self.is_mounted:
            disk = Path(f"/proc/{site.dispatcher.pid}/root{site.temporary}")

            def is_free() -> bool:
                room = os.statvfs(disk)
                return room.f_bfree == room.f_blocks

            site.expect_soon(is_free, "all room on the disk is given back: not so after 5 s", 5)

    def _read_slowly(self, site: Site) -> None:
        """Be too slow for an answer that does not fit on the disk."""
        site.load.rest()  # so that there is one connection only, and one can see when it is cut
        entry = site.load.note("answer", "GET")
        with Browser(site.dispatcher.http) as browser:
            browser.ask("GET", f"/chaos/download?size={16 * self.DISK}", headers=f"X-Id: {entry.id}\r\n")
            response = browser.begin()
            left = response.length or 0
            site.expect_soon(
                lambda: not site.dispatcher.status()["http"]["connections"],
                "an answer that cannot be kept ends its connection: not so after 5 s",
                5,
            )
            with suppress(ConnectionResetError):
                left -= sum(len(piece) for piece in iter(lambda: response.read(MIB), b""))
            entry.end(CUT if left else "200", time.monotonic())
        site.load.start(self.rate)


def _may_mount() -> bool:
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs chaos /mnt"]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0
    except FileNotFoundError:
        return False
