"""Heads of requests, without I/O: what they must look like, and what the dispatcher reads from them.

llhttp, through httptools, checks the syntax of the header lines. The request line, and what decides over
framing and routing, is read here from the same bytes, with rules stricter than llhttp's where servers have
disagreed about where a message ends or whom it is for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

import httptools

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from dispatcher.settings import Limits

CHUNKED: Final = -1
"""The length of a body whose end only its last chunk tells."""

METHODS: Final = {
    name.encode("ascii"): name
    for name in (
        *("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "LINK", "UNLINK", "PURGE"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "ACL", "REPORT"),
        *("MKCALENDAR", "MKACTIVITY", "CHECKOUT", "MERGE", "BIND", "REBIND", "UNBIND", "SOURCE", "M-SEARCH"),
        *("NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"),
    )
}
"""The methods that are passed on: llhttp's, without CONNECT, which asks for a tunnel, and TRACE, which would
send cookies back to where a script can read them."""

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"

# RFC 9112 §3, with single spaces; the target has no control character, no space, nothing beyond ASCII and no
# fragment. What llhttp lets pass beyond that is refused by this.
_REQUEST_LINE: Final = re.compile(rb"(%b+) ([!\"$-~]+) HTTP/1\.([0-9])\r\n" % _TOKEN)
_OTHER_VERSION: Final = re.compile(rb"%b+ [!-~]+ HTTP/[02-9]\.[0-9]\r\n" % _TOKEN)
# Only where the data begins: searched for everywhere, a long line takes time that grows with its square.
_LATER_MINOR: Final = re.compile(rb"\A([^\r\n]* HTTP/1\.)[2-9]")
_HOST_AND_PORT: Final = re.compile(rb"[^/?@]+:[0-9]{1,5}")
_METHOD: Final = re.compile(rb"%b{1,64} " % _TOKEN)
_VERSION: Final = b"HTTP/1.1\r\n"
_AROUND_TARGET: Final = 64 + len(b"  " + _VERSION)

# One pass over the lower-cased head finds the few fields that the dispatcher must know: 0.9 µs for a
# browser's 15 headers, where a callback for each header takes three times as long.
_FIELDS: Final = re.compile(
    rb"\n(host|content-length|transfer-encoding|connection|expect|x-forwarded[^:\r]*|forwarded|x-real-ip)"
    rb":[ \t]*([^\r]*)"
)

# Names and addresses as they are in use. RFC 3986 would allow commas, semicolons and percent signs in a name;
# no DNS has them, and a cache or a filter may split the value there.
_HOST: Final = re.compile(rb"((?:[a-z0-9_~-]+\.)*[a-z0-9_~-]+|\[[0-9a-f:.]+\])\.?(?::([0-9]{0,5}))?")
_HOST_LINE: Final = re.compile(rb"^host:[^\r]*\r\n", re.IGNORECASE | re.MULTILINE)
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]+)(.*)", re.IGNORECASE)

# A "%" that is no escape is read differently by every decoder; an escaped NUL, LF or CR is no part of a name,
# but ends a text or a line wherever someone decodes it too early.
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%0[0AaDd]")


class BadRequest(LrwpError):  # noqa: N818 - HTTP's own name for it
    """A request that cannot be served as it stands.

    Attributes:
        status: the HTTP status to answer before the connection is closed.
        line: the request line, or the beginning of what came in its place, for the access log; b"" until
            whoever has it adds it.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.line = b""


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
        is_forwarded: whether the block says for whom a proxy asks, if the client is one.
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
    is_forwarded: bool = False

    @property
    def line(self) -> bytes:
        """The request line, for the access log."""
        return b"%b %b HTTP/1.%d" % (self.method.encode("ascii"), self.target, self.minor)


def check_size(data: bytes | bytearray, limits: Limits) -> None:
    """Raise :class:`BadRequest` if ``data``, the beginning of a head, is too long already."""
    room = limits.target + _AROUND_TARGET
    if len(data) <= min(room, limits.head):
        return
    line = data.find(b"\r\n", 0, room)
    if line < 0 and not _METHOD.match(data):
        raise BadRequest(400, "The request line is malformed.")
    if line < 0 and len(data) > room:
        raise BadRequest(414, "The request's target is too long.")
    if len(data) >= limits.head:
        raise BadRequest(431, "The request's headers are too long.")


