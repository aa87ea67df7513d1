"""What browsers send, request after request, in any pieces."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import httptools

from dispatcher.accesslog import AccessLog
from dispatcher.exchange import Exchange
from dispatcher.framing import BadRequest, RequestHead
from dispatcher.intake import Intake
from dispatcher.settings import Limits
from protocol.settings import Size
from tests.fuzz.target import Target, ways_to_cut

LIMITS = Limits(target=Size(200), head=Size(1000), headers=20, body=Size(3000), body_memory=Size(600))
"""Small ones, so that short inputs reach them."""


class Asked(NamedTuple):
    """A request that was accepted."""

    head: RequestHead
    block: bytes
    body: bytes


class Conversation:
    """A connection that takes in what comes and says what was asked; it ends with a refusal.

    Attributes:
        requests: what was asked.
        refusal: what was wrong, None if nothing was.
        is_over: whether what else comes does not count.
        is_waiting: whether a request has begun and its end has not come.
    """

    def __init__(self, pieces: list[bytes], limits: Limits = LIMITS) -> None:
        self.requests: list[Asked] = []
        self.refusal: BadRequest | None = None
        self.is_over = False
        self._intake = Intake(limits)
        try:
            for piece in pieces:
                self._hear(piece)
        except BadRequest as error:
            self.refusal = error
        finally:
            self.is_waiting = self._intake.has_begun_head or self._intake.has_begun_body
            self._intake.close()

    def _hear(self, data: bytes) -> None:
        while not self.is_over and (request := self._intake.next_request(data)):
            head, block, body, spool = request
            if spool is not None:
                body = spool.read(0, spool.length)
                spool.close()
            self.requests.append(Asked(head, block, body))
            self.is_over = not head.keep_alive
            data = b""


def read(data: bytes) -> None:
    Conversation([data], Limits())
    Conversation([data[start : start + 100] for start in range(0, len(data), 100)], Limits())


def is_understood_the_same_however_it_is_cut(data: bytes) -> None:
    whole = Conversation([data])
    for pieces in ways_to_cut(data):
        heard = Conversation(pieces)
        assert heard.requests == whole.requests
        # A head in pieces is not looked at with each of them: what is wrong may show only at its end.
        assert ends_well(heard) == ends_well(whole), (heard.refusal, whole.refusal)


def ends_well(conversation: Conversation) -> bool:
    """Whether a client that ends the stream here is told of no mistake."""
    return not (conversation.refusal or conversation.is_waiting)


def keeps_to_the_limits(data: bytes) -> None:
    for head, block, body in Conversation([data]).requests:
        assert len(head.target) <= LIMITS.target
        assert len(block) <= LIMITS.head + len("Content-Length: 3000\r\n")
        assert block.count(b"\r\n") <= LIMITS.headers + 1
        assert len(body) <= LIMITS.body
        assert head.path.startswith("/") or (head.method, head.target) == ("OPTIONS", b"*")
        assert not set("\r\n\0") & set(head.path)


class Messages:
    """What llhttp by itself makes of a stream, until the first mistake."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.requests: list[tuple[Any, ...]] = []
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = True

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.error = error

    def on_message_begin(self) -> None:
        self._url = self._body = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        self.requests.append((method, self._url, self._fields, self._body))


def llhttp_understands_the_same(data: bytes) -> None:
    """Both find the same requests in a stream: none is hidden in another one's body.

    Left out is what only one of them does: llhttp stops at an upgrade, we go on; we serve minor versions that
    it does not know; and of a target that names a host we make a path and a Host.
    """
    asked = Conversation([data]).requests
    if b"upgrade" in data.lower() or any(b"HTTP/1.%d" % minor in data for minor in range(2, 10)):
        return
    messages = Messages()
    messages.feed(data)
    # It knows no spaces around what the extensions of a chunk consist of.
    assert len(messages.requests) >= len(asked) or (messages.error and b"chunked" in data.lower())
    for (head, block, body), (method, url, fields, other_body) in zip(asked, messages.requests, strict=False):
        assert (head.method, body) == (method, other_body)
        if url.startswith((b"/", b"*")):
            assert head.target == url
            assert fields_of(block)[: len(fields)] == fields


def fields_of(block: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of a header block in which every line is a field."""
    lines = [line.partition(b":") for line in block.split(b"\r\n")[:-1]]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in lines]


class NobodyWaits:
    """A client that is not asked anything."""


def logs_one_line_for_each(data: bytes) -> None:
    conversation = Conversation([data])
    requests, refusal = conversation.requests, conversation.refusal
    for style in ("combined", "json"):
        file = io.StringIO()
        log = AccessLog(style, file)
        for head, block, body in requests:
            client: Any = NobodyWaits()
            log.note(
                Exchange(
                    *(client, head.method, head.target, head.path, head.host, block),
                    *("http", "192.0.2.7:5123", body, None, 0.0),
                ),
                *(200, 12, 0.5),
            )
        if refusal:
            log.note_refusal("192.0.2.7:5123", refusal)
        log.flush()
        text = file.getvalue()
        assert text.count("\n") == len(requests) + bool(refusal)
        assert text.isascii()
        assert text.replace("\n", "").isprintable()


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
PUT = b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

TARGET = Target(
    read=read,
    laws=(
        is_understood_the_same_however_it_is_cut,
        keeps_to_the_limits,
        llhttp_understands_the_same,
        logs_one_line_for_each,
    ),
    seeds=(
        GET,
        POST + GET,
        PUT + b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n" + GET,
        b"\r\n\r\nGET /caf%C3%A9/%2e%2e?a=b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET,
        b'GET http://b:80/f?x HTTP/1.1\r\nHost: a\r\nUser-Agent: "x\\y"\r\nReferer: \xe9\r\n\r\n',
        b"OPTIONS * HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n" + GET,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + b"x" * 900 + GET,
        PUT + b"2bc\r\n" + b"y" * 700 + b"\r\n0\r\n\r\n" + GET,
        b"GET /" + b"z" * 195 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\nX: " + b"v" * 940 + b"\r\n\r\n",
    ),
    words=(
        *(
            b"GET |HEAD |POST |OPTIONS |CONNECT |M-SEARCH |TRACE | HTTP/1.1\r\n| HTTP/1.0\r\n| HTTP/1.9\r\n"
            b"| HTTP/2.0\r\n|HTTP/|PRI * HTTP/2.0|Host: a\r\n|Host:|Content-Length: 5\r\n"
            b"|Content-Length: 0\r\n|Content-Length:|Transfer-Encoding: chunked\r\n|Transfer-Encoding:"
            b"|chunked|identity|gzip, |Connection: close\r\n|Connection: keep-alive\r\n|Connection:"
            b"|Expect: 100-continue\r\n|\r\n|\r\n\r\n|\n|\r|: | :|,|;|\t|\r\n |0\r\n\r\n|5\r\nhello\r\n"
            b"|http://|https://u@h|//|/../|%2F|%00|%zz|?|#|*|[::1]|:99999"
        ).split(b"|"),
        GET,
        POST,
        PUT,
    ),
    each=40,
    fixed=300_000,
)
