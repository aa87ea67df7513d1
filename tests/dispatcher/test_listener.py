"""Listeners: what cannot be listened on says why, and Unix sockets are nobody else's."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from dispatcher import sockets
from dispatcher.listener import Listener
from dispatcher.sockets import ListenError
from protocol.addresses import Address, read_address

T = TypeVar("T")
ANY_PORT = Address("tcp", "127.0.0.1", 0)


class Greeter(asyncio.Protocol):
    """Says "hello" and ends the connection."""

    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")
        asyncio.get_running_loop().call_soon(transport.close)


def refusal(address: Address) -> str:
    """Return the sentence with which an address is refused."""
    with pytest.raises(ListenError) as caught:
        Listener(address, Greeter)
    return str(caught.value)


def while_open(address: Address, action: Callable[[Listener], Awaitable[T]]) -> T:
    """Run ``action`` while a listener is open."""

    async def main() -> T:
        one = Listener(address, Greeter)
        try:
            await one.open()
            return await action(one)
        finally:
            one.close()

    return uvloop.run(main())


async def hear(address: Address) -> bytes:
    """Connect and return what is said there."""
    if address.kind == "unix":
        reader, writer = await asyncio.open_unix_connection(address.path)
    else:
        reader, writer = await asyncio.open_connection(address.host, address.port)
    heard = await reader.read()
    writer.close()
    return heard


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_a_listener_knows_the_port_that_the_system_chose(text: str) -> None:
    async def look(one: Listener) -> bytes:
        assert one.address.port > 0
        assert str(one.address.port) in repr(one)
        return await hear(one.address)

    assert while_open(read_address(text), look) == b"hello"


def test_a_port_in_use_is_refused_with_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(Address("tcp", "127.0.0.1", port)) == (
            f"cannot listen on 127.0.0.1:{port}: another program listens there; "
            "stop it, or choose another address"
        )


def test_a_port_is_free_again_at_once_when_its_dispatcher_has_ended() -> None:
    async def look(one: Listener) -> Address:
        await hear(one.address)  # we have closed first, so the connection lingers on our side
        return one.address

    address = while_open(ANY_PORT, look)
    Listener(address, Greeter).close()


def test_an_address_of_another_machine_is_refused() -> None:
    assert refusal(Address("tcp", "192.0.2.1", 0)) == (
        "cannot listen on 192.0.2.1:0: no network interface of this machine has that address"
    )


def test_a_host_that_does_not_exist_is_refused() -> None:
    assert refusal(Address("tcp", "no-such-host.invalid", 80)) == (
        "cannot listen on no-such-host.invalid:80: nothing is known of that host"
    )


def test_a_port_that_is_not_ours_to_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sock: socket.socket, where: object) -> socket.socket:
        sock.close()
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sockets, "_bound", refuse)  # tests may run as root, to whom all ports are open
    assert refusal(Address("tcp", "127.0.0.1", 80)) == (
        "cannot listen on 127.0.0.1:80: this user may not listen on that port; choose one above 1023"
    )
    assert refusal(Address("unix", path="/run/lrwp.sock")) == (
        "cannot listen on unix:///run/lrwp.sock: this user may not write to its folder; choose another one"
    )


# Unix sockets


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lrwp.sock"


def at(path: Path) -> Address:
    return Address("unix", path=str(path))


def test_a_unix_socket_is_for_its_user_alone_and_gone_afterwards(path: Path) -> None:
    async def look(one: Listener) -> tuple[bytes, int]:
        return await hear(one.address), stat.S_IMODE(path.stat().st_mode)

    before = os.umask(0)
    os.umask(before)
    assert while_open(at(path), look) == (b"hello", 0o600)
    assert not path.exists()
    assert os.umask(before) == before


def test_a_unix_socket_that_a_dead_dispatcher_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def look(one: Listener) -> bytes:
        return await hear(one.address)

    assert while_open(at(path), look) == b"hello"


def test_a_unix_socket_that_somebody_listens_on_is_refused_and_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        assert refusal(at(path)) == (
            f"cannot listen on unix://{path}: another program listens there; "
            "stop it, or choose another address"
        )
        # Two connections fill a backlog of 0; one more would wait for ever.
        assert "another program listens there" in refusal(at(path))
    assert path.exists()


def test_a_file_is_not_replaced_by_a_socket(path: Path) -> None:
    path.write_text("precious")
    assert refusal(at(path)) == (
        f"cannot listen on unix://{path}: there is a file of that name; choose another one"
    )
    assert path.read_text() == "precious"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "lrwp.sock"
    assert refusal(at(path)) == f"cannot listen on unix://{path}: its folder does not exist; create it"


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    assert refusal(at(tmp_path / ("x" * 120))).endswith(
        ": that path is too long for a socket; choose a shorter one"
    )


def test_the_socket_of_a_successor_is_left_alone(path: Path) -> None:
    first = Listener(at(path), Greeter)
    uvloop.run(first.close_gently())
    second = Listener(at(path), Greeter)
    first.close()
    assert path.exists()
    second.close()


# Closing


def test_who_has_connected_is_let_in_before_a_listener_closes() -> None:
    async def main() -> list[bytes]:
        one = Listener(ANY_PORT, Greeter)
        await one.open()
        where = (one.address.host, one.address.port)
        clients = [socket.create_connection(where) for _ in range(5)]  # the loop has no turn to accept them
        await one.close_gently()
        for _ in range(3):
            await asyncio.sleep(0)
        heard = []
        for client in clients:
            with client:
                heard.append(client.recv(5))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where)
        return heard

    assert uvloop.run(main()) == [b"hello"] * 5


def test_a_listener_that_was_never_opened_can_be_closed() -> None:
    one = Listener(ANY_PORT, Greeter)
    one.close()
    one.close()
    assert repr(one).endswith(" closed>")
