"""Certificates: who we are to those who connect over TLS, from files that may be renewed while we run."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

import structlog

from protocol.errors import SettingsError

log = structlog.get_logger()


class Certificate:
    """A certificate with its key.

    Attributes:
        file: where the certificate is.
        context: what a new connection is served with.

    Args:
        file: the certificate, followed by those that lead to its CA, in PEM.
        key: the private key, in PEM.
        protocol: what is spoken over TLS, as ALPN names it (RFC 7301).
        client_ca: the CAs, in PEM, by one of which the other side's certificate must be signed; None if it
            needs none.

    Raises:
        SettingsError: a file cannot be read or used.
    """

    def __init__(
        self, file: Path, key: Path, protocol: str | None = None, client_ca: Path | None = None
    ) -> None:
        self.file = file
        self._key = key
        self._protocol = protocol
        self._client_ca = client_ca
        self.context = self._read()

    def __repr__(self) -> str:
        return f"<Certificate {self.file}>"

    def renew(self) -> None:
        """Read the files again, for connections that come from now on.

        Raises:
            SettingsError: they cannot be read or used; then all stays as it was.
        """
        self.context = self._read()

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # To be asked for new keys again and again costs us more than who asks (CVE-2011-1473).
        context.options |= ssl.OP_NO_RENEGOTIATION
        if self._protocol is not None:
            context.set_alpn_protocols([self._protocol])
        _check_certificates(self.file, "certificate")
        _check_readable(self._key, "key")
        self._load(context)
        if self._client_ca is not None:
            _check_certificates(self._client_ca, "CA certificate")
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        if self._key.stat().st_mode & 0o007:
            log.warning("others can read the key; chmod o= it", file=str(self._key))
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        def refuse_to_ask() -> NoReturn:
            raise SettingsError(
                f"the key {self._key} has a password, and nobody is here to type it: take it off"
            )

        try:
            context.load_cert_chain(self.file, self._key, refuse_to_ask)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                sentence = f"the key {self._key} does not belong to the certificate {self.file}"
            elif error.reason and error.reason.endswith("TOO_SMALL"):
                sentence = f"the key of the certificate {self.file} is too short to be safe"
            else:
                sentence = f"the key {self._key} is not a private key in PEM"
            raise SettingsError(sentence) from None


def _check_readable(file: Path, what: str) -> str:
    try:
        return file.read_text("latin-1")
    except OSError as error:
        raise SettingsError(f"cannot read the {what} {file}: {error.strerror}") from None


def _check_certificates(file: Path, what: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_check_readable(file, what))
    except (ssl.SSLError, ValueError):
        raise SettingsError(f"the {what} {file} is not a certificate in PEM") from None
