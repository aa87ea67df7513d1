"""Questions to a dispatcher's admin listener."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Final

from lrwp.configuration import within_reach
from protocol.addresses import read_address
from protocol.errors import LrwpError

if TYPE_CHECKING:
    from protocol.addresses import Address

LONGEST: Final = 64 * 1024 * 1024
"""Most bytes of an answer that are read: the status of some hundred thousand links."""


class AdminError(LrwpError):
    """No dispatcher answers, or what answers is not one; the sentence says where."""


def read_admin_url(url: str) -> Address:
    """Return the address in ``http://host:port/…``; it may be given alone, and be a Unix socket's.

    Raises:
        AddressError: there is none in it.
    """
    if url.startswith("unix://"):
        return read_address(url)
    return read_address(url.removeprefix("http://").partition("/")[0])


def ask(address: Address, path: str, timeout: float = 5.0) -> bytes:
    """Return what the admin listener at ``address`` says at ``path``.

    Raises:
        AdminError: nobody answers within ``timeout`` seconds, or not as a dispatcher would.
    """
    connection = _Connection(within_reach(address), timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(LONGEST)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise AdminError(
            f"no dispatcher answers at {address}: {reason}; start one, or name the admin address of another"
        ) from None
    finally:
        connection.close()
    if response.status != 200:
        raise AdminError(f"what answers at {address} is not the admin of a dispatcher: {path} is not there")
    return body


class _Connection(http.client.HTTPConnection):
    """A connection that knows Unix sockets too."""

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(address.host or "localhost", address.port, timeout=timeout)
        self._path = address.path

    def connect(self) -> None:
        """Connect the socket."""
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
