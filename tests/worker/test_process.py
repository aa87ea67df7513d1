"""A worker's process, opposite a dispatcher that the test plays."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from protocol.addresses import Address
from protocol.errors import SettingsError
from protocol.registration import Claim, prove
from tests.programs import Program, running
from tests.system import a_worker
from tests.worker.dispatchers import FakeDispatcher, FakeLink
from worker.child import READY_FD
from worker.process import Process
from worker.settings import WorkerSettings

SITE = """
import threading, time
from worker import Application

app = Application("pages")
both = threading.Barrier(2)
leaked = []

@app.on_start
def start():
    print(f"started in {threading.current_thread().name}\\n", end="", flush=True)

@app.on_stop
def stop():
    print(f"stopped in {threading.current_thread().name}\\n", end="", flush=True)

@app.get("/")
def show(request):
    return threading.current_thread().name

@app.get("/both")
def meet(request):
    both.wait(10)
    return threading.current_thread().name

@app.get("/hang")
def hang(request):
    print("hanging", flush=True)
    time.sleep(60)

@app.get("/wait")
def wait(request):
    print("waiting", flush=True)
    with open("go") as fifo:
        return fifo.read()

@app.get("/leak")
def leak(request):
    leaked.append(b"x" * 16_000_000)
    return "leaked"

@app.get("/last")
def last(request):
    app.retire()
    return "last"
"""

BROKEN = """
from worker import Application

app = Application("pages")

@app.on_start
def open_database():
    raise OSError("no such database")
"""


class Start(Protocol):
    def __call__(self, *flags: str, target: str = "site1:app") -> Program: ...


@pytest.fixture
def dispatcher() -> Iterator[FakeDispatcher]:
    with FakeDispatcher() as dispatcher:
        yield dispatcher


@pytest.fixture
def start(tmp_path: Path, dispatcher: FakeDispatcher) -> Iterator[Start]:
    (tmp_path / "site1.py").write_text(SITE)
    (tmp_path / "broken.py").write_text(BROKEN)
    with ExitStack() as stack:

        def start(*flags: str, target: str = "site1:app") -> Program:
            return stack.enter_context(a_worker(tmp_path, target, *flags, to=str(dispatcher.address)))

        yield start


def let_go(link: FakeLink) -> None:
    link.expect("draining")
    link.socket.close()


# Who it is


def test_a_worker_registers_under_its_own_name_host_and_number(
    start: Start, dispatcher: FakeDispatcher
) -> None:
    program = start()
    with dispatcher.accept() as link:
        _, instance, applications, window, labels, *_ = link.expect("register")
    where = f"{socket.gethostname()}:{program.process.pid}"
    assert instance.startswith(f"{where}:0:")
    assert (applications, window, labels) == ((("pages", "", "/pages"),), 8, {"label": where})


def test_a_worker_registers_as_it_is_told(start: Start, dispatcher: FakeDispatcher) -> None:
    flags = ("--name", "a", "--name", "b", "--path", "/x", "--host", "Example.ORG", "--label", "ONE")
    start(*flags, "--window", "2")
    with dispatcher.accept() as link:
        _, _, applications, window, labels, *_ = link.expect("register")
    claims = (("a", "example.org", "/x"), ("b", "example.org", "/x"))
    assert (applications, window, labels) == (claims, 2, {"label": "ONE"})


def test_two_processes_never_have_one_instance_id(start: Start, dispatcher: FakeDispatcher) -> None:
    start()
    start()
    with dispatcher.accept() as one, dispatcher.accept() as two:
        assert one.expect("register")[1] != two.expect("register")[1]


# Threads


def test_each_thread_has_a_link_of_its_own_and_works_at_the_same_time_as_the_others(
    start: Start, dispatcher: FakeDispatcher
) -> None:
    program = start("--threads", "2", "--label", "ONE")
    with dispatcher.accept() as one, dispatcher.accept() as two:
        labels = [link.expect("register")[4]["label"] for link in (one, two)]
        assert sorted(labels) == ["ONE.1", "ONE.2"]
        for link in (one, two):
            link.say("registered", 10_000)
            link.request(target=b"/pages/both")
        names = {link.expect_response().body for link in (one, two)}
        assert names == {b"serving-1", b"serving-2"}
        one.request()
        two.request()
        assert {link.expect_response().body for link in (one, two)} == names
        program.send(signal.SIGTERM)
        let_go(one)
        let_go(two)
        assert program.wait() == 0
    lines = [line for line in program.output.splitlines() if " in serving-" in line]
    assert sorted(lines) == [f"{verb} in serving-{n}" for verb in ("started", "stopped") for n in (1, 2)]
    assert all(line.startswith("started") for line in lines[:2])


def test_a_thread_whose_link_is_rejected_ends_the_others_too(
    start: Start, dispatcher: FakeDispatcher
) -> None:
    program = start("--threads", "2")
    with dispatcher.accept() as one, dispatcher.accept() as two:
        one.register()
        two.expect("register")
        two.say("rejected", "registration", "/pages is served by the application shop")
        let_go(one)
        assert program.wait() == 1
    assert "lrwp: /pages is served by the application shop" in program.output


# What keeps it from starting


def one_sentence(program: Program, code: int = 1) -> str:
    """Return the one line of a program that ends with this exit code."""
    assert program.wait() == code
    (line,) = program.output.splitlines()
    return line


def test_what_fails_at_the_start_is_a_sentence(start: Start) -> None:
    line = one_sentence(start(target="broken:app"))
    assert line.startswith("lrwp: pages cannot start: ")
    assert line.endswith("failed with OSError: no such database")


def test_what_fails_at_the_start_of_a_thread_ends_all(start: Start) -> None:
    assert "no such database" in one_sentence(start("--threads", "3", target="broken:app"))


LEAVING = """
import asyncio
from worker import Application

