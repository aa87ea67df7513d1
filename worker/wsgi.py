"""WSGI: any application that PEP 3333 describes, as a handle.

The head of an answer is decided when the application's first piece that is not empty is there: until then it
may still call start_response, or call it again with an exception. A list is one body; what else comes in
pieces is sent in pieces, each when it is there, except when the first piece is all that Content-Length
promised, as with most frameworks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from protocol import limits
from protocol.errors import HeaderError
from protocol.heads import read_cgi_head, write_head
from protocol.paths import split_path
from worker.content import Pieces, close_source
from worker.errors import WsgiError
from worker.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Generator

    from worker.exchange import BodyStream, Exchange, Handle

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
Environ = dict[str, Any]
WsgiApplication = Callable[[Environ, Any], Iterable[bytes]]

_STATUS: Final = re.compile(r"([2-9][0-9]{2})(?: [^\x00-\x1f\x7f]*)?")

_HOST: Final = re.compile(r"(.*?)(?::([0-9]*))?")


class _Input:
    """wsgi.input: a body with the two methods more that PEP 3333 asks for."""

    __slots__ = ("read", "readline")

    def __init__(self, body: BodyStream) -> None:
        self.read = body.read
        self.readline = body.readline

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Return the lines that are left; with a positive ``hint`` no more once they have that many bytes."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if 0 < hint <= size:
                break
        return lines


class _Start:
    """The start_response of one call, and what the application told it.

    Attributes:
        status: 0 until it was called.
        head: the header block of the answer.
        headers: the fields that it was made from.
        written: what the application passed to write() and what no piece has carried off yet.
        is_begun: whether the answer can no longer be replaced.
    """

    __slots__ = ("head", "headers", "is_begun", "status", "written")

    def __init__(self) -> None:
        self.status = 0
        self.is_begun = False
        self.written: list[bytes] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self.is_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback that refers to this frame would keep it, as the PEP warns
        elif self.status:
            raise WsgiError("start_response was called twice: the second time it needs exc_info")
        # PEP 3333 wants errors in the headers raised here, while the application runs.
        number, head = _read_status(status), write_head(headers)
        self.status, self.head, self.headers = number, head, headers
        return self._write

    def _write(self, piece: bytes) -> None:
        if type(piece) is not bytes:
            raise WsgiError(f"write() takes bytes, not {type(piece).__name__}")
        self.is_begun = self.is_begun or bool(piece)
        self.written.append(piece)

    @property
    def length(self) -> str | None:
        """The application's Content-Length."""
        return next((value for name, value in self.headers if name.lower() == "content-length"), None)


@lru_cache(maxsize=256)
def _read_status(status: str) -> int:
    match = _STATUS.fullmatch(status)
    if match is None:
        raise HeaderError(f"{status!r:.100} is not the status of an answer: write it as in '200 OK'")
    return int(match[1])


def wsgi_handle(
    application: WsgiApplication, *, multithread: bool = False, multiprocess: bool = False
) -> Handle:
    """Return the handle that answers with a WSGI application.

    Args:
        application: what PEP 3333 calls application.
        multithread: whether this process may call it from several threads at once.
        multiprocess: whether other processes may call it at the same time.
    """
    constant: Environ = {
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "LRWP",
        "wsgi.version": (1, 0),
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
    }

    def handle(exchange: Exchange) -> Answer:
        start = _Start()
        result = application(_environ(exchange, constant), start)
        # Nearly all that speed-minded applications return: one list with one piece.
        if type(result) is list and len(result) == 1 and not start.written:
            body = result[0]
            if type(body) is bytes and start.status and exchange.method != "HEAD":
                return Answer(start.status, start.head, body)
        return _answer(result, start, exchange.method == "HEAD")

    return handle


def _answer(result: Iterable[bytes] | None, start: _Start, is_head: bool) -> Answer:
    """Answer with whatever the application returned, and close it."""
    if result is None:
        raise WsgiError("the application returned None, not an iterable of bytes")
    pieces = _pieces(result, start)
    is_whole = isinstance(result, list | tuple) and sum(map(len, result)) <= limits.PIECE
    first = b"".join(pieces) if is_whole else next(pieces, b"")
    if not start.status:
        raise WsgiError("the application returned without having called start_response")
    if not (is_head or is_whole) and first and start.length != str(len(first)):
        return Answer(start.status, start.head, Pieces(first, pieces))
    pieces.close()
    if not is_head:
        return Answer(start.status, start.head, first)
    if is_whole and first and start.length is None:
        start.head += write_head([("Content-Length", str(len(first)))])
    return Answer(start.status, start.head, b"")


def _pieces(result: Iterable[bytes], start: _Start) -> Generator[bytes]:
    """Yield what was written and what the result consists of, without what is empty."""
    try:
        # The empty pieces at both ends carry off what was written before the first piece or after the last.
        for piece in chain((b"",), result, (b"",)):
            if type(piece) is not bytes:
                raise WsgiError(f"the application's body has a piece of {type(piece).__name__}, not bytes")
            whole = b"".join((*start.written, piece)) if start.written else piece
            if whole:
                if not start.status:
                    raise WsgiError("the application began its body before it called start_response")
                start.is_begun = True
                start.written.clear()
                yield whole
    finally:
        close_source(result)


def _environ(exchange: Exchange, constant: Environ) -> Environ:
    """Return the environment of one call: what CGI defines (RFC 3875 §4.1), and what PEP 3333 adds."""
    _, prefix, method, target, head, scheme, client, attempt, body = exchange
    read_target = _remembered_target if len(target) <= _MEMO_TARGET else _read_target
    environ: Environ = read_cgi_head(head)
    environ.update(constant)
    environ["REQUEST_METHOD"] = method
    environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"], uri = read_target(target, prefix)
    environ["REQUEST_URI"] = environ["RAW_URI"] = uri
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _read_host(environ.get("HTTP_HOST", ""), scheme)
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = _read_client(client)
    environ["lrwp.attempt"] = attempt
    environ["wsgi.url_scheme"] = scheme
    environ["wsgi.errors"] = sys.stderr
    # Whatever has a body has its Content-Length: the dispatcher collected it first.
    environ["wsgi.input"] = _Input(body) if "CONTENT_LENGTH" in environ else BytesIO()
    return environ


def _read_target(target: bytes, prefix: str) -> tuple[str, str, str, str]:
    """Return SCRIPT_NAME, PATH_INFO, QUERY_STRING and the target, each byte as a character (PEP 3333)."""
    path, _, query = target.partition(b"?")
    decoded = unquote_to_bytes(path).decode("latin-1")
    script_name, path_info = split_path(decoded, prefix.encode().decode("latin-1"))
    return script_name, path_info, query.decode("latin-1"), target.decode("latin-1")


_MEMO_TARGET: Final = 256
"""Longest target in bytes that is remembered."""

_remembered_target: Final = lru_cache(maxsize=1024)(_read_target)


@lru_cache(maxsize=1024)
def _read_host(host: str, scheme: str) -> tuple[str, str]:
    """Return the name, of an IPv6 address with its brackets, and the port that the client asked for."""
    match = _HOST.fullmatch(host)
    name, port = match.groups() if match else (host, None)
    return name or "localhost", port or ("443" if scheme == "https" else "80")


@lru_cache(maxsize=1024)
def _read_client(client: str) -> tuple[str, str]:
    """Return the address, without brackets, and the port of a client; both empty for a Unix socket."""
    address, _, port = client.rpartition(":")
    return (address.strip("[]"), port) if port else ("", "")
