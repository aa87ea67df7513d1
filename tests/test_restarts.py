"""Restarts under load: what clients of ``lrwp up`` see when its parts die, are replaced, or cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrwp.admin import ask
from protocol.addresses import Address
from tests.bench.measure import free_ports
from tests.ledger import Ledger, a_ledger
from tests.peers import Browser
from tests.programs import Program, in_session, running
from tests.system import LRWP
from tests.waiting import until

SITE = """
import os, time
from worker import Application

app = Application("pages")
VERSION = "first"

@app.get("/")
def show(request):
    return VERSION

@app.get("/stream")
def stream(request):
    while not os.path.exists("enough"):
        yield b"more"
        time.sleep(0.02)

@app.post("/")
def take(request):
    file = os.open("done", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, request.body + b"\\n")
    os.close(file)
    return request.body
"""

CONFIG = """
[dispatcher]
http = "127.0.0.1:{http}"
link = "unix://{folder}/link"
admin = "unix://{folder}/admin"
access_log_format = "off"
[pools.shop]
target = "site1:app"
processes = 2
"""


class Site:
    """A running ``lrwp up``.

    Attributes:
        folder: where it runs.
        http: where clients connect.
        program: its process.
    """

    def __init__(self, folder: Path, port: int, program: Program) -> None:
        self.folder = folder
        self.http = ("127.0.0.1", port)
        self.program = program

    def restart(self, *names: str) -> subprocess.CompletedProcess[str]:
        """Run ``lrwp restart``."""
        command = [sys.executable, *LRWP, "restart", "-c", "site.toml", *names]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )

    def dispatcher(self) -> int:
        """Return the process id of the dispatcher."""
        for pid in in_session(self.program.process.pid):
            if b"dispatcher" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        raise AssertionError("there is no dispatcher")

    def links(self) -> list[dict[str, object]]:
        """Return what the admin listener tells of links."""
        status = json.loads(ask(Address("unix", path=str(self.folder / "admin")), "/status"))
        links: list[dict[str, object]] = status["links"]
        return links

    def done(self) -> Counter[str]:
        """Return which posts have been taken, and how often."""
        return Counter((self.folder / "done").read_text().splitlines())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (port,) = free_ports(1)
    (tmp_path / "site1.py").write_text(SITE)
    (tmp_path / "site.toml").write_text(CONFIG.format(http=port, folder=tmp_path))
    (tmp_path / "site.toml").chmod(0o600)
    environ = {"XDG_RUNTIME_DIR": ""}
    with running([*LRWP, "up", "site.toml"], cwd=tmp_path, environ=environ) as program:
        program.wait_for("LRWP is ready")
        yield Site(tmp_path, port, program)
        program.send(signal.SIGTERM)
        assert program.wait() == 0
    assert "Traceback" not in program.output


def post(number: int) -> tuple[str, str, bytes]:
    return "POST", "/pages", b"%d" % number


def get(number: int) -> tuple[str, str, bytes]:
    return "GET", "/pages", b""


def more(ledger: Ledger, count: int) -> None:
    """Wait until so many more requests have been answered."""
    wanted = len(ledger.entries) + count
    until(lambda: len(ledger.entries) >= wanted, patience=30)


@contextmanager
def census(site: Site) -> Iterator[list[int]]:
    """Count, all the time, the links that take requests."""
    counts: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            counts.append(sum(link["state"] != "draining" for link in site.links()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        thread.join()


def test_a_rolling_restart_under_load_fails_no_post_and_is_never_without_a_worker(site: Site) -> None:
    with a_ledger(site.http) as ledger, census(site) as counts:
        ledger.start(4, post)
        ledger.start(2, post, keep_alive=False)
        more(ledger, 200)
        (site.folder / "site1.py").write_text(SITE.replace("first", "second"))
        done = site.restart("shop")
        more(ledger, 1000)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "shop-1 has been replaced\nshop-2 has been replaced\nshop has been restarted\n"
    assert set(ledger.outcomes()) == {"200"}
    assert ledger.refused == 0
    assert site.done() == Counter(entry.body.decode() for entry in ledger.entries)
    assert len(counts) > 20
    assert min(counts) >= 2
    assert ask(Address("tcp", *site.http), "/pages") == b"second"


def test_new_code_that_is_broken_fails_the_command_and_the_old_serves_on(site: Site) -> None:
    with a_ledger(site.http) as ledger, census(site) as counts:
        ledger.start(2, post)
        more(ledger, 50)
        (site.folder / "site1.py").write_text("VERSION =")
        done = site.restart()
        more(ledger, 50)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("lrwp: the new shop-1 could not go on: site1 cannot be loaded: SyntaxError")
    assert done.stderr.endswith("; the old processes serve on\n")
    assert set(ledger.outcomes()) == {"200"}
    assert set(counts) == {2}


def test_a_restart_of_the_dispatcher_under_load_fails_no_post(site: Site) -> None:
    before = site.dispatcher()
    with a_ledger(site.http) as ledger:
        ledger.start(4, post)
        ledger.start(2, post, keep_alive=False)
        more(ledger, 200)
        for _ in range(2):
            done = site.restart("dispatcher")
            assert (done.returncode, done.stderr) == (0, "")
            more(ledger, 200)
    assert set(ledger.outcomes()) == {"200"}
    assert ledger.refused == 0
    assert site.done() == Counter(entry.body.decode() for entry in ledger.entries)
    assert site.dispatcher() != before
    assert "link lost" not in site.program.output


def test_nobody_is_refused_when_the_dispatcher_is_killed(site: Site) -> None:
    killed = site.dispatcher()
    with a_ledger(site.http) as ledger:
        ledger.start(4, get, keep_alive=False)
        ledger.start(2, get)
        more(ledger, 200)
        os.kill(killed, signal.SIGKILL)
        site.program.wait_for("dispatcher +. .*info serving")
        more(ledger, 300)
    assert ledger.refused == 0
    lost = [entry for entry in ledger.entries if entry.outcome != "200"]
    assert len(lost) <= 6  # what each client had in hand when the dispatcher died
    reset = (
        repr(ConnectionResetError(104, "Connection reset by peer")),
        "RemoteDisconnected",
        "IncompleteRead",
    )
    assert all(entry.outcome.startswith(reset) for entry in lost), lost


def test_a_dispatcher_that_cannot_start_anew_fails_the_command_and_the_old_one_serves_on(site: Site) -> None:
    before = site.dispatcher()
    config = site.folder / "site.toml"
    good = config.read_text()
    config.write_text(good + "\n[limits]\nhead = '2MiB'\n")
    done = subprocess.run(
        [sys.executable, *LRWP, "restart", "dispatcher"],
        cwd=site.folder,
        env={**os.environ, "LRWP_DISPATCHER_ADMIN": f"unix://{site.folder}/admin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "lrwp: the new dispatcher could not start: site.toml: [limits] head must be from 1 to 1MiB, not"
        ' "2MiB"; the old one serves on\n'
    )
    assert site.dispatcher() == before
    config.write_text(good.replace(f'http = "127.0.0.1:{site.http[1]}"', 'http = "127.0.0.1:1"'))
    done = site.restart("dispatcher")
    assert done.returncode == 1
    assert f"a socket was passed that listens on 127.0.0.1:{site.http[1]}, which is none" in done.stderr
    config.write_text(good)
    assert site.restart("dispatcher").returncode == 0
    assert ask(Address("tcp", *site.http), "/pages") == b"first"


def test_what_is_not_there_is_not_restarted(site: Site) -> None:
    done = site.restart("shp")
    assert (done.returncode, done.stderr) == (1, "lrwp: there is no shp; did you mean shop?\n")


def test_a_second_restart_at_a_time_is_refused(site: Site) -> None:
    (site.folder / "site1.py").write_text("import time\ntime.sleep(2)\n" + SITE)
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(site.restart("shop", "dispatcher").returncode))
    thread.start()
    site.program.wait_for("replacing the processes")
    done = site.restart()
    thread.join()
    assert (done.returncode, done.stderr) == (
        1,
        "lrwp: shop is being restarted already: try again after that\n",
    )
    assert first == [0]


def test_without_lrwp_up_there_is_nothing_to_restart(tmp_path: Path) -> None:
    environ = {"LRWP_DISPATCHER_ADMIN": f"unix://{tmp_path}/admin"}
    with running([*LRWP, "restart"], environ=environ) as program:
        assert program.wait() == 1
    assert program.output == (
        f"lrwp: no `lrwp up` of yours has its admin at unix://{tmp_path}/admin: start one, or name its"
        " configuration with -c\n"
    )


def test_a_pool_that_could_not_start_is_started_when_its_code_is_mended(site: Site) -> None:
    (site.folder / "site1.py").write_text("VERSION =")
    for pid in in_session(site.program.process.pid):
        if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGKILL)
    site.program.wait_for("^lrwp: shop ended with exit code 1; trying again in")
    (site.folder / "site1.py").write_text(SITE.replace("first", "mended"))
    done = site.restart("shop")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "shop has been restarted"), done
    assert ask(Address("tcp", *site.http), "/pages") == b"mended"


def test_what_is_stopped_while_it_is_restarted_says_so(site: Site) -> None:
    (site.folder / "site1.py").write_text("import time\ntime.sleep(60)\n")
    seen: list[subprocess.CompletedProcess[str]] = []
    thread = threading.Thread(target=lambda: seen.append(site.restart("shop")))
    thread.start()
    site.program.wait_for("replacing the processes")
    site.program.send(signal.SIGTERM)
    assert site.program.wait() == 0
    thread.join()
    assert [(done.returncode, done.stderr) for done in seen] == [(1, "lrwp: all of it is being stopped\n")]


def test_what_streams_for_long_does_not_hold_up_those_who_come_after_a_restart(site: Site) -> None:
    with Browser(site.http) as browser:
        response = browser.ask("GET", "/pages/stream").begin()
        assert response.read(4) == b"more"
        restarting = subprocess.Popen(
            [sys.executable, *LRWP, "restart", "-c", "site.toml", "dispatcher"],
            cwd=site.folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        with restarting:
            assert restarting.stdout is not None
            assert restarting.stdout.readline().startswith("the new dispatcher serves")
            began = time.monotonic()
            for _ in range(3):
                assert ask(Address("tcp", *site.http), "/pages") == b"first"
            assert time.monotonic() - began < 2
            assert response.read(4) == b"more"
            (site.folder / "enough").touch()
            assert set(response.read()) <= set(b"more")
            assert restarting.stdout.read() == "dispatcher has been restarted\n"
        assert restarting.returncode == 0
