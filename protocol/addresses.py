"""Addresses: ``host:port``, ``unix:///path`` and ``tls://host:port``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

from protocol.errors import AddressError

_HOST: Final = re.compile(r"[^\x00-\x20/\[\]]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or to connect.

    Attributes:
        kind: ``tcp``, ``unix`` or ``tls``.
        host: a host name or IP address without brackets; empty for ``unix``.
        port: 0 to 65535, where 0 lets the system choose when listening.
        path: the file system path of a Unix socket; empty for the others.
    """

    kind: Literal["tcp", "unix", "tls"]
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls://' if self.kind == 'tls' else ''}{host}:{self.port}"

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it: loopback or a Unix socket."""
        if self.kind == "unix" or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_address(text: str) -> Address:
    """Return the address that ``text`` names.

    Raises:
        AddressError: the text is none of the three forms.
    """
    if text.startswith("unix://"):
        path = text.removeprefix("unix://")
        if not path.startswith("/") or "\0" in path:
            raise AddressError(f"{text!r} is not an address: write unix:///absolute/path")
        return Address("unix", path=path)
    kind: Literal["tcp", "tls"] = "tls" if text.startswith("tls://") else "tcp"
    host, _, port = text.removeprefix("tls://").rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host and not set(host) & set("[]/"):
        raise AddressError(f"{text!r} is not an address: put an IPv6 address in brackets, as in [::1]:8080")
    if not (_HOST.fullmatch(host) and _PORT.fullmatch(port) and int(port) <= 65535):
        raise AddressError(f"{text!r} is not an address: write host:port, unix:///path or tls://host:port")
    return Address(kind, host, int(port))
