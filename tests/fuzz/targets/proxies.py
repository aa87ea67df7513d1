"""Headers of the PROXY protocol, in front of whatever a client sends."""

from __future__ import annotations

import ipaddress
import socket

from dispatcher.proxy_protocol import SIGNATURE, ProxyHeader, ProxyHeaderError, read_proxy_header
from tests.fuzz.target import Target, outcome


def read(data: bytes) -> ProxyHeader | None:
    return read_proxy_header(data)


def needs_neither_more_nor_less_than_it_says(data: bytes) -> None:
    header = outcome(read, data, refusals=(ProxyHeaderError,))
    for count in range(min(len(data), 300)):
        beginning = outcome(read, data[:count], refusals=(ProxyHeaderError,))
        if beginning is ProxyHeaderError:
            assert header is ProxyHeaderError, "what was wrong is right with more behind it"
        elif isinstance(beginning, ProxyHeader):
            assert beginning == header
            assert count >= beginning.length
        elif isinstance(header, ProxyHeader):
            assert count < header.length


def names_an_address(data: bytes) -> None:
    header = outcome(read, data, refusals=(ProxyHeaderError,))
    if isinstance(header, ProxyHeader):
        assert 0 < header.length <= len(data)
        if header.source:
            host, port = header.source
            assert isinstance(host, str)
            assert str(ipaddress.ip_address(host)) == host
            assert 0 <= port <= 65535


def version_2(command: int, family: int, content: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(content).to_bytes(2, "big") + content


IPV4 = socket.inet_aton("198.51.100.7") + socket.inet_aton("10.0.0.1") + b"\x12\x34\x00\x50"
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + b"\x12\x34\x00\x50"
TLS = b"\x20\x00\x05\x01\x00\x00\x00\x00"

TARGET = Target(
    read=read,
    refusals=(ProxyHeaderError,),
    laws=(needs_neither_more_nor_less_than_it_says, names_an_address),
    seeds=(
        b"PROXY TCP4 198.51.100.7 10.0.0.1 4660 80\r\nGET / HTTP/1.1\r\n",
        b"PROXY TCP6 2001:db8::1 ::1 4660 80\r\n",
        b"PROXY UNKNOWN ffff::1 x\r\n",
        version_2(0x21, 0x11, IPV4 + TLS) + b"GET",
        version_2(0x21, 0x21, IPV6),
        version_2(0x21, 0x31, bytes(216) + b"\x01\x00\x02h2"),
        version_2(0x20, 0x00, b"whatever"),
        version_2(0x21, 0x11, IPV4 + b"\x20\x00\xff"),
    ),
    words=(
        *(
            b'PROXY |TCP4 |TCP6 |UNKNOWN|\r\n|\n| |65535|65536|00|01.2.3.4|::| |!|"|\x11|\x00\x0c|\x00\x00'
            b"|\x10\x00"
        ).split(b"|"),
        SIGNATURE,
        IPV4,
        IPV6,
        TLS,
    ),
    each=12,
    fixed=20_000,
)
