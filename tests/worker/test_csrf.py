from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import Application
from worker.csrf import FIELD, HEADER, CsrfError, check_csrf, csrf_field, csrf_protect, csrf_token
from worker.errors import HttpError
from worker.fields import Headers
from worker.testing import Client


@pytest.fixture
def session() -> dict:
    return {}


@pytest.fixture
def done() -> list:
    return []


@pytest.fixture
def client(session, done) -> Client:
    """A client of pages that show a token, change something, and end what was before."""
    app = Application("pages")

    @app.wrap
    def with_session(handler):
        def answer(request):
            request.session = session
            return handler(request)

        return answer

    app.wrap(csrf_protect)
    app.get("/token")(csrf_token)
    app.get("/field")(lambda request: str(csrf_field(request)))

    @app.route("/change", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def change(request):
        done.append(request.method)
        return "done"

    return Client(app, host="shop.example:8080")


def post(client, token, headers=()):
    return client.post("/change", form={FIELD: token} if token is not None else {}, headers=headers)


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_with_its_token_is_accepted(client, done):
    assert post(client, client.get("/token").text).status == 200
    assert done == ["POST"]


def test_a_form_without_its_token_is_refused_with_a_page_that_helps(client, done):
    client.get("/token")
    result = post(client, None)
    assert (result.status, done) == (403, [])
    assert "Please go back, reload the page and send it again." in result.text


@pytest.mark.parametrize("token", ["", "0" * 64, "0" * 63, "x" * 64, "0" * 66, "é", "00 " * 32, "0" * 10_000])
def test_a_wrong_token_is_refused(client, done, token):
    client.get("/token")
    assert post(client, token).status == 403
    assert done == []


def test_a_token_of_another_session_is_refused(client, session, done):
    token = client.get("/token").text
    session.clear()
    client.get("/token")
    assert post(client, token).status == 403
    assert done == []


def test_a_token_of_a_session_that_has_ended_is_refused_with_a_page_that_says_so(client, session, done):
    token = client.get("/token").text
    session.clear()
    result = post(client, token)
    assert (result.status, done) == (403, [])
    assert "no longer valid" in result.text


def test_checking_a_stranger_begins_no_session(client, session):
    post(client, "0" * 64)
    assert session == {}


def test_a_token_is_good_for_as_long_as_its_session(client):
    token = client.get("/token").text
    assert [post(client, token).status for _ in range(3)] == [200] * 3


def test_each_form_gets_another_token_and_all_are_good(client, session):
    tokens = {client.get("/token").text for _ in range(10)}
    assert len(tokens) == 10
    assert {post(client, token).status for token in tokens} == {200}


def test_a_page_never_shows_the_secret_itself(client, session):
    token = client.get("/token").text
    [secret] = session.values()
    assert secret not in token


@given(st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_a_token_with_any_digit_changed_is_refused(position, digit):
    session = {}
    request = FakeRequest(session)
    token = csrf_token(request)
    changed = token[:position] + digit + token[position + 1 :]
    request.form = {FIELD: changed}
    if changed == token:
        check_csrf(request)
    else:
        with pytest.raises(CsrfError):
            check_csrf(request)


def test_the_field_is_one_hidden_input_with_the_token(client):
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, dict(attrs)))

    Parser().feed(client.get("/field").text)
    [(tag, attrs)] = found
    assert (tag, attrs["type"], attrs["name"]) == ("input", "hidden", FIELD)
    assert re.fullmatch("[0-9a-f]{64}", attrs["value"])
    assert post(client, attrs["value"]).status == 200


# ── What is checked ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_method_that_changes_something_is_checked(client, done, method):
    token = client.get("/token").text
    assert client.request(method, "/change").status == 403
    assert client.request(method, "/change", headers={HEADER: token}).status == 200
    assert done == [method]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_methods_that_change_nothing_need_no_token(client, method):
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert client.request(method, "/change", headers=foreign).status in {200, 204}


def test_a_script_sends_the_token_in_a_header_with_any_body(client):
    token = client.get("/token").text
    assert client.post("/change", json={"a": 1}, headers={HEADER: token}).status == 200
    assert client.post("/change", json={"a": 1}, headers={HEADER: "0" * 64}).status == 403


def test_a_body_that_is_no_form_has_no_token(client, done):
    assert client.post("/change", json={FIELD: "x"}).status == 403
    assert client.post("/change", body="x", headers={"Content-Type": "text/plain"}).status == 403
    assert done == []


def test_a_token_in_the_query_does_not_count(client):
    token = client.get("/token").text
    assert client.post("/change", query={FIELD: token}).status == 403


def test_a_form_that_cannot_be_read_is_told_as_what_it_is(client, done):
    assert client.post("/change", form=[("x", "")] * 10_000).status == 400
    assert done == []


def test_a_single_handler_may_be_protected_and_keeps_its_parameters(session):
    app = Application("pages")

    @app.post("/{name}/{part}")
    @csrf_protect
    def change(request, part, name):
        return f"{name} {part}"

    request = FakeRequest(session)
    request.form = {FIELD: csrf_token(request)}
    assert change(request, name="x", part="y") == "x y"
    request.form = {}
    with pytest.raises(CsrfError):
        change(request, name="x", part="y")


# ── Where it came from ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://shop.example:8080"},
        {"Origin": "https://shop.example:8080"},
        {"Origin": "http://SHOP.example:8080"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Host": "shop.example", "Origin": "https://shop.example"},
        {"Host": "shop.example:443", "Origin": "https://shop.example"},
        {"Host": "shop.example:80", "Origin": "http://shop.example"},
        {"Host": "[::1]", "Origin": "http://[::1]"},
    ],
)
def test_our_own_pages_may_send(client, headers):
    assert post(client, client.get("/token").text, headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "Same-Origin, cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://shop.example:8080"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example:8080"},
        {"Origin": "http://shop.example"},
        {"Origin": "http://shop.example:80800"},
        {"Origin": "http://shop.example:8080.evil.example"},
        {"Origin": "http://evil.example#shop.example:8080"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Host": "shop.example:443", "Origin": "http://shop.example"},
    ],
)
def test_pages_of_others_may_not_send_even_with_a_good_token(client, done, headers):
    result = post(client, client.get("/token").text, headers)
    assert (result.status, done) == (403, [])
    assert "from a page of another site" in result.text


def test_the_answer_quotes_nothing_of_the_request(client):
    result = post(client, "<script>", {"Origin": "http://<evil>"})
    assert "evil" not in result.text
    assert "<script>" not in result.text


def test_it_is_an_http_error_that_applications_can_tell_from_others():
    with pytest.raises(HttpError) as caught:
        check_csrf(FakeRequest({}))
    assert (type(caught.value), caught.value.status) == (CsrfError, 403)


class FakeRequest:
    method = "POST"
    host = "shop.example"

    def __init__(self, session):
        self.session = session
        self.headers = Headers()
        self.form = {}
