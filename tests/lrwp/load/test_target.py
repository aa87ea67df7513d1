import pytest

from lrwp.load.target import Target, read_url, write_request
from protocol.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "secure", "host", "port", "authority", "path"),
    [
        ("http://localhost", False, "localhost", 80, "localhost", "/"),
        ("http://localhost:8080/page/a?b=c#d", False, "localhost", 8080, "localhost:8080", "/page/a?b=c"),
        ("HTTPS://Example.ORG/", True, "example.org", 443, "example.org", "/"),
        ("http://[::1]:81/", False, "::1", 81, "[::1]:81", "/"),
        (
            "http://bücher.example/ü ?q=ö",
            False,
            "xn--bcher-kva.example",
            80,
            "xn--bcher-kva.example",
            "/%C3%BC%20?q=%C3%B6",
        ),
        ("http://h/a%20b?c=%26", False, "h", 80, "h", "/a%20b?c=%26"),
        ("http://h?x=1", False, "h", 80, "h", "/?x=1"),
    ],
)
def test_a_url_says_where_requests_go(
    url: str, secure: bool, host: str, port: int, authority: str, path: str
) -> None:
    assert read_url(url) == Target(url, secure, host, port, authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080",
        "/page",
        "http://",
        "http:///page",
        "ftp://localhost/",
        "http://localhost:port/",
        "http://localhost:99999/",
        "http://[::1/",
        "http://two words/",
        "http://local\nhost/",
        "http://" + "x" * 64 + ".example/",
        "http://me:secret@localhost/",
    ],
)
def test_what_is_no_url_to_ask_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_url(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_request_is_a_head_with_what_servers_expect() -> None:
    request = write_request(read_url("http://localhost:8080/a?b"), "GET", (), None)
    assert request.payload == (
        b"GET /a?b HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: lrwp-load\r\nAccept: */*\r\n\r\n"
    )


def test_a_body_is_sent_with_its_length_as_a_form() -> None:
    request = write_request(read_url("http://h/"), "POST", (), b"a=b")
    head, _, body = request.payload.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[4:] == [
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Length: 3",
    ]
    assert body == b"a=b"


@pytest.mark.parametrize(
    ("method", "has_length"), [("POST", True), ("PUT", True), ("PATCH", True), ("DELETE", False)]
)
def test_a_method_that_usually_has_a_body_says_when_it_has_none(method: str, has_length: bool) -> None:
    payload = write_request(read_url("http://h/"), method, (), None).payload
    assert (b"Content-Length: 0\r\n" in payload) is has_length


def test_given_headers_take_the_place_of_ours() -> None:
    headers = ["host: example.org", "Content-Type:application/json", "X-Empty:"]
    payload = write_request(read_url("http://h/"), "POST", headers, b"{}").payload
    assert payload.split(b"\r\n")[1:-2] == [
        b"User-Agent: lrwp-load",
        b"Accept: */*",
        b"host: example.org",
        b"Content-Type: application/json",
        b"X-Empty: ",
        b"Content-Length: 2",
    ]


@pytest.mark.parametrize(
    "header",
    ["no colon", ": x", "a b: c", "X: a\r\nY: b", "X: \u20ac", "Content-Length: 7", "transfer-encoding: x"],
)
def test_a_header_that_cannot_be_sent_is_refused(header: str) -> None:
    with pytest.raises(SettingsError):
        write_request(read_url("http://h/"), "GET", [header], None)


@pytest.mark.parametrize("method", ["", "GET /", "GET\r\n", "GÉT"])
def test_a_method_that_cannot_be_sent_is_refused(method: str) -> None:
    with pytest.raises(SettingsError, match="is not a method"):
        write_request(read_url("http://h/"), method, (), None)


@pytest.mark.parametrize(
    ("method", "is_safe"), [("GET", True), ("HEAD", True), ("OPTIONS", True), ("POST", False), ("get", False)]
)
def test_only_what_changes_nothing_may_be_sent_twice(method: str, is_safe: bool) -> None:
    assert write_request(read_url("http://h/"), method, (), None).is_safe is is_safe
