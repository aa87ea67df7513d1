from __future__ import annotations

import encodings
import threading
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import HttpError, MissingFieldError
from worker.exchange import Exchange
from worker.form_data import FormLimits
from worker.request import Request, normal_path, read_segments


def request(
    target: str | bytes = "/", head: str = "", body: bytes = b"", prefix: str = "/", method: str = "GET"
) -> Request:
    return Request(
        Exchange(
            application="pages",
            prefix=prefix,
            method=method,
            target=target if isinstance(target, bytes) else target.encode(),
            head=head.encode("latin-1"),
            scheme="https",
            client="192.0.2.7:50123",
            attempt=2,
            body=BytesIO(body),
        )
    )


def posted(body: bytes, content_type: str = "") -> Request:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return request(head=f"{kind}Content-Length: {len(body)}\r\n", body=body, method="POST")


def status_of(read) -> int:
    with pytest.raises(HttpError) as caught:
        read()
    return caught.value.status


def test_what_the_link_says_is_there_at_once():
    r = request("/a?b", method="PUT")
    assert (r.method, r.scheme, r.client, r.attempt) == ("PUT", "https", "192.0.2.7:50123", 2)
    assert repr(r) == "<Request PUT '/a?b'>"


def test_what_is_read_when_it_is_asked_for_says_what_it_is():
    assert Request.path.__doc__ == "The decoded path below the prefix; it starts with a /."


# ── Path ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("target", "prefix", "expected"),
    [
        ("/", "/", ("", "/", [""])),
        ("/page/home", "/", ("", "/page/home", ["page", "home"])),
        ("/pages", "/pages", ("/pages", "/", [""])),
        ("/pages/", "/pages", ("/pages", "/", [""])),
        ("/pages?q=1", "/pages", ("/pages", "/", [""])),
        ("/pages/home/", "/pages", ("/pages", "/home/", ["home", ""])),
        ("/a/b/c", "/a/b", ("/a/b", "/c", ["c"])),
        ("/p%61ges/home", "/pages", ("/pages", "/home", ["home"])),
        ("/caf%C3%A9/1", "/café", ("/café", "/1", ["1"])),
        ("/pages/a%2Fb/c", "/pages", ("/pages", "/a/b/c", ["a/b", "c"])),
        ("/pages/100%25", "/pages", ("/pages", "/100%", ["100%"])),
        ("/pages/a+b", "/pages", ("/pages", "/a+b", ["a+b"])),
    ],
)
def test_the_path_is_decoded_and_relative_to_the_prefix(target, prefix, expected):
    r = request(target, prefix=prefix)
    assert (r.prefix, r.path, r.segments) == expected


def test_bytes_that_came_unencoded_are_read_as_utf_8():
    assert request("/café").path == "/café"


@pytest.mark.parametrize(
    "path", [b"/%", b"/a%2", b"/a%zz", b"/%FF", b"/\xff", b"/a%00b", b"/a\0b", b"/%C3/%A9", b"*", b""]
)
def test_a_malformed_path_is_the_clients_mistake(path):
    assert status_of(lambda: read_segments(path)) == 400


def test_a_path_that_reaches_the_prefix_in_another_spelling_only_is_not_found():
    assert status_of(lambda: request("/a%2Fb/c", prefix="/a/b").segments) == 404


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        ("//", "/"),
        ("//example.org/x", "/example.org/x"),
        ("///example.org", "/example.org"),
        ("/pages//home", "/pages/home"),
        ("/pages/./home", "/pages/home"),
        ("/pages/.", "/pages/"),
        ("/pages/..", "/"),
        ("/pages/home/..", "/pages/"),
        ("/a//../b", "/b"),
        ("//example.org/%2e%2E/x", "/x"),
        ("/a/..//\\example.org", "/%5Cexample.org"),
        ("/a//b?next=//x/../y", "/a/b?next=//x/../y"),
        ("/a//%C3%A9", "/a/%C3%A9"),
        ("/a//?", "/a/?"),
        (b"/a//\xe9\r\nX: y", "/a/%E9%0D%0AX:%20y"),
    ],
)
def test_a_path_that_is_not_normal_has_a_normal_form_on_this_host(target, normal):
    r = request(target)
    assert not r.is_normal
    assert r.normal_target == normal


@pytest.mark.parametrize(
    "target", ["/..", "/../", "/pages/../../etc", "/%2e%2E/x", "//..", "/./../a", "/a/../..//b"]
)
def test_a_path_that_leads_out_of_the_host_is_the_clients_mistake(target):
    assert not request(target).is_normal
    assert status_of(lambda: request(target).normal_target) == 400


