"""The promises, kept by real processes: what clients saw, held against what the workers did."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ledger import Ledger, a_ledger
from tests.peers import Browser
from tests.system import Dispatcher, a_dispatcher, a_worker
from tests.waiting import until

if TYPE_CHECKING:
    from tests.programs import Program

SITE = '''
import os, sys, time
from worker import Application, Response

app = Application("pages")
label = os.environ.get("LRWP_LABEL", "")

def record(line):
    """Note that something was done; a line this short is written whole, whoever else writes."""
    file = os.open("done", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{line}\\n".encode())
    os.close(file)

def wait_for_word():
    """Wait until the test says a word."""
    print(label, "waits", flush=True)
    with open("word") as fifo:
        return fifo.read()

@app.get("/")
def show(request):
    return label

@app.post("/")
def take(request):
    record(request.body.decode())
    return request.body

@app.get("/slowly")
def show_slowly(request):
    time.sleep(1)
    return label

leaked = []

@app.post("/leak")
def leak(request):
    record(request.body.decode())
    leaked.append(b"x" * 1_000_000)
    time.sleep(0.01)
    return "leaked"

@app.get("/word")
def show_word(request):
    return wait_for_word()

@app.post("/word")
def take_word(request):
    record(request.body.decode())
    return wait_for_word()

@app.get("/stream")
def stream(request):
    def pieces():
        try:
            while True:
                yield b"piece"
                time.sleep(0.01)
        finally:
            print(label, "closed", flush=True)
    return pieces()

@app.get("/broken")
def break_off(request):
    def pieces():
        yield b"half"
        raise RuntimeError("the other half is missing")
    return pieces()

@app.post("/upload")
def upload(request):
    size = 0
    while piece := request.exchange.body.read(100_000):
        size += len(piece)
    return str(size)

@app.get("/download")
def download(request):
    return Response(bytes(int(request.query["size"])), content_type="application/octet-stream")
'''


class Place:
    """A folder in which a dispatcher and its workers run.

    Attributes:
        folder: the folder.
        dispatcher: the dispatcher.
    """

    def __init__(self, stack: ExitStack, folder: Path, dispatcher: Dispatcher) -> None:
        self.folder = folder
        self.dispatcher = dispatcher
        self._stack = stack

    def worker(self, label: str, *flags: str, to: str | None = None) -> Program:
        """Start a worker."""
        flags = (*flags, "--label", label)
        return self._stack.enter_context(
            a_worker(self.folder, "site1:app", *flags, to=to or self.dispatcher.link)
        )

    def workers(self, *labels: str) -> list[Program]:
        """Start workers, and wait until all of them are registered."""
        before = len(self.dispatcher.status()["links"])
        programs = [self.worker(label) for label in labels]
        self.dispatcher.wait_for_links(before + len(labels))
        return programs

    def say(self, word: str) -> None:
        """Say the word that a handler waits for."""
        (self.folder / "word").write_text(word)

    def done(self) -> Counter[str]:
        """Return what handlers have recorded, and how often."""
        file = self.folder / "done"
        return Counter(file.read_text().splitlines() if file.exists() else [])

    def is_idle(self) -> bool:
        """Whether no link holds anything."""
        return all(link["state"] == "idle" for link in self.dispatcher.status()["links"])


@contextmanager
def a_place(folder: Path, limits: str = "") -> Iterator[Place]:
    (folder / "site1.py").write_text(SITE)
    os.mkfifo(folder / "word")
    with ExitStack() as stack:
        yield Place(stack, folder, stack.enter_context(a_dispatcher(folder, limits=limits)))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as place:
        yield place


def get(target: str = "/pages") -> tuple[str, str, bytes]:
    return "GET", target, b""


def post(number: int) -> tuple[str, str, bytes]:
    return "POST", "/pages", b"%d" % number


def more(ledger: Ledger, count: int) -> None:
    """Wait until so many more requests have been answered."""
    wanted = len(ledger.entries) + count
    until(lambda: len(ledger.entries) >= wanted, patience=20)


# A worker dies


def test_no_get_is_lost_when_a_worker_is_killed(place: Place) -> None:
    _, victim, _ = place.workers("ONE", "TWO", "THREE")
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(8, lambda number: get())
        more(ledger, 200)
        victim.send(signal.SIGKILL)
        more(ledger, 500)
    assert set(ledger.outcomes()) == {"200"}
    assert {entry.body for entry in ledger.entries} == {b"ONE", b"TWO", b"THREE"}


def test_no_post_runs_twice_when_a_worker_is_killed(place: Place) -> None:
    one, two = place.workers("ONE", "TWO")
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(4, post)
        more(ledger, 100)
        one.send(signal.SIGKILL)
        more(ledger, 100)
    done = place.done()
    assert max(done.values()) == 1
    failed = [entry for entry in ledger.entries if entry.outcome != "200"]
    assert [entry.outcome for entry in failed] in ([], ["502"])
    answered = {entry.body.decode() for entry in ledger.entries if entry.outcome == "200"}
    assert answered <= done.keys()
    assert len(done.keys() - answered) <= len(failed)
    two.send(signal.SIGTERM)
    assert two.wait() == 0


def test_a_post_whose_worker_is_killed_is_a_502_and_has_run_once(place: Place) -> None:
    (victim,) = place.workers("ONE")
    with place.dispatcher.browser() as browser:
        browser.ask("POST", "/pages/word", b"once")
        victim.wait_for("waits")
        place.workers("TWO")
        victim.send(signal.SIGKILL)
        assert browser.read().status == 502
        assert browser.get("/pages").body == b"TWO"
    assert place.done() == {"once": 1}


def test_an_answer_that_breaks_off_harms_its_own_client_alone(place: Place) -> None:
    place.workers("ONE", "TWO")
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(4, lambda number: get())
        more(ledger, 50)
        for _ in range(5):
            with place.dispatcher.browser() as browser, pytest.raises(http.client.IncompleteRead):
                browser.get("/pages/broken")
        more(ledger, 50)
    assert set(ledger.outcomes()) == {"200"}
    place.dispatcher.wait_for_links(2)


# Workers come, go and are slow


def test_a_worker_that_joins_under_load_gets_its_share(place: Place) -> None:
    place.workers("ONE", "TWO", "THREE")
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(8, lambda number: get())
        more(ledger, 100)
        place.workers("FOUR")
        joined = len(ledger.entries)
        more(ledger, 800)
    share = Counter(entry.body for entry in ledger.entries[joined:])
    assert set(ledger.outcomes()) == {"200"}
    assert share[b"FOUR"] > sum(share.values()) / 10, share


def test_no_request_waits_behind_a_slow_worker_while_others_are_idle(place: Place) -> None:
    place.workers("ONE", "TWO", "THREE")
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(8, lambda number: get())
        more(ledger, 300)
        with a_ledger(place.dispatcher.http) as slow:
            slow.start(1, lambda number: get("/pages/slowly"))
            until(lambda: len(slow.entries) == 2)
    assert set(ledger.outcomes()) == set(slow.outcomes()) == {"200"}
    assert min(entry.seconds for entry in slow.entries) >= 1
    longest = max(entry.seconds for entry in ledger.entries)
    assert longest < 0.5, f"{longest} s of {len(ledger.entries)} requests"


def test_a_pool_is_replaced_under_load_and_nothing_is_lost(place: Place) -> None:
    pool = place.worker("ONE", "-n", "2")
    place.dispatcher.wait_for_links(2)
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(4, post)
        ledger.start(2, lambda number: get())
        more(ledger, 100)
        pool.send(signal.SIGHUP)
        pool.wait_for("all processes have been replaced")
        more(ledger, 100)
    assert set(ledger.outcomes()) == {"200"}
    answered = Counter(entry.body.decode() for entry in ledger.entries if entry.name.startswith("POST"))
    assert place.done() == answered


def test_workers_that_serve_a_number_of_requests_are_replaced_and_nothing_is_lost(place: Place) -> None:
    place.worker("ONE", "-n", "2", "--max-requests", "150")
    place.dispatcher.wait_for_links(2)
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(4, post)
        ledger.start(2, lambda number: get())
        more(ledger, 1000)
    assert set(ledger.outcomes()) == {"200"}
    assert set(place.done().values()) == {1}


class Census:
    """Looks all the time at which links serve; those that drain are not among them."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.serving: list[set[str]] = []
        self.draining: list[set[str]] = []
        self._dispatcher = dispatcher
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.is_set():
            links = self._dispatcher.status()["links"]
            self.draining.append({link["instance"] for link in links if link["state"] == "draining"})
            self.serving.append({link["instance"] for link in links if link["state"] != "draining"})


