"""The sockets that are listened on, as long as nobody accepts: bound, and refused with a reason."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protocol.errors import LrwpError

if TYPE_CHECKING:
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


def bind(address: Address) -> socket.socket:
    """Return a socket that is bound to an address, and does not listen yet.

    Raises:
        ListenError: another program has the address, or it is not ours to have.
    """
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