app = Application("pages")

@app.on_start
def open_database():
    raise asyncio.CancelledError
"""


def test_nothing_that_is_raised_leaves_a_process_without_its_threads(start: Start, tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING)
    program = start("--threads", "2", target="leaving:app")
    assert program.wait() == 1
    assert "lrwp: the worker failed: CancelledError" in program.output


HURRIED = """
import sys
import worker.links
worker.links.PATIENCE = 0.3
from lrwp.cli import main
main(sys.argv[1:])
"""


def test_a_worker_that_reaches_no_dispatcher_says_what_to_do(
    tmp_path: Path, dispatcher: FakeDispatcher
) -> None:
    dispatcher.close()
    (tmp_path / "site1.py").write_text("from worker import Application\napp = Application('pages')")
    arguments = ["-P", "-c", HURRIED, "worker", "site1:app", "--dispatcher", str(dispatcher.address)]
    with running(arguments, cwd=tmp_path) as program:
        assert one_sentence(program) == (
            f"lrwp: cannot register with the dispatcher at {dispatcher.address}: Connection refused; "
            "start it with `lrwp dispatcher`, or name another with --dispatcher"
        )


def test_a_worker_that_is_rejected_says_why(start: Start, dispatcher: FakeDispatcher) -> None:
    program = start()
    with dispatcher.accept() as link:
        link.expect("register")
        link.say("challenge", bytes(32))
        assert program.wait() == 1
    assert program.output.splitlines()[-1] == "lrwp: the dispatcher asks for a secret: give --secret-file"


def test_a_secret_that_cannot_be_read_is_a_sentence(start: Start) -> None:
    assert one_sentence(start("--secret-file", "missing"), code=2) == (
        "lrwp: cannot read the secret file missing: No such file or directory"
    )


def test_a_worker_proves_the_first_secret_of_its_file(
    start: Start, dispatcher: FakeDispatcher, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"\nthe newer secret \nan older secret!\n")
    (tmp_path / "secret").chmod(0o644)
    program = start("--secret-file", "secret")
    with dispatcher.accept() as link:
        _, instance, _, _, _, nonce, _ = link.expect("register")
        link.say("challenge", bytes(32))
        proof = prove(b"the newer secret", bytes(32), nonce, instance, (Claim("pages", "", "/pages"),))
        assert link.expect("register")[6] == proof
    program.wait_for("warning others can read the secret file; chmod 600 it file=secret")


def test_a_secret_that_no_dispatcher_would_take_is_a_sentence(start: Start, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short\n")
    assert one_sentence(start("--secret-file", "secret"), code=2) == (
        "lrwp: a secret in secret is too short: write at least 16 characters; each line is one"
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"path": ("/a/",)},
            "the path of pages must be plain: no trailing /, no //, no dot segments; see --n",
        ),
        ({"host": "a b"}, "the host of pages must be a host name"),
        (
            {"dispatcher": (Address("tls", "localhost", 8081),), "key": Path("key.pem")},
            "a certificate and its key go together: give both, or neither",
        ),
        (
            {"dispatcher": (Address("tls", "localhost", 8081),), "ca_file": Path("missing")},
            "cannot read the CA file missing: No such file or directory",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Process(WorkerSettings(target="x", **settings), None, "pages", lambda _: None)  # type: ignore[arg-type]


def test_who_started_it_is_told_when_all_threads_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setenv(READY_FD, str(writer))
    process = Process(WorkerSettings(target="x", threads=2), None, "pages", lambda _: None)  # type: ignore[arg-type,return-value]
    process._alarm.close()
    process._waker.close()
    for serving in process._servings:
        serving._links.close()
    os.set_blocking(reader, False)
    process._on_registered()
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    process._on_registered()
    assert os.read(reader, 10) == b"+"
    assert os.read(reader, 10) == b""  # and the pipe is closed, so that its number may be used again
    assert READY_FD not in os.environ
    os.close(reader)


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_worker_finish_what_it_has(
    start: Start, dispatcher: FakeDispatcher, tmp_path: Path, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "go")
    program = start()
    with dispatcher.registered() as link:
        link.request(target=b"/pages/wait")
        program.wait_for("waiting")
        program.send(number)
        (tmp_path / "go").write_text("go on")
        assert link.expect_response().body == b"go on"
        let_go(link)
        assert program.wait() == 0
    assert "stopped in serving-1" in program.output


def test_a_signal_ends_a_worker_that_dials(start: Start, dispatcher: FakeDispatcher) -> None:
    program = start()
    link = dispatcher.registered()
    dispatcher.close()
    link.socket.close()
    program.wait_for("warning link lost")
    program.send(signal.SIGTERM)
    assert program.wait() == 0


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_int_after_a_signal_ends_a_worker_at_once_though_its_handler_hangs(
    start: Start, dispatcher: FakeDispatcher, first: signal.Signals
) -> None:
    program = start()
    with dispatcher.registered() as link:
        link.request(target=b"/pages/hang")
        program.wait_for("hanging")
        program.send(first)
        with pytest.raises(AssertionError, match="it does not end"):
            program.wait(0.2)
        program.send(signal.SIGINT)
        began = time.monotonic()
        assert program.wait() == 1
        assert time.monotonic() - began < 5
        link.expect_end()


def test_a_worker_that_does_not_finish_in_time_is_ended(start: Start, dispatcher: FakeDispatcher) -> None:
    program = start("--drain-timeout", "200ms")
    with dispatcher.registered() as link:
        link.request(target=b"/pages/hang")
        program.wait_for("hanging")
        program.send(signal.SIGTERM)
        assert program.wait() == 1
    assert program.output.endswith("lrwp: the worker had not finished after 0.2 s and was ended\n")


IGNORING = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from lrwp.cli import main
main(sys.argv[1:])
"""


