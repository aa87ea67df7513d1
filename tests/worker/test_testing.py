from __future__ import annotations

import pytest

from protocol.errors import HeaderError
from worker import Application, Response
from worker.testing import Client


@pytest.fixture
def app() -> Application:
    app = Application("echo")

    @app.route("/{name}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def echo(request, name):
        return {
            "method": request.method,
            "url": request.url,
            "name": name,
            "query": {key: request.query.getlist(key) for key in request.query},
            "headers": dict(request.headers),
            "cookies": request.cookies,
            "body": request.text,
        }

    return app


@pytest.fixture
def client(app) -> Client:
    return Client(app)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_each_method_can_be_called(client, method):
    result = getattr(client, method.lower())("/x", query={"a": "1"}, headers={"X-B": "2"})
    assert result.status == 200
    assert result.json()["method"] == method
    assert result.json()["query"] == {"a": ["1"]}
    assert result.json()["headers"]["x-b"] == "2"


def test_head_can_be_called(client):
    assert client.head("/x").body == b""


def test_a_path_is_written_as_people_write_it(client):
    assert client.get("/café").json()["name"] == "café"
    assert client.get("/a%2Fb").json()["name"] == "a/b"
    assert client.get("/x?a=%41&b=é", query=[("a", "ß"), ("c", "1")]).json()["query"] == {
        "a": ["A", "ß"],
        "b": ["é"],
        "c": ["1"],
    }


def test_a_body_is_sent_as_it_is_as_a_form_or_as_json(client):
    assert client.post("/x", body="é").json()["body"] == "é"
    assert client.post("/x", body=b"1").json()["headers"]["content-length"] == "1"
    form = client.post("/x", form=[("a", "1"), ("a", "é")]).json()
    assert (form["body"], form["headers"]["content-type"]) == (
        "a=1&a=%C3%A9",
        "application/x-www-form-urlencoded",
    )
    sent = client.post("/x", json=["é"]).json()
    assert (sent["body"], sent["headers"]["content-type"]) == ('["\\u00e9"]', "application/json")


def test_headers_that_are_given_replace_the_usual_ones(client):
    headers = client.post(
        "/x", json={}, headers={"content-type": "text/plain", "Host": "example.org"}
    ).json()["headers"]
    assert (headers["content-type"], headers["host"]) == ("text/plain", "example.org")


def test_the_host_the_scheme_and_the_prefix_can_be_chosen(app):
    client = Client(app, prefix="/deep/echo", host="example.org", scheme="https")
    assert client.get("/deep/echo/x").json()["url"] == "https://example.org/deep/echo/x"


def test_cookies_are_kept_from_call_to_call():
    app = Application("cookies")

    @app.get("/set")
    def set_cookies(request):
        response = Response("")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @app.get("/delete")
    def delete_cookie(request):
        response = Response("")
        response.delete_cookie("a")
        return response

    app.get("/")(lambda request: request.cookies)
    client = Client(app)
    assert client.get("/").json() == {}
    client.get("/set")
    assert client.get("/").json() == {"a": "1", "b": "2"}
    client.get("/delete")
    client.get("/delete")
    assert client.get("/").json() == {"b": "2"}
    assert client.cookies == {"b": "2"}


def test_a_result_has_all_that_came_back():
    app = Application("x")
    app.get("/")(lambda request: Response("é", 201, [("X-A", "1"), ("X-A", "2: 3")]))
    result = Client(app).get("/")
    assert (result.status, result.body, result.text) == (201, "é".encode(), "é")
    assert result.headers.getlist("x-a") == ["1", "2: 3"]
    assert repr(result) == "<Result 201, 2 bytes>"


def test_a_stream_is_read_to_its_end_and_closed():
    closed = []

    def pieces():
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(True)

    app = Application("x")
    app.get("/")(lambda request: pieces())
    assert Client(app).get("/").text == "ab"
    assert closed == [True]


def test_a_head_that_the_dispatcher_would_refuse_is_an_error():
    app = Application("x")
    app.get("/")(lambda request: Response("a", headers=[("Content-Length", "two")]))
    with pytest.raises(HeaderError):
        Client(app).get("/")


def test_as_a_context_manager_it_starts_and_stops_the_application(app):
    steps = []
    app.on_start(lambda: steps.append("start"))
    app.on_stop(lambda: steps.append("stop"))
    with Client(app) as client:
        assert client.get("/x").status == 200
        assert steps == ["start"]
    assert steps == ["start", "stop"]


def test_submit_sends_the_form_of_a_page_with_what_is_typed():
    app = Application("shop")
    sent = []

    @app.get("/order")
    def show(request):
        return """<form method="post" enctype="multipart/form-data" action="order/done?fast=1">
            <input type="hidden" name="mark" value="7"><input name="what">
            <input type="file" name="photo"></form>"""

    @app.post("/order/done")
    def done(request):
        files = [file.name for file in request.files.values()]
        sent.append((request.query["fast"], dict(request.form), files))
        return "thanks"

    assert Client(app).submit("/order", {"what": "tea & milk"}).text == "thanks"
    Client(app).submit("/order", {"what": "tea"}, files={"photo": ("cup.png", b"PNG")})
    assert sent == [
        ("1", {"mark": "7", "what": "tea & milk"}, []),
        ("1", {"mark": "7", "what": "tea"}, ["cup.png"]),
    ]


def test_submit_sends_a_form_that_asks_for_a_page_as_its_query():
    app = Application("shop")
    app.get("/")(lambda request: request.query.get("word", '<form><input name="word"></form>'))
    assert Client(app).submit("/", {"word": "tea"}).text == "tea"


def test_submit_says_that_a_page_has_no_such_form(app):
    app.get("/plain/page")(lambda request: "<p>nothing here</p>")
    with pytest.raises(LookupError, match="no form of the page has all of what"):
        Client(app).submit("/plain/page", {"what": "tea"})
    with pytest.raises(LookupError, match="/no/such/page answers 404, and has no form to fill in"):
        Client(app).submit("/no/such/page", {"what": "tea"})


def test_a_wsgi_application_is_called_too():
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1; Path=/")])
        return [environ["SCRIPT_NAME"].encode(), b"|", environ.get("HTTP_COOKIE", "").encode()]

    with Client(application, prefix="/app") as client:
        assert client.get("/app/x").text == "/app|"
        assert client.get("/app/x").text == "/app|a=1"
