"""Header blocks of answers: what applications give, and what the dispatcher makes of a worker's."""

from __future__ import annotations

import io
from http.client import parse_headers

import httptools

from dispatcher.answer import write_head as write_answer
from protocol.errors import HeaderError
from protocol.heads import HOP_BY_HOP, read_response_head, write_head
from tests.fuzz.target import SEPARATOR, Target

OURS = HOP_BY_HOP | {"content-length", "x-accel-buffering"}
"""What the dispatcher decides, or only it has to know."""

MOST = 99
"""Fields that Python's own reader takes."""


def read(data: bytes) -> None:
    read_response_head(data)


class Fields(list[tuple[str, str]]):
    """What llhttp finds in a head."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))


def clients_read_what_was_passed_on(data: bytes) -> None:
    try:
        head = read_response_head(data)
    except HeaderError:
        return
    if data.count(b"\n") > MOST:
        return
    given = fields_of(data)
    passed_on = [field for field in given if field[0] not in OURS]
    answer = write_answer(200, head, b"", b"", b"")
    by_llhttp = Fields()
    httptools.HttpResponseParser(by_llhttp).feed_data(answer)
    assert by_llhttp == passed_on
    assert fields_of(head.block) == passed_on
    lengths = [value for name, value in given if name == "content-length"]
    assert head.length == (int(lengths[0]) if lengths else None)
    assert head.has_date == any(name == "date" for name, _ in given)


def fields_of(block: bytes) -> list[tuple[str, str]]:
    """Return the fields in a block, as Python's own reader finds them."""
    message = parse_headers(io.BytesIO(block + b"\r\n"))
    return [(name.lower(), value.strip(" \t")) for name, value in message.raw_items()]


def is_read_back_as_it_was_written(data: bytes) -> None:
    """Two parts of an input are a name and a value."""
    texts = [part.decode("utf-8", "surrogateescape") for part in data.split(SEPARATOR)]
    fields = [*zip(texts[::2], texts[1::2], strict=False)][:MOST]
    try:
        block = write_head(fields)
    except HeaderError:
        return
    assert fields_of(block) == [(name.lower(), value.strip(" \t")) for name, value in fields]
    assert write_head(fields) == block
    try:
        head = read_response_head(block)
    except HeaderError:
        assert any(name.lower() == "content-length" for name, _ in fields)
    else:
        assert fields_of(head.block) == [field for field in fields_of(block) if field[0] not in OURS]


TARGET = Target(
    read=read,
    refusals=(HeaderError,),
    laws=(clients_read_what_was_passed_on, is_read_back_as_it_was_written),
    seeds=(
        b"Content-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\n",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Accel-Buffering: no\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n",
        b"Content-Length: 5\r\ncontent-length:5\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX:\r\n",
        b"X: \t caf\xe9 \x80\xff\t\r\n" + b"X-" + b"n" * 300 + b": " + b"v" * 900 + b"\r\n",
        SEPARATOR.join((b"Content-Type", b"text/plain", b"X", "caf\xe9".encode(), b"Content-Length", b"7")),
        SEPARATOR.join((b"Location", b"/a\r\nSet-Cookie: x=y", b"X-Date", b"\xff")),
    ),
    words=(
        b"\x00;|Content-Length: 5\r\n|Content-Length: |Content-Length|Date: x\r\n|\r\n"
        b"|X-Accel-Buffering: no\r\n|Connection: |Transfer-Encoding: chunked\r\n|X: |: |:|\r\n |\r\n\r\n"
        b"|HTTP/1.1 200 OK\r\n|\x85|\x0b|\x0c|\xc3\xa9|\xe2\x80\xa8"
    ).split(b"|"),
    each=50,
    fixed=100_000,
)
