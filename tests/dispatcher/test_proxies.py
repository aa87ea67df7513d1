"""Trusted proxies: who they are, and what a connection makes of what they say."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dispatcher.http import HttpConnection
from dispatcher.proxies import NOBODY, Proxies
from protocol.errors import SettingsError
from tests.dispatcher.fakes_http import FakeSite, Serving

FORWARDED = b"X-Forwarded-For: 192.0.2.66, 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n" + FORWARDED + b"\r\n"


def proxied(*trusted: str) -> Serving:
    """Return a server that trusts these."""
    site = FakeSite()
    proxies = Proxies(trusted)
    return Serving(site, connection=lambda: HttpConnection(site, proxies))


@pytest.fixture
def serving() -> Iterator[Serving]:
    with proxied("127.0.0.0/8") as serving:
        yield serving


@pytest.mark.parametrize(
    ("name", "host", "is_trusted"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.0/8", "10.200.0.1", True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("fd00::/8", "fd12::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00::/8", "10.0.0.1", False),
        ("0.0.0.0/0", "unix", False),
        ("unix", "unix", True),
        ("unix", "127.0.0.1", False),
        ("10.0.0.1", "", False),
    ],
)
def test_who_is_trusted(name: str, host: str, is_trusted: bool) -> None:
    assert Proxies([name]).trusts(host) == is_trusted


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert not NOBODY.trusts("127.0.0.1")
    assert not NOBODY.trusts("unix")
    assert repr(NOBODY) == "<Proxies []>"
    assert repr(Proxies(["unix", "10.0.0.1"])) == "<Proxies ['10.0.0.1/32'] unix>"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("proxy", "'proxy' is neither an address, nor a network such as 10.0.0.0/8, nor unix"),
        ("", "'' is neither an address, nor a network such as 10.0.0.0/8, nor unix"),
        ("10.0.0.1/8", "nor unix (10.0.0.1/8 has host bits set)"),
    ],
)
def test_what_is_no_network_is_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Proxies(["10.0.0.1", name])
    assert str(caught.value).startswith("trusted_proxies: ")
    assert str(caught.value).endswith(sentence)


def test_a_long_block_is_read_in_the_same_way_as_a_short_one() -> None:
    proxies = Proxies(["10.0.0.1"])
    long = FORWARDED + b"X: " + b"y" * 2000 + b"\r\n"
    assert (
        proxies.origin(long, "10.0.0.1:5", "http")[1:] == proxies.origin(FORWARDED, "10.0.0.1:5", "http")[1:]
    )
    assert proxies.disbelieve(FORWARDED) == b""
    assert proxies.disbelieve(long) == b"X: " + b"y" * 2000 + b"\r\n"


# ── On a connection ──────────────────────────────────────────────────────────────────────────────


def test_a_trusted_proxy_is_believed(serving: Serving) -> None:
    with serving.connect() as client:
        client.send(GET + b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        client.answer()
        client.answer()
        first, second = serving.next_exchange(), serving.next_exchange()
        assert (first.peer, first.scheme, first.host) == ("203.0.113.7:0", "https", "a")
        assert first.head == (
            b"Host: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
        )
        host, port = client.sock.getsockname()
        assert (second.peer, second.scheme) == (f"{host}:{port}", "http")


def test_anybody_else_is_not() -> None:
    with proxied("10.0.0.1") as serving, serving.connect() as client:
        client.send(GET)
        client.answer()
        exchange = serving.next_exchange()
        host, port = client.sock.getsockname()
        assert (exchange.peer, exchange.scheme, exchange.head) == (f"{host}:{port}", "http", b"Host: a\r\n")


@pytest.mark.parametrize("trusted", ["unix", "127.0.0.1"])
def test_who_comes_through_a_unix_socket_is_believed_if_that_is_said(trusted: str) -> None:
    with proxied(trusted) as serving:
        here, there = socket.socketpair()
        there.setblocking(False)
        serving.introduce(there)
        with here:
            here.sendall(GET)
            assert here.recv(12) == b"HTTP/1.1 200"
            expected = "203.0.113.7:0" if trusted == "unix" else "unix:"
            assert serving.next_exchange().peer == expected


def test_a_body_in_chunks_keeps_its_length_and_its_origin(serving: Serving) -> None:
    chunked = (
        b"POST / HTTP/1.1\r\nHost: a\r\n"
        + FORWARDED
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    assert serving.ask(chunked).body == b"POST / hi"
    exchange = serving.next_exchange()
    assert exchange.peer == "203.0.113.7:0"
    assert b"Content-Length: 2\r\n" in exchange.head
