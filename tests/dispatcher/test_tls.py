"""TLS in front of a client's connection, over real sockets and with the client's OpenSSL."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from dispatcher.certificates import Certificate
from dispatcher.entrance import Entrance
from dispatcher.http import AHEAD
from dispatcher.proxies import NOBODY
from dispatcher.settings import Limits
from dispatcher.watch import GLANCE
from tests.dispatcher.fakes_http import PATIENCE, Client, FakeSite, Serving, a_head, body_of, later
from tests.waiting import until

if TYPE_CHECKING:
    from tests.certificates import Authority, Pair

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
STREAM = a_head("X-Accel-Buffering: no")


class TlsSocket:
    """A client's socket whose every step of TLS the test takes itself."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, step: int = 65536) -> None:
        self.raw = sock
        self._step = step
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def begin(self) -> None:
        """Send the first words of a handshake, and no more."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self._flush()

    def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._incoming.write(self._receive())
            else:
                self._flush()
                return

    def _receive(self) -> bytes:
        data = self.raw.recv(65536)
        if not data:
            raise ConnectionResetError
        return data

    def _flush(self) -> None:
        data = self._outgoing.read()
        for at in range(0, len(data), self._step):
            self.raw.sendall(data[at : at + self._step])

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), 16384):
            self.tls.write(data[at : at + 16384])
        self._flush()

    def recv(self, size: int) -> bytes:
        """Return data, b"" when the server has said in TLS that there is no more."""
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLZeroReturnError:  # what b"" is called for who has said goodbye itself
                return b""
            except ssl.SSLWantReadError:
                self._incoming.write(self._receive())

    def say_goodbye(self) -> None:
        """Say in TLS that nothing more will come, and go on to listen."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()

    def shutdown(self, how: int) -> None:
        self.raw.shutdown(how)

    def settimeout(self, seconds: float) -> None:
        self.raw.settimeout(seconds)

    def close(self) -> None:
        self.raw.close()


class Secure(Serving):
    """A site over TLS, and how to get there."""

    def __init__(self, site: FakeSite, pair: Pair, authority: Authority) -> None:
        entrance = Entrance(site, NOBODY, Certificate(*pair, "http/1.1"), False)
        super().__init__(site, connection=entrance.connection)
        self.trust = authority.client(protocols=("h2", "http/1.1"))

    def knock(self, *, step: int = 65536, receive_buffer: int = 0) -> TlsSocket:
        """Return a client that has said nothing yet."""
        return TlsSocket(super().connect(receive_buffer).sock, self.trust, step=step)

    def connect(self, receive_buffer: int = 0) -> Client:
        sock = self.knock(receive_buffer=receive_buffer)
        sock.shake_hands()
        return Client(sock)  # type: ignore[arg-type]  # all that a client asks of a socket


@pytest.fixture
def site() -> FakeSite:
    return FakeSite()


@pytest.fixture
def serving(site: FakeSite, localhost: Pair, authority: Authority) -> Iterator[Secure]:
    with Secure(site, localhost, authority) as serving:
        yield serving


def tls_of(client: Client) -> TlsSocket:
    assert isinstance(client.sock, TlsSocket)
    return client.sock


# ── Requests ─────────────────────────────────────────────────────────────────────────────────────


def test_a_request_over_tls_is_one_of_https(serving: Secure) -> None:
    with serving.connect() as client:
        tls = tls_of(client).tls
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        client.send(GET % b"a" + GET % b"b")
        assert [client.answer().body, client.answer().body] == [b"GET /a ", b"GET /b "]
        exchange = serving.next_exchange()
        assert exchange.scheme == "https"
        assert exchange.peer == "{}:{}".format(*tls_of(client).raw.getsockname())


def test_tls_1_2_will_do(serving: Secure) -> None:
    serving.trust.maximum_version = ssl.TLSVersion.TLSv1_2
    assert serving.ask(GET % b"a").body == b"GET /a "


def test_a_client_may_ask_for_no_protocol(serving: Secure, authority: Authority) -> None:
    serving.trust = authority.client()
    with serving.connect() as client:
        assert tls_of(client).tls.selected_alpn_protocol() is None
        client.send(GET % b"a")
        assert client.answer().status == 200


