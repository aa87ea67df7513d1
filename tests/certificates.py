"""Certificates for tests, made when the first test wants them: each run has authorities of its own."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tools import needed

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
"""A key that is made in a millisecond."""


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A CA.

    Attributes:
        file: its certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._openssl = needed("openssl")
        self._names = 0
        folder.mkdir()
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        self._run(
            *("req", "-x509", *NEW_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=A test's CA"),
            *("-addext", "keyUsage=critical,keyCertSign"),
        )

    def issue(self, *names: str, days: int = 1) -> Pair:
        """Return a new certificate for names such as ``DNS:localhost`` or ``IP:127.0.0.1``."""
        self._names += 1
        stem = f"{self._names}"
        extensions = ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
        if names:
            extensions.append(f"subjectAltName={','.join(names)}")
        (self._folder / f"{stem}.ext").write_text("\n".join(extensions))
        self._run("req", *NEW_KEY, "-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", "/CN=A test")
        self._run(
            *("x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", str(days), "-extfile", f"{stem}.ext", "-out", f"{stem}.pem"),
        )
        (self._folder / f"{stem}.key").chmod(0o600)
        return Pair(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")

    def client(self, *, protocols: tuple[str, ...] = (), pair: Pair | None = None) -> ssl.SSLContext:
        """Return what a client needs that trusts this CA."""
        context = ssl.create_default_context(cafile=self.file)
        if protocols:
            context.set_alpn_protocols(protocols)
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._openssl, *arguments], cwd=self._folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that everybody trusts."""
    return Authority(tmp_path_factory.mktemp("certificates") / "ca")


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("certificates") / "other")


@pytest.fixture(scope="session")
def localhost(authority: Authority) -> Pair:
    """The certificate of this machine."""
    return authority.issue("DNS:localhost", "IP:127.0.0.1", "IP:::1")
