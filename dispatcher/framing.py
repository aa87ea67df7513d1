"""HTTP/1 framing, without I/O: where a request ends, and what stands around an answer.

llhttp, through httptools, checks the syntax of a head. What decides over framing and routing is read here from
the same bytes, with rules stricter than llhttp's where proxies have disagreed about a message's end.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

import httptools

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from dispatcher.settings import Limits

CHUNKED: Final = -1
"""The length of a body whose end only its last chunk tells."""

CHUNK_LINE: Final = 256
"""Longest line of a chunk in bytes, its size and extensions together (CVE-2023-39326 is about longer ones)."""

TRAILERS: Final = 8 * 1024
"""Most bytes of trailer fields after a chunked body; they are read and dropped."""

# One pass over the lower-cased head finds the few fields that the dispatcher must know: 0.6 µs for a
# browser's 15 headers, where a callback for each header takes 2.2.
_FIELDS: Final = re.compile(rb"\n(host|content-length|transfer-encoding|connection|expect):[ \t]*([^\r]*)")
_HOST: Final = re.compile(rb"([a-z0-9._~!$&'()*+,;=%-]+|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)(.*)", re.IGNORECASE | re.DOTALL)
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")


class BadRequest(LrwpError):  # noqa: N818 - HTTP's own name for it
    """A request that cannot be served as it stands.

    Attributes:
        status: the HTTP status to answer before the connection is closed.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RequestHead(NamedTuple):
    """What the dispatcher knows of a request when its head has come.

    Attributes:
        method: the method.
        target: path and query in origin form (``*`` for OPTIONS of the server).
        path: the decoded path, for routing.
        host: the host, in lower case and without a port.
        block: the header block, as it came.
        length: the length of the body in bytes, or :data:`CHUNKED`.
        minor: the minor version: 1 or 0.
        keep_alive: whether the client wants another request on this connection.
        expects_continue: whether the client waits for a 100 before it sends the body.
    """

    method: str
    target: bytes
    path: str
    host: str
    block: bytes
    length: int
    minor: int
    keep_alive: bool
    expects_continue: bool


class _Parsed:
    """What llhttp calls back: one head, neither less nor more, must be complete."""

    __slots__ = ("heads",)

    def __init__(self) -> None:
        self.heads = 0

    def on_headers_complete(self) -> None:
        self.heads += 1


def check_beginning(data: bytes) -> None:
    """Raise :class:`BadRequest` if ``data`` cannot be the beginning of a head.

    So a client that does not speak HTTP is told at once, and not when its time is up.
    """
    _parse(data)


def _parse(data: bytes) -> tuple[httptools.HttpRequestParser, _Parsed]:
    parsed = _Parsed()
    parser = httptools.HttpRequestParser(parsed)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # an upgrade may be ignored: RFC 9110 §7.8
    except httptools.HttpParserInvalidMethodError:
        if _TOKEN.match(data):
            raise BadRequest(501, "The method is not known here.") from None
        raise BadRequest(400, "The request line is malformed.") from None
    except httptools.HttpParserError as error:
        raise BadRequest(400, f"The request is malformed: {error}.") from None
    return parser, parsed


def read_head(raw: bytes, limits: Limits) -> RequestHead:
    """Read a whole head, from its method to the blank line that ends it.

    Raises:
        BadRequest: the head breaks a rule of HTTP or a limit.
    """
    parser, parsed = _parse(raw)
    if parsed.heads != 1:
        raise BadRequest(400, "The request is malformed.")
    method = parser.get_method().decode("ascii")
    end = raw.index(b"\r\n")
    start = len(method) + 1
    version = raw[end - 9 : end]
    if version == b" HTTP/1.1":
        minor = 1
    elif version == b" HTTP/1.0":
        minor = 0
    elif version[:6] == b" HTTP/":
        raise BadRequest(505, "This server speaks HTTP/1.1 and HTTP/1.0.")
    else:
        raise BadRequest(400, "The request line has no version of HTTP.")
    target = raw[start : end - 9]
    if len(target) > limits.target:
        raise BadRequest(414, "The request's target is too long.")
    if raw.count(b"\n") - 2 > limits.headers:
        raise BadRequest(431, "The request has too many headers.")

    length: int | None = None
    host: bytes | None = None
    keep_alive = minor == 1
    expects_continue = False
    for name, value in _FIELDS.findall(raw.lower(), end):
        value = value.rstrip(b" \t")
        if name == b"host":
            if host is not None:
                raise BadRequest(400, "The request has two Host headers.")
            host = value
        elif name == b"connection":
            keep_alive = _keeps_alive(value, keep_alive)
        elif name == b"content-length":
            # llhttp has checked the digits, and that there is one; not their number.
            if len(value) > 18:
                raise BadRequest(413, "The request's body is too long.")
            length = int(value)
        elif name == b"transfer-encoding":
            if value != b"chunked" or length == CHUNKED:
                raise BadRequest(400, "The only transfer coding that this server knows is chunked.")
            if minor == 0:
                raise BadRequest(400, "HTTP/1.0 has no transfer codings.")
            length = CHUNKED
        elif value == b"100-continue":
            expects_continue = minor == 1
        else:
            raise BadRequest(417, "The only expectation that this server meets is 100-continue.")
    if length is not None and length > limits.body:
        raise BadRequest(413, "The request's body is too long.")

    if target[:1] != b"/":
        target, host = _origin_form(method, target, host)
    if host is None:
        if minor == 1:
            raise BadRequest(400, "The request has no Host header.")
        host = b""
    return RequestHead(
        method,
        target,
        _path_of(target),
        _host_of(host) if host or minor == 1 else "",
        raw[end + 2 : -2],
        length or 0,
        minor,
        keep_alive,
        expects_continue and bool(length),
    )