def test_a_handshake_and_a_request_may_come_byte_by_byte(serving: Secure) -> None:
    sock = serving.knock(step=1)
    sock.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.shake_hands()
    with Client(sock) as client:  # type: ignore[arg-type]  # all that a client asks of a socket
        client.send(GET % b"a")
        assert client.answer().body == b"GET /a "


def test_a_large_body_goes_up_and_down(serving: Secure) -> None:
    body = b"0123456789abcdef" * 65536
    with serving.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert client.answer().body == b"POST / " + body


def test_what_a_client_sends_ahead_waits_in_tls_too(serving: Secure, site: FakeSite) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(GET % b"a")
        exchange = serving.next_exchange()
        ahead = [
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" % n + bytes(40000)
            for n in range(5)
        ]
        client.send(b"".join(ahead))
        serving.until(lambda: next(iter(site.connections))._held)
        serving.respond(exchange, b"first")
        assert client.answer().body == b"first"
        for number in range(5):
            exchange = serving.next_exchange()
            assert (exchange.target, len(body_of(exchange))) == (b"/%d" % number, 40000)
            serving.respond(exchange, exchange.target)
            assert client.answer().body == b"/%d" % number
    assert AHEAD < 5 * 40000


def test_a_slow_client_is_waited_for_and_gets_all_of_it(serving: Secure, site: FakeSite) -> None:
    site.handler = later
    with serving.connect(receive_buffer=4096) as client:
        client.send(GET % b"a")
        exchange = serving.next_exchange()
        serving.respond(exchange, b"", False, STREAM)
        for _ in range(64):
            serving.do(exchange.client.respond_body, bytes(65536), False)
        resumed = threading.Event()
        assert serving.do(exchange.client.when_caught_up, resumed.set)
        answers = []
        reader = threading.Thread(target=lambda: answers.append(client.answer()))
        reader.start()
        assert resumed.wait(PATIENCE)
        serving.do(exchange.client.respond_body, b"end", True)
        reader.join(PATIENCE)
        assert answers[0].body == bytes(64 * 65536) + b"end"


# ── Ends ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_says_goodbye_in_tls_still_gets_its_answer(
    serving: Secure, site: FakeSite, version: ssl.TLSVersion
) -> None:
    serving.trust.maximum_version = version
    site.handler = later
    with serving.connect() as client:
        client.send(GET % b"a")
        tls_of(client).say_goodbye()
        serving.respond(serving.next_exchange(), b"late")
        assert client.answer().body == b"late"
        assert client.sock.recv(1) == b""


def test_what_comes_behind_a_goodbye_is_dropped(serving: Secure, site: FakeSite) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(GET % b"a")
        exchange = serving.next_exchange()
        tls_of(client).say_goodbye()
        tls_of(client).raw.sendall(bytes(1_000_000))
        (connection,) = site.connections
        serving.until(lambda: connection._eof)
        serving.respond(exchange, b"late")
        assert client.answer().body == b"late"
        assert connection._transport._incoming.pending < 1_000_000


def test_a_client_that_closes_its_side_under_tls_still_gets_its_answer(
    serving: Secure, site: FakeSite
) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(GET % b"a")
        client.half_close()
        serving.respond(serving.next_exchange(), b"late")
        assert client.answer().body == b"late"
        assert client.sock.recv(1) == b""


def test_a_request_that_is_not_whole_when_its_client_says_goodbye_is_refused(serving: Secure) -> None:
    with serving.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        tls_of(client).say_goodbye()
        assert client.answer().status == 400
        assert client.sock.recv(1) == b""


def test_the_last_answer_is_followed_by_a_goodbye(serving: Secure) -> None:
    with serving.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.answer().status == 200
        assert client.sock.recv(1) == b""


def test_a_client_that_closes_after_the_last_answer_is_not_waited_for(
    serving: Secure, site: FakeSite
) -> None:
    with serving.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.answer().status == 200
        client.close()
        assert site.left.get(timeout=PATIENCE)  # though no time passes


