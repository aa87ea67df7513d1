from __future__ import annotations

import time

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher import framing
from dispatcher.framing import (
    CHUNKED,
    METHODS,
    BadRequest,
    RequestHead,
    check_beginning,
    check_size,
    read_head,
)
from dispatcher.settings import Limits
from protocol.settings import Size

LIMITS = Limits()


def read(line: str, *fields: str) -> RequestHead:
    return read_head("\r\n".join([line, *fields, "", ""]).encode("latin-1"), LIMITS)


def refusal(line: str, *fields: str) -> int:
    with pytest.raises(BadRequest) as caught:
        read(line, *fields)
    return caught.value.status


def test_a_head_says_what_the_dispatcher_must_know():
    assert read("POST /a%20b?c HTTP/1.1", "Host: Example.org:80", "X: y", "Content-Length: 5") == RequestHead(
        method="POST",
        target=b"/a%20b?c",
        path="/a b",
        host="example.org",
        block=b"Host: Example.org:80\r\nX: y\r\nContent-Length: 5\r\n",
        length=5,
        minor=1,
        keep_alive=True,
        expects_continue=False,
    )


@pytest.mark.parametrize(
    "name", ["Forwarded", "x-forwarded-for", "X-FORWARDED-PROTO", "X-Forwarded", "X-Real-IP"]
)
def test_what_only_a_proxy_may_say_is_noticed(name: str):
    head = read("GET / HTTP/1.1", "Host: a", f"{name}: x, y")
    assert head.is_forwarded
    assert head.length == 0


@pytest.mark.parametrize(
    "field", ["X-Real-IPs: a", "X-Forward: a", "Forwarded-For: a", "X: x-forwarded-for: a"]
)
def test_what_others_say_is_no_such_thing(field: str):
    assert not read("GET / HTTP/1.1", "Host: a", field).is_forwarded


def test_its_line_can_be_written_again():
    assert read("GET /a?b HTTP/1.0").line == b"GET /a?b HTTP/1.0"
    assert read("GET /a?b HTTP/1.7", "Host: a").line == b"GET /a?b HTTP/1.1"


def test_a_path_is_decoded_as_utf_8_and_what_is_not_is_marked():
    assert read("GET /caf%C3%A9/%ff HTTP/1.1", "Host: a").path == "/café/\ufffd"


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("a", "a"),
        ("WWW.Example.ORG", "www.example.org"),
        ("example.org.", "example.org"),
        ("example.org.:80", "example.org"),
        ("example.org:", "example.org"),
        ("[::1]:8080", "[::1]"),
        ("  a\t", "a"),
    ],
)
def test_a_host_is_in_lower_case_and_without_a_port(value, host):
    assert read("GET / HTTP/1.1", f"Host: {value}").host == host


def test_http_1_0_may_have_no_host_and_has_no_bad_one():
    assert read("GET / HTTP/1.0").host == ""
    assert refusal("GET / HTTP/1.0", "Host: a/b") == 400
    assert refusal("GET / HTTP/1.0", "Host:") == 400


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: keep-alive"], True),
        ("1.1", ["Connection: Upgrade, HTTP2-Settings"], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: Close"], False),
        ("1.1", ["Connection: keep-alive, close"], False),
        ("1.1", ["Connection: x,\tclose ,y"], False),
        ("1.1", ["Connection: close", "Connection: keep-alive"], False),
        ("1.1", ["Connection: keep-alive", "Connection: close"], False),
        ("1.1", ["Connection: closed"], True),
        ("1.1", ["Connection:"], True),
        ("1.0", [], False),
        ("1.0", ["Connection:"], False),
        ("1.0", ["Connection: Keep-Alive"], True),
        ("1.0", ["Connection: x, keep-alive"], True),
        ("1.0", ["Connection: keep-alive", "Connection: close"], False),
        ("1.0", ["Proxy-Connection: keep-alive"], False),
    ],
)
def test_close_wins_and_http_1_0_must_ask_for_more(version, fields, keep_alive):
    assert read(f"GET / HTTP/{version}", "Host: a", *fields).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("version", "fields", "expects"),
    [
        ("1.1", ["Expect: 100-continue", "Content-Length: 5"], True),
        ("1.1", ["Expect: 100-Continue", "Transfer-Encoding: chunked"], True),
        ("1.1", ["Expect: 100-continue"], False),
        ("1.1", ["Expect: 100-continue", "Content-Length: 0"], False),
        ("1.0", ["Expect: 100-continue", "Content-Length: 5"], False),
        ("1.0", ["Expect: something", "Content-Length: 5"], False),
    ],
)
def test_a_100_is_expected_for_a_body_and_in_http_1_1(version, fields, expects):
    assert read(f"POST / HTTP/{version}", "Host: a", *fields).expects_continue is expects


def test_a_chunked_body_has_no_length_yet():
    assert read("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: Chunked").length == CHUNKED


@pytest.mark.parametrize(
    ("target", "read_as", "host", "first_field"),
    [
        ("http://other.org:81/x?y", b"/x?y", "other.org", b"Host: other.org:81"),
        ("HTTP://Other.ORG", b"/", "other.org", b"Host: Other.ORG"),
        ("https://other.org?q=http://x/", b"/?q=http://x/", "other.org", b"Host: other.org"),
        ("http://[::1]/", b"/", "[::1]", b"Host: [::1]"),
    ],
)
def test_an_absolute_target_replaces_the_host(target, read_as, host, first_field):
    head = read(f"GET {target} HTTP/1.1", "X: host: y", "hOST: example.org", "Y: z")
    assert (head.target, head.host) == (read_as, host)
    assert head.block == first_field + b"\r\nX: host: y\r\nY: z\r\n"


