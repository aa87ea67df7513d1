"""What whoever has started us has opened for us: systemd, or ``lrwp up``.

The sockets outlive a dispatcher. While none runs, or one makes room for the next, the system keeps who
connects waiting, and nobody is refused. They are passed as systemd does it (sd_listen_fds(3)): files from
number 3 on, ``LISTEN_FDS`` of them, for the process ``LISTEN_PID``, with names in ``LISTEN_FDNAMES``. Which
one is meant for what their addresses tell, so that one socket unit can have them all.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dispatcher.recollection import NAME, Recollection
from protocol.addresses import Address
from protocol.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

_FIRST: Final = 3
"""The first file that is passed; the standard streams come before it."""


class Passed:
    """What was opened for us.

    Args:
        sockets: those that are listened on.
        recollection: what the dispatchers before us knew.
    """

    def __init__(
        self, sockets: Iterable[socket.socket] = (), recollection: Recollection | None = None
    ) -> None:
        self._sockets = list(sockets)
        self.recollection = Recollection() if recollection is None else recollection

    def __repr__(self) -> str:
        return f"<Passed {', '.join(str(_address_of(sock)) for sock in self._sockets) or 'nothing'}>"

    def take(self, address: Address) -> socket.socket | None:
        """Return the socket that was passed for an address, once; None if there is none."""
        for sock in self._sockets:
            if _is_at(sock, address):
                self._sockets.remove(sock)
                return sock
        return None

    def check(self) -> None:
        """Refuse sockets that nobody has taken.

        Raises:
            SettingsError: there is one; who connects there would wait for ever.
        """
        if self._sockets:
            raise SettingsError(
                f"a socket was passed that listens on {_address_of(self._sockets[0])}, which is none of our"
                " addresses: give http, link or admin the same address, or do not pass it"
            )

    def close(self) -> None:
        """Close what nobody has taken."""
        for sock in self._sockets:
            sock.close()
        self.recollection.close()


def take_passed(environ: MutableMapping[str, str]) -> Passed:
    """Return what was passed to this process, and take the word about it out of the environment.

    Raises:
        SettingsError: one of the files is no socket that listens.
    """
    process = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if process != str(os.getpid()) or not count.isdecimal():
        return Passed()
    sockets: list[socket.socket] = []
    recollection = None
    for file, name in zip(range(_FIRST, _FIRST + int(count)), names + [""] * int(count), strict=False):
        os.set_inheritable(file, False)
        if name == NAME:
            recollection = Recollection(file)
        else:
            sockets.append(_as_socket(file))
    return Passed(sockets, recollection)


def _as_socket(file: int) -> socket.socket:
    if stat.S_ISSOCK(os.fstat(file).st_mode):
        sock = socket.socket(fileno=file)
        with suppress(OSError):  # not every kind of socket knows the question
            if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return sock
        sock.detach()
    raise SettingsError(
        f"file {file} was passed to us and is no socket that listens:"
        " write ListenStream= and Accept=no into its socket unit"
    )


def _is_at(sock: socket.socket, address: Address) -> bool:
    """Whether a socket listens where an address says; port 0 is any."""
    where = sock.getsockname()
    if address.kind == "unix":
        return sock.family == socket.AF_UNIX and os.path.realpath(where) == os.path.realpath(address.path)
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    try:
        known = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror:
        return False
    return any(
        family == sock.family and place[0] == where[0] and place[1] in {0, where[1]}
        for family, *_, place in known
    )


def _address_of(sock: socket.socket) -> Address:
    where = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Address("unix", path=where)
    return Address("tcp", where[0], where[1])
