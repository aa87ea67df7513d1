"""Certificates: what cannot be used is a sentence, and what was in use stays."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from dispatcher.certificates import Certificate
from protocol.errors import SettingsError
from tests.tools import needed

if TYPE_CHECKING:
    from tests.certificates import Authority, Pair


def refusal(certificate: Path, key: Path, client_ca: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        Certificate(certificate, key, client_ca=client_ca)
    return str(caught.value)


def test_a_certificate_asks_for_tls_1_2_at_least_and_nothing_of_the_client(localhost: Pair) -> None:
    certificate = Certificate(*localhost)
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert certificate.context.verify_mode == ssl.CERT_NONE
    assert certificate.context.options & ssl.OP_NO_RENEGOTIATION
    assert repr(certificate) == f"<Certificate {localhost.certificate}>"


def test_with_a_client_ca_clients_must_show_a_certificate(localhost: Pair, authority: Authority) -> None:
    context = Certificate(*localhost, client_ca=authority.file).context
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_what_cannot_be_used_is_named(
    localhost: Pair, authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    certificate, key = localhost
    missing, text = tmp_path / "missing", tmp_path / "text"
    text.write_text("hello")
    other = other_authority.issue("DNS:localhost")
    assert refusal(missing, key) == f"cannot read the certificate {missing}: No such file or directory"
    assert refusal(certificate, missing) == f"cannot read the key {missing}: No such file or directory"
    assert refusal(text, key) == f"the certificate {text} is not a certificate in PEM"
    assert refusal(key, key) == f"the certificate {key} is not a certificate in PEM"
    assert refusal(certificate, text) == f"the key {text} is not a private key in PEM"
    assert refusal(certificate, certificate) == f"the key {certificate} is not a private key in PEM"
    assert refusal(certificate, other.key) == (
        f"the key {other.key} does not belong to the certificate {certificate}"
    )
    assert refusal(certificate, key, text) == f"the CA certificate {text} is not a certificate in PEM"
    assert refusal(certificate, key, tmp_path) == f"cannot read the CA certificate {tmp_path}: Is a directory"


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(localhost: Pair, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = [
        needed("openssl"),
        "ec",
        "-in",
        localhost.key,
        "-aes128",
        "-passout",
        "pass:secret",
        "-out",
        locked,
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert refusal(localhost.certificate, locked) == (
        f"the key {locked} has a password, and nobody is here to type it: take it off"
    )


def test_a_key_that_others_can_read_is_warned_about(localhost: Pair, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(localhost.key.read_bytes())
    with capture_logs() as log:
        for mode in (0o600, 0o640, 0o644):
            key.chmod(mode)
            Certificate(localhost.certificate, key)
    assert [(entry["event"], entry["file"]) for entry in log] == [
        ("others can read the key; chmod o= it", str(key))
    ]


def test_a_new_certificate_takes_the_place_of_the_old_one_unless_it_is_broken(
    authority: Authority, tmp_path: Path
) -> None:
    file, key = tmp_path / "certificate", tmp_path / "key"

    def install(pair: Pair) -> None:
        file.write_bytes(pair.certificate.read_bytes())
        key.write_bytes(pair.key.read_bytes())
        key.chmod(0o600)

    install(authority.issue("DNS:one"))
    certificate = Certificate(file, key)
    first = certificate.context
    file.write_text("half a certif")
    with pytest.raises(SettingsError):
        certificate.renew()
    assert certificate.context is first
    install(authority.issue("DNS:two"))
    certificate.renew()
    assert certificate.context is not first
