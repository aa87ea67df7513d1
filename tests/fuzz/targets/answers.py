"""What workers answer: a client finds in it one answer, all of its body, and the next one behind it."""

from __future__ import annotations

import io
from http.client import HTTPResponse, IncompleteRead
from types import SimpleNamespace
from typing import Any, NamedTuple

from dispatcher.framing import RequestHead
from dispatcher.reply import Reply
from protocol.errors import HeaderError
from protocol.heads import ResponseHead, read_response_head
from tests.fuzz.target import SEPARATOR, Target, joined

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
STATUSES = (200, 204, 206, 301, 304, 404, 500, 599)
LINES = 90
"""Most fields of an answer that Python's own client reads, with those that we add."""

NEXT = b"HTTP/1.1 299 Next\r\nContent-Length: 0\r\n\r\n"
DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


class Said(NamedTuple):
    """What a worker says, and who asked.

    Attributes:
        request: the request; by the bits of the first byte of an input.
        status: the status; by its second byte.
        head: the fields; the rest of its first part.
        pieces: the body; its other parts.
    """

    request: RequestHead
    status: int
    head: ResponseHead
    pieces: list[bytes]

    @property
    def body(self) -> bytes | None:
        """What the client is to read; None if the worker has said less than it announced."""
        body, length = b"".join(self.pieces), self.head.length
        if self.request.method == "HEAD" or self.status in {204, 304}:
            return b""
        return body[:length] if length is None or len(body) >= length else None


class Client:
    """An outlet that keeps what is written.

    Attributes:
        site: what it is asked of.
        paused: whether it takes no more.
        written: what was written.
        is_kept: whether another request may follow.
        endings: how the answer ended.
    """

    paused = False

    def __init__(self) -> None:
        self.site: Any = SimpleNamespace(date=DATE)
        self.written = bytearray()
        self.is_kept = False
        self.endings: list[str] = []

    def may_go_on(self, wanted: bool) -> bool:
        self.is_kept = wanted
        return wanted

    def write(self, head: bytes, body: bytes) -> None:
        assert not self.endings, "nothing follows the end"
        self.written += head + body

    def end_reply(self, reply: Reply) -> None:
        self.endings.append("ended")

    def cut_off(self, reset: bool) -> None:
        self.endings.append("cut off")


def said_in(data: bytes) -> Said:
    """Return what an input stands for.

    Raises:
        HeaderError: the fields cannot be sent.
    """
    first, *pieces = data.split(SEPARATOR)
    bits, number = (first + bytes(2))[:2]
    method, minor, is_keeping = METHODS[bits & 3], bits >> 2 & 1, bool(bits >> 3 & 1)
    request = RequestHead(method, b"/", "/", "a", b"Host: a\r\n", 0, minor, is_keeping, False)
    return Said(request, STATUSES[number % len(STATUSES)], read_response_head(first[2:]), pieces or [b""])


def answered(said: Said) -> Client:
    """Return the client that has been given all of an answer."""
    client = Client()
    reply = Reply(client, said.request)
    first, *others = said.pieces
    reply.respond(said.status, said.head, first, not others)
    for count, piece in enumerate(others, 1):
        reply.respond_body(piece, count == len(others))
    return client


def read(data: bytes) -> None:
    answered(said_in(data))


class Wire:
    """What a client of Python's own reads from."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def makefile(self, mode: str) -> io.BytesIO:
        return self.file


def a_client_reads_one_answer(data: bytes) -> None:
    try:
        said = said_in(data)
    except HeaderError:
        return
    client = answered(said)
    if client.written.count(b"\n") > LINES:
        return
    following = NEXT if client.is_kept and client.endings == ["ended"] else b""
    wire: Any = Wire(bytes(client.written) + following)
    response = HTTPResponse(wire, method=said.request.method)
    response.fp = io.BufferedReader(wire.file)  # it closes what it reads to the end
    response.begin()
    assert response.status == said.status
    assert response.getheader("Connection", "keep-alive") == ("keep-alive" if client.is_kept else "close")
    file = response.fp
    response._close_conn = lambda: None  # type: ignore[attr-defined]  # it is read on from
    try:
        body = response.read()
    except IncompleteRead:
        assert said.body is None
        assert client.endings == ["cut off"]
        return
    assert body == said.body
    assert client.endings == ["ended"]
    assert file.read() == following


def asked(method: str, minor: int, is_keeping: bool) -> int:
    return METHODS.index(method) | minor << 2 | is_keeping << 3


def said(method: str, minor: int, is_keeping: bool, status: int, head: bytes, *pieces: bytes) -> bytes:
    return joined(bytes([asked(method, minor, is_keeping), STATUSES.index(status)]) + head, *pieces)


TYPE = b"Content-Type: text/plain\r\n"

TARGET = Target(
    read=read,
    refusals=(HeaderError,),
    laws=(a_client_reads_one_answer,),
    seeds=(
        said("GET", 1, True, 200, TYPE, b"hello"),
        said("GET", 1, True, 200, TYPE + b"Content-Length: 5\r\n", b"he", b"", b"llo"),
        said("GET", 1, True, 200, b"X-Accel-Buffering: no\r\n", b"he", b"llo", b""),
        said("GET", 0, True, 200, TYPE, b"he", b"llo"),
        said("GET", 0, False, 404, b"Date: today\r\nConnection: close\r\n", b"hello"),
        said("HEAD", 1, True, 200, b"Content-Length: 5\r\n", b""),
        said("HEAD", 1, True, 200, TYPE, b"hello", b"x"),
        said("POST", 1, True, 204, b"Content-Length: 5\r\n", b"hello"),
        said("GET", 1, True, 304, b"", b"hello", b"x"),
        said("GET", 1, True, 200, b"Content-Length: 3\r\n", b"hello"),
        said("GET", 1, True, 200, b"Content-Length: 9\r\n", b"hel", b"lo"),
        said("OPTIONS", 1, False, 200, b"Transfer-Encoding: chunked\r\nTrailer: x\r\n", b"0\r\n\r\n"),
    ),
    words=(
        b"Content-Length: 5\r\n|Content-Length: 0\r\n|Content-Length: |Transfer-Encoding: chunked\r\n|\r\n"
        b"|Connection: close\r\n|Connection: keep-alive\r\n|X-Accel-Buffering: no\r\n|Trailer: x\r\n|\x00;"
        b"|Date: x\r\n|0\r\n\r\n|5\r\nhello\r\n|HTTP/1.1 200 OK\r\n|\x00\x00|\x0c\x00|\x0d\x00|\x0c\x01"
        b"|\x0c\x04|\x08\x00|: |\n|\r"
    ).split(b"|"),
    each=60,
    fixed=60_000,
)
