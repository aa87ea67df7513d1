"""A table of requests as bytes, and what the dispatcher makes of each of them, on a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dispatcher.settings import Limits
from protocol.settings import Size
from tests.dispatcher.fakes_http import FakeSite, Serving

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "Host: example.org\r\n"

# Each: what it is, the request, the status; 200 stands for "handed to an application".
REQUEST_LINES = [
    ("a plain GET", "GET / HTTP/1.1\r\n{host}\r\n", 200),
    ("an HTTP/1.0 GET without Host", "GET / HTTP/1.0\r\n\r\n", 200),
    ("a later minor version is served as 1.1", "GET / HTTP/1.2\r\n{host}\r\n", 200),
    ("an empty line before the request", "\r\n\r\nGET / HTTP/1.1\r\n{host}\r\n", 200),
    ("a hundred empty lines before the request", "\r\n" * 100 + "GET / HTTP/1.1\r\n{host}\r\n", 400),
    ("HTTP/2.0", "GET / HTTP/2.0\r\n{host}\r\n", 505),
    ("HTTP/3.0", "GET / HTTP/3.0\r\n{host}\r\n", 505),
    ("HTTP/0.9 with a version", "GET / HTTP/0.9\r\n{host}\r\n", 505),
    ("HTTP/9.9", "GET / HTTP/9.9\r\n{host}\r\n", 505),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/0.9", "GET /\r\n", 400),
    ("a version in lower case", "GET / http/1.1\r\n{host}\r\n", 400),
    ("a version of one number", "GET / HTTP/1\r\n{host}\r\n", 400),
    ("a version of three numbers", "GET / HTTP/1.1.1\r\n{host}\r\n", 400),
    ("a version with leading zeros", "GET / HTTP/01.01\r\n{host}\r\n", 400),
    ("a version with two digits", "GET / HTTP/1.10\r\n{host}\r\n", 400),
    ("a version with a space", "GET / HTTP/ 1.1\r\n{host}\r\n", 400),
    ("another protocol", "GET / RTSP/1.0\r\n{host}\r\n", 400),
    ("a space behind the version", "GET / HTTP/1.1 \r\n{host}\r\n", 400),
    ("two spaces before the target", "GET  / HTTP/1.1\r\n{host}\r\n", 400),
    ("two spaces behind the target", "GET /  HTTP/1.1\r\n{host}\r\n", 400),
    ("two spaces behind a query", "GET /?a  HTTP/1.1\r\n{host}\r\n", 400),
    ("a tab instead of a space", "GET\t/ HTTP/1.1\r\n{host}\r\n", 400),
    ("a space before the method", " GET / HTTP/1.1\r\n{host}\r\n", 400),
    ("no target", "GET HTTP/1.1\r\n{host}\r\n", 400),
    ("no method", "/ HTTP/1.1\r\n{host}\r\n", 400),
    ("only spaces", "   \r\n\r\n", 400),
    ("an LF ends the request line", "GET / HTTP/1.1\n{host}\r\n", 400),
    ("a CR ends the request line", "GET / HTTP/1.1\r{host}\r\n", 400),
    ("an LF before the request line", "\nGET / HTTP/1.1\r\n{host}\r\n", 400),
    ("a CR before the request line", "\rGET / HTTP/1.1\r\n{host}\r\n", 400),
    ("LFs only", "GET / HTTP/1.1\nHost: example.org\n\n", 400),
    ("garbage before the request line", "\x00\x01GET / HTTP/1.1\r\n{host}\r\n", 400),
    ("an unknown method", "FOOBAR / HTTP/1.1\r\n{host}\r\n", 501),
    ("a method in lower case", "get / HTTP/1.1\r\n{host}\r\n", 501),
    ("a method of another protocol", "DESCRIBE / HTTP/1.1\r\n{host}\r\n", 501),
    ("a method that is not a token", "GE(T / HTTP/1.1\r\n{host}\r\n", 400),
    ("a method of 100 KB", "A" * 100_000 + " / HTTP/1.1\r\n{host}\r\n", 400),
    ("TRACE", "TRACE / HTTP/1.1\r\n{host}\r\n", 501),
    ("TRACE with a body", "TRACE / HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello", 501),
    ("a WebDAV method", "PROPFIND / HTTP/1.1\r\n{host}\r\n", 200),
]

TARGETS = [
    ("an empty query", "GET /? HTTP/1.1\r\n{host}\r\n", 200),
    ("a path with escapes", "GET /caf%C3%A9%2Fx HTTP/1.1\r\n{host}\r\n", 200),
    ("a path with bytes that are not UTF-8, escaped", "GET /caf%E9 HTTP/1.1\r\n{host}\r\n", 200),
    ("a query with a percent sign that is no escape", "GET /?q=100% HTTP/1.1\r\n{host}\r\n", 200),
    ("two slashes", "GET //example.com/ HTTP/1.1\r\n{host}\r\n", 200),
    ("a path with a percent sign that is no escape", "GET /100% HTTP/1.1\r\n{host}\r\n", 400),
    ("an escape with one digit", "GET /%a HTTP/1.1\r\n{host}\r\n", 400),
    ("an escaped NUL", "GET /a%00b HTTP/1.1\r\n{host}\r\n", 400),
    ("an escaped line end", "GET /a%0d%0aX:y HTTP/1.1\r\n{host}\r\n", 400),
    ("a fragment", "GET /a#b HTTP/1.1\r\n{host}\r\n", 400),
    ("a space", "GET /a b HTTP/1.1\r\n{host}\r\n", 400),
    ("a NUL", "GET /a\x00b HTTP/1.1\r\n{host}\r\n", 400),
    ("a tab", "GET /a\tb HTTP/1.1\r\n{host}\r\n", 400),
    ("a DEL", "GET /a\x7fb HTTP/1.1\r\n{host}\r\n", 400),
    ("a control character", "GET /a\x1bb HTTP/1.1\r\n{host}\r\n", 400),
    ("bytes beyond ASCII", "GET /caf\xc3\xa9 HTTP/1.1\r\n{host}\r\n", 400),
    ("bytes beyond ASCII in the query", "GET /?q=caf\xc3\xa9 HTTP/1.1\r\n{host}\r\n", 400),
    ("an overlong form of a slash", "GET /..\xc0\xaf HTTP/1.1\r\n{host}\r\n", 400),
    ("no slash at the beginning", "GET a HTTP/1.1\r\n{host}\r\n", 400),
    ("a query only", "GET ?a HTTP/1.1\r\n{host}\r\n", 400),
    ("a target of 7,900 bytes", "GET /" + "a" * 7900 + " HTTP/1.1\r\n{host}\r\n", 200),
    ("a target over the limit", "GET /" + "a" * 8192 + " HTTP/1.1\r\n{host}\r\n", 414),
    ("a target of 100 KB", "GET /" + "a" * 100_000 + " HTTP/1.1\r\n{host}\r\n", 414),
    ("an absolute target", "GET http://example.org/a?b HTTP/1.1\r\n{host}\r\n", 200),
    ("an absolute target with a scheme in capitals", "GET HTTP://example.org/ HTTP/1.1\r\n{host}\r\n", 200),
    ("an absolute target and another Host", "GET http://other.org/ HTTP/1.1\r\n{host}\r\n", 200),
    ("an absolute target without Host", "GET http://example.org/ HTTP/1.1\r\n\r\n", 400),
    ("an absolute target with a user", "GET http://me@example.org/ HTTP/1.1\r\n{host}\r\n", 400),
    ("an absolute target without a host", "GET http:///a HTTP/1.1\r\n{host}\r\n", 400),
    ("an absolute target with a bad port", "GET http://example.org:x/ HTTP/1.1\r\n{host}\r\n", 400),
    ("an absolute target of another scheme", "GET ftp://example.org/ HTTP/1.1\r\n{host}\r\n", 400),
    ("an authority without CONNECT", "GET example.org:80 HTTP/1.1\r\n{host}\r\n", 400),
    ("CONNECT", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 501),
    ("CONNECT without a port", "CONNECT example.org HTTP/1.1\r\nHost: example.org\r\n\r\n", 400),
    ("CONNECT with an empty port", "CONNECT example.org: HTTP/1.1\r\nHost: example.org\r\n\r\n", 400),
    ("CONNECT with a path", "CONNECT / HTTP/1.1\r\n{host}\r\n", 400),
    ("OPTIONS of the server", "OPTIONS * HTTP/1.1\r\n{host}\r\n", 204),
    ("OPTIONS of a server by its URI", "OPTIONS http://example.org HTTP/1.1\r\n{host}\r\n", 204),
    ("OPTIONS of a page", "OPTIONS / HTTP/1.1\r\n{host}\r\n", 200),
    ("GET of the server", "GET * HTTP/1.1\r\n{host}\r\n", 400),
    ("a star and more", "OPTIONS *x HTTP/1.1\r\n{host}\r\n", 400),
]

HEADERS = [
    ("a value with bytes beyond ASCII", "GET / HTTP/1.1\r\n{host}X: caf\xe9\r\n\r\n", 200),
    ("an empty value", "GET / HTTP/1.1\r\n{host}X:\r\n\r\n", 200),
    ("names in any case", "GET / HTTP/1.1\r\nhOsT: example.org\r\n\r\n", 200),
    ("tabs around a value", "GET / HTTP/1.1\r\n{host}X:\t a \t\r\n\r\n", 200),
    ("an LF ends a header", "GET / HTTP/1.1\r\nHost: example.org\nX: y\r\n\r\n", 400),
    ("an LF ends the head", "GET / HTTP/1.1\r\n{host}\n", 400),
    ("a CR in a value", "GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n", 400),
    ("two CRs before the LF", "GET / HTTP/1.1\r\n{host}X: a\r\r\n\r\n", 400),
    ("a NUL in a value", "GET / HTTP/1.1\r\n{host}X: a\x00b\r\n\r\n", 400),
    ("a control character in a value", "GET / HTTP/1.1\r\n{host}X: a\x07b\r\n\r\n", 400),
    ("a DEL in a value", "GET / HTTP/1.1\r\n{host}X: a\x7fb\r\n\r\n", 400),
    ("a value that is folded", "GET / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n", 400),
    ("a value that is folded at a tab", "GET / HTTP/1.1\r\n{host}X: a\r\n\tb\r\n\r\n", 400),
    ("a space before the colon", "GET / HTTP/1.1\r\n{host}X : a\r\n\r\n", 400),
    ("a tab in a name", "GET / HTTP/1.1\r\n{host}X\ty: a\r\n\r\n", 400),
    ("no colon", "GET / HTTP/1.1\r\n{host}X\r\n\r\n", 400),
    ("no name", "GET / HTTP/1.1\r\n{host}: a\r\n\r\n", 400),
    ("a bracket in a name", "GET / HTTP/1.1\r\n{host}X[y: a\r\n\r\n", 400),
    ("bytes beyond ASCII in a name", "GET / HTTP/1.1\r\n{host}X\xc3\xab: a\r\n\r\n", 400),
    ("a space before the first header", "GET / HTTP/1.1\r\n X: a\r\n{host}\r\n", 400),
    ("a line of a space before the first header", "GET / HTTP/1.1\r\n \r\n{host}\r\n", 400),
    ("a hundred headers", "GET / HTTP/1.1\r\n{host}" + "X: y\r\n" * 99 + "\r\n", 200),
    ("a hundred and one headers", "GET / HTTP/1.1\r\n{host}" + "X: y\r\n" * 100 + "\r\n", 431),
    ("ten thousand headers", "GET / HTTP/1.1\r\n{host}" + "X: y\r\n" * 10_000 + "\r\n", 431),
    ("a value of 100 KB", "GET / HTTP/1.1\r\n{host}X: " + "y" * 100_000 + "\r\n\r\n", 431),
    ("a name of 100 KB", "GET / HTTP/1.1\r\n{host}" + "X" * 100_000 + ": y\r\n\r\n", 431),
    ("an upgrade is ignored", "GET / HTTP/1.1\r\n{host}Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    (
        "an upgrade with a body is ignored",
        "POST / HTTP/1.1\r\n{host}Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab",
        200,
    ),
    ("an unknown expectation", "GET / HTTP/1.1\r\n{host}Expect: 200-ok\r\n\r\n", 417),
    ("two expectations", "GET / HTTP/1.1\r\n{host}Expect: 100-continue, x\r\n\r\n", 417),
    ("an unknown expectation in HTTP/1.0", "GET / HTTP/1.0\r\n{host}Expect: 200-ok\r\n\r\n", 200),
]

HOSTS = [
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", "GET / HTTP/1.1\r\n{host}Host: other.org\r\n\r\n", 400),
    ("twice the same Host", "GET / HTTP/1.1\r\n{host}{host}\r\n", 400),
    ("two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n{host}{host}\r\n", 400),
    *(
        (f"the Host {value!r}", f"GET / HTTP/1.1\r\nHost: {value}\r\n\r\n", status)
        for value, status in [
            ("example.org:8080", 200),
            ("example.org:", 200),
            ("EXAMPLE.org.", 200),
            ("my_host-1", 200),
            ("127.0.0.1", 200),
            ("[::1]:80", 200),
            ("[::ffff:1.2.3.4]", 200),
            ("[:::::::]", 400),
            ("[.]", 400),
            ("[1.2.3.4]", 400),
            ("", 400),
            (".", 400),
            (".example.org", 400),
            ("a..b", 400),
            ("me@example.org", 400),
            ("example.org/path", 400),
            ("example.org?a", 400),
            ("example.org#a", 400),
            ("a, b", 400),
            ("a,b", 400),
            ("a b", 400),
            ("example.org:x", 400),
            ("example.org:-1", 400),
            ("example.org:65536", 400),
            ("example.org:80:80", 400),
            (":80", 400),
            ("[::1", 400),
            ("[]", 400),
            ("http://example.org", 400),
            ("caf\xe9", 400),
            ("a" * 300, 400),
        ]
    ),
]

LENGTHS = [
    *(
        (
            f"Content-Length {value!r}",
            f"POST / HTTP/1.1\r\n{{host}}Content-Length: {value}\r\n\r\nhello",
            status,
        )
        for value, status in [
            ("5", 200),
            ("5 ", 200),
            ("\t5", 200),
            ("+5", 400),
            ("-5", 400),
            ("-0", 400),
            ("05", 400),
            ("00", 400),
            ("0x5", 400),
            ("0o5", 400),
            ("5_0", 400),
            ("5 5", 400),
            ("5,5", 400),
            ("5, 6", 400),
            ("5.0", 400),
            ("5e0", 400),
            ('"5"', 400),
            ("5;", 400),
            ("five", 400),
            ("", 400),
            ("5\x0b", 400),
            ("\xb2", 400),
            ("1073741825", 413),
            ("999999999999999999", 413),
            ("9999999999999999999", 413),
            ("99999999999999999999", 400),
        ]
    ),
    ("no length at all", "POST / HTTP/1.1\r\n{host}\r\n", 200),
    ("two lengths", "POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    ("twice the same", "POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("a name with an underscore is another name", "POST / HTTP/1.1\r\n{host}Content_Length: 5\r\n\r\n", 200),
]

CHUNKED = "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n"
CODINGS = [
    *(
        (
            f"Transfer-Encoding {value!r}",
            f"POST / HTTP/1.1\r\n{{host}}Transfer-Encoding: {value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            status,
        )
        for value, status in [
            ("chunked", 200),
            ("Chunked", 200),
            ("CHUNKED", 200),
            ("\tchunked", 200),
            ("chunked ", 200),
            ("xchunked", 400),
            ("chunkedx", 400),
            ("chunked, chunked", 400),
            ("gzip, chunked", 400),
            ("chunked, gzip", 400),
            ("gzip", 400),
            ("identity", 400),
            ("chunked;a=b", 400),
            ('"chunked"', 400),
            (",chunked", 400),
            ("chunked,", 400),
            ("\x0bchunked", 400),
            ("\x0cchunked", 400),
            ("chunked\x00", 400),
            ("\r\n chunked", 400),
            ("", 400),
        ]
    ),
    (
        "TE and CL",
        "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "CL and TE",
        "POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "CL and an unknown TE",
        "POST / HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\nhello",
        400,
    ),
    (
        "TE before a space and a colon",
        "POST / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "two TEs",
        "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "two different TEs",
        "POST / HTTP/1.1\r\n{host}Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    ("TE in HTTP/1.0", "POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a chunked GET", "GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
    *(
        (f"the chunked body {body!r:.50}", CHUNKED + body, status)
        for body, status in [
            ("0\r\n\r\n", 200),
            ("000\r\n\r\n", 200),
            ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 200),
            ("A\r\nhelloworld\r\n0\r\n\r\n", 200),
            ("a\r\nhelloworld\r\n0\r\n\r\n", 200),
            ("5;ext=value\r\nhello\r\n0\r\n\r\n", 200),
            ('5 ; ext = "quoted \\" value" ; b\r\nhello\r\n0;c\r\n\r\n', 200),
            ("5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n", 200),
            ("5\r\nhello\r\n0\r\nContent-Length: 5\r\nHost: b\r\n\r\n", 200),
            ("5;\r\nhello\r\n0\r\n\r\n", 400),
            ("5;=x\r\nhello\r\n0\r\n\r\n", 400),
            ("5;a=\r\nhello\r\n0\r\n\r\n", 400),
            ("5;[a]\r\nhello\r\n0\r\n\r\n", 400),
            ("5;a\x00\r\nhello\r\n0\r\n\r\n", 400),
            ("5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
            ("5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
            ("5;" + "a" * 300 + "\r\nhello\r\n0\r\n\r\n", 400),
            ("5;" + "a" * 65536, 400),
            ("5 \r\nhello\r\n0\r\n\r\n", 400),
            (" 5\r\nhello\r\n0\r\n\r\n", 400),
            ("\t5\r\nhello\r\n0\r\n\r\n", 400),
            ("0x5\r\nhello\r\n0\r\n\r\n", 400),
            ("+5\r\nhello\r\n0\r\n\r\n", 400),
            ("-5\r\nhello\r\n0\r\n\r\n", 400),
            ("1_0\r\nhello\r\n0\r\n\r\n", 400),
            ("g\r\nhello\r\n0\r\n\r\n", 400),
            ("\r\nhello\r\n0\r\n\r\n", 400),
            ("\n", 400),
            ("5\nhello\r\n0\r\n\r\n", 400),
            ("5\rhello\r\n0\r\n\r\n", 400),
            ("5\r\nhello\n0\r\n\r\n", 400),
            ("5\r\nhello0\r\n\r\n", 400),
            ("5\r\nhellooo\r\n0\r\n\r\n", 400),
            ("5\r\nhello\r\n\r\n0\r\n\r\n", 400),
            ("0\r\nX : y\r\n\r\n", 400),
            ("0\r\n X: y\r\n\r\n", 400),
            ("0\r\nX: y\n\r\n", 400),
            ("0\r\nX\r\n\r\n", 400),
            ("0\r\n" + ("X: " + "y" * 200 + "\r\n") * 100, 400),
            ("40000001\r\n", 413),
            ("FFFFFFFFFFFFFFFF\r\n", 413),
            ("FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n", 400),
        ]
    ),
]

TABLE = [*REQUEST_LINES, *TARGETS, *HEADERS, *HOSTS, *LENGTHS, *CODINGS]

FOLLOWER = b"GET /follower HTTP/1.1\r\nHost: example.org\r\n\r\n"


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving(FakeSite()) as serving:
        yield serving


@pytest.mark.parametrize(("request_", "status"), [pytest.param(r, s, id=i) for i, r, s in TABLE])
def test_a_request_is_answered_by_the_rule(serving: Serving, request_: str, status: int) -> None:
    with serving.connect() as client:
        client.send(request_.replace("{host}", HOST).encode("latin-1"))
        assert client.answer().status == status


@pytest.mark.parametrize(
    "request_", [pytest.param(r, id=i) for i, r, s in TABLE if s >= 400 and len(r) < 4096]
)
def test_after_a_refusal_the_connection_ends_and_nothing_that_followed_is_served(
    serving: Serving, request_: str
) -> None:
    with serving.connect() as client:
        client.send(request_.replace("{host}", HOST).encode("latin-1") + FOLLOWER)
        answer = client.answer()
        assert answer.fields["connection"] == "close"
        assert client.rest() == b""
    asked = []
    while not serving.site.asked.empty():
        asked.append(serving.site.asked.get_nowait().path)
    assert "/follower" not in asked


@pytest.mark.parametrize("request_", [pytest.param(r, id=i) for i, r, s in TABLE if s < 300])
def test_after_an_answer_the_next_request_is_served(serving: Serving, request_: str) -> None:
    with serving.connect() as client:
        client.send(request_.replace("{host}", HOST).encode("latin-1") + FOLLOWER)
        if client.answer().fields.get("connection") != "close":
            assert client.answer().body.startswith(b"GET /follower ")


def test_tls_on_the_plain_port_is_told_at_once(serving: Serving) -> None:
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(100)
    assert serving.ask(hello).status == 400


def test_the_limits_are_those_of_the_settings() -> None:
    limits = Limits(target=Size(20), head=Size(100), headers=3, body=Size(10))
    with Serving(FakeSite(limits)) as serving:
        for request_, status in [
            ("GET /" + "a" * 19 + " HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            ("GET /" + "a" * 20 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\nX: y\r\n\r\n", 431),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 68 + "\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 69 + "\r\n\r\n", 431),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", 200),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n", 413),
        ]:
            assert (request_, serving.ask(request_.encode()).status) == (request_, status)
