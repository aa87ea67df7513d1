"""Cookies, as they come back."""

from __future__ import annotations

import re
from io import BytesIO

from werkzeug.http import parse_cookie

from protocol.errors import HeaderError
from protocol.heads import write_head
from tests.fuzz.target import Target, outcome, parts
from worker.exchange import Exchange
from worker.request import Request
from worker.response import Response

PLAIN = re.compile(rb"([\w.-]+ *= *[\w./+:=-]*(; *|$))+")


def request_with(head: bytes) -> Request:
    return Request(Exchange("app", "/", "GET", b"/", head, "http", "192.0.2.7:5", 1, BytesIO()))


def cookies_of(data: bytes) -> dict[str, str]:
    """Return the cookies that an application sees: an input is what follows ``Cookie:``."""
    return request_with(b"Cookie: %b\r\n" % data).cookies


def read(data: bytes) -> None:
    cookies_of(data)


def have_names_and_no_separators(data: bytes) -> None:
    for name, value in cookies_of(data).items():
        assert name.strip() == name != ""
        assert ";" not in name + value
        assert "=" not in name


def werkzeug_reads_the_same(data: bytes) -> None:
    """Where nobody quotes, and each cookie has a name and a value."""
    if PLAIN.fullmatch(data):
        others = parse_cookie(data.decode())
        assert cookies_of(data) == {name: others[name] for name in others}


def come_back_as_they_were_set(data: bytes) -> None:
    """Three parts of an input are a name, a value, and what else a browser sends."""
    name, value, others = (part.decode("utf-8", "surrogateescape") for part in parts(data, 3))
    response = Response("")
    if outcome(response.set_cookie, name, value, refusals=(HeaderError,)) is HeaderError:
        return
    write_head(response.headers)
    (line,) = [value for name, value in response.headers if name == "Set-Cookie"]
    pair = line.partition(";")[0]
    sent = f"{pair}; {others}".encode("utf-8", "surrogateescape").replace(b"\r\n", b"")
    assert cookies_of(sent)[name] == value


TARGET = Target(
    read=read,
    laws=(have_names_and_no_separators, werkzeug_reads_the_same, come_back_as_they_were_set),
    seeds=(
        b"a=b; session=0123456789abcdefghijkl",
        b'a="b"; a=c; ; =d; e; f="; g = h ;i==',
        b"a\0;b c\0;x=y",
        b"a=b\r\nCookie: c=d\r\nCookie: \xe9=\xff",
        b"__Host-id\0;a=b\0;session=1; __Host-id=2",
    ),
    words=(
        b'=|;|; |,|"|""|a=|=b|session=|\r\nCookie: |\x00;|$Version=1|%3B|\\073|\t|\x85|\xa0|\x1f|\xc3\xa9'
    ).split(b"|"),
    each=60,
    fixed=30_000,
)
