from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from protocol.errors import HeaderError, LrwpError
from worker import Application
from worker.content import Pieces
from worker.errors import ContentError, HttpError
from worker.response import Response, not_modified, redirect
from worker.testing import Client

PAGE_HEAD = b"Content-Type: text/html; charset=utf-8\r\n"


def head(response: Response) -> bytes:
    return response.answer().head


@pytest.mark.parametrize(
    ("body", "kind", "sent"),
    [
        ("é", b"text/html; charset=utf-8", "é".encode()),
        (b"\x00", b"application/octet-stream", b"\x00"),
        ({"a": [1]}, b"application/json", b'{"a":[1]}'),
        ([1, 2], b"application/json", b"[1,2]"),
        (["<p>", ["a", b"b"], "</p>"], b"text/html; charset=utf-8", b"<p>ab</p>"),
    ],
)
def test_a_body_is_sent_as_what_it_is(body, kind, sent):
    assert Response(body).answer() == (200, b"Content-Type: " + kind + b"\r\n", sent)


def test_a_response_without_a_body_has_no_type():
    assert Response().answer() == (200, b"", b"")
    assert Response(status=204).answer() == (204, b"", b"")


def test_a_type_that_is_given_replaces_the_usual_one():
    assert head(Response("a", content_type="text/plain")) == b"Content-Type: text/plain\r\n"
    assert head(Response("a", headers={"content-type": "text/css"})) == b"content-type: text/css\r\n"
    assert (
        head(Response(b"a", 200, {"content-type": "text/css"}, "image/png")) == b"Content-Type: image/png\r\n"
    )


def test_headers_are_pairs_or_a_mapping_and_may_be_changed():
    response = Response("a", 201, [("X-A", "1"), ("x-a", "2")])
    response.set_header("X-a", "3")
    response.headers.append(("X-B", "4"))
    assert head(response) == PAGE_HEAD + b"X-a: 3\r\nX-B: 4\r\n"
    assert head(Response("a", headers={"X-A": "1"})) == b"X-A: 1\r\n" + PAGE_HEAD


def test_headers_that_were_given_are_not_changed_by_the_response():
    given = [("X-A", "1")]
    Response("a", headers=given).headers.append(("X-B", "2"))
    assert given == [("X-A", "1")]


def test_a_list_of_strings_is_json_when_it_is_said_so():
    answer = Response.json(["a", "b"], 201, [("X-A", "1")]).answer()
    assert answer == (201, b"X-A: 1\r\nContent-Type: application/json\r\n", b'["a","b"]')


@pytest.mark.parametrize("status", [0, 100, 199, 600, -1])
def test_a_status_that_is_not_an_answers_is_refused(status):
    with pytest.raises(ContentError, match="from 200 to 599"):
        Response("a", status)


@pytest.mark.parametrize(
    "field",
    [
        ("X-A", "a\r\nSet-Cookie: b"),
        ("X-A", "a\0"),
        ("X A", "a"),
        ("X-A:", "a"),
        ("", "a"),
        ("X-A", "€"),
        ("X-A", 5),
    ],
)
def test_a_header_that_would_split_the_response_is_refused(field):
    with pytest.raises(HeaderError):
        Response("a", headers=[field]).answer()


# ── Conditions ───────────────────────────────────────────────────────────────────────────────────────


THEN = "Thu, 29 Feb 2024 12:00:00 GMT"