@pytest.mark.parametrize(
    "target", ["/", "/a/b/", "/.well-known/x", "/a/...", "/a/..b", "/a?b=//c/./d", "/%2e%2ea", "/a.b/c.."]
)
def test_a_normal_path_is_left_alone(target):
    assert request(target).is_normal


@given(st.lists(st.sampled_from([b"/", b".", b"%2e", b"%2E", b"a", b"\\", b"\xff", b"%41"])).map(b"".join))
def test_a_normal_path_is_its_own_normal_form_and_never_names_a_host(rest):
    normal = normal_path(b"/" + rest)
    assert normal.startswith(b"/")
    assert not normal.startswith(b"//")
    assert normal_path(normal) == normal
    assert not {b".", b"..", b""} & {s.lower().replace(b"%2e", b".") for s in normal[1:].split(b"/")[:-1]}


# ── Query, headers, cookies ──────────────────────────────────────────────────────────────────────────


def test_a_query_has_first_values_and_all_values():
    query = request("/?tag=red&tag=blue&empty=&bare&n%61me=a+b%26").query
    assert query["tag"] == "red"
    assert query.getlist("tag") == ["red", "blue"]
    assert (query["empty"], query["bare"], query["name"]) == ("", "", "a b&")
    assert query.getlist("none") == []
    assert query.get("none", "default") == "default"
    assert [*query] == ["tag", "empty", "bare", "name"]
    assert "tag" in query
    assert len(query) == 4
    assert repr(query) == "<Fields tag, empty, bare, name>"


def test_a_field_that_was_not_sent_is_the_clients_mistake_and_a_key_error():
    with pytest.raises(MissingFieldError) as caught:
        request("/").query["page"]
    assert isinstance(caught.value, KeyError)
    assert (caught.value.status, caught.value.name) == (400, "page")


def test_what_is_odd_in_a_query_still_reads_as_something():
    query = request("/?100%&%zz=%FF&=x&&a=%C3%A9").query
    assert dict(query) == {"100%": "", "%zz": "\ufffd", "": "x", "a": "é"}


def test_a_query_with_too_many_fields_is_refused():
    assert len(request("/?" + "&".join(f"f{n}" for n in range(1000))).query) == 1000
    assert status_of(lambda: request("/?" + "a&" * 1001).query) == 400


def test_headers_are_found_in_any_case_and_joined():
    headers = request(head="X-One: 1\r\naccept: a\r\nAccept: b\r\nX_Bad: 1\r\nProxy: evil\r\n").headers
    assert headers["x-ONE"] == "1"
    assert headers["Accept"] == "a, b"
    assert headers.getlist("ACCEPT") == ["a", "b"]
    assert sorted(headers) == ["accept", "x-one"]
    assert "ACCEPT" in headers
    assert headers.get("x-none") is None


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        ('a="1"; b="', {"a": "1", "b": '"'}),
        ("a=1; a=2", {"a": "1"}),
        ("a=b=c; junk; =x; ; empty=", {"a": "b=c", "empty": ""}),
        ('a,b=1; c d=2; e={"f": 1}', {"a,b": "1", "c d": "2", "e": '{"f": 1}'}),
        ("", {}),
    ],
)
def test_cookies_are_read_with_tolerance(header, cookies):
    assert request(head=f"Cookie: {header}\r\n").cookies == cookies


def test_cookies_may_come_in_several_headers():
    assert request(head="Cookie: a=1\r\nCookie: b=2\r\n").cookies == {"a": "1", "b": "2"}


def test_the_url_is_the_one_that_the_client_asked_for():
    r = request("/pages/a%20b?q=<1>", head="Host: example.org:8443\r\n")
    assert r.host == "example.org:8443"
    assert r.url == "https://example.org:8443/pages/a%20b?q=%3C1%3E"
    assert request("/").url == "https://localhost/"


# ── Body ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_body_is_read_once_and_kept():
    r = posted(b"content")
    assert r.body == b"content"
    assert r.body == b"content"
    assert r.exchange.body.read() == b""


