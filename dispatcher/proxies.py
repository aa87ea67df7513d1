"""Proxies: whose word counts on where a request comes from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from protocol.errors import SettingsError
from protocol.forwarding import drop_forwarding, plain_address, read_forwarding

if TYPE_CHECKING:
    from protocol.forwarding import Origin

UNIX: Final = "unix"
"""Who comes through a Unix socket, as the setting names it."""

_MEMO_BLOCK: Final = 1024
"""Longest header block in bytes that is remembered: who asks for one thing after another sends the same."""


class Proxies:
    """The proxies that are trusted.

    Args:
        trusted: their addresses, networks, or ``unix`` for all who come through a Unix socket.

    Raises:
        SettingsError: one of them is none of these.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        names = list(trusted)
        self._trusts_unix = UNIX in names
        self._networks = [_read_network(name) for name in names if name != UNIX]
        self.trusts = lru_cache(maxsize=1024)(self._trusts) if names else _trusts_nobody
        self._read = lru_cache(maxsize=1024)(self._read_origin)

    def __repr__(self) -> str:
        return f"<Proxies {[str(network) for network in self._networks]}{' unix' * self._trusts_unix}>"

    def _trusts(self, host: str) -> bool:
        """Whether this address, or ``unix``, is that of a trusted proxy."""
        if host == UNIX:
            return self._trusts_unix
        try:
            address = ipaddress.ip_address(plain_address(ipaddress.ip_address(host)))
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def origin(self, block: bytes, peer: str, scheme: str) -> Origin:
        """Return where a request comes from that a trusted proxy has sent."""
        if len(block) <= _MEMO_BLOCK:
            return self._read(block, peer, scheme)
        return self._read_origin(block, peer, scheme)

    def _read_origin(self, block: bytes, peer: str, scheme: str) -> Origin:
        return read_forwarding(block, peer, scheme, self.trusts)

    @staticmethod
    def disbelieve(block: bytes) -> bytes:
        """Return the header block of a request that anybody may have sent."""
        return _remembered_rest(block) if len(block) <= _MEMO_BLOCK else drop_forwarding(block)


_remembered_rest: Final = lru_cache(maxsize=1024)(drop_forwarding)


def _trusts_nobody(host: str) -> bool:  # noqa: ARG001 - whoever it is
    return False


def _read_network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(name)
    except ValueError as error:
        raise SettingsError(
            f"trusted_proxies: {name!r} is neither an address, nor a network such as 10.0.0.0/8, nor unix"
            + (f" ({error})" if "host bits" in str(error) else "")
        ) from None


NOBODY: Final = Proxies()
"""No proxy is trusted."""