@pytest.mark.parametrize("bound", [("--max-requests", "150"), ("--max-age", "300ms")])
def test_processes_of_a_pool_never_leave_two_at_a_time_and_never_before_their_heirs_are_there(
    place: Place, bound: tuple[str, str]
) -> None:
    place.worker("ONE", "-n", "2", *bound)
    place.dispatcher.wait_for_links(2)
    with a_ledger(place.dispatcher.http) as ledger, Census(place.dispatcher) as census:
        ledger.start(4, post)
        until(lambda: len(set().union(*census.serving)) >= 6, patience=20)
    assert set(ledger.outcomes()) == {"200"}
    assert set(place.done().values()) == {1}
    assert min(map(len, census.serving)) == 2
    assert max(map(len, census.draining)) <= 1


def test_a_leak_is_stopped_by_a_bound_on_memory(place: Place) -> None:
    program = place.worker("ONE", "-n", "1", "--max-memory", "100MiB")
    place.dispatcher.wait_for_links(1)
    with a_ledger(place.dispatcher.http) as ledger, Census(place.dispatcher) as census:
        ledger.start(1, lambda number: ("POST", "/pages/leak", b"%d" % number))
        program.wait_for(r"info worn out +reason=.it has \d+ MiB of memory", patience=20)
        until(lambda: len(set().union(*census.serving)) >= 2, patience=20)
    assert set(ledger.outcomes()) == {"200"}
    assert set(place.done().values()) == {1}
    assert min(map(len, census.serving)) >= 1