def asked(make, method: str = "GET", **headers: str):
    """Return the result for a client that asks with these conditions."""
    app = Application("x")
    app.route("/", methods=["GET", "PUT"])(lambda request: make())
    return Client(app).request(
        method, "/", headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def tagged(**options) -> Response:
    response = Response("page", headers=[("Cache-Control", "no-cache"), ("Vary", "Cookie")], **options)
    response.set_cookie("a", "1")
    response.etag = "v1"
    response.modified = datetime(2024, 2, 29, 12, tzinfo=UTC)
    return response


def test_a_response_says_what_tells_its_version():
    result = asked(tagged)
    assert (result.status, result.headers["etag"], result.headers["last-modified"]) == (
        200,
        '"v1"',
        THEN,
    )


def test_a_client_that_has_this_version_gets_304_with_what_it_must_know():
    for method in ("GET", "HEAD"):
        result = asked(tagged, method, if_none_match='"v0", "v1"')
        assert (result.status, result.body) == (304, b"")
        assert sorted(result.headers) == ["cache-control", "etag", "set-cookie", "vary"]
    assert asked(tagged, if_modified_since=THEN).status == 304


def test_a_client_that_has_another_version_gets_this_one():
    assert asked(tagged, if_none_match='"v0"').text == "page"
    assert (
        asked(tagged, if_none_match='"v0"', if_modified_since="Thu, 29 Feb 2024 12:00:00 GMT").status == 200
    )
    assert asked(tagged, if_modified_since="Thu, 29 Feb 2024 11:59:59 GMT").status == 200
    assert asked(tagged, if_match='"v0"').status == 412


def test_conditions_are_for_what_is_got_and_is_no_error():
    assert asked(tagged, "PUT", if_none_match='"v1"').status == 200
    assert asked(lambda: tagged(status=404), if_none_match='"v1"').status == 404
    assert asked(lambda: Response("page"), if_none_match="*").status == 200


def test_a_stream_that_the_client_has_is_closed():
    source = io.StringIO("one\ntwo\n")

    def make():
        response = Response(source)
        response.etag = "v1"
        return response

    assert asked(make, if_none_match='"v1"').status == 304
    assert source.closed


def test_what_was_set_can_be_read_and_set_anew():
    response = tagged()
    assert (response.etag, response.modified) == ("v1", datetime(2024, 2, 29, 12, tzinfo=UTC))
    response.etag = "v2"
    assert [value for name, value in response.headers if name == "ETag"] == ['"v2"']
    assert (Response().etag, Response().modified) == ("", None)


@pytest.mark.parametrize("etag", ["", 'a"', "a b", "é", "a\r\nb"])
def test_a_tag_that_would_mean_something_else_is_refused(etag):
    with pytest.raises(HeaderError):
        Response().etag = etag


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(HeaderError, match="has no time zone"):
        Response().modified = datetime(2024, 2, 29)


def test_a_handler_may_ask_before_it_makes_what_the_client_has():
    app = Application("x")
    made = []

    @app.get("/")
    def show(request):
        if request.has_seen("v1"):
            return not_modified("v1")
        made.append(True)
        return tagged()

    result = Client(app).get("/", headers={"If-None-Match": '"v1"'})
    assert (result.status, result.headers["etag"], made) == (304, '"v1"', [])
    assert Client(app).get("/").status == 200


def test_a_handler_may_refuse_what_is_meant_for_another_version():
    app = Application("x")

    @app.put("/")
    def save(request):
        request.require_unchanged("v2")
        return "saved"

    assert Client(app).put("/", headers={"If-Match": '"v2"'}).text == "saved"
    assert Client(app).put("/").text == "saved"
    assert Client(app).put("/", headers={"If-None-Match": "*"}).status == 412
    result = Client(app).put("/", headers={"If-Match": '"v1"'})
    assert (result.status, "Somebody else changed this" in result.text) == (412, True)


# ── HEAD, and statuses without a body ────────────────────────────────────────────────────────────────


def test_head_has_the_length_that_get_would_have_had():
    assert Response(["é", "a"]).answer("HEAD") == (200, PAGE_HEAD + b"Content-Length: 3\r\n", b"")


def test_a_response_may_be_answered_with_again_and_again():
    response = Response("a")
    assert [response.answer(method).body for method in ("GET", "HEAD", "GET")] == [b"a", b"", b"a"]
    assert response.headers == [("Content-Type", "text/html; charset=utf-8")]


def test_head_keeps_a_length_that_is_given():
    answer = Response(headers=[("content-length", "1000")]).answer("HEAD")
    assert answer == (200, b"content-length: 1000\r\n", b"")


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_that_has_no_body_is_sent_without(status):
    assert Response("text", status).answer().body == b""
    assert Response(iter("ab"), status).answer().body == b""
    assert b"Content-Length" not in Response("text", status).answer("HEAD").head


# ── Streams ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_is_run_up_to_its_first_piece_and_no_further():
    made = []

    def pieces():
        for piece in ["", "a", "b"]:
            made.append(piece)
            yield piece

    answer = Response(pieces()).answer()
    assert made == ["", "a"]
    assert answer.head == PAGE_HEAD
    assert isinstance(answer.body, Pieces)
    assert [*answer.body] == [b"a", b"b"]


def test_a_stream_that_fails_before_its_first_piece_is_no_answer():
    def pieces():
        raise HttpError(404)
        yield "a"

    with pytest.raises(HttpError):
        Response(pieces()).answer()


def test_an_empty_stream_is_an_empty_body():
    assert Response(iter([])).answer().body == b""


def test_head_of_a_stream_closes_it_unread():
    source = io.StringIO("one\ntwo\n")
    assert Response(source).answer("HEAD") == (200, PAGE_HEAD, b"")
    assert source.closed


def test_a_stream_with_headers_that_cannot_be_sent_is_closed():
    source = io.StringIO("one\ntwo\n")
    with pytest.raises(HeaderError):
        Response(source, headers=[("X-A", "\n")]).answer()
    assert source.closed


# ── Cookies ──────────────────────────────────────────────────────────────────────────────────────────


def cookie(*arguments, **options) -> str:
    response = Response()
    response.set_cookie(*arguments, **options)
    return response.headers[0][1]


def test_a_cookie_is_kept_from_scripts_and_other_sites_unless_said_otherwise():
    assert cookie("a", "1") == "a=1; Path=/; SameSite=Lax; HttpOnly"
    assert (
        cookie("a", "1", http_only=False, same_site="Strict", secure=True)
        == "a=1; Path=/; SameSite=Strict; Secure"
    )
    assert (
        cookie("a", "", max_age=3600, path="/shop", domain="example.org")
        == "a=; Path=/shop; SameSite=Lax; Max-Age=3600; Domain=example.org; HttpOnly"
    )


def test_a_cookie_is_deleted_where_it_was_set():
    response = Response()
    response.delete_cookie("a", path="/shop")
    assert response.headers == [("Set-Cookie", "a=; Path=/shop; SameSite=Lax; Max-Age=0; HttpOnly")]


def test_several_cookies_are_several_headers():
    response = Response()
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    assert [name for name, _ in response.headers] == ["Set-Cookie", "Set-Cookie"]


@pytest.mark.parametrize(
    ("name", "value", "options"),
    [
        ("a b", "1", {}),
        ("a=b", "1", {}),
        ("", "1", {}),
        ("a", "1; Domain=evil.example", {}),
        ("a", "1\r\nX: y", {}),
        ("a", "1 2", {}),
        ("a", "é", {}),
        ("a", '"', {}),
        ("a", "1,2", {}),
        ("a", "\\", {}),
        ("a", "1", {"path": "/; Secure"}),
        ("a", "1", {"domain": "x; y"}),
    ],
)
def test_a_cookie_that_means_something_else_is_refused(name, value, options):
    with pytest.raises(HeaderError):
        cookie(name, value, **options)


def test_every_character_that_a_cookie_may_have_is_taken():
    value = "".join(c for c in map(chr, range(0x21, 0x7F)) if c not in '",;\\')
    assert cookie("a", value).startswith(f"a={value};")


# ── Redirects ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/page/home?a=1#top", "/page/home?a=1#top"),
        ("https://example.org/a%20b", "https://example.org/a%20b"),
        ("https://[::1]:8080/", "https://[::1]:8080/"),
        ("/café au lait", "/caf%C3%A9%20au%20lait"),
        ("/\\example.org", "/%5Cexample.org"),
        ('/"<script>', "/%22%3Cscript%3E"),
        ("/\ud800", "/?"),
    ],
)
def test_a_redirect_goes_to_an_address_as_uris_have_it(location, sent):
    assert redirect(location).answer() == (303, f"Location: {sent}\r\n".encode(), b"")


def test_a_redirect_may_repeat_the_request_elsewhere():
    assert redirect("/", 308).status == 308


@pytest.mark.parametrize("location", ["/\r\nSet-Cookie: a=b", "/\n", "\0", "/\x7f", "\t/"])
def test_a_location_with_control_characters_is_the_clients_mistake(location):
    with pytest.raises(LrwpError) as caught:
        redirect(location)
    assert caught.value.status == 400