def test_where_int_is_ignored_it_stays_so(tmp_path: Path, dispatcher: FakeDispatcher) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    arguments = ["-P", "-c", IGNORING, "worker", "site1:app", "--dispatcher", str(dispatcher.address)]
    with running(arguments, cwd=tmp_path) as program, dispatcher.registered() as link:
        program.send(signal.SIGINT)
        link.request()
        assert link.expect_response().body == b"serving-1"
        program.send(signal.SIGTERM)
        let_go(link)
        assert program.wait() == 0


RUN = """
import sys
from protocol.addresses import read_address
from worker.process import run
from worker.settings import WorkerSettings
settings = WorkerSettings(target="site1:app", dispatcher=(read_address(sys.argv[1]),), max_requests=2)
sys.exit(run(settings))
"""


def test_a_worker_that_has_served_its_number_of_requests_asks_to_be_replaced(
    tmp_path: Path, dispatcher: FakeDispatcher
) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    with (
        running(["-P", "-c", RUN, str(dispatcher.address)], cwd=tmp_path) as program,
        dispatcher.registered() as link,
    ):
        for _ in range(2):
            link.request()
            link.expect_response()
        let_go(link)
        assert program.wait() == 75


def test_a_worker_without_a_pool_that_has_served_its_number_has_done_its_work(
    start: Start, dispatcher: FakeDispatcher
) -> None:
    program = start("--max-requests", "3", "--threads", "2")
    with dispatcher.registered() as one, dispatcher.registered() as two:
        for link in (one, two, one):
            link.request()
            link.expect_response()
        let_go(one)
        let_go(two)
        assert program.wait() == 0