def check_beginning(data: bytes) -> None:
    """Raise :class:`BadRequest` if ``data`` cannot be the beginning of a head.

    So a client that does not speak HTTP is told at once, and not when its time is up.
    """
    if b"\r\n" in data:
        _read_line(data)
        _check_syntax(data)
        return
    method, *more = data.split(b" ", 2)
    if not more and not _METHOD.match(data + b" "):
        raise BadRequest(400, "The request line is malformed.")
    if more and method != b"CONNECT":  # whether a line is right shows when it is made a whole one
        _read_line(data + (_VERSION[len(more[1]) :] if len(more) == 2 else b"/ " + _VERSION))


def read_head(raw: bytes, limits: Limits) -> RequestHead:
    """Read a whole head, from its method to the blank line that ends it.

    Raises:
        BadRequest: the head breaks a rule of HTTP or a limit.
    """
    method, target, minor, end = _read_line(raw)
    if len(target) > limits.target:
        raise BadRequest(414, "The request's target is too long.")
    block = raw[end:-2]
    read_block = _remembered_block if len(block) <= _MEMO_BLOCK else _read_block
    lines, name, length, keep_alive, expects_continue, is_forwarded = read_block(block, minor)
    if lines > limits.headers:
        raise BadRequest(431, "The request has too many headers.")
    if length > limits.body:
        raise BadRequest(413, "The request's body is too long.")
    if target[:1] != b"/":
        target, authority = _origin_form(method, target)
        if authority:
            name = _host_of(authority.lower())
            block = _with_host(block, authority)
    return RequestHead(
        method,
        target,
        _path_of(target),
        name,
        block,
        length,
        minor,
        keep_alive,
        expects_continue,
        is_forwarded,
    )


