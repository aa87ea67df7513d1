"""Connections that begin with a header of the PROXY protocol, with TLS behind it and without."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from dispatcher.certificates import Certificate
from dispatcher.entrance import Entrance
from dispatcher.proxies import Proxies
from tests.dispatcher.fakes_http import PATIENCE, Client, FakeSite, Serving
from tests.dispatcher.test_proxy_protocol import V4, value, version_2

if TYPE_CHECKING:
    from tests.certificates import Authority, Pair

HEADER = b"PROXY TCP4 203.0.113.7 10.0.0.1 1234 443\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.66\r\nX-Forwarded-Proto: https\r\n\r\n"


def proxied(*trusted: str, certificate: Certificate | None = None) -> Serving:
    site = FakeSite()
    entrance = Entrance(site, Proxies(trusted), certificate, True)
    return Serving(site, connection=entrance.connection)


@pytest.fixture
def serving() -> Iterator[Serving]:
    with proxied("127.0.0.1") as serving:
        yield serving


@pytest.mark.parametrize(
    ("header", "peer", "scheme"),
    [
        (HEADER, "203.0.113.7:1234", "http"),
        (version_2(0x21, 0x11, V4), "203.0.113.7:1234", "http"),
        (version_2(0x21, 0x11, V4 + value(0x20, b"\x01\0\0\0\0")), "203.0.113.7:1234", "https"),
        (version_2(0x21, 0x31, bytes(216)), "unix:", "http"),
    ],
)
def test_the_client_is_the_one_that_the_header_names(
    serving: Serving, header: bytes, peer: str, scheme: str
) -> None:
    assert serving.ask(header + GET).status == 200
    exchange = serving.next_exchange()
    assert (exchange.peer, exchange.scheme, exchange.head) == (peer, scheme, b"Host: a\r\n")


def test_a_header_may_come_byte_by_byte(serving: Serving) -> None:
    with serving.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HEADER + GET:
            client.send(bytes([byte]))
        assert client.answer().status == 200
        assert serving.next_exchange().peer == "203.0.113.7:1234"
        client.send(GET)
        assert client.answer().status == 200
        assert serving.next_exchange().peer == "203.0.113.7:1234"


def test_a_proxy_that_speaks_for_itself_is_believed_as_without_a_header(serving: Serving) -> None:
    assert serving.ask(version_2(0x20, 0x00) + GET).status == 200
    exchange = serving.next_exchange()
    assert (exchange.peer, exchange.scheme) == ("192.0.2.66:0", "https")


def test_a_client_that_is_a_trusted_proxy_itself_is_believed() -> None:
    with proxied("127.0.0.1", "203.0.113.7") as serving:
        assert serving.ask(HEADER + GET).status == 200
        assert serving.next_exchange().peer == "192.0.2.66:0"


def test_tls_follows_the_header(localhost: Pair, authority: Authority) -> None:
    with proxied("127.0.0.1", certificate=Certificate(*localhost)) as serving:
        sock = socket.create_connection(serving.address, PATIENCE)
        sock.sendall(HEADER)
        with (
            authority.client().wrap_socket(sock, server_hostname="localhost") as secure,
            Client(secure) as client,
        ):
            client.send(GET)
            assert client.answer().status == 200
        exchange = serving.next_exchange()
        assert (exchange.peer, exchange.scheme) == ("203.0.113.7:1234", "https")


def test_tls_may_come_with_the_header(localhost: Pair, authority: Authority) -> None:
    with proxied("127.0.0.1", certificate=Certificate(*localhost)) as serving:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        with serving.connect() as client:
            client.send(HEADER + outgoing.read())
            assert client.sock.recv(1) == b"\x16"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GET, "it does not begin with a header of the PROXY protocol"),
        (b"PROXY TCP4 1 2 3 4\r\n", "its PROXY line has an address that is none"),
    ],
)
def test_what_is_no_header_ends_the_connection_with_one_line(
    serving: Serving, data: bytes, reason: str
) -> None:
    with capture_logs() as log:
        for _ in range(3):
            with serving.connect() as client:
                client.send(data)
                assert ends(client)
            serving.site.left.get(timeout=PATIENCE)
    assert log == [
        {"event": "connection refused", "log_level": "warning", "peer": log[0]["peer"], "reason": reason}
    ]
    assert serving.site.asked.empty()


def test_who_is_not_trusted_could_pass_for_anybody_and_is_refused() -> None:
    with capture_logs() as log, proxied("10.0.0.1") as serving, serving.connect() as client:
        assert ends(client)
        serving.site.left.get(timeout=PATIENCE)
    assert [entry["reason"] for entry in log] == ["it is not one of trusted_proxies"]


def test_a_header_that_does_not_come_is_not_waited_for(serving: Serving) -> None:
    with serving.connect() as client:
        client.send(HEADER[:10])
        serving.until(lambda: len(serving.site.connections) == 1)
        serving.pass_time(serving.site.limits.head_timeout)
        assert ends(client)
        serving.site.left.get(timeout=PATIENCE)


def test_a_request_that_does_not_follow_is_waited_for_as_on_an_idle_connection(serving: Serving) -> None:
    with serving.connect() as client:
        client.send(HEADER)
        serving.until(lambda: [each.deadline for each in serving.site.connections] == [1075.0])
        client.send(GET)
        assert client.answer().status == 200


def test_a_look_whether_we_live_is_no_trouble(serving: Serving) -> None:
    with capture_logs() as log:
        serving.connect().close()
        serving.site.left.get(timeout=PATIENCE)
    assert log == []


def ends(client: Client) -> bool:
    """Whether the connection ends without a word."""
    try:
        return client.sock.recv(1) == b""
    except ConnectionResetError:
        return True