def test_a_body_that_one_thread_waits_for_does_not_hold_up_another_request():
    arrived = threading.Event()

    class SlowBody(BytesIO):
        def read(self, size=-1, /):
            assert arrived.wait(5)
            return b"slow"

    slow = request()
    slow.exchange = slow.exchange._replace(body=SlowBody())
    bodies = []
    thread = threading.Thread(target=lambda: bodies.append(slow.body))
    thread.start()
    quick = posted(b"quick")
    assert quick.body == b"quick"
    arrived.set()
    thread.join(5)
    assert bodies == [b"slow"]


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("", "é".encode(), "é"),
        ("text/plain", "é".encode(), "é"),
        ("text/plain; charset=utf-8", "é".encode(), "é"),
        ('text/plain; format=flowed; Charset="ISO-8859-1"', b"\xe9", "é"),
        ("text/plain;charset=windows-1252", b"\x80", "€"),
        ("text/plain;charset=utf-16", "é".encode("utf-16"), "é"),
    ],
)
def test_text_is_read_in_the_encoding_that_it_names(content_type, body, text):
    assert posted(body, content_type).text == text


def test_text_in_another_encoding_than_it_names_is_the_clients_mistake():
    assert status_of(lambda: posted(b"\xff").text) == 400
    assert status_of(lambda: posted(b"\xe9", "text/plain; charset=ascii").text) == 400


@pytest.mark.parametrize("charset", ["punycode", "idna", "zip", "rot13", "nonsense", "utf-8\u0000", "é"])
def test_an_encoding_that_is_not_for_clients_to_choose_is_refused(charset):
    assert status_of(lambda: posted(b"x", f"text/plain; charset={charset}").text) == 415


def test_names_of_encodings_that_clients_make_up_are_not_kept():
    kept = [*encodings._cache]  # where Python keeps each name that it was ever asked for
    assert status_of(lambda: posted(b"x", "text/plain; charset=made-up").text) == 415
    assert [*encodings._cache] == kept


def test_json_is_read():
    assert posted(b'{"a": [1, null, "\xc3\xa9"]}').json == {"a": [1, None, "é"]}
    assert posted("[1]".encode("utf-16")).json == [1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"\xff\xfe\xfd",
        b"[NaN]",
        b"-Infinity",
        b"[-1e400]",
        b"[" * 200_000,
        b"9" * 5000,
        b"{} {}",
    ],
)
def test_what_is_not_json_is_the_clients_mistake(body):
    assert status_of(lambda: posted(body).json) == 400


def test_a_form_is_read():
    form = posted(
        b"name=J%C3%BCrgen+K&tag=a&tag=b&empty=", "application/x-www-form-urlencoded; charset=utf-8"
    ).form
    assert form["name"] == "Jürgen K"
    assert form.getlist("tag") == ["a", "b"]
    assert form["empty"] == ""


def test_a_request_without_a_body_has_an_empty_form():
    assert dict(request().form) == {}


def test_a_body_that_is_no_form_is_refused_as_a_form():
    assert status_of(lambda: posted(b"{}", "application/json").form) == 415
    assert status_of(lambda: posted(b"a=1").form) == 415


def test_a_form_with_too_many_fields_is_refused():
    form = "application/x-www-form-urlencoded"
    assert len(posted(b"&".join(b"f%d=" % n for n in range(1000)), form).form) == 1000
    assert status_of(lambda: posted(b"&".join(b"f=%d" % n for n in range(1001)), form).form) == 400


def test_a_form_may_be_read_after_the_body_but_takes_its_place():
    r = posted(b"a=1", "application/x-www-form-urlencoded")
    assert (r.body, r.form["a"]) == (b"a=1", "1")
    r = posted(b"a=1", "application/x-www-form-urlencoded")
    assert (r.form["a"], r.body) == ("1", b"")


def test_a_form_may_be_read_by_limits_of_ones_own():
    form = "application/x-www-form-urlencoded"
    assert status_of(lambda: posted(b"a=12345", form).read_form(FormLimits(text=6))) == 413
    r = posted(b"&".join(b"f=%d" % n for n in range(1001)), form)
    assert len(r.read_form(FormLimits(fields=2000)).fields.getlist("f")) == 1001
    assert len(r.form.getlist("f")) == 1001


@pytest.mark.parametrize("length", ["9" * 30, "10000000000"])
def test_a_form_that_says_it_is_too_large_is_refused_before_it_is_read(length):
    class UntouchedBody(BytesIO):
        def read(self, size=-1, /):
            raise AssertionError("nobody should read this")

    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        r = request(head=f"Content-Type: {kind}\r\nContent-Length: {length}\r\n", method="POST")
        r.exchange = r.exchange._replace(body=UntouchedBody())
        assert status_of(lambda r=r: r.form) == 413