def _read_line(data: bytes) -> tuple[str, bytes, int, int]:
    """Return method, target and minor version, and where the request line ends.

    RFC 9112 §2.3: a minor version that is not known yet is served as the highest that is known.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        if _OTHER_VERSION.match(data):
            raise BadRequest(505, "This server speaks HTTP/1.1 and HTTP/1.0.")
        raise BadRequest(400, "The request line is malformed.")
    name, target, minor = line.groups()
    method = METHODS.get(name)
    if method is None:
        if name == b"CONNECT" and not _HOST_AND_PORT.fullmatch(target):  # RFC 9112 §3.2.3
            raise BadRequest(400, "The request's target is malformed.")
        raise BadRequest(501, "The request's method is not known here.")
    return method, target, 0 if minor == b"0" else 1, line.end()


def _check_syntax(data: bytes) -> None:
    """Let llhttp read ``data``, a head or the beginning of one, whose request line is right."""
    try:
        httptools.HttpRequestParser(None).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # an upgrade may be ignored: RFC 9110 §7.8
    except httptools.HttpParserError as error:
        known = _LATER_MINOR.sub(rb"\g<1>1", data, count=1)
        if known == data:
            raise BadRequest(400, f"The request is malformed: {error}.") from None
        _check_syntax(known)


def _read_block(block: bytes, minor: int) -> tuple[int, str, int, bool, bool, bool]:
    """Return what a header block says, whatever the request line in front of it may be.

    Number of lines, host, length of the body, whether the client keeps the connection, whether it waits for
    a 100, whether the block says for whom a proxy asks.
    """
    _check_syntax(_ANY_LINE[minor] + block + b"\r\n")
    host: bytes | None = None
    length: int | None = None
    options = b""
    expects_continue = is_forwarded = False
    for name, value in _FIELDS.findall(b"\n" + block.lower()):
        value = value.rstrip(b" \t")
        if name == b"host":
            if host is not None:
                raise BadRequest(400, "The request has two Host headers.")
            host = value
        elif name == b"connection":
            options += value + b","
        elif name == b"expect":
            if value != b"100-continue" and minor:
                raise BadRequest(417, "The only expectation that this server meets is 100-continue.")
            expects_continue = minor == 1  # RFC 9110 §10.1.1: there is no 100 in HTTP/1.0
        elif name[:1] in {b"x", b"f"}:
            is_forwarded = True
        elif length is not None:
            raise BadRequest(400, "The request says twice how long its body is.")
        else:
            length = _read_length(value) if name == b"content-length" else _read_coding(value, minor)
    if host is None and minor:
        raise BadRequest(400, "The request has no Host header.")
    known = "" if host is None else _host_of(host)
    keep_alive = _keeps_alive(options, minor)
    expects_continue = expects_continue and bool(length)
    return block.count(b"\n"), known, length or 0, keep_alive, expects_continue, is_forwarded


_ANY_LINE: Final = {0: b"GET / HTTP/1.0\r\n", 1: b"GET / HTTP/1.1\r\n"}
"""A request line for llhttp, which reads no header without one; the real one has been checked by then."""

_MEMO_BLOCK: Final = 1024
"""Longest header block in bytes that is remembered."""

# A client that asks for one thing after another sends the same headers each time, and so do all clients of
# one kind: remembering what their blocks say takes 2.5 µs off the 4.4 of reading a browser's head.
_remembered_block: Final = lru_cache(maxsize=1024)(_read_block)


def _read_length(value: bytes) -> int:
    """Return a Content-Length. Leading zeros are refused: someone on the way may read them as octal."""
    if not value.isdigit() or (value[:1] == b"0" and value != b"0"):
        raise BadRequest(400, "The request's Content-Length is not a number.")
    if len(value) > 18:
        raise BadRequest(413, "The request's body is too long.")
    return int(value)


def _read_coding(value: bytes, minor: int) -> int:
    """Check the Transfer-Encoding; the names of codings know no case (RFC 9112 §7)."""
    if value != b"chunked":
        raise BadRequest(400, "The only transfer coding that this server knows is chunked.")
    if minor == 0:
        raise BadRequest(400, "HTTP/1.0 has no transfer codings.")
    return CHUNKED


def _keeps_alive(options: bytes, minor: int) -> bool:
    """RFC 9112 §9.3: ``close`` wins; in HTTP/1.0 only ``keep-alive`` keeps a connection."""
    if options in {b"keep-alive,", b""}:  # what nearly every client sends
        return minor == 1 or bool(options)
    names = {option.strip(b" \t") for option in options.split(b",")}
    return b"close" not in names and (minor == 1 or b"keep-alive" in names)


def _origin_form(method: str, target: bytes) -> tuple[bytes, bytes]:
    """Return a target that is not simply a path as a path, and the authority that it names, if any.

    RFC 9112 §3.2.4: OPTIONS may ask for the server as a whole, with a star or a URI that has no path.
    """
    if target == b"*" and method == "OPTIONS":
        return target, b""
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest(400, "The request's target is malformed.")
    authority, path = match.groups()
    if not path and method == "OPTIONS":
        return b"*", authority
    return (path if path[:1] == b"/" else b"/" + path), authority


def _with_host(block: bytes, authority: bytes) -> bytes:
    """Return the header block with the host of an absolute target, which replaces it (RFC 9112 §3.2.2)."""
    return b"Host: %b\r\n%b" % (authority, _HOST_LINE.sub(b"", block, count=1))


def _path_of(target: bytes) -> str:
    path = target.partition(b"?")[0]
    if b"%" not in path:
        return path.decode("ascii")
    if _BAD_ESCAPE.search(path):
        raise BadRequest(400, "The request's target is malformed.")
    return unquote(path.decode("ascii"))


@lru_cache(maxsize=1024)
def _host_of(value: bytes) -> str:
    """Return the host in a Host field or an authority, which are in lower case, without the port."""
    match = _HOST.fullmatch(value) if len(value) <= 255 + 6 else None
    if match is None or int(match[2] or 0) > 65535:
        raise BadRequest(400, "The request's Host is not a host.")
    name = match[1].decode("ascii")
    if name[0] == "[":
        _check_address(name[1:-1])
    return name


def _check_address(text: str) -> None:
    try:
        IPv6Address(text)
    except ValueError:
        raise BadRequest(400, "The request's Host is not a host.") from None
