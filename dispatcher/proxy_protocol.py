"""The PROXY protocol, versions 1 and 2, without I/O: a header in front of a connection that a proxy opens.

It tells from where the proxy was connected to, for proxies that pass bytes on and do not look into them.
The specification is HAProxy's ``proxy-protocol.txt``; the section numbers below are its.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Final, NamedTuple

from protocol.errors import LrwpError
from protocol.forwarding import plain_address

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
"""What version 2 begins with (§2.2): no HTTP request and no TLS handshake does."""

LONGEST_1: Final = 107
"""Longest header of version 1 in bytes, with its line end (§2.1)."""

LONGEST_2: Final = 4096
"""Longest header of version 2 in bytes that we take. Addresses need 232 of them; names and the subject of a
client's certificate may follow, but nothing that would fill this."""

_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)
_BEGINNING_1: Final = b"PROXY "
_HEADER_2: Final = struct.Struct("!12sBBH")

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_LENGTHS: Final = {_TCP4: 12, _TCP6: 36, _UNIX: 216}
"""Bytes of the addresses of each family (§2.2)."""

_TLS: Final = 0x20
"""The type of the value that tells of TLS between client and proxy (§2.2.6)."""


class ProxyHeaderError(LrwpError):
    """What a connection begins with is no header of the PROXY protocol."""


class ProxyHeader(NamedTuple):
    """What a proxy says of a connection.

    Attributes:
        length: the bytes that the header takes; what follows is the client's.
        source: the client's address and port; b"" for a Unix socket; None if the proxy speaks for itself, as
            it does to see whether we live, or does not know.
        is_secure: whether the client speaks TLS with the proxy.
    """

    length: int
    source: tuple[str, int] | bytes | None
    is_secure: bool = False


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that ``data`` begins with; None if more of it must come.

    Raises:
        ProxyHeaderError: there is none.
    """
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_version_2(data)
    if data[: len(_BEGINNING_1)] == _BEGINNING_1[: len(data)]:
        return _read_version_1(data)
    raise ProxyHeaderError("it does not begin with a header of the PROXY protocol")


def _read_version_1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LONGEST_1) + 2
    if end < 2:
        if len(data) >= LONGEST_1:
            raise ProxyHeaderError("its PROXY line does not end")
        return None
    match = _LINE.fullmatch(data, 0, end)
    if match is None:
        raise ProxyHeaderError("its PROXY line is malformed")
    family, source, destination, *ports = match.groups()
    if family is None:
        return ProxyHeader(end, None)
    read = ipaddress.IPv4Address if family == b"TCP4" else ipaddress.IPv6Address
    try:
        address, _ = read(source.decode("ascii")), read(destination.decode("ascii"))
    except ValueError:
        raise ProxyHeaderError("its PROXY line has an address that is none") from None
    if max(map(int, ports)) > 65535:
        raise ProxyHeaderError("its PROXY line has a port that is none")
    return ProxyHeader(end, (plain_address(address), int(ports[0])))


def _read_version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _HEADER_2.size:
        return None
    _, command, family, length = _HEADER_2.unpack_from(data)
    end = _HEADER_2.size + length
    if command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError(f"its PROXY header has a version and command, {command:#x}, that nobody knows")
    if end > LONGEST_2:
        raise ProxyHeaderError(f"its PROXY header is longer than {LONGEST_2} bytes")
    if command == _PROXY and family != _UNSPECIFIED and length < _LENGTHS.get(family, length + 1):
        raise ProxyHeaderError(
            f"its PROXY header of {length} bytes does not fit the address family {family:#x}"
        )
    if len(data) < end:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:  # whatever follows is to be skipped
        return ProxyHeader(end, None)
    start = _HEADER_2.size + _LENGTHS[family]
    return ProxyHeader(end, _read_source(data, family), _is_secure(data[start:end]))


def _read_source(data: bytes, family: int) -> tuple[str, int] | bytes:
    if family == _UNIX:
        return b""
    form = "!4s4xH" if family == _TCP4 else "!16s16xH"
    address, port = struct.unpack_from(form, data, _HEADER_2.size)
    return plain_address(ipaddress.ip_address(address)), port


def _is_secure(values: bytes) -> bool:
    """Return whether the values behind the addresses tell of TLS: type, length, then so many bytes (§2.2)."""
    found = False
    while values:
        if len(values) < 3 or len(values) < 3 + int.from_bytes(values[1:3]):
            raise ProxyHeaderError("its PROXY header has a value that is cut short")
        end = 3 + int.from_bytes(values[1:3])
        if values[0] == _TLS:
            found = bool(values[3:4] and values[3] & 1)
        values = values[end:]
    return found
