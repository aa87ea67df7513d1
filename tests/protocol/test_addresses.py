"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import Address, read_address
from protocol.errors import AddressError

GOOD = {
    "127.0.0.1:8080": Address("tcp", "127.0.0.1", 8080),
    "localhost:0": Address("tcp", "localhost", 0),
    "[::1]:8081": Address("tcp", "::1", 8081),
    "tls://dispatcher.example.org:65535": Address("tls", "dispatcher.example.org", 65535),
    "tls://[2001:db8::7]:443": Address("tls", "2001:db8::7", 443),
    "unix:///run/lrwp/link.sock": Address("unix", path="/run/lrwp/link.sock"),
    "unix:///with spaces/and:colons": Address("unix", path="/with spaces/and:colons"),
}


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_read_and_written_alike(text: str) -> None:
    assert read_address(text) == GOOD[text]
    assert str(GOOD[text]) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "localhost",
        "localhost:",
        ":8080",
        "[]:8080",
        "localhost:http",
        "localhost:-1",
        "localhost:65536",
        "localhost:" + "9" * 5000,
        "localhost:٨٠",
        "localhost:80 ",
        "local host:80",
        "local\0host:80",
        "http://localhost:8080",
        "http://localhost:8080/",
        "tls://",
        "tls://localhost",
        "tls://unix:///run/x",
        "[::1]",
        "[::1:80",
        "[[::1]]:80",
    ],
)
def test_what_is_no_address_is_told_what_one_looks_like(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_address(text)
    assert (
        str(caught.value) == f"{text!r} is not an address: write host:port, unix:///path or tls://host:port"
    )


@pytest.mark.parametrize("text", ["::1:8080", "tls://::1:443"])
def test_ipv6_needs_its_brackets(text: str) -> None:
    with pytest.raises(AddressError, match=r"put an IPv6 address in brackets, as in \[::1\]:8080$"):
        read_address(text)


@pytest.mark.parametrize("text", ["unix://", "unix://relative.sock", "unix:///with\0nul"])
def test_a_unix_socket_needs_an_absolute_path(text: str) -> None:
    with pytest.raises(AddressError, match=r"is not an address: write unix:///absolute/path$"):
        read_address(text)


@pytest.mark.parametrize(
    ("text", "is_private"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("LocalHost:1", True),
        ("unix:///run/x", True),
        ("tls://127.0.0.1:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.1.1:1", False),
        ("[::ffff:127.0.0.1]:1", False),
        ("localhost.example.org:1", False),
        ("127.0.0.1.example.org:1", False),
    ],
)
def test_private_is_what_only_this_machine_can_reach(text: str, is_private: bool) -> None:
    assert read_address(text).is_private is is_private


@given(st.text() | st.text(alphabet="[]:/tlsunix0123456789."))
def test_any_text_is_an_address_or_an_error_and_what_is_read_can_be_written(text: str) -> None:
    try:
        address = read_address(text)
    except AddressError:
        return
    assert read_address(str(address)) == address
