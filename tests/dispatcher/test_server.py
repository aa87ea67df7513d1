"""A dispatcher's life, from its start to its end, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from dispatcher.front import Front
from dispatcher.server import TICK, Server
from dispatcher.settings import DispatcherSettings, Limits
from tests.ledger import a_ledger
from tests.peers import Browser, Peer
from tests.programs import PATIENCE, running
from tests.system import LRWP, Dispatcher, a_dispatcher, a_worker
from tests.waiting import until

SITE = """
import time
from worker import Application

app = Application("pages")

@app.get("/")
def show(request):
    return "shown"

@app.post("/")
def take(request):
    time.sleep(0.02)
    return request.body
"""


@pytest.fixture
def dispatcher(tmp_path: Path) -> Iterator[Dispatcher]:
    with a_dispatcher(tmp_path) as dispatcher:
        yield dispatcher


def link_of(dispatcher: Dispatcher) -> tuple[str, int]:
    host, _, port = dispatcher.link.rpartition(":")
    return host.strip("[]"), int(port)


def refusal(folder: Path, *flags: str) -> tuple[int, str]:
    """Return the exit code of a dispatcher that cannot start, and the one line that it writes."""
    usual = ("--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with running([*LRWP, "dispatcher", *usual, *flags], cwd=folder) as program:
        code = program.wait()
    (line,) = program.output.splitlines()
    return code, line


# The start


@pytest.mark.parametrize("flag", ["--http", "--link", "--admin"])
def test_an_address_in_use_is_a_sentence_and_exit_code_1(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "127.0.0.1:{1}".format(*other.getsockname())
        flags = (flag, address)
        if flag == "--link":  # it may be given several times
            flags = (flag, address, "--admin", "127.0.0.1:0")
        assert refusal(tmp_path, *flags) == (
            1,
            f"lrwp: cannot listen on {address}: another program listens there; "
            "stop it, or choose another address",
        )


def test_a_public_link_address_needs_a_secret(tmp_path: Path) -> None:
    code, line = refusal(tmp_path, "--link", "0.0.0.0:0")
    assert code == 2
    assert line == (
        "lrwp: the link address 0.0.0.0:0 can be reached from outside: give --secret-file, "
        "or listen on 127.0.0.1 or a Unix socket"
    )


def test_with_a_secret_workers_may_come_from_anywhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sixteen characters\n")
    secret.chmod(0o600)
    (tmp_path / "site1.py").write_text(SITE)
    flag = ("--secret-file", str(secret))
    with a_dispatcher(tmp_path, "--link", "0.0.0.0:0", *flag) as dispatcher:
        to = dispatcher.link.replace("0.0.0.0", "127.0.0.1")
        with a_worker(tmp_path, "site1:app", *flag, to=to):
            dispatcher.wait_for_links(1)
            assert dispatcher.get("/pages") == b"shown"


def test_a_secret_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sixteen characters")
    secret.chmod(0o644)
    with a_dispatcher(tmp_path, "--secret-file", str(secret)) as dispatcher:
        assert dispatcher.drain() == 0
        assert "warning others can read the secret file; chmod 600 it" in dispatcher.program.output


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short")
    code, line = refusal(tmp_path, "--secret-file", "secret")
    assert code == 2
    assert "a secret in secret is too short: write at least 16 characters; each line is one" in line


def test_a_worker_that_reaches_one_dispatcher_by_two_addresses_serves_it_over_one(tmp_path: Path) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    with a_dispatcher(tmp_path) as dispatcher:
        second = dispatcher.link.replace("127.0.0.1", "localhost")
        with a_worker(tmp_path, "site1:app", "--dispatcher", second, to=dispatcher.link) as worker:
            worker.wait_for("warning link given up .*name each dispatcher once")
            dispatcher.wait_for_links(1)
            assert dispatcher.get("/pages") == b"shown"
            worker.send(signal.SIGTERM)
            assert worker.wait() == 0


OWN = """
[applications.pages]
secret_file = "own"
"""


def try_to_register(dispatcher: Dispatcher, secret: bytes) -> str:
    """Return what a worker hears that registers with this secret."""
    with Peer(link_of(dispatcher)) as peer:
        peer.say("register", peer.registration, peer.nonce)
        peer.say("register", peer.registration, peer.nonce, peer.prove(secret, *peer.expect("challenge")))
        while not peer.heard:
            peer.end.receive(peer.socket.recv(65536))
        return peer.heard.popleft().name


def test_hup_reads_the_secrets_again_and_keeps_those_that_it_cannot_read(tmp_path: Path) -> None:
    old, new = b"an old secret of sixteen", b"a new secret of sixteen"
    own = tmp_path / "own"
    own.write_bytes(old)
    own.chmod(0o600)
    with a_dispatcher(tmp_path, more=OWN) as dispatcher:
        assert [try_to_register(dispatcher, secret) for secret in (old, new)] == ["registered", "rejected"]
        own.write_bytes(new + b"\n" + old)
        dispatcher.program.send(signal.SIGHUP)
        dispatcher.program.wait_for("info secrets read again")
        assert [try_to_register(dispatcher, secret) for secret in (old, new)] == ["registered"] * 2
        own.write_bytes(new + b"\nshort")
        dispatcher.program.send(signal.SIGHUP)
        dispatcher.program.wait_for("error the secrets stay as they were reason=.* is too short")
        assert [try_to_register(dispatcher, secret) for secret in (old, new)] == ["registered"] * 2
        own.write_bytes(new)
        dispatcher.program.send(signal.SIGHUP)
        dispatcher.program.wait_for("info secrets read again")
        assert [try_to_register(dispatcher, secret) for secret in (old, new)] == ["rejected", "registered"]
        assert dispatcher.drain() == 0
        assert not [each for each in (old, new) if each.decode() in dispatcher.program.output]


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        (("--secret-file", "missing"), "cannot read the secret file missing: No such file or directory"),
        (("--access-log", "."), "cannot write the access log .: Is a directory"),
        (("--docroot", "missing"), "is not a folder"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_sentence_and_exit_code_2(
    tmp_path: Path, flag: tuple[str, str], sentence: str
) -> None:
    code, line = refusal(tmp_path, *flag)
    assert (code, sentence in line) == (2, True), line


def test_everything_works_over_ipv6(tmp_path: Path) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    flags = ("--http", "[::1]:0", "--link", "[::1]:0", "--admin", "[::1]:0")
    with (
        a_dispatcher(tmp_path, *flags) as dispatcher,
        a_worker(tmp_path, "site1:app", to=dispatcher.link),
    ):
        dispatcher.wait_for_links(1)
        assert dispatcher.get("/pages") == b"shown"
        (link,) = dispatcher.status()["links"]
        assert link["peer"].startswith("[::1]:")


def test_everything_works_over_unix_sockets(tmp_path: Path) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    link = f"unix://{tmp_path}/link"
    flags = ("--http", f"unix://{tmp_path}/http", "--link", link, "--admin", f"unix://{tmp_path}/admin")
    with running([*LRWP, "dispatcher", "--access-log-format", "off", *flags], cwd=tmp_path) as program:
        program.wait_for("info serving")
        with a_worker(tmp_path, "site1:app", to=link) as worker:
            program.wait_for("link joined")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{tmp_path}/http")
                client.sendall(b"GET /pages HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")
                response = http.client.HTTPResponse(client)
                response.begin()
                assert response.read() == b"shown"
                response.close()
            worker.send(signal.SIGTERM)
            assert worker.wait() == 0
        program.send(signal.SIGTERM)
        assert program.wait() == 0
    assert not [path for path in tmp_path.iterdir() if path.is_socket()]


# The end


def test_a_dispatcher_that_has_nothing_to_do_ends_at_once(dispatcher: Dispatcher) -> None:
    began = time.monotonic()
    assert dispatcher.drain() == 0
    assert time.monotonic() - began < 1


def test_a_dispatcher_that_is_stopped_under_load_answers_all_that_it_has_accepted(tmp_path: Path) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    with a_dispatcher(tmp_path) as dispatcher, a_worker(tmp_path, "site1:app", "-n", "2", to=dispatcher.link):
        dispatcher.wait_for_links(2)
        with a_ledger(dispatcher.http) as ledger:
            ledger.start(4, lambda number: ("GET", "/pages", b""))
            ledger.start(4, lambda number: ("POST", "/pages", b"%d" % number))
            ledger.start(2, lambda number: ("GET", "/pages", b""), keep_alive=False)
            until(lambda: len(ledger.entries) > 300)
            assert dispatcher.drain() == 0
        assert set(ledger.outcomes()) == {"200"}
        assert ledger.refused == 10  # every client has come back once more


def test_a_large_answer_that_has_begun_is_finished_before_the_dispatcher_ends(dispatcher: Dispatcher) -> None:
    with Peer(link_of(dispatcher)) as peer, dispatcher.browser() as browser:
        peer.register()
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        peer.say("response", exchange, 200, b"Content-Length: 10\r\n", b"12345", False)
        assert browser.begin().read(5) == b"12345"
        dispatcher.program.send(signal.SIGTERM)
        dispatcher.program.wait_for("info draining")
        peer.say("body", exchange, b"67890", True)
        assert browser._response is not None
        assert browser._response.read() == b"67890"
        assert dispatcher.program.wait() == 0


def test_int_drains_and_a_second_int_ends_it_at_once(dispatcher: Dispatcher) -> None:
    with Peer(link_of(dispatcher)) as peer, dispatcher.browser() as browser:
        peer.register()
        browser.ask("GET", "/pages")
        peer.expect_request()
        dispatcher.program.send(signal.SIGINT)
        dispatcher.program.wait_for("info draining connections=1")
        with pytest.raises(ConnectionRefusedError):
            until(lambda: dispatcher.browser().close())
        assert dispatcher.program.process.poll() is None
        dispatcher.program.send(signal.SIGINT)
        assert dispatcher.program.wait() == 1
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            browser.read()
        peer.expect_end()
    assert "warning stopping before all was answered connections=1 forced=True" in dispatcher.program.output


def test_what_takes_longer_than_the_time_to_drain_is_cut_off(tmp_path: Path) -> None:
    with (
        a_dispatcher(tmp_path, limits='drain_timeout = "200ms"') as dispatcher,
        Peer(link_of(dispatcher)) as peer,
        dispatcher.browser() as browser,
    ):
        peer.register()
        browser.ask("GET", "/pages")
        peer.expect_request()
        assert dispatcher.drain() == 1
    assert "connections=1 forced=False" in dispatcher.program.output


def test_workers_are_let_go_when_the_last_answer_is_out(dispatcher: Dispatcher) -> None:
    with Peer(link_of(dispatcher)) as peer, dispatcher.browser() as browser:
        peer.register()
        browser.ask("POST", "/pages")
        exchange = peer.expect_request().exchange
        dispatcher.program.send(signal.SIGTERM)
        dispatcher.program.wait_for("info draining")
        assert peer.is_quiet()
        peer.answer(exchange, b"in time")
        assert browser.read().body == b"in time"
        browser.close()
        peer.expect_end()
        assert dispatcher.program.wait() == 0


# Trouble


def test_a_log_that_cannot_be_written_stops_neither_answers_nor_deadlines(tmp_path: Path) -> None:
    flags = ("--access-log-format", "common", "--access-log", "/dev/full")
    with (
        a_dispatcher(tmp_path, *flags, limits='request_timeout = "300ms"') as dispatcher,
        Peer(link_of(dispatcher)) as peer,
        dispatcher.browser() as browser,
    ):
        peer.register()
        assert browser.get("/nothing").status == 404
        dispatcher.program.wait_for("the access log cannot be written")
        browser.ask("GET", "/pages")
        peer.expect_request()
        assert browser.read().status == 504


@contextlib.contextmanager
def an_unread_log(folder: Path) -> Iterator[int]:
    """Make a pipe ``log`` that is open for reading."""
    os.mkfifo(folder / "log")
    reader = os.open(folder / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


def is_full(pipe: int) -> bool:
    """Whether a pipe of the usual size holds what it can."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"0000"))[0] == 65536


