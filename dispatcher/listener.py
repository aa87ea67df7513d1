"""Listeners: the sockets that clients and workers connect to, from their first to their last moment."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.addresses import Address

BACKLOG: Final = 4096
"""Connections that the system accepts on our behalf while we are busy."""

_REASONS: Final = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another address",
    errno.EADDRNOTAVAIL: "no network interface of this machine has that address",
    errno.ENOENT: "its folder does not exist; create it",
}


class ListenError(LrwpError):
    """An address that cannot be listened on; the sentence says why."""


class Listener:
    """One address that is listened on.

    Attributes:
        address: where it listens; the port is the one that the system chose if we left it the choice.

    Args:
        address: where to listen.
        protocol: makes what serves a connection.

    Raises:
        ListenError: another program has the address, or it is not ours to have.
    """

    def __init__(self, address: Address, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._server: asyncio.Server | None = None
        self._socket = _bind(address)
        self._is_closed = False
        self._path = Path(address.path) if address.kind == "unix" else None
        self.address = address
        if self._path is None:
            self.address = replace(address, port=self._socket.getsockname()[1])

    def __repr__(self) -> str:
        return f"<Listener {self.address}{' closed' * self._is_closed}>"

    async def open(self) -> None:
        """Begin to accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=self._socket, backlog=BACKLOG)

    async def close_gently(self) -> None:
        """Let in who has connected already, and close: whom the system still keeps for us, it would reset."""
        self._give_up_path()
        accepted = []
        with contextlib.suppress(OSError):  # the last one says that nobody is left, or that there is no room
            while True:
                accepted.append(self._socket.accept()[0])
        self.close()
        loop = asyncio.get_running_loop()
        for sock in accepted:
            sock.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, sock)
        await asyncio.sleep(0)  # for those whom the loop has accepted and not introduced yet

    def close(self) -> None:
        """Accept nobody any more."""
        if self._is_closed:
            return
        self._give_up_path()
        self._is_closed = True
        if self._server is None:
            self._socket.close()
        else:
            self._server.close()

    def _give_up_path(self) -> None:
        """Remove a Unix socket's file, while it is surely ours and not our successor's."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _bind(address: Address) -> socket.socket:
    try:
        return _bind_unix(address) if address.kind == "unix" else _bind_tcp(address)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {_reason(address, error)}") from None


def _bind_tcp(address: Address) -> socket.socket:
    family, kind, number, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, number)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bound(sock, where)


def _bind_unix(address: Address) -> socket.socket:
    """Bind a Unix socket that only this user can connect to; one that a dead dispatcher left is replaced."""
    path = Path(address.path)
    if path.is_socket():
        if _is_live(address.path):
            raise OSError(errno.EADDRINUSE, "")
        path.unlink(missing_ok=True)
    elif path.exists():
        raise ListenError(f"cannot listen on {address}: there is a file of that name; choose another one")
    before = os.umask(0o177)
    try:
        return _bound(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
    finally:
        os.umask(before)


def _bound(sock: socket.socket, where: object) -> socket.socket:
    try:
        sock.bind(where)  # type: ignore[arg-type]  # what getaddrinfo() said, or a path
    except OSError:
        sock.close()
        raise
    return sock


def _is_live(path: str) -> bool:
    """Whether somebody listens on a Unix socket; a backlog that is full proves it too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        return sock.connect_ex(path) in {0, errno.EAGAIN}


def _reason(address: Address, error: OSError) -> str:
    if error.errno == errno.EACCES and address.kind == "unix":
        return "this user may not write to its folder; choose another one"
    if error.errno == errno.EACCES:
        return "this user may not listen on that port; choose one above 1023"
    if isinstance(error, socket.gaierror):
        return "nothing is known of that host"
    if error.errno is None:  # Python's own complaint about a path of more than 107 bytes
        return "that path is too long for a socket; choose a shorter one"
    return _REASONS.get(error.errno, os.strerror(error.errno))
