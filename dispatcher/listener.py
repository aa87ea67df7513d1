"""Listeners: the sockets that clients and workers connect to, from their first to their last moment."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dispatcher.sockets import BACKLOG, bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from protocol.addresses import Address


class Listener:
    """One address that is listened on.

    Attributes:
        address: where it listens; the port is the one that the system chose if we left it the choice.

    Args:
        address: where to listen.
        protocol: makes what serves a connection.
        passed: the socket, if somebody else has opened it for us; its file is not ours to remove.

    Raises:
        ListenError: another program has the address, or it is not ours to have.
    """

    def __init__(
        self,
        address: Address,
        protocol: Callable[[], asyncio.Protocol],
        passed: socket.socket | None = None,
    ) -> None:
        self._protocol = protocol
        self._server: asyncio.Server | None = None
        self._socket = bind(address) if passed is None else passed
        self._socket.setblocking(False)
        self._is_closed = False
        self._path = Path(address.path) if address.kind == "unix" and passed is None else None
        self.address = address
        if address.kind != "unix":
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