def test_an_answer_that_is_cut_off_ends_without_a_goodbye(serving: Secure, site: FakeSite) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        exchange = serving.next_exchange()
        serving.respond(exchange, b"half", False, STREAM)
        assert client.sock.recv(65536).startswith(b"HTTP/1.1 200")
        serving.do(exchange.client._cut_off, exchange.client._outlet)
        with pytest.raises(ConnectionResetError):
            client.sock.recv(65536)


def test_a_client_that_leaves_is_forgotten(serving: Secure, site: FakeSite) -> None:
    site.handler = later
    with serving.connect() as client:
        client.send(GET % b"a")
        serving.next_exchange()
        client.close()
        until(lambda: serving.pass_time(GLANCE) or not site.connections)
    assert site.abandoned.get(timeout=PATIENCE)


def test_a_connection_that_is_idle_ends_with_a_goodbye(serving: Secure) -> None:
    with serving.connect() as client:
        serving.until(lambda: next(iter(serving.site.connections)).deadline == 1075.0)
        serving.pass_time(75.0)
        assert client.sock.recv(1) == b""


def test_what_breaks_tls_ends_the_connection(serving: Secure, site: FakeSite) -> None:
    with serving.connect() as client:
        tls_of(client).raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            client.sock.recv(1)
    assert site.left.get(timeout=PATIENCE)


# ── Handshakes that fail ─────────────────────────────────────────────────────────────────────────


def test_a_slow_handshake_is_cut_off_like_a_slow_head(serving: Secure, site: FakeSite) -> None:
    sock = serving.knock()
    sock.begin()
    serving.until(lambda: len(site.connections) == 1)
    serving.pass_time(site.limits.head_timeout - 0.1)
    assert len(site.connections) == 1
    serving.pass_time(0.2)
    site.left.get(timeout=PATIENCE)
    sock.close()


def test_one_too_many_is_cut_off_before_its_handshake(serving: Secure, site: FakeSite) -> None:
    site.most_connections = 0
    sock = serving.knock()
    with pytest.raises(ConnectionResetError):
        sock.shake_hands()
    sock.close()


def test_a_client_that_speaks_plain_http_is_told_so(serving: Secure, site: FakeSite) -> None:
    with capture_logs() as log:
        with Client(serving.knock().raw) as client:
            client.send(GET % b"a")
            answer = client.answer()
            assert (answer.status, "HTTPS only" in answer.body.decode()) == (400, True)
            assert client.sock.recv(1) == b""
        site.left.get(timeout=PATIENCE)
    assert log == [
        {
            "event": "handshake failed",
            "log_level": "warning",
            "peer": "127.0.0.1",
            "reason": "what it sent first is not TLS",
        }
    ]
    assert site.asked.empty()


def test_a_client_that_sends_anything_else_hears_nothing(serving: Secure) -> None:
    with Client(serving.knock().raw) as client:
        client.send(b"\x00\x00\x00\x10")
        assert client.sock.recv(1) == b""


def test_a_client_that_distrusts_us_leaves_and_the_log_says_why(
    serving: Secure, site: FakeSite, other_authority: Authority
) -> None:
    serving.trust = other_authority.client()
    with capture_logs() as log:
        for _ in range(3):
            sock = serving.knock()
            with pytest.raises(ssl.SSLCertVerificationError):
                sock.shake_hands()
            sock._flush()
            sock.close()
            site.left.get(timeout=PATIENCE)
    assert [entry["reason"] for entry in log] == ["tlsv1 alert unknown ca"]


def test_who_only_looks_whether_somebody_listens_is_not_written_down(serving: Secure, site: FakeSite) -> None:
    with capture_logs() as log:
        serving.knock().close()
        site.left.get(timeout=PATIENCE)
    assert log == []


def test_limits_are_those_of_plain_http(site: FakeSite, localhost: Pair, authority: Authority) -> None:
    site.limits = Limits(target=10)
    with Secure(site, localhost, authority) as serving:
        assert serving.ask(GET % (b"a" * 20)).status == 414
