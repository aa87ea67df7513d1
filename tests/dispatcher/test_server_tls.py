"""A dispatcher whose clients speak TLS, as a process."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.peers import PATIENCE, Browser, Peer
from tests.programs import running
from tests.system import LRWP, Dispatcher, a_dispatcher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Authority, Pair


class Installed:
    """A certificate and its key where a dispatcher looks for them."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"

    def install(self, pair: Pair) -> None:
        self.certificate.write_bytes(pair.certificate.read_bytes())
        self.key.touch(0o600)
        self.key.write_bytes(pair.key.read_bytes())

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--tls-certificate", str(self.certificate), "--tls-key", str(self.key))


@pytest.fixture
def installed(tmp_path: Path, localhost: Pair) -> Installed:
    installed = Installed(tmp_path)
    installed.install(localhost)
    return installed


@pytest.fixture
def dispatcher(tmp_path: Path, installed: Installed) -> Iterator[Dispatcher]:
    with a_dispatcher(tmp_path, *installed.flags) as dispatcher:
        yield dispatcher


class SecureBrowser(Browser):
    """A client that speaks TLS."""

    def __init__(self, dispatcher: Dispatcher, context: ssl.SSLContext, name: str = "localhost") -> None:
        super().__init__(dispatcher.http)
        self.socket = context.wrap_socket(self.socket, server_hostname=name)


def peer_of(dispatcher: Dispatcher) -> Peer:
    host, _, port = dispatcher.link.rpartition(":")
    return Peer((host, int(port))).register()


def test_a_request_over_tls_reaches_a_worker_as_one_of_https(
    dispatcher: Dispatcher, authority: Authority
) -> None:
    with peer_of(dispatcher) as peer, SecureBrowser(dispatcher, authority.client()) as browser:
        browser.ask("POST", "/pages", b"x" * 300_000)
        request = peer.expect_request()
        assert request.scheme == "https"
        assert peer.expect_body() == b"x" * 300_000
        peer.answer(request.exchange, b"y" * 100_000)
        assert browser.read().body == b"y" * 100_000


def test_hup_takes_up_a_new_certificate_and_drops_nobody(
    dispatcher: Dispatcher, authority: Authority, installed: Installed
) -> None:
    trust = authority.client()
    with peer_of(dispatcher) as peer, SecureBrowser(dispatcher, trust) as before:
        before.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        installed.install(authority.issue("DNS:renewed"))
        dispatcher.program.send(signal.SIGHUP)
        dispatcher.program.wait_for("info certificate read again")
        peer.answer(exchange, b"kept")
        assert before.read().body == b"kept"
        before.ask("GET", "/nothing")
        assert before.read().status == 404
        with SecureBrowser(dispatcher, trust, "renewed") as after:
            after.ask("GET", "/nothing")
            assert after.read().status == 404
    assert dispatcher.drain() == 0


def test_a_certificate_that_is_broken_when_hup_comes_leaves_the_old_one_in_use(
    dispatcher: Dispatcher, authority: Authority, installed: Installed
) -> None:
    installed.certificate.write_text("half a certif")
    dispatcher.program.send(signal.SIGHUP)
    dispatcher.program.wait_for("error the certificate stays as it was reason=.*is not a certificate in PEM")
    with SecureBrowser(dispatcher, authority.client()) as browser:
        browser.ask("GET", "/nothing")
        assert browser.read().status == 404
    assert dispatcher.drain() == 0


def test_who_has_connected_over_tls_is_answered_before_the_dispatcher_ends(
    dispatcher: Dispatcher, authority: Authority
) -> None:
    with peer_of(dispatcher) as peer, SecureBrowser(dispatcher, authority.client()) as browser:
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        dispatcher.program.send(signal.SIGTERM)
        dispatcher.program.wait_for("info draining connections=1")
        peer.answer(exchange, b"in time")
        reply = browser.read()
        assert (reply.body, reply.headers["Connection"]) == (b"in time", "close")
        assert browser.socket.recv(1) == b""
        assert dispatcher.program.wait() == 0


def test_a_handshake_that_is_not_done_does_not_keep_a_dispatcher_that_stops(dispatcher: Dispatcher) -> None:
    with socket.create_connection(dispatcher.http, PATIENCE):
        dispatcher.program.wait_for("")
        assert dispatcher.drain() == 0


def refusal(folder: Path, *flags: str) -> str:
    """Return the one line of a dispatcher that cannot start."""
    usual = ("--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with running([*LRWP, "dispatcher", *usual, *flags], cwd=folder) as program:
        assert program.wait() == 2
    (line,) = program.output.splitlines()
    return line


def test_a_certificate_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, installed: Installed, authority: Authority
) -> None:
    installed.key.write_bytes(authority.issue("DNS:localhost").key.read_bytes())
    assert refusal(tmp_path, *installed.flags) == (
        f"lrwp: the key {installed.key} does not belong to the certificate {installed.certificate}"
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--tls-key", "key"), "tls_certificate and tls_key go together: give both, or neither"),
        (("--tls-certificate", "pem"), "tls_certificate and tls_key go together: give both, or neither"),
        (("--http", "tls://127.0.0.1:0"), "tls://127.0.0.1:0 needs tls_certificate and tls_key"),
        (
            ("--admin", "tls://127.0.0.1:0"),
            "the admin pages are not served over TLS: listen on 127.0.0.1 or a Unix socket",
        ),
        (("--link", "tls://127.0.0.1:0"), "tls://127.0.0.1:0 needs link_certificate and link_key"),
        (
            ("--link-certificate", "pem"),
            "link_client_ca needs link_certificate and link_key, and these need each other",
        ),
        (
            ("--link-client-ca", "pem"),
            "link_client_ca needs link_certificate and link_key, and these need each other",
        ),
        (
            ("--link-certificate", "pem", "--link-key", "key"),
            "link_certificate is for link addresses such as tls://0.0.0.0:8081: name one",
        ),
        (
            ("--link", "tls://0.0.0.0:0"),
            "the link address tls://0.0.0.0:0 can be reached from outside: give --secret-file, or"
            " --link-client-ca, or listen on 127.0.0.1 or a Unix socket",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_a_sentence(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    assert refusal(tmp_path, *flags) == f"lrwp: {sentence}"


def test_the_proxy_protocol_needs_somebody_to_trust(tmp_path: Path) -> None:
    (tmp_path / "lrwp.toml").write_text("[dispatcher]\nproxy_protocol = true\n")
    assert refusal(tmp_path, "-c", "lrwp.toml") == (
        "lrwp: proxy_protocol needs trusted_proxies: who is none could pass for anybody"
    )
