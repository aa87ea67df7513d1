"""Dialling: a connection to a dispatcher that is being made, while its thread goes on with its work."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from protocol.addresses import Address

_PENDING: Final = frozenset({0, errno.EINPROGRESS})


class _Target(NamedTuple):
    """One of the addresses that a name stands for, as the socket calls want it."""

    family: int
    protocol: int
    where: object


class Dialling:
    """A connection on its way: the addresses that a name stands for are tried one after another.

    Only looking the name up may wait. Waiting for a host that does not answer would keep the thread from
    the other dispatchers that it serves.

    Raises:
        OSError: the name is unknown, or none of its addresses can be reached; so do the methods.
    """

    __slots__ = ("_error", "_socket", "_targets")

    def __init__(self, address: Address) -> None:
        self._targets = deque(_look_up(address))
        self._error = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self._socket: socket.socket
        self._begin()

    def __repr__(self) -> str:
        return f"<Dialling, {len(self._targets)} addresses left>"

    def fileno(self) -> int:
        """Return the socket's file descriptor: it can be written to when there is news."""
        return self._socket.fileno()

    def finish(self) -> socket.socket | None:
        """Return the connected socket, which blocks; None if the next address has to be tried."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._error = OSError(code, os.strerror(code))
            self.skip()
            return None
        self._socket.setblocking(True)
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def skip(self) -> None:
        """Try the next address."""
        self.close()
        self._begin()

    def close(self) -> None:
        """Give up."""
        self._socket.close()

    def _begin(self) -> None:
        while self._targets:
            family, protocol, where = self._targets.popleft()
            self._socket = socket.socket(family, socket.SOCK_STREAM, protocol)
            self._socket.setblocking(False)
            code = self._socket.connect_ex(where)  # type: ignore[arg-type]  # what getaddrinfo() said
            if code in _PENDING:
                return
            self._socket.close()
            self._error = OSError(code, os.strerror(code))
        raise self._error


def _look_up(address: Address) -> list[_Target]:
    if address.kind == "unix":
        return [_Target(socket.AF_UNIX, 0, address.path)]
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return [_Target(family, protocol, where) for family, _, protocol, _, where in found]
