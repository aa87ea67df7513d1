from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.programs import Program, wait_until_gone
from tests.system import Dispatcher, a_dispatcher, a_worker
from worker.vigil import MARGIN, PAUSE, SOON, Vigil, traceback_of


class FakeServing:
    """A thread of which the test says what it does."""

    def __init__(self, patience: float = 4.0) -> None:
        self.patience = patience
        self.in_hand: object | None = None
        self.until = float("inf")
        self.is_cut = False

    def begin(self, now: float) -> None:
        """Take a request in hand."""
        self.in_hand = object()
        self.until = now + self.patience

    def end(self) -> None:
        """Be done with it."""
        self.in_hand = None
        self.until = float("inf")

    def seconds_left(self, now: float) -> float:
        return self.until - now

    def is_cut_off(self) -> bool:
        return self.is_cut


def vigil(*servings: FakeServing) -> tuple[Vigil, list[float]]:
    promises: list[float] = []
    return Vigil(servings, promises.append), promises  # type: ignore[arg-type]  # fakes


# When to look


def test_without_a_dispatcher_s_word_on_its_patience_nobody_is_watched() -> None:
    watch, promises = vigil(FakeServing(patience=0.0))
    assert (watch.look(0.0), promises) == (None, [])


def test_the_promise_outlives_the_patience_of_a_dispatcher() -> None:
    watch, promises = vigil(FakeServing(patience=0.0), FakeServing(patience=4.0))
    assert (watch.look(0.0), promises) == (1.0, [4.0 + 2 * 1.0 + MARGIN])
    assert repr(watch) == "<Vigil over 2, 0 hung>"


def test_the_longest_pause_has_a_bound() -> None:
    assert vigil(FakeServing(patience=3600.0))[0].look(0.0) == PAUSE


def test_the_next_look_is_when_the_patience_with_a_request_ends() -> None:
    serving = FakeServing()
    serving.begin(0.0)
    assert vigil(serving)[0].look(3.75) == 0.25


# Who hangs


def test_a_request_that_has_outlived_patience_and_is_twice_found_cut_off_hangs() -> None:
    serving, other = FakeServing(), FakeServing()
    watch, _ = vigil(serving, other)
    serving.begin(0.0)
    assert watch.look(4.0) == SOON  # the dispatcher is about to
    serving.is_cut = True
    assert (watch.look(4.25), watch.hung) == (SOON, [])
    assert (watch.look(4.5), watch.hung) == (SOON, [serving])
    watch.look(4.75)
    assert watch.hung == [serving]


def test_a_request_that_ends_after_all_does_not_hang() -> None:
    serving = FakeServing()
    watch, _ = vigil(serving)
    serving.begin(0.0)
    serving.is_cut = True
    watch.look(9.0)
    serving.end()
    watch.look(9.25)
    serving.begin(0.0)
    watch.look(9.5)
    assert watch.hung == []


def test_a_stream_that_nobody_has_cut_off_may_take_for_ever() -> None:
    serving = FakeServing()
    watch, _ = vigil(serving)
    serving.begin(0.0)
    assert [watch.look(now) for now in (100.0, 200.0, 300.0)] == [SOON] * 3
    assert watch.hung == []


def test_a_request_whose_dispatcher_died_may_end() -> None:
    serving = FakeServing()
    watch, _ = vigil(serving)
    serving.begin(0.0)
    serving.is_cut = True
    for now in (1.0, 2.0, 3.0):
        watch.look(now)
    assert watch.hung == []


def test_a_traceback_says_where_a_thread_is() -> None:
    is_there, may_go = threading.Event(), threading.Event()

    def stay() -> None:
        is_there.set()
        may_go.wait(10)

    thread = threading.Thread(target=stay)
    thread.start()
    is_there.wait(10)
    names = [
        frame.name for frame in traceback.extract_tb(traceback_of(sys._current_frames()[thread.ident or 0]))
    ]
    may_go.set()
    thread.join()
    assert names[names.index("stay") :][:2] == ["stay", "wait"]
    assert traceback_of(None) is None


# Real processes

