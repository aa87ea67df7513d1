"""The header of the PROXY protocol: bytes in, an address out."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.proxy_protocol import (
    LONGEST_1,
    LONGEST_2,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    read_proxy_header,
)

V4 = (
    ipaddress.ip_address("203.0.113.7").packed + ipaddress.ip_address("10.0.0.1").packed + b"\x04\xd2\x01\xbb"
)
V6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("fd00::1").packed + b"\x04\xd2\x01\xbb"


def version_2(command: int, family: int, rest: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def value(kind: int, content: bytes) -> bytes:
    return struct.pack("!BH", kind, len(content)) + content


HEADERS = {
    b"PROXY TCP4 203.0.113.7 10.0.0.1 1234 443\r\n": (("203.0.113.7", 1234), False),
    b"PROXY TCP4 203.0.113.7 10.0.0.1 0 65535\r\n": (("203.0.113.7", 0), False),
    b"PROXY TCP6 2001:DB8::7 fd00::1 1234 443\r\n": (("2001:db8::7", 1234), False),
    b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1234 443\r\n": (("203.0.113.7", 1234), False),
    b"PROXY UNKNOWN\r\n": (None, False),
    b"PROXY UNKNOWN ffff:f...f:ffff whatever 65535\r\n": (None, False),
    version_2(0x21, 0x11, V4): (("203.0.113.7", 1234), False),
    version_2(0x21, 0x21, V6): (("2001:db8::7", 1234), False),
    version_2(0x21, 0x31, bytes(216)): (b"", False),
    version_2(0x20, 0x00): (None, False),
    version_2(0x20, 0x11, V4): (None, False),
    version_2(0x20, 0xEE, b"anything"): (None, False),
    version_2(0x21, 0x00, b"anything"): (None, False),
    version_2(0x21, 0x11, V4 + value(0x04, bytes(50)) + value(0x20, b"\x01\0\0\0\0")): (
        ("203.0.113.7", 1234),
        True,
    ),
    version_2(0x21, 0x11, V4 + value(0x20, b"\x00\0\0\0\0")): (("203.0.113.7", 1234), False),
    version_2(0x21, 0x11, V4 + value(0x20, b"")): (("203.0.113.7", 1234), False),
}


@pytest.mark.parametrize("header", HEADERS, ids=repr)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_header_ends_where_the_client_begins(header: bytes, rest: bytes) -> None:
    source, is_secure = HEADERS[header]
    assert read_proxy_header(header + rest) == ProxyHeader(len(header), source, is_secure)


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_of_a_part_of_a_header_more_is_awaited(header: bytes) -> None:
    assert [end for end in range(len(header)) if read_proxy_header(header[:end]) is not None] == []


BROKEN = {
    b"GET / HTTP/1.1\r\n": "does not begin with",
    b"\x16\x03\x01": "does not begin with",
    b"\r\n\r\n\0\r\nQUIX": "does not begin with",
    b"proxy TCP4 ": "does not begin with",
    b"PROXY TCP4 203.0.113.7 10.0.0.1 1234\r\n": "malformed",
    b"PROXY  TCP4 203.0.113.7 10.0.0.1 1234 443\r\n": "malformed",
    b"PROXY UDP4 203.0.113.7 10.0.0.1 1234 443\r\n": "malformed",
    b"PROXY TCP4 203.0.113.7 10.0.0.1 1234 443 \r\n": "malformed",
    b"PROXY TCP4 203.0.113.7 10.0.0.1 01234 443\r\n": "malformed",
    b"PROXY UNKNOWNS\r\n": "malformed",
    b"PROXY TCP4 203.0.113.7\n10.0.0.1 1234 443\r\n": "malformed",
    b"PROXY TCP4 203.0.113.256 10.0.0.1 1234 443\r\n": "an address that is none",
    b"PROXY TCP4 ::1 10.0.0.1 1234 443\r\n": "an address that is none",
    b"PROXY TCP6 203.0.113.7 ::1 1234 443\r\n": "an address that is none",
    b"PROXY TCP4 203.0.113.7 10.0.0.1 1234 65536\r\n": "a port that is none",
    b"PROXY " + b"x" * (LONGEST_1 - 6): "does not end",
    version_2(0x11, 0x11, V4): "version and command, 0x11",
    version_2(0x22, 0x11, V4): "version and command, 0x22",
    version_2(0x21, 0x12, V4): "of 12 bytes does not fit the address family 0x12",
    version_2(0x21, 0x11, V4[:-1]): "of 11 bytes does not fit the address family 0x11",
    version_2(0x21, 0x21, V4): "of 12 bytes does not fit the address family 0x21",
    version_2(0x20, 0x00, bytes(LONGEST_2 - 15)): f"longer than {LONGEST_2} bytes",
    version_2(0x21, 0x11, V4 + b"\x20\x00"): "cut short",
    version_2(0x21, 0x11, V4 + b"\x20\x00\x05\x01"): "cut short",
}


@pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:40]))
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError, match=BROKEN[data]):
        read_proxy_header(data)


def test_a_length_that_is_too_long_is_refused_before_anything_of_it_has_come() -> None:
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(SIGNATURE + b"\x21\x11\xff\xff")


@given(
    st.one_of(
        st.binary(), st.binary().map(lambda data: SIGNATURE + data), st.binary().map(lambda d: b"PROXY " + d)
    )
)
def test_nothing_breaks_the_reader(data: bytes) -> None:
    try:
        header = read_proxy_header(data)
    except ProxyHeaderError:
        return
    assert header is None or 0 < header.length <= len(data)