# A worker hangs


def test_a_worker_that_is_stopped_costs_its_own_client_a_504_and_its_late_answer_goes_nowhere(
    tmp_path: Path,
) -> None:
    with a_place(tmp_path, 'request_timeout = "500ms"') as place:
        (stopped,) = place.workers("ONE")
        with a_ledger(place.dispatcher.http) as ledger, place.dispatcher.browser() as browser:
            browser.ask("GET", "/pages/word")
            stopped.wait_for("waits")
            place.workers("TWO")
            ledger.start(4, lambda number: get())
            stopped.send(signal.SIGSTOP)
            began = time.monotonic()
            assert browser.read().status == 504
            assert time.monotonic() - began < 1.5
            place.dispatcher.wait_for_links(1)
            stopped.send(signal.SIGCONT)
            place.say("too late")
            place.dispatcher.wait_for_links(2)
            more(ledger, 300)
        assert set(ledger.outcomes()) == {"200"}
        assert {entry.body for entry in ledger.entries} == {b"ONE", b"TWO"}


# Clients leave


def test_the_request_of_a_client_that_left_while_it_waited_never_runs(place: Place) -> None:
    (worker,) = place.workers("ONE")
    with place.dispatcher.browser() as busy, place.dispatcher.browser() as leaving:
        busy.ask("POST", "/pages/word", b"first")
        worker.wait_for("waits")
        leaving.ask("POST", "/pages", b"never")
        until(lambda: place.dispatcher.status()["applications"][0]["waiting"] == 1)
        leaving.leave()
        until(lambda: place.dispatcher.status()["applications"][0]["waiting"] == 0)
        place.say("go on")
        assert busy.read().body == b"go on"
        assert busy.post("/pages", b"last").body == b"last"
    assert place.done() == {"first": 1, "last": 1}


@pytest.mark.parametrize("how", ["close", "leave"])
def test_a_stream_is_closed_within_a_second_after_its_client_has_left(place: Place, how: str) -> None:
    (worker,) = place.workers("ONE")
    with place.dispatcher.browser() as browser:
        assert browser.ask("GET", "/pages/stream").begin().read(5) == b"piece"
        began = time.monotonic()
        getattr(browser, how)()
        worker.wait_for("ONE closed")
        assert time.monotonic() - began < 1
    until(place.is_idle)
    assert place.dispatcher.get("/pages") == b"ONE"


# Large bodies

MIB = 1 << 20