def _keeps_alive(connection: bytes, keep_alive: bool) -> bool:
    """RFC 9112 §9.3: ``close`` wins; in HTTP/1.0 only ``keep-alive`` keeps a connection."""
    options = [option.strip(b" \t") for option in connection.split(b",")]
    if b"close" in options:
        return False
    return keep_alive or b"keep-alive" in options


def _origin_form(method: str, target: bytes, host: bytes | None) -> tuple[bytes, bytes | None]:
    """Return target and host of a request whose target is not simply a path (RFC 9112 §3.2)."""
    if target == b"*" and method == "OPTIONS":
        return target, host
    match = _ABSOLUTE.fullmatch(target)
    if match is None or method == "CONNECT":
        raise BadRequest(501 if method == "CONNECT" else 400, "The request's target cannot be served.")
    path = match[2]
    return (path if path[:1] == b"/" else b"/" + path), match[1].lower()


def _path_of(target: bytes) -> str:
    path = target.partition(b"?")[0]
    if b" " in path or b"#" in target:  # llhttp lets both pass
        raise BadRequest(400, "The request's target is malformed.")
    return unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1")


@lru_cache(maxsize=1024)
def _host_of(value: bytes) -> str:
    match = _HOST.fullmatch(value) if len(value) <= 255 + 6 else None
    if match is None:
        raise BadRequest(400, "The request's Host is not a host.")
    return match[1].decode("ascii").rstrip(".")


class ChunkedBody:
    """Decodes a chunked body (RFC 9112 §7.1), strictly: hexadecimal sizes, CRLF everywhere, bounded lines."""

    __slots__ = ("_buffer", "_left", "_limit", "_stage", "_trailers", "total")

    _SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?")
    _FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")

    def __init__(self, limit: int) -> None:
        self._buffer = b""
        self._left = 0
        self._limit = limit
        self._stage = "size"
        self._trailers = 0
        self.total = 0

    @property
    def is_complete(self) -> bool:
        """Whether the last chunk and its trailers have come."""
        return self._stage == "end"

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the pieces of the body in ``data``, and what follows the body's end.

        Raises:
            BadRequest: a chunk is malformed, or the body is over its limit.
        """
        data = self._buffer + data if self._buffer else data
        pieces = []
        offset = 0
        while self._stage != "end":
            if self._stage == "data":
                piece = data[offset : offset + self._left]
                if not piece:
                    break
                pieces.append(piece)
                offset += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._stage = "gap"
                continue
            end = data.find(b"\r\n", offset, offset + CHUNK_LINE + 2)
            if end < 0:
                self._check_beginning(data[offset : offset + CHUNK_LINE + 2])
                break
            self._line(data[offset:end])
            offset = end + 2
        self._buffer = b"" if self._stage in {"end", "data"} else data[offset:]
        return pieces, data[offset:] if self._stage == "end" else b""

    def _check_beginning(self, line: bytes) -> None:
        """Refuse a line that is too long, or that no CRLF can make right any more."""
        if len(line) > CHUNK_LINE or b"\n" in line or b"\r" in line[:-1]:
            raise BadRequest(400, "A chunk of the request's body is malformed.")
        if self._stage == "gap" and line not in {b"", b"\r"}:
            raise BadRequest(400, "A chunk of the request's body is longer than its size.")

    def _line(self, line: bytes) -> None:
        if self._stage == "gap":
            if line:
                raise BadRequest(400, "A chunk of the request's body is longer than its size.")
            self._stage = "size"
        elif self._stage == "size":
            match = self._SIZE.fullmatch(line)
            if match is None:
                raise BadRequest(400, "A chunk of the request's body is malformed.")
            self._left = int(match[1], 16)
            self.total += self._left
            if self.total > self._limit:
                raise BadRequest(413, "The request's body is too long.")
            self._stage = "data" if self._left else "trailer"
        elif not line:
            self._stage = "end"
        else:
            self._trailers += len(line)
            if self._trailers > TRAILERS or not self._FIELD.fullmatch(line):
                raise BadRequest(400, "A trailer of the request's body is malformed or too long.")


BODYLESS: Final = frozenset({204, 304})
"""Statuses whose answers never have a body (RFC 9110 §6.4.1)."""


@lru_cache(maxsize=1024)
def status_line(status: int) -> bytes:
    """Return the first line of an answer, with its CRLF."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


def error_page(status: int, reason: str) -> tuple[bytes, bytes]:
    """Return head and body of an answer that the dispatcher gives itself; it quotes nothing of the request."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    page = _PAGE.format(status=status, phrase=phrase, reason=reason)
    return b"Content-Type: text/html; charset=utf-8\r\n", page.encode("utf-8")


_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{status} {phrase}</title>
<style>
body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem;
  color: #223; background: #fafafa; color-scheme: light dark }}
h1 {{ font-size: 1.6rem }} h1 b {{ color: #b03a2e }}
@media (prefers-color-scheme: dark) {{ body {{ color: #dde; background: #16181d }} h1 b {{ color: #ff8f7f }} }}
</style>
<h1><b>{status}</b> {phrase}</h1>
<p>{reason}</p>
</html>
"""
