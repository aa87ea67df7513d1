"""TLS on a worker's links: whom we trust, how hands are shaken, and a socket used like a plain one."""

from __future__ import annotations

import errno
import select
import socket
import ssl
from pathlib import Path
from typing import Final, NoReturn

from protocol.errors import SettingsError
from worker.dialling import DistrustError

READ: Final = 16 * 1024
"""Bytes to ask OpenSSL for: it gives no more than one record at a time, and none is longer."""

# <openssl/x509_vfy.h>; Python knows these numbers by no name.
_NOT_YET_VALID, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64

_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS: is it meant for another port, or without tls://?",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of us: give --certificate and --key",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the CA that has signed our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
}
"""What went wrong, by OpenSSL's name for it."""


class Trust:
    """Whom we trust, and what we show of ourselves.

    Args:
        ca_file: the CAs, in PEM, by one of which a dispatcher's certificate must be signed; None for those
            that this system knows.
        certificate: our own certificate, in PEM, for a dispatcher that wants one.
        key: its private key, in PEM.

    Raises:
        SettingsError: a file cannot be read or used.
    """

    def __init__(
        self, ca_file: Path | None = None, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self._ca_file = ca_file
        if ca_file is not None:
            _check_readable(ca_file, "CA file")
        try:
            self._context = ssl.create_default_context(cafile=ca_file)
        except ssl.SSLError:
            raise SettingsError(f"the CA file {ca_file} is not a certificate in PEM") from None
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.options |= ssl.OP_NO_RENEGOTIATION
        if certificate is not None and key is not None:
            self._show(certificate, key)
        elif certificate is not None or key is not None:
            raise SettingsError("a certificate and its key go together: give both, or neither")

    def __repr__(self) -> str:
        return f"<Trust in {self._ca_file or 'the CAs of this system'}>"

    def _show(self, certificate: Path, key: Path) -> None:
        def refuse_to_ask() -> NoReturn:
            raise SettingsError(f"the key {key} has a password, and nobody is here to type it: take it off")

        _check_readable(certificate, "certificate")
        _check_readable(key, "key")
        try:
            self._context.load_cert_chain(certificate, key, refuse_to_ask)
        except ssl.SSLError as error:
            sentence = f"the certificate {certificate} and the key {key} must be in PEM"
            if error.reason == "KEY_VALUES_MISMATCH":
                sentence = f"the key {key} does not belong to the certificate {certificate}"
            raise SettingsError(sentence) from None

    def shake_hands(self, sock: socket.socket, host: str) -> Handshake:
        """Begin TLS on a socket that is connected and does not block; the socket is the handshake's then."""
        return Handshake(
            self._context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False), self, host
        )

    def explain(self, error: ssl.SSLError, host: str) -> DistrustError:
        """Return a sentence in the place of OpenSSL's words."""
        return DistrustError(errno.EPROTO, self._sentence(error, host))

    def _sentence(self, error: ssl.SSLError, host: str) -> str:
        if not isinstance(error, ssl.SSLCertVerificationError):
            other = f"TLS does not come about: {(error.reason or str(error)).lower().replace('_', ' ')}"
            return _REASONS.get(error.reason or "", other)
        if error.verify_code == _EXPIRED:
            return "its certificate has expired"
        if error.verify_code == _NOT_YET_VALID:
            return "its certificate is not valid yet: is a clock wrong?"
        if error.verify_code in {_WRONG_NAME, _WRONG_ADDRESS}:
            return f"its certificate is not for {host}"
        if self._ca_file is None:
            return "its certificate is not signed by a CA that this system knows: give --ca-file"
        return f"its certificate is not signed by a CA in {self._ca_file}"


class Handshake:
    """A handshake on its way.

    Attributes:
        events: what to wait for on the socket before the next step.
    """

    __slots__ = ("_host", "_socket", "_trust", "events")

    def __init__(self, sock: ssl.SSLSocket, trust: Trust, host: str) -> None:
        self._socket = sock
        self._trust = trust
        self._host = host
        self.events = select.POLLOUT

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def step(self) -> TlsSocket | None:
        """Go as far as that is possible without waiting; return the socket when it may be used.

        Raises:
            DistrustError: the two sides do not come together.
            OSError: the connection has ended.
        """
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self.events = select.POLLIN
            return None
        except ssl.SSLWantWriteError:
            self.events = select.POLLOUT
            return None
        except ssl.SSLEOFError:
            raise ConnectionResetError(errno.ECONNRESET, "it has closed the connection") from None
        except ssl.SSLError as error:
            raise self._trust.explain(error, self._host) from None
        return TlsSocket(self._socket, self._trust, self._host)

    def close(self) -> None:
        """Give up."""
        self._socket.close()


class TlsSocket:
    """A socket over TLS, as far as a link uses one: it blocks unless it is told not to.

    Under it the socket never blocks. OpenSSL may find a record readable that has nothing for us, such as a
    new key, and would then wait for the next one while poll() has other news for us. And after a read it
    holds nothing back: what poll() says of the socket is all that there is.
    """

    __slots__ = ("_host", "_socket", "_trust")

    def __init__(self, sock: ssl.SSLSocket, trust: Trust, host: str) -> None:
        self._socket = sock
        self._trust = trust
        self._host = host

    def __repr__(self) -> str:
        return f"<TlsSocket to {self._host}, {self._socket.version()}>"

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what has come, b"" at the end.

        Args:
            size: bytes that are enough; what OpenSSL has decrypted already comes on top of them.
            flags: 0 to wait if nothing is there, MSG_DONTWAIT not to.

        Raises:
            BlockingIOError: nothing is there.
            DistrustError: the other side does not trust us after all, or what came is no TLS.
            OSError: the connection has ended.
        """
        pieces: list[bytes] = []
        length = 0
        while length < size or self._socket.pending():
            try:
                piece = self._socket.recv(READ)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                if pieces:
                    break
                if flags & socket.MSG_DONTWAIT:
                    raise BlockingIOError(errno.EAGAIN, "nothing has come") from None
                self._wait(want)
                continue
            except ssl.SSLError as error:
                if pieces:
                    break  # they count; the next call meets the same end
                raise self._trust.explain(error, self._host) from None
            if not piece:
                break
            pieces.append(piece)
            length += len(piece)
        return b"".join(pieces)

    def sendall(self, data: bytes) -> None:
        """Send all of it, waiting until it is taken.

        Raises:
            DistrustError: the other side does not trust us after all.
            OSError: the connection has ended.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as want:
                self._wait(want)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                raise BrokenPipeError(errno.EPIPE, "Broken pipe") from None
            except ssl.SSLError as error:
                raise self._trust.explain(error, self._host) from None

    def _wait(self, want: ssl.SSLError) -> None:
        poll = select.poll()
        is_reading = isinstance(want, ssl.SSLWantReadError)
        poll.register(self._socket, select.POLLIN if is_reading else select.POLLOUT)
        poll.poll()

    def close(self) -> None:
        """End the connection; what ends with it, every message says by its length."""
        self._socket.close()


def _check_readable(file: Path, what: str) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read the {what} {file}: {error.strerror}") from None
