"""Header blocks of requests, as workers read them."""

from __future__ import annotations

import io
from http.client import HTTPMessage, parse_headers

from dispatcher.framing import BadRequest, read_head
from dispatcher.settings import Limits
from protocol.heads import HOP_BY_HOP, PROTECTED, read_cgi_head, read_request_head
from tests.fuzz.target import Target

LINE = b"GET / HTTP/1.1\r\n"
LIMITS = Limits(headers=99)
"""As many as Python's own reader takes."""


def read(data: bytes) -> None:
    read_request_head(data)
    read_cgi_head(data)


def leaves_out_what_no_application_may_see(data: bytes) -> None:
    for name, value in read_request_head(data):
        assert name == name.lower() != ""
        assert name not in HOP_BY_HOP
        assert name != "proxy"
        assert "_" not in name
        assert value == value.strip(" \t")


def is_remembered_as_it_was_read(data: bytes) -> None:
    """Lines and heads are remembered; the second time they are the same, and so they are for CGI."""
    fields = read_request_head(data)
    assert read_request_head(data) == fields
    named = read_cgi_head(data)
    assert read_cgi_head(data) == named
    joined: dict[str, list[str]] = {}
    for name, value in fields:
        joined.setdefault(cgi_name(name), []).append(value)
    assert named == {
        name: ("; " if name == "HTTP_COOKIE" else ",").join(values) for name, values in joined.items()
    }


def cgi_name(name: str) -> str:
    name = name.upper().replace("-", "_")
    return name if name in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{name}"


def python_reads_the_same(data: bytes) -> None:
    """Where the dispatcher lets a block pass, Python's own reader finds the same fields in it."""
    raw = LINE + data + b"\r\n"
    if raw.find(b"\r\n\r\n") != len(raw) - 4:  # a head ends with its first empty line
        return
    try:
        block = read_head(raw, LIMITS).block
    except BadRequest:
        return
    message = parse_headers(io.BytesIO(block + b"\r\n"))
    assert read_request_head(block) == visible(message)


def visible(message: HTTPMessage) -> list[tuple[str, str]]:
    """Return the fields of a head that an application may see, by the rules of the documentation."""
    fields = [(name.lower(), value.strip(" \t")) for name, value in message.raw_items()]
    named = {
        option.strip(" \t").lower()
        for name, value in fields
        if name == "connection"
        for option in value.split(",")
    }
    hidden = HOP_BY_HOP | {"proxy"} | (named - PROTECTED)
    return [(name, value) for name, value in fields if name not in hidden and "_" not in name]


TARGET = Target(
    read=read,
    laws=(leaves_out_what_no_application_may_see, is_remembered_as_it_was_read, python_reads_the_same),
    seeds=(
        b"Host: a\r\nAccept: */*\r\n",
        b"host:a\r\nCookie: a=b\r\nCookie: c=d\r\nX-A: 1\r\nX-A: 2\r\nContent-Type: text/plain\r\n",
        b"Host: a\r\nConnection: close, X-Secret, Host\r\nX-Secret: 1\r\nProxy: b\r\nX_A: c\r\n",
        b"Host: a\r\nTE: trailers\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nX:\r\nY: \t \xe9\x85\xa0\t \r\n",
        b"Host: a\r\nContent-Length: 0\r\nX-" + b"n" * 300 + b": " + b"v" * 1000 + b"\r\n",
    ),
    words=(
        b"Connection: |connection:|close|keep-alive|X-Secret|X-Secret: 1\r\n|, |,|Host: a\r\n|Proxy: |proxy-"
        b"|X_Y: |Content-Type|content-length|Cookie: a\r\n|\r\n|\r\n |\n|\r|: |:|\t|\x0b|\x0c|\x1c|\x85"
        b"|From a"
    ).split(b"|"),
    each=40,
    fixed=4_000_000,  # what is remembered of lines and heads: at most so much, whatever comes
)