SITE = """
import ctypes, os, time
from worker import Application

app = Application("pages")

@app.get("/")
def show(request):
    return str(os.getpid())

@app.post("/loop")
def loop(request):
    print("looping", flush=True)
    while True:
        time.sleep(0.01)

@app.post("/grip")
def grip(request):
    print("gripping", flush=True)
    ctypes.PyDLL(None).sleep(60)  # unlike CDLL, it keeps all other threads from running

@app.get("/wait")
def wait(request):
    print("waiting", flush=True)
    with open("go") as fifo:
        return fifo.read()

@app.get("/slowly")
def show_slowly(request):
    print("going slowly", flush=True)
    def pieces():
        for _ in range(8):
            time.sleep(0.25)
            yield "a piece "
    return pieces()
"""


@contextmanager
def a_site(folder: Path, *flags: str) -> Iterator[tuple[Dispatcher, Program]]:
    """Run a dispatcher that waits for half a second, and a worker or a pool."""
    (folder / "site1.py").write_text(SITE)
    with (
        a_dispatcher(folder, limits='request_timeout = "500ms"') as dispatcher,
        a_worker(folder, "site1:app", "--label", "ONE", *flags, to=dispatcher.link) as program,
    ):
        program.wait_for("registered")
        yield dispatcher, program


@pytest.mark.parametrize(("path", "function"), [("/pages/loop", "loop"), ("/pages/grip", "grip")])
def test_a_request_that_hangs_is_a_504_and_its_process_is_replaced_at_once(
    tmp_path: Path, path: str, function: str
) -> None:
    with a_site(tmp_path, "-n", "1") as (dispatcher, program), dispatcher.browser() as browser:
        first = int(dispatcher.get("/pages"))
        assert browser.post(path).status == 504
        program.wait_for(rf"ONE \| .*in {function}$")
        program.wait_for("^lrwp: ONE .*; starting it again$")
        assert int(dispatcher.get("/pages")) != first
        wait_until_gone(first)
        assert program.process.poll() is None


def test_the_log_says_which_request_hung_where(tmp_path: Path) -> None:
    with a_site(tmp_path, "-n", "1") as (dispatcher, program), dispatcher.browser() as browser:
        browser.post("/pages/loop")
        program.wait_for(
            "error request hangs thread=serving-1 application=pages method=POST path=/pages/loop"
        )
        program.wait_for(r"ONE \| +time\.sleep\(0\.01\)$")
        program.wait_for("^lrwp: ONE has ended because a request hung in it; starting it again$")


def test_a_process_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    with a_site(tmp_path, "-n", "1") as (dispatcher, program), dispatcher.browser() as browser:
        os.mkfifo(tmp_path / "go")
        first = int(dispatcher.get("/pages"))
        browser.ask("GET", "/pages/wait")
        program.wait_for("waiting")
        os.kill(first, signal.SIGSTOP)
        assert browser.read().status == 504
        program.wait_for("^lrwp: ONE gives no sign of life any more and is killed$")
        program.wait_for("^lrwp: ONE was killed by SIGKILL; starting it again$")
        assert int(dispatcher.get("/pages")) != first


def test_a_worker_without_a_pool_ends_itself(tmp_path: Path) -> None:
    with a_site(tmp_path) as (dispatcher, program), dispatcher.browser() as browser:
        assert browser.post("/pages/loop").status == 504
        assert program.wait() == 1
        assert "in loop" in program.output


def test_what_other_threads_have_in_hand_is_finished(tmp_path: Path) -> None:
    with a_site(tmp_path, "-n", "1", "--threads", "2") as (dispatcher, program), ExitStack() as stack:
        dispatcher.wait_for_links(2)
        slow, hung = (stack.enter_context(dispatcher.browser()) for _ in range(2))
        hung.ask("POST", "/pages/loop")
        program.wait_for("looping")
        slow.ask("GET", "/pages/slowly")
        program.wait_for("going slowly")
        assert hung.read().status == 504
        assert slow.read().body == b"a piece " * 8
        program.wait_for("^lrwp: ONE has ended because a request hung in it; starting it again$")


def test_a_request_that_outlives_its_dispatcher_but_not_its_time_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    with a_site(tmp_path) as (dispatcher, program), dispatcher.browser() as browser:
        browser.ask("GET", "/pages/wait")
        program.wait_for("waiting")
        dispatcher.program.send(signal.SIGKILL)
        dispatcher.program.wait()
        (tmp_path / "go").write_text("go on")
        program.wait_for("warning link lost")
        program.send(signal.SIGTERM)
        assert program.wait() == 0
