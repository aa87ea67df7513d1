"""Heads of answers, without I/O: the status line, and what says where the body ends; and error pages."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from protocol.heads import ResponseHead

BODYLESS: Final = frozenset({204, 304})
"""Statuses whose answers never have a body (RFC 9110 §6.4.1)."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim answer that every HTTP/1.1 client understands."""

_TEMPORARY: Final = frozenset({503, 507})
"""Statuses of refusals that soon may not be repeated."""

CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"


def frame(
    status: int, method: str, minor: int, length: int | None, whole: int | None
) -> tuple[bytes, int | None]:
    """Decide how a client learns where the body of its answer ends (RFC 9112 §6.3).

    Args:
        status: the status of the answer.
        method: the method of the request.
        minor: the minor version of HTTP that the client speaks.
        length: the Content-Length that the worker gave, or None.
        whole: how many bytes the body has, if all of it is here already.

    Returns:
        The field to send, and how many bytes of the body follow it; None if that is not known: then they go
        out as chunks, or to an HTTP/1.0 client until the connection ends.
    """
    if status in BODYLESS:  # nor do these have a Content-Length (RFC 9110 §8.6)
        return b"", 0
    known = whole if length is None else length
    if method == "HEAD" and not known and length is None:  # what GET would tell is not known
        return b"", 0
    if method == "HEAD":
        return b"Content-Length: %d\r\n" % (known or 0), 0
    if known is not None:
        return b"Content-Length: %d\r\n" % known, known
    return (CHUNKED if minor else b""), None


def chunk(piece: bytes, last: bool) -> bytes:
    """Return ``piece`` as a chunk, followed by the last chunk if it is the last."""
    data = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
    return data + b"0\r\n\r\n" if last else data


def write_head(status: int, head: ResponseHead, field: bytes, date: bytes, connection: bytes) -> bytes:
    """Return the head of an answer, from its status line to the blank line.

    Args:
        status: the status.
        head: what the worker said.
        field: the field that says where the body ends, or b"".
        date: the Date field, for answers that have none.
        connection: the Connection field, or b"".
    """
    if head.has_date:
        date = b""
    return b"%b%b%b%b%b\r\n" % (status_line(status), head.block, field, date, connection)


@lru_cache(maxsize=1024)
def status_line(status: int) -> bytes:
    """Return the first line of an answer, with its CRLF."""
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n".encode("ascii")


def _phrase(status: int) -> str:
    """Return the phrase of a status; it may be empty (RFC 9112 §4)."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def write_refusal(status: int, reason: str, method: str, date: bytes) -> bytes:
    """Return the whole answer to a request that is not served; the connection ends with it."""
    fields, page = error_page(status, reason)
    if status in _TEMPORARY:
        fields += b"Retry-After: 5\r\n"
    field, length = frame(status, method, 1, None, len(page))
    return write_head(status, ResponseHead(fields, None, False, False), field, date, CLOSE) + page[:length]


def error_page(status: int, reason: str) -> tuple[bytes, bytes]:
    """Return fields and body of an answer in a worker's stead; nothing of the request is in it."""
    page = _PAGE.format(status=status, phrase=_phrase(status), reason=reason)
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
h1 {{ font-size: 1.6rem }}
h1 b {{ color: #b03a2e }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #dde; background: #16181d }}
  h1 b {{ color: #ff8f7f }}
}}
</style>
<h1><b>{status}</b> {phrase}</h1>
<p>{reason}</p>
</html>
"""