def resident(pid: int) -> int:
    """Return the memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def bounded_memory(pid: int, bound: int) -> Iterator[None]:
    """Look at the memory of a process all the time; it must not grow by more than ``bound`` bytes."""
    base = highest = resident(pid)
    is_over = threading.Event()

    def look() -> None:
        nonlocal highest
        while not is_over.wait(0.002):
            highest = max(highest, resident(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert highest - base < bound, f"{(highest - base) / MIB:.1f} MiB above {base / MIB:.1f}"


def test_a_hundred_megabytes_go_up_and_down_without_filling_the_dispatchers_memory(place: Place) -> None:
    place.workers("ONE", "TWO")
    with (
        bounded_memory(place.dispatcher.pid, 64 * MIB),
        a_ledger(place.dispatcher.http) as ledger,
        place.dispatcher.browser() as browser,
    ):
        ledger.start(1, lambda number: get())
        browser.socket.sendall(
            b"POST /pages/upload HTTP/1.1\r\nHost: site\r\nContent-Length: 104857600\r\n\r\n"
        )
        for _ in range(100):
            browser.socket.sendall(bytes(MIB))
        assert browser.read().body == b"104857600"
        response = browser.ask("GET", "/pages/download?size=104857600").begin()
        until(place.is_idle)  # it is the dispatcher, not a worker, that waits for a slow client
        assert sum(len(piece) for piece in iter(lambda: response.read(MIB), b"")) == 100 * MIB
    assert set(ledger.outcomes()) == {"200"}
    assert max(entry.seconds for entry in ledger.entries) < 0.5


# Several dispatchers


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Dispatcher]:
    folder = tmp_path / "other"
    folder.mkdir()
    with a_dispatcher(folder, limits='heartbeat = "100ms"') as other:
        yield other


def test_a_worker_serves_two_dispatchers_and_comes_back_to_one_that_died(
    place: Place, other: Dispatcher, tmp_path: Path
) -> None:
    worker = place.worker("ONE", "--dispatcher", other.link)
    for dispatcher in (place.dispatcher, other):
        dispatcher.wait_for_links(1)
        assert dispatcher.get("/pages") == b"ONE"
    other.program.send(signal.SIGKILL)
    worker.wait_for("warning link lost")
    assert place.dispatcher.get("/pages") == b"ONE"
    folder = tmp_path / "heir"
    folder.mkdir()
    with a_dispatcher(folder, "--link", other.link) as heir:
        heir.wait_for_links(1)
        assert heir.get("/pages") == b"ONE"
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_worker_notices_that_a_dispatcher_has_fallen_silent_and_comes_back(
    place: Place, other: Dispatcher
) -> None:
    worker = place.worker("ONE", "--dispatcher", other.link)
    other.wait_for_links(1)
    place.dispatcher.wait_for_links(1)
    other.program.send(signal.SIGSTOP)
    worker.wait_for(f"warning link lost dispatcher={other.link} .*silent for too long")
    assert place.dispatcher.get("/pages") == b"ONE"
    other.program.send(signal.SIGCONT)
    worker.wait_for(f"info registered dispatcher={other.link}")
    assert other.get("/pages") == b"ONE"


def test_all_workers_come_back_when_their_only_dispatcher_is_started_again(
    place: Place, other: Dispatcher, tmp_path: Path
) -> None:
    workers = [place.worker(label, "--threads", "4", to=other.link) for label in ("ONE", "TWO", "THREE")]
    other.wait_for_links(12)
    other.program.send(signal.SIGKILL)
    for worker in workers:
        worker.wait_for("warning link lost")
    folder = tmp_path / "heir"
    folder.mkdir()
    with a_dispatcher(folder, "--link", other.link) as heir:
        heir.wait_for_links(12)


# Strangers


def test_strangers_at_the_workers_door_disturb_nobody(place: Place) -> None:
    place.workers("ONE")
    host, _, port = place.dispatcher.link.rpartition(":")
    words = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\xff\xff" + bytes(65535),
        b"",
    ]
    with a_ledger(place.dispatcher.http) as ledger:
        ledger.start(2, lambda number: get())
        more(ledger, 20)
        for _ in range(20):
            for word in words:
                with Browser((host, int(port))) as stranger:
                    stranger.socket.sendall(word)
        more(ledger, 20)
    assert set(ledger.outcomes()) == {"200"}
    assert place.dispatcher.drain() == 0
    assert "Traceback" not in place.dispatcher.program.output