@pytest.mark.parametrize(
    "bound", [("--max-requests", "2"), ("--max-memory", "48MiB"), ("--max-age", "200ms")]
)
def test_a_worker_of_a_pool_that_has_served_for_long_enough_goes_when_its_heir_is_there(
    start: Start, dispatcher: FakeDispatcher, bound: tuple[str, str]
) -> None:
    program = start("-n", "1", *bound)
    with dispatcher.registered() as link:
        for _ in range(2):
            link.request(target=b"/pages/leak")
            link.expect_response()
        program.wait_for("info worn out +reason=.it has")
        with dispatcher.accept() as heir:
            link.request()  # for as long as the heir is not there
            assert link.expect_response().body == b"serving-1"
            heir.register()
            let_go(link)
            program.send(signal.SIGTERM)
            let_go(heir)
        assert program.wait() == 0


def test_a_worker_without_a_pool_that_has_reached_its_age_has_done_its_work(
    start: Start, dispatcher: FakeDispatcher
) -> None:
    program = start("--max-age", "100ms")
    with dispatcher.registered() as link:
        let_go(link)
        assert program.wait() == 0


def test_an_application_that_retires_ends_its_worker(start: Start, dispatcher: FakeDispatcher) -> None:
    program = start()
    with dispatcher.registered() as link:
        link.request(target=b"/pages/last")
        assert link.expect_response().body == b"last"
        let_go(link)
        assert program.wait() == 0


def test_a_worker_that_was_registered_once_comes_back_for_ever(tmp_path: Path) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    with FakeDispatcher() as first:
        address = first.address
        arguments = ["-P", "-c", HURRIED, "worker", "site1:app", "--dispatcher", str(address)]
        with running(arguments, cwd=tmp_path) as program:
            link = first.registered()
            first.close()
            link.socket.close()
            program.wait_for("warning link lost")
            with pytest.raises(AssertionError, match="it does not end"):
                program.wait(0.8)  # more than twice its patience
            with socket.create_server((address.host, address.port)) as second:
                second.settimeout(10)
                sock, _ = second.accept()
                with FakeLink(sock).register() as link:
                    link.request()
                    assert link.expect_response().body == b"serving-1"
                    program.send(signal.SIGTERM)
                    let_go(link)
                    assert program.wait() == 0


def test_the_traceback_of_a_handler_is_in_the_log_and_not_on_the_page(
    start: Start, dispatcher: FakeDispatcher, tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text(
        "from worker import Application\n"
        "app = Application('pages')\n"
        "@app.get('/')\n"
        "def fail(request):\n"
        "    password = 'hunter2'\n"
        "    raise ValueError('first line\\nforged line')\n"
    )
    program = start(target="failing:app")
    with dispatcher.registered() as link:
        link.request()
        response = link.expect_response()
        assert (response.status, b"ValueError" in response.body) == (500, False)
        program.wait_for(r"error application raised application=pages method=GET path=/pages$")
        program.wait_for(r"^  Traceback")
        program.wait_for(r"^    File .*failing.py., line 6, in fail$")
        program.wait_for(r"^  ValueError: first line$")
        program.wait_for(r"^  forged line$")
        assert "hunter2" not in program.output.replace("password = 'hunter2'", "")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_two_signals_at_one_moment_are_both_heeded(
    start: Start, dispatcher: FakeDispatcher, second: signal.Signals
) -> None:
    """A main thread that waits for its threads sleeps on in one of three cases."""
    for _ in range(5):
        program = start()
        with dispatcher.registered() as link:
            program.send(signal.SIGTERM)
            program.send(second)
            let_go(link)
            assert program.wait() == 0


def test_a_terminal_that_goes_away_drains_a_worker(start: Start, dispatcher: FakeDispatcher) -> None:
    program = start()
    with dispatcher.registered() as link:
        program.send(signal.SIGHUP)
        let_go(link)
        assert program.wait() == 0
