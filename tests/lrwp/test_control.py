"""How ``lrwp restart`` and ``lrwp up`` speak with each other."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrwp import control
from lrwp.control import ControlError, Desk, Visitor, ask, open_socket
from protocol.addresses import Address
from tests.waiting import until
from worker.supervision import Supervisor

if TYPE_CHECKING:
    from worker.child import Process

ADMIN = Address("tcp", "127.0.0.1", 8082)
OTHER = Address("tcp", "127.0.0.1", 9082)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


class Owner:
    """Runs a desk in a process without children."""

    def __init__(self, on_request: Callable[[Desk, Visitor, list[str]], None]) -> None:
        self.supervisor = Supervisor(self)
        self.desk: Desk | None = None
        self._on_request = on_request
        self._is_over = False

    def run(self) -> None:
        """Run until told to be over; signals are for the main thread, so a test's client is another."""
        self.supervisor.run()

    def on_begin(self) -> None:
        self.desk = Desk(ADMIN, self.supervisor, self._take)
        self._look()

    def _take(self, visitor: Visitor, names: list[str]) -> None:
        assert self.desk is not None
        self._on_request(self.desk, visitor, names)

    def _look(self) -> None:
        if self._is_over:
            self.supervisor.stop()
        else:
            self.supervisor.after(0.01, self._look)

    def end(self) -> None:
        self._is_over = True

    def on_stop(self) -> None:
        assert self.desk is not None
        self.desk.close()

    def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None: ...
    def on_report(self, process: Process) -> None: ...
    def on_ended(self, process: Process, code: int) -> None: ...
    def on_renew(self) -> None: ...


def with_desk(
    on_request: Callable[[Desk, Visitor, list[str]], None], client: Callable[[Owner], None]
) -> None:
    """Run a desk while a client, in a thread, does something."""
    owner = Owner(on_request)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            until(lambda: owner.desk)
            client(owner)
        except BaseException as error:
            errors.append(error)
        finally:
            owner.end()

    thread = threading.Thread(target=run)
    thread.start()
    owner.run()
    thread.join()
    if errors:
        raise errors[0]


@contextmanager
def a_visit(line: bytes = b"") -> Iterator[socket.socket]:
    """Visit a desk, and say something."""
    with control._connect(ADMIN) as sock:
        sock.settimeout(10)
        if line:  # even to send nothing fails where nobody is any more
            sock.sendall(line)
        yield sock


def nobody(desk: Desk, visitor: Visitor, names: list[str]) -> None:
    raise AssertionError(names)


def test_a_wish_is_heard_and_how_it_goes_is_told() -> None:
    asked: list[list[str]] = []
    said: list[str] = []

    def take(desk: Desk, visitor: Visitor, names: list[str]) -> None:
        asked.append(names)
        visitor.say("half of it is done")
        visitor.tell()
        desk.end(visitor, 0)

    with_desk(take, lambda owner: ask(ADMIN, ["shop", "café"], said.append))
    assert asked == [["shop", "café"]]
    assert said == ["half of it is done"]


def test_why_it_failed_is_told() -> None:
    def client(owner: Owner) -> None:
        with pytest.raises(ControlError, match="it is broken"):
            ask(ADMIN, [], nothing)

    with_desk(lambda desk, visitor, names: desk.end(visitor, 1, "it is broken"), client)


def nothing(sentence: str) -> None:
    raise AssertionError(sentence)


def test_who_waits_gets_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "BEAT", 0.01)

    def client(owner: Owner) -> None:
        with a_visit(b'["shop"]\n') as sock, sock.makefile("rb") as lines:
            assert [lines.readline() for _ in range(3)] == [b"{}\n"] * 3

    with_desk(lambda desk, visitor, names: None, client)


def test_who_gets_no_sign_of_life_gives_up() -> None:
    def client(owner: Owner) -> None:
        with pytest.raises(ControlError, match="stopped answering"):
            ask(ADMIN, [], nothing, patience=0.05)

    with_desk(lambda desk, visitor, names: None, client)


def test_the_end_of_lrwp_up_is_told() -> None:
    def client(owner: Owner) -> None:
        with pytest.raises(ControlError, match=r"has ended meanwhile|stopped answering"):
            ask(ADMIN, [], nothing)

    with_desk(lambda desk, visitor, names: desk._supervisor.stop(), client)


@pytest.mark.parametrize("line", [b"shop\n", b'{"a": 1}\n', b"[1]\n", b"[" * 5000 + b"\n", b"\xff\n"])
def test_what_is_no_list_of_names_is_refused(line: bytes) -> None:
    def client(owner: Owner) -> None:
        with a_visit(line) as sock:
            assert json.loads(sock.recv(1000)) == {"code": 1, "why": "that was no list of names"}
            assert sock.recv(1000) == b""

    with_desk(nobody, client)


def test_what_is_too_long_is_cut_off() -> None:
    def client(owner: Owner) -> None:
        with a_visit() as sock, pytest.raises((BrokenPipeError, ConnectionResetError)):
            sock.sendall(b"x" * 10_000_000)

    with_desk(nobody, client)


def test_who_says_nothing_is_sent_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HURRY", 0.05)

    def client(owner: Owner) -> None:
        with a_visit() as sock:
            assert sock.recv(1000) == b""

    with_desk(nobody, client)


def test_there_is_room_for_a_few() -> None:
    def client(owner: Owner) -> None:
        visits = [control._connect(ADMIN) for _ in range(8)]
        assert owner.desk is not None
        desk = owner.desk
        until(lambda: "8 visitors" in repr(desk))
        with a_visit() as ninth:
            assert ninth.recv(1000) == b""
        for visit in visits:
            visit.close()
        until(lambda: "0 visitors" in repr(desk))

    with_desk(nobody, client)


# Where the socket is


def test_the_socket_is_for_its_user_alone_and_gone_afterwards(runtime: Path) -> None:
    paths: list[Path] = []

    def client(owner: Owner) -> None:
        paths.extend((runtime / "lrwp").iterdir())
        assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600
        assert stat.S_IMODE(paths[0].parent.stat().st_mode) == 0o700
        with pytest.raises(ControlError, match=f"no `lrwp up` of yours has its admin at {OTHER}"):
            ask(OTHER, [], nothing)

    with_desk(nobody, client)
    assert len(paths) == 1
    assert not paths[0].exists()


def test_a_socket_that_a_dead_one_left_is_replaced() -> None:
    path, dead = open_socket(ADMIN)
    dead.close()
    assert path.exists()
    with open_socket(ADMIN)[1]:
        pass


def test_without_a_runtime_directory_it_is_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    monkeypatch.setattr(control.tempfile, "gettempdir", lambda: str(tmp_path))
    path, sock = open_socket(ADMIN)
    with sock:
        assert path.parent == tmp_path / f"lrwp-{os.getuid()}"


def test_a_folder_that_others_can_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(control.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"lrwp-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ControlError, match=r"will not find us: \S+ is not a folder that is ours alone"):
        open_socket(ADMIN)
    with pytest.raises(ControlError, match="no `lrwp up` of yours"):
        ask(ADMIN, [], nothing)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ControlError, match="is not a folder that is ours alone"):
        open_socket(ADMIN)
