"""What is asked of whom: the URL, and the request as it goes over the connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from protocol.errors import HeaderError, SettingsError
from protocol.heads import write_head

if TYPE_CHECKING:
    from collections.abc import Iterable

_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A method is a token (RFC 9110 §9.1)."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 §9.2.1), so that a request may be sent again."""

_COUNTED: Final = frozenset({"content-length", "transfer-encoding"})
"""Fields that follow from the body and would contradict it."""

_AS_WRITTEN: Final = "/:?#[]@!$&'()*+,;=%-._~"
"""Characters of a target that are not encoded: RFC 3986's own, and % because people paste encoded URLs."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Attributes:
        url: as the user wrote it.
        is_secure: whether the connection is TLS.
        host: a host name in ASCII, or an IP address without brackets.
        port: from the URL, or that of its scheme.
        authority: the value of the Host field.
        path: path and query, encoded as they go into the request line.
    """

    url: str
    is_secure: bool
    host: str
    port: int
    authority: str
    path: str


def read_url(text: str) -> Target:
    """Return the target that a URL names.

    Raises:
        SettingsError: it is not an http or https URL, names no host, or has a user name in it.
    """
    hint = "write http://host:port/path"
    if not text.isprintable():
        raise SettingsError(f"{text!r} is not a URL: it has control characters in it")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        name = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError as error:
        raise SettingsError(f"{text!r} is not a URL: {hint}") from error
    if parts.scheme not in {"http", "https"} or not name or " " in name:
        raise SettingsError(f"{text!r} is not a URL that can be asked: {hint}")
    if parts.username is not None:
        raise SettingsError("a user name in the URL is not sent: give -H 'Authorization: ...' instead")
    is_secure = parts.scheme == "https"
    authority = f"[{host}]" if ":" in host else name
    if port is not None:
        authority += f":{port}"
    path = quote(parts.path or "/", safe=_AS_WRITTEN)
    if parts.query:
        path += "?" + quote(parts.query, safe=_AS_WRITTEN)
    return Target(text, is_secure, name, port or (443 if is_secure else 80), authority, path)


@dataclass(frozen=True, slots=True)
class Request:
    """The request that is sent again and again.

    Attributes:
        method: as it stands in the request line.
        payload: all its bytes, head and body.
    """

    method: str
    payload: bytes

    @property
    def is_safe(self) -> bool:
        """Whether it may be sent twice."""
        return self.method in _SAFE


def write_request(target: Target, method: str, headers: Iterable[str], body: bytes | None) -> Request:
    """Return the request to ``target``.

    Args:
        target: where it goes.
        method: the method; it is sent as it is written.
        headers: fields as ``Name: value``; they replace our Host, User-Agent, Accept and Content-Type.
        body: the body; None for a request that has none.

    Raises:
        SettingsError: the method or a header cannot be sent.
    """
    if not _METHOD.fullmatch(method):
        raise SettingsError(f"{method!r} is not a method: write one word such as GET or POST")
    given = [_read_header(text) for text in headers]
    names = {name.lower() for name, _ in given}
    fields = [field for field in _own_fields(target, body) if field[0].lower() not in names] + given
    if body is not None or method in {"POST", "PUT", "PATCH"}:
        fields.append(("Content-Length", str(len(body or b""))))
    try:
        head = write_head(fields)
    except HeaderError as error:
        raise SettingsError(str(error)) from error
    line = f"{method} {target.path} HTTP/1.1\r\n".encode("ascii")
    return Request(method, line + head + b"\r\n" + (body or b""))


def _own_fields(target: Target, body: bytes | None) -> list[tuple[str, str]]:
    fields = [("Host", target.authority), ("User-Agent", "lrwp-load"), ("Accept", "*/*")]
    if body is not None:
        fields.append(("Content-Type", "application/x-www-form-urlencoded"))
    return fields


def _read_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    name = name.strip()
    if not colon or not name:
        raise SettingsError(f"{text!r} is not a header: write 'Name: value'")
    if name.lower() in _COUNTED:
        raise SettingsError(f"{name} is not yours to give: it follows from the body")
    return name, value.strip()