def test_the_server_as_a_whole_is_a_star():
    assert read("OPTIONS * HTTP/1.1", "Host: a").target == b"*"
    assert read("OPTIONS http://b HTTP/1.1", "Host: a").target == b"*"
    assert read("OPTIONS http://b/ HTTP/1.1", "Host: a").target == b"/"


@pytest.mark.parametrize("method", METHODS.values())
def test_every_method_that_is_passed_on_is_one_that_llhttp_knows(method):
    assert read(f"{method} / HTTP/1.1", "Host: a").method == method


@pytest.mark.parametrize("second", [b"content-length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_two_lengths_would_be_refused_without_llhttp_too(monkeypatch, second):
    """Smuggling is made of this: it does not hang on the parser alone, which is asked first."""
    monkeypatch.setattr(framing, "_check_syntax", lambda _: None)
    with pytest.raises(BadRequest, match="twice"):
        framing.read_head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" + second + b"\r\n", LIMITS)


def test_the_same_headers_are_read_again_for_another_version():
    fields = ("Host: a", "Expect: 100-continue", "Content-Length: 5")
    assert [read(f"POST / HTTP/1.{minor}", *fields).expects_continue for minor in (1, 0, 1)] == [
        True,
        False,
        True,
    ]
    assert [read(f"GET / HTTP/1.{minor}", *fields).keep_alive for minor in (1, 0, 1)] == [True, False, True]


def test_a_block_too_long_to_be_remembered_is_read_in_the_same_way():
    assert read("GET / HTTP/1.1", "Host: a", "X: " + "y" * 2000).host == "a"
    assert refusal("GET / HTTP/1.1", "Host: a", "X: " + "y" * 2000, "Host: b") == 400


# ── Beginnings ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "beginning",
    [
        b"G",
        b"FOO",
        b"GET ",
        b"GET /",
        b"GET / ",
        b"GET / HTTP",
        b"GET / HTTP/1.2",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.2\r\nHost: a\r\nX",
        b"CONNECT exa",
        b"GET http://a",
    ],
)
def test_what_may_become_a_head_is_waited_for(beginning):
    check_beginning(beginning)


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"A" * 65, 400),
        (b"GET \x00", 400),
        (b"GET / HTTQ", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a", 400),
        (b"FOO /", 501),
        (b"GET / HTTP/2", 505),
        (b"GET / HTTP/2.0\r\n", 505),
    ],
)
def test_what_cannot_become_one_is_not(beginning, status):
    with pytest.raises(BadRequest) as caught:
        check_beginning(beginning)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"GET /" + b"a" * 100, 414),
        (b"A" * 100, 400),
        (b"GET / HTTP/1.1\r\n" + b"X" * 200, 431),
        (b"GET / HTTP/1.1\r\n" + b"X" * 183, None),
        (b"GET /" + b"a" * 80, None),
    ],
)
def test_a_beginning_may_be_too_long_already(beginning, status):
    limits = Limits(target=Size(20), head=Size(200))
    if status is None:
        check_size(beginning, limits)
        return
    with pytest.raises(BadRequest) as caught:
        check_size(beginning, limits)
    assert caught.value.status == status


@pytest.mark.parametrize("line", ['X"' + "a" * 30_000, "X: " + " HTTP/1.2" * 3000 + "\x01"])
def test_a_malformed_line_costs_no_more_for_being_long(line):
    raw = f"GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode()
    started = time.thread_time()
    with pytest.raises(BadRequest) as caught:
        read_head(raw, Limits())
    assert caught.value.status == 400
    assert time.thread_time() - started < 0.2  # it was 2 s once


# ── Beside llhttp ────────────────────────────────────────────────────────────────────────────────


class Oracle:
    """What llhttp says of a head, called back for each header."""

    def __init__(self, raw: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.url = b""
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(raw)
        self.method = parser.get_method()
        self.version = parser.get_http_version()
        self.keep_alive = parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.strip(b" \t").lower()))

    def all(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found == name]


lines = st.sampled_from(["GET / HTTP/1.1", "POST /a?b HTTP/1.1", "GET / HTTP/1.0", "OPTIONS * HTTP/1.1"])
names = st.sampled_from(
    ["Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "X", "Hosts"]
)
values = st.sampled_from(
    [
        "a",
        "b:80",
        "0",
        "5",
        "5 ",
        "05",
        "chunked",
        "Chunked",
        "gzip",
        "close",
        "Keep-Alive, x",
        "100-continue",
        "",
        "\t",
    ]
) | st.text(st.characters(max_codepoint=255), max_size=5)
fields = st.lists(
    st.builds(lambda *parts: "".join(parts), names, st.sampled_from([":", ": ", " :"]), values), max_size=5
)


@given(lines, fields)
@settings(max_examples=500)
def test_what_is_accepted_llhttp_reads_in_the_same_way(line, fields):
    raw = "\r\n".join([line, *fields, "", ""]).encode("latin-1")
    if raw.count(b"\r\n\r\n") != 1 or not raw.endswith(b"\r\n\r\n"):
        return
    try:
        head = read_head(raw, LIMITS)
    except BadRequest:
        return
    oracle = Oracle(raw)
    assert (head.method.encode(), head.target) == (oracle.method, oracle.url)
    assert head.minor == int(oracle.version[-1])
    assert [head.host] == ([value.partition(b":")[0].decode() for value in oracle.all(b"host")] or [""])
    expected = (
        [CHUNKED] if oracle.all(b"transfer-encoding") else [int(n) for n in oracle.all(b"content-length")]
    )
    assert [head.length] == (expected or [0])
    if oracle.all(b"connection") in ([], [b"close"]):
        assert head.keep_alive == oracle.keep_alive
