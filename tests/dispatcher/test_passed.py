"""Sockets that others have opened."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from dispatcher.passed import Passed, take_passed
from lrwp.passing import pass_on
from protocol.addresses import Address, read_address
from protocol.errors import SettingsError
from protocol.registration import Claim
from tests.peers import Browser
from tests.programs import Program, running
from tests.system import LRWP, a_worker


def a_listener(stack: ExitStack, address: str = "127.0.0.1:0") -> socket.socket:
    where = read_address(address)
    family = socket.AF_UNIX if where.kind == "unix" else socket.AF_INET
    sock = stack.enter_context(socket.socket(family))
    sock.bind(where.path or (where.host, where.port))
    sock.listen()
    return sock


def a_file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def address_of(sock: socket.socket) -> Address:
    return Address("tcp", *sock.getsockname())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# Which is which


def test_a_socket_is_found_by_its_address_once(stack: ExitStack) -> None:
    one, two = a_listener(stack), a_listener(stack)
    passed = Passed([one, two])
    assert passed.take(Address("tcp", "127.0.0.1", 1)) is None
    assert passed.take(address_of(two)) is two
    assert passed.take(address_of(two)) is None
    assert passed.take(Address("tls", *one.getsockname())) is one
    passed.check()


def test_an_address_may_be_a_name_and_a_port_any(stack: ExitStack) -> None:
    one, two = a_listener(stack), a_listener(stack)
    passed = Passed([one, two])
    assert passed.take(Address("tcp", "127.0.0.1", 0)) is one
    assert passed.take(Address("tcp", "localhost", two.getsockname()[1])) is two
    assert passed.take(Address("tcp", "no-such-host.invalid", 1)) is None


def test_a_unix_socket_is_found_by_its_path(stack: ExitStack, tmp_path: Path) -> None:
    one = a_listener(stack, f"unix://{tmp_path}/one")
    (tmp_path / "link").symlink_to(tmp_path)
    passed = Passed([one])
    assert repr(passed) == f"<Passed unix://{tmp_path}/one>"
    assert passed.take(Address("unix", path=f"{tmp_path}/two")) is None
    assert passed.take(Address("tcp", "127.0.0.1", 0)) is None
    assert passed.take(Address("unix", path=f"{tmp_path}/link/one")) is one


def test_a_socket_that_is_at_none_of_our_addresses_is_refused(stack: ExitStack) -> None:
    one = a_listener(stack)
    passed = Passed([one])
    with pytest.raises(SettingsError) as caught:
        passed.check()
    assert str(caught.value) == (
        f"a socket was passed that listens on {address_of(one)}, which is none of our addresses: give http, "
        "link or admin the same address, or do not pass it"
    )
    passed.close()
    assert one.fileno() == -1


# What the environment says


def in_child(files: list[tuple[str, int]], **over: str) -> str:
    """Return what a child says of what was passed to it, or why it will not have it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        writer = os.dup2(writer, 100)
        environ = {**pass_on(files), **over}
        try:
            passed = take_passed(environ)
            answer = f"{passed!r} {list(passed.recollection.claims)} {environ}"
        except SettingsError as error:
            answer = str(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as file:
        return file.read()


def test_sockets_and_what_is_known_are_taken_over_and_the_environment_forgets_them(stack: ExitStack) -> None:
    one, two = a_listener(stack), a_listener(stack)
    file = stack.enter_context(a_file())
    file.write(b'["pages", "", "/pages"]\n')
    file.flush()
    files = [("http", one.fileno()), ("applications", file.fileno()), ("unknown", two.fileno())]
    claims = [Claim("pages", "", "/pages")]
    assert in_child(files) == f"<Passed {address_of(one)}, {address_of(two)}> {claims} {{}}"


def test_what_is_meant_for_another_process_is_left_alone(stack: ExitStack) -> None:
    files = [("http", a_listener(stack).fileno())]
    assert in_child(files, LISTEN_PID="1") == "<Passed nothing> [] {}"
    assert in_child(files, LISTEN_FDS="x") == "<Passed nothing> [] {}"


def test_names_may_be_missing(stack: ExitStack) -> None:
    one = a_listener(stack)
    assert in_child([("http", one.fileno())], LISTEN_FDNAMES="").startswith(f"<Passed {address_of(one)}>")


def test_what_does_not_listen_is_refused(stack: ExitStack) -> None:
    sentence = (
        "file 3 was passed to us and is no socket that listens:"
        " write ListenStream= and Accept=no into its socket unit"
    )
    datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    unbound = stack.enter_context(socket.socket())
    file = stack.enter_context(a_file())
    for each in (datagrams, unbound, file):
        assert in_child([("http", each.fileno())]) == sentence


# A dispatcher to which they are passed

PASS = """
import os, sys
from lrwp.passing import pass_on
count = int(sys.argv[1])
environ = pass_on([("", int(number)) for number in sys.argv[2 : 2 + count]])
os.execve(sys.executable, [sys.executable, *sys.argv[2 + count :]], {**os.environ, **environ})
"""

SITE = """
from worker import Application
app = Application("pages")
app.get("/")(lambda request: "shown")
"""


class Sockets(NamedTuple):
    http: socket.socket
    link: socket.socket
    admin: socket.socket


@pytest.fixture
def sockets(stack: ExitStack, tmp_path: Path) -> Sockets:
    (tmp_path / "site1.py").write_text(SITE)
    return Sockets(*(a_listener(stack) for _ in range(3)))


@contextmanager
def a_dispatcher_with(sockets: Sockets, folder: Path, *flags: str) -> Iterator[Program]:
    """Run a dispatcher to which these sockets are passed, and tell it their addresses."""
    files = [sock.fileno() for sock in sockets]
    addresses = [f"--{name}={address_of(sock)}" for name, sock in sockets._asdict().items()]
    command = [*LRWP, "dispatcher", "--access-log-format", "off", *addresses, *flags]
    arguments = ["-P", "-c", PASS, str(len(files)), *map(str, files), *command]
    with running(arguments, cwd=folder, files=files) as program:
        yield program


def get(sockets: Sockets, path: str = "/pages") -> bytes:
    with Browser(sockets.http.getsockname()) as browser:
        return browser.get(path).body


def test_who_connects_before_the_dispatcher_runs_and_after_it_has_died_waits(
    sockets: Sockets, tmp_path: Path
) -> None:
    with (
        a_worker(tmp_path, "site1:app", to=str(address_of(sockets.link))) as worker,
        Browser(sockets.http.getsockname()) as early,
        a_dispatcher_with(sockets, tmp_path) as first,
    ):
        assert early.get("/elsewhere").status == 404
        worker.wait_for("registered")
        assert get(sockets) == b"shown"
        first.send(signal.SIGKILL)
        first.wait()
        with Browser(sockets.http.getsockname()) as late:
            late.ask("GET", "/elsewhere")
            with a_dispatcher_with(sockets, tmp_path):
                assert late.read().status == 404
                worker.wait_for("registered")
                assert get(sockets) == b"shown"


def test_one_dispatcher_makes_room_for_another_and_the_worker_serves_both(
    sockets: Sockets, tmp_path: Path
) -> None:
    with (
        a_dispatcher_with(sockets, tmp_path) as old,
        a_worker(tmp_path, "site1:app", to=str(address_of(sockets.link))) as worker,
    ):
        worker.wait_for("registered")
        with Browser(sockets.http.getsockname()) as browser:
            assert browser.get("/pages").body == b"shown"
            with a_dispatcher_with(sockets, tmp_path) as new:
                new.wait_for("serving")
                old.send(signal.SIGUSR1)
                worker.wait_for("info dispatcher leaves(.|\n)*info registered")
                assert get(sockets) == b"shown"
                assert browser.get("/pages").body == b"shown"  # the one that leaves has let this client in
                assert old.wait() == 0
                assert get(sockets) == b"shown"
        assert "link lost" not in worker.output


def test_a_unix_socket_that_was_passed_is_not_removed(stack: ExitStack, tmp_path: Path) -> None:
    http = a_listener(stack, f"unix://{tmp_path}/http")
    flags = [f"--{name}=unix://{tmp_path}/{name}" for name in ("http", "link", "admin")]
    command = ["1", str(http.fileno()), *LRWP, "dispatcher", *flags]
    with running(["-P", "-c", PASS, *command], cwd=tmp_path, files=[http.fileno()]) as program:
        program.wait_for("serving")
        assert (tmp_path / "link").exists()
        program.send(signal.SIGTERM)
        assert program.wait() == 0
    assert (tmp_path / "http").exists()
    assert not (tmp_path / "link").exists()


def test_an_address_that_is_not_that_of_the_socket_is_a_sentence(sockets: Sockets, tmp_path: Path) -> None:
    with a_dispatcher_with(sockets, tmp_path, "--http", f"unix://{tmp_path}/http") as program:
        assert program.wait() == 2
    (line,) = program.output.splitlines()
    assert line.startswith(f"lrwp: a socket was passed that listens on {address_of(sockets.http)}, ")