LOGGED = ("--access-log-format", "common", "--access-log", "log")
LONG = "/" + "x" * 8000


def test_an_access_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    with (
        an_unread_log(tmp_path) as log,
        a_dispatcher(tmp_path, *LOGGED) as dispatcher,
        dispatcher.browser() as browser,
    ):
        for _ in range(20):
            assert browser.get(LONG).status == 404
        until(lambda: is_full(log))
        asked, ends = 0, time.monotonic() + 2 * TICK
        while asked < 400 or time.monotonic() < ends:  # 3.2 MB: more than may wait, until it is to be written
            assert browser.get(LONG).status == 404
            asked += 1

        def goes_on() -> bool:
            with contextlib.suppress(BlockingIOError):
                while os.read(log, 1_000_000):
                    pass
            assert browser.get("/").status == 404
            with contextlib.suppress(AssertionError):
                dispatcher.program.wait_for("the access log goes on", patience=0.3)
            return "the access log goes on" in dispatcher.program.output

        until(goes_on)
        answered = dispatcher.status()["http"]["requests"]
        assert dispatcher.drain() == 0
    (lost,) = re.findall(
        "the access log goes on; it was not read in time lost=([0-9]+)", dispatcher.program.output
    )
    assert 0 < int(lost) < answered


def test_nor_does_it_keep_a_dispatcher_from_ending(tmp_path: Path) -> None:
    with (
        an_unread_log(tmp_path) as log,
        a_dispatcher(tmp_path, *LOGGED) as dispatcher,
        dispatcher.browser() as browser,
    ):
        for _ in range(20):
            assert browser.get(LONG).status == 404
        until(lambda: is_full(log))
        assert dispatcher.drain() == 0


