"""A dispatcher and its workers over TLS, as processes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.system import a_dispatcher, a_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Authority, Pair

SITE = """
from worker import Application, Response

app = Application("pages")

@app.post("/")
def take(request):
    return request.body
"""
LARGE = bytes(range(256)) * 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site1.py").write_text(SITE)
    return tmp_path


def at_a_link(pair: Pair, address: str = "tls://127.0.0.1:0") -> tuple[str, ...]:
    """Return the flags of a dispatcher whose workers dial over TLS."""
    return ("--link", address, "--link-certificate", str(pair.certificate), "--link-key", str(pair.key))


def shown(pair: Pair) -> tuple[str, ...]:
    """Return the flags of a worker that shows a certificate."""
    return ("--certificate", str(pair.certificate), "--key", str(pair.key))


def test_a_link_over_tls_carries_large_bodies_and_drains(
    folder: Path, localhost: Pair, authority: Authority
) -> None:
    trust = ("--ca-file", str(authority.file))
    with a_dispatcher(folder, *at_a_link(localhost)) as dispatcher:
        assert dispatcher.link.startswith("tls://127.0.0.1:")
        with a_worker(folder, "site1:app", *trust, "-n", "2", to=dispatcher.link) as worker:
            dispatcher.wait_for_links(2)
            with dispatcher.browser() as browser:
                for _ in range(3):
                    assert browser.post("/pages", LARGE).body == LARGE
            worker.send(signal.SIGTERM)
            assert worker.wait() == 0
        assert dispatcher.drain() == 0
        assert "handshake failed" not in dispatcher.program.output


def test_with_mutual_tls_workers_may_come_from_anywhere_without_a_secret(
    folder: Path, localhost: Pair, authority: Authority
) -> None:
    flags = (*at_a_link(localhost, "tls://0.0.0.0:0"), "--link-client-ca", str(authority.file))
    trust = ("--ca-file", str(authority.file))
    with a_dispatcher(folder, *flags) as dispatcher:
        to = dispatcher.link.replace("0.0.0.0", "localhost")
        with a_worker(folder, "site1:app", *trust, to=to) as stranger:
            stranger.wait_for("warning no trust .*it wants a certificate of us: give --certificate and --key")
            dispatcher.program.wait_for("warning link handshake failed .*peer did not return a certificate")
        with a_worker(folder, "site1:app", *trust, *shown(authority.issue()), to=to):
            dispatcher.wait_for_links(1)
            with dispatcher.browser() as browser:
                assert browser.post("/pages", b"hello").body == b"hello"


def test_hup_renews_the_certificate_of_a_link_and_keeps_the_links(folder: Path, authority: Authority) -> None:
    installed = authority.issue("DNS:one.invalid")
    trust = ("--ca-file", str(authority.file))
    with (
        a_dispatcher(folder, *at_a_link(installed)) as dispatcher,
        a_worker(folder, "site1:app", *trust, to=dispatcher.link) as worker,
    ):
        worker.wait_for("warning no trust .*its certificate is not for 127.0.0.1")
        renewed = authority.issue("IP:127.0.0.1")
        installed.certificate.write_bytes(renewed.certificate.read_bytes())
        installed.key.write_bytes(renewed.key.read_bytes())
        dispatcher.program.send(signal.SIGHUP)
        worker.wait_for("info registered")
        dispatcher.program.wait_for("info certificate read again")
        dispatcher.program.send(signal.SIGHUP)
        dispatcher.program.wait_for("info certificate read again")
        assert len(dispatcher.status()["links"]) == 1


def test_who_speaks_no_tls_at_a_secure_link_is_turned_away(folder: Path, localhost: Pair) -> None:
    with (
        a_dispatcher(folder, *at_a_link(localhost)) as dispatcher,
        a_worker(folder, "site1:app", to=dispatcher.link.removeprefix("tls://")),
    ):
        dispatcher.program.wait_for("warning link handshake failed .*what it sent first is not TLS")
