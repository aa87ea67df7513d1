"""The sockets that ``lrwp up`` opens for its dispatcher, and that outlive it.

While no dispatcher runs the system keeps who connects waiting, and the next one finds them. Beside the
sockets goes a file without a name, in which each dispatcher notes for the next which applications there are.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dispatcher.recollection import NAME
from dispatcher.sockets import BACKLOG, bind

if TYPE_CHECKING:
    from dispatcher.settings import DispatcherSettings
    from protocol.addresses import Address


class Door(NamedTuple):
    """One socket: what it is for, its address, and itself."""

    name: str
    address: Address
    socket: socket.socket


class Listening:
    """The sockets of a dispatcher.

    Args:
        settings: where it listens.

    Raises:
        ListenError: another program has an address, or it is not ours to have.
    """

    def __init__(self, settings: DispatcherSettings) -> None:
        self._doors: list[Door] = []
        self._recollection = -1
        links = [("link", address) for address in settings.link]
        try:
            for name, address in (("http", settings.http), ("admin", settings.admin), *links):
                door = Door(name, address, bind(address))
                self._doors.append(door)
                door.socket.listen(BACKLOG)
            self._recollection = _open_recollection()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Listening {', '.join(f'{door.name} {door.address}' for door in self._doors) or 'nowhere'}>"

    @property
    def files(self) -> list[tuple[str, int]]:
        """The files to pass on, with their names."""
        files = [(door.name, door.socket.fileno()) for door in self._doors]
        return files if self._recollection < 0 else [*files, (NAME, self._recollection)]

    def disown(self) -> None:
        """Leave it all to the dispatchers that have it; the files of Unix sockets stay until :meth:`close`.

        From then on nobody waits for whom there will be no dispatcher: the last one lets them in.
        """
        for door in self._doors:
            door.socket.close()
        if self._recollection >= 0:
            os.close(self._recollection)
            self._recollection = -1

    def close(self) -> None:
        """Close all; files of Unix sockets go with it."""
        self.disown()
        for door in self._doors:
            if door.address.kind == "unix":
                Path(door.address.path).unlink(missing_ok=True)
        self._doors.clear()


def _open_recollection() -> int:
    """Return a file without a name whose writers all write at its end; -1 if the system has none for us."""
    with suppress(OSError):
        if hasattr(os, "memfd_create"):
            file = os.memfd_create(NAME)
        else:  # macOS
            with tempfile.TemporaryFile() as temporary:
                file = os.dup(temporary.fileno())
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
        return file
    return -1