def test_a_dispatcher_whose_terminal_is_closed_drains(tmp_path: Path) -> None:
    usual = ["--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with running([*LRWP, "dispatcher", *usual], cwd=tmp_path, terminal=True) as program:
        program.wait_for("serving")
        program.stop_reading()
        program.send(signal.SIGHUP)
        assert program.wait() == 0


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    usual = ["--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command = [sys.executable, *LRWP, "dispatcher", *usual, "--access-log-format", "off"]
    with (
        os.fdopen(reader, "rb", buffering=0) as log,
        subprocess.Popen(command, cwd=tmp_path, stderr=writer) as dispatcher,
    ):
        os.close(writer)
        serving = re.search(rb"http=(\S+):(\d+) link=(\S+):(\d+)", log.read(1000))
        assert serving is not None
        link = (serving[3].decode(), int(serving[4]))
        for _ in range(600):  # of two lines each: half of that fills the pipe
            with Peer(link) as peer:
                peer.register()
        with Browser((serving[1].decode(), int(serving[2]))) as browser:
            assert browser.get("/nothing").status == 404
        dispatcher.send_signal(signal.SIGTERM)
        assert dispatcher.wait(PATIENCE) == 0


def test_a_timed_action_that_fails_is_logged_and_tried_again() -> None:
    server = Server(DispatcherSettings(), Front(Limits(), {}))
    times: list[float] = []

    async def main() -> None:
        done = asyncio.Event()

        def act(now: float) -> None:
            times.append(now)
            if len(times) == 1:
                raise ValueError("the first time")
            done.set()

        task = asyncio.create_task(server._repeat(0.001, act))
        await asyncio.wait_for(done.wait(), 10)
        task.cancel()

    with capture_logs() as log:
        uvloop.run(main())
    assert [(entry["event"], entry["action"]) for entry in log] == [("a timed action failed", "act")]


def processor_seconds(pid: int) -> float:
    """Return how much of the processors a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from lrwp.cli import main
main(sys.argv[1:])
"""


def is_served(dispatcher: Dispatcher) -> bool:
    """Whether a new client gets an answer; one that came when there was no descriptor was let go."""
    try:
        with dispatcher.browser() as browser:
            return browser.get("/").status == 404
    except (OSError, http.client.HTTPException):
        return False


def test_without_file_descriptors_it_waits_without_spinning_and_recovers(tmp_path: Path) -> None:
    usual = ("--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with running(["-P", "-c", LIMITED, "dispatcher", *usual], cwd=tmp_path) as program:
        dispatcher = Dispatcher(program)
        crowd = [socket.create_connection(dispatcher.http) for _ in range(200)]
        first = Browser(dispatcher.http)
        crowd[0].sendall(b"GET / HTTP/1.1\r\nHost: site\r\n\r\n")
        assert crowd[0].recv(12) == b"HTTP/1.1 404"
        before, began = processor_seconds(program.process.pid), time.monotonic()
        until(lambda: time.monotonic() - began > 0.5)
        used = processor_seconds(program.process.pid) - before
        assert used < 0.2, f"{used} s of 0.5 s"
        for each in (*crowd, first):
            each.close()
        until(lambda: is_served(dispatcher))
        assert dispatcher.drain() == 0


def test_an_idle_dispatcher_hardly_uses_the_processor(dispatcher: Dispatcher) -> None:
    before, began = processor_seconds(dispatcher.pid), time.monotonic()
    until(lambda: time.monotonic() - began > 0.5)
    assert processor_seconds(dispatcher.pid) - before < 0.1
