"""Dialling: a connection to a dispatcher that is being made, while its thread goes on with its work."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from protocol.addresses import Address
    from worker.tls import Handshake, TlsSocket, Trust

_PENDING: Final = frozenset({0, errno.EINPROGRESS})


class DistrustError(OSError):
    """One side does not trust the other, or does not speak TLS; ``strerror`` says so in a sentence."""


class _Target(NamedTuple):
    """One of the addresses that a name stands for, as the socket calls want it."""

    family: int
    protocol: int
    where: object


class Dialling:
    """A connection on its way: the addresses that a name stands for are tried one after another.

    Only looking the name up may wait. Waiting for a host that does not answer would keep the thread from
    the other dispatchers that it serves.

    Attributes:
        attempts: how many addresses have been tried.

    Args:
        address: where to connect to.
        trust: whom we trust, for an address that is dialled over TLS.

    Raises:
        OSError: the name is unknown, or none of its addresses can be reached; so do the methods.
    """

    __slots__ = ("_error", "_handshake", "_host", "_socket", "_targets", "_trust", "attempts")

    def __init__(self, address: Address, trust: Trust | None = None) -> None:
        self._targets = deque(_look_up(address))
        self._error = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self._socket: socket.socket
        self._host = address.host
        self._trust = trust if address.kind == "tls" else None
        self._handshake: Handshake | None = None
        self.attempts = 0
        self._begin()

    def __repr__(self) -> str:
        return f"<Dialling, {len(self._targets)} addresses left>"

    def fileno(self) -> int:
        """Return the socket's file descriptor: there is news when ``events`` happen to it."""
        return self._handshake.fileno() if self._handshake is not None else self._socket.fileno()

    @property
    def events(self) -> int:
        """What to wait for before the next step."""
        return self._handshake.events if self._handshake is not None else select.POLLOUT

    def finish(self) -> socket.socket | TlsSocket | None:
        """Return the connected socket, which blocks; None if there is more to wait for."""
        if self._handshake is not None:
            return self._shake_hands(self._handshake)
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._error = OSError(code, os.strerror(code))
            self.skip()
            return None
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._trust is not None:
            self._handshake = self._trust.shake_hands(self._socket, self._host)
            return self._shake_hands(self._handshake)
        self._socket.setblocking(True)
        return self._socket

    def _shake_hands(self, handshake: Handshake) -> TlsSocket | None:
        try:
            return handshake.step()
        except OSError as error:
            self._error = error
            self.skip()
            return None

    def skip(self) -> None:
        """Try the next address."""
        self.close()
        self._begin()

    def close(self) -> None:
        """Give up."""
        if self._handshake is not None:
            self._handshake.close()
            self._handshake = None
        self._socket.close()

    def _begin(self) -> None:
        while self._targets:
            family, protocol, where = self._targets.popleft()
            self.attempts += 1
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
