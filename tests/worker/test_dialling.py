"""Dialling: several addresses one after another, and nobody waits."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.addresses import Address
from worker.dialling import Dialling

Where = tuple[str, int]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def closed() -> Where:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where: Where = listener.getsockname()
        return where


def finish(dialling: Dialling) -> socket.socket:
    """Go on until it leads to a connection."""
    while True:
        assert select.select([], [dialling], [], 10)[1] == [dialling]
        if (sock := dialling.finish()) is not None:
            return sock


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: Where) -> Address:
    """Have a name stand for these addresses."""

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert (host, port) == ("dispatcher", 8081)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", where) for where in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return Address("tcp", "dispatcher", 8081)


def test_a_connection_blocks_and_does_not_delay_small_frames(listener: socket.socket) -> None:
    with finish(Dialling(Address("tcp", *listener.getsockname()))) as sock:
        assert sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        there, _ = listener.accept()
        with there:
            sock.sendall(b"hello")
            assert there.recv(5) == b"hello"


def test_a_connection_to_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/link")
        listener.listen()
        with finish(Dialling(Address("unix", path=f"{tmp_path}/link"))) as sock:
            assert sock.getblocking()


def test_nobody_listens(closed: Where) -> None:
    with pytest.raises(ConnectionRefusedError):
        finish(Dialling(Address("tcp", *closed)))


def test_nobody_listens_on_a_unix_socket(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Dialling(Address("unix", path=f"{tmp_path}/link"))


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(socket.gaierror):
        Dialling(Address("tcp", "no-such-host.invalid", 8081))


def test_the_next_address_is_tried_when_one_refuses(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, closed: Where
) -> None:
    dialling = Dialling(resolve_to(monkeypatch, closed, closed, listener.getsockname()))
    with finish(dialling) as sock:
        assert sock.getpeername() == listener.getsockname()


def test_the_last_address_tells_why_none_can_be_reached(
    monkeypatch: pytest.MonkeyPatch, closed: Where
) -> None:
    with pytest.raises(ConnectionRefusedError):
        finish(Dialling(resolve_to(monkeypatch, closed, closed)))


def test_an_address_that_does_not_answer_can_be_skipped(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as deaf,
        socket.create_connection(deaf.getsockname()),
        socket.create_connection(listener.getsockname()),
    ):
        address = resolve_to(monkeypatch, deaf.getsockname(), listener.getsockname())
        dialling = Dialling(address)
        assert repr(dialling) == "<Dialling, 1 addresses left>"
        dialling.skip()
        with finish(dialling) as sock:
            assert sock.getpeername() == listener.getsockname()


def test_the_last_address_that_does_not_answer_timed_out(listener: socket.socket) -> None:
    dialling = Dialling(Address("tcp", *listener.getsockname()))
    with pytest.raises(TimeoutError):
        dialling.skip()


def test_dialling_can_be_given_up(listener: socket.socket) -> None:
    dialling = Dialling(Address("tcp", *listener.getsockname()))
    dialling.close()
    assert dialling.fileno() == -1
