from __future__ import annotations

import functools
import json

import pytest

from protocol.errors import HeaderError, LrwpError, SettingsError
from worker import Application, HttpError, Request, Response, Router, redirect
from worker.errors import ContentError, NotProvidedError, RouteError, StartError
from worker.testing import Client


@pytest.fixture
def app() -> Application:
    return Application("pages")


@pytest.fixture
def client(app) -> Client:
    return Client(app, prefix="/pages")


# ── Routes ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_handler_is_called_with_the_request_and_the_parameters_of_the_path(app, client):
    @app.get("/page/{name}/{part}")
    def show(request, part, name):
        assert isinstance(request, Request)
        return f"{name} {part} {request.path} {request.prefix}"

    assert client.get("/pages/page/home%20page/a%2Fb").text == "home page a/b /page/home page/a/b /pages"


@pytest.mark.parametrize("path", ["/pages", "/pages/", "/pages?q=1"])
def test_the_root_answers_with_and_without_a_slash(app, client, path):
    app.get("/")(lambda request: "root")
    assert client.get(path).text == "root"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_each_method_has_a_decorator(app, client, method):
    getattr(app, method.lower())("/x")(lambda request: f"{request.method}!")
    assert client.request(method, "/pages/x").text == f"{method}!"
    others = {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}
    assert {client.request(other, "/pages/x").status for other in others} == {405}


def test_a_handler_may_answer_several_methods(app, client):
    app.route("/x", methods=["PUT", "POST"])(lambda request: request.method)
    assert client.put("/pages/x").text == "PUT"
    assert client.post("/pages/x").text == "POST"


def test_a_decorator_gives_the_handler_back(app):
    def show(request):
        return ""

    assert app.get("/")(show) is show


def test_what_is_not_registered_is_not_found(app, client):
    app.get("/x")(lambda request: "")
    result = client.get("/pages/y")
    assert (result.status, result.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_an_error_page_quotes_nothing_of_the_request(app, client):
    app.get("/x")(lambda request: "")
    for result in (
        client.get("/pages/sesame"),
        client.get("/pages/sesame%zz"),
        client.post("/pages/x?sesame"),
    ):
        assert "sesame" not in result.text


def test_a_wrong_method_is_told_the_right_ones(app, client):
    app.get("/x")(lambda request: "")
    app.delete("/x")(lambda request: "")
    result = client.post("/pages/x")
    assert (result.status, result.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS")


def test_options_are_answered_by_themselves(app, client):
    app.post("/x")(lambda request: "")
    result = client.options("/pages/x")
    assert (result.status, result.headers["allow"], result.body) == (204, "OPTIONS, POST", b"")
    assert client.options("/pages/y").status == 404


def test_options_may_have_a_handler(app, client):
    app.route("/x", methods=["OPTIONS"])(lambda request: "mine")
    assert client.options("/pages/x").text == "mine"


def test_head_is_answered_from_get_with_its_length_and_without_its_body(app, client):
    app.get("/x")(lambda request: [request.method, ["é"]])
    result = client.head("/pages/x")
    assert (result.status, result.body, result.headers["content-length"]) == (200, b"", "6")


def test_head_may_have_a_handler(app, client):
    app.route("/x", methods=["HEAD"])(lambda request: Response(headers=[("X-A", "1")]))
    assert client.head("/pages/x").headers["x-a"] == "1"
    assert client.get("/pages/x").status == 405


def test_head_is_no_way_to_post(app, client):
    app.post("/x")(lambda request: "")
    assert client.head("/pages/x").status == 405
    assert client.head("/pages/x").body == b""


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/pages//x", "/pages/x"),
        ("/pages/./x?a=1", "/pages/x?a=1"),
        ("/pages/none/../x", "/pages/x"),
        ("/pages/../x", "/x"),
        ("/pages//", "/pages/"),
        ("/pages//evil.example/..//", "/pages/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_that_is_not_normal_is_redirected_to_its_normal_form(app, client, path, location, method):
    app.get("/x")(lambda request: "")
    result = client.request(method, path)
    assert (result.status, result.headers["location"]) == (308, location)


def test_a_redirect_never_leads_to_another_host(app):
    client = Client(app, prefix="/")
    for path in (
        "//evil.example",
        "///evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "/x/..//\\evil.example",
    ):
        location = client.get(path).headers["location"]
        assert location.startswith("/")
        assert location[1] not in "/\\"


@pytest.mark.parametrize(
    "path",
    ["/pages/%", "/pages/%FF", "/pages/a%00", "/pages/%c3%28", "/pages/../..", "/pages/../../x"],
)
def test_a_malformed_path_is_the_clients_mistake(app, client, path):
    app.get("/{name}")(lambda request, name: name)
    assert client.get(path).status == 400


# ── What cannot be registered ────────────────────────────────────────────────────────────────────────


def complaint(app: Application, handler, path: str = "/page/{name}", methods=("GET",)) -> str:
    with pytest.raises(RouteError) as caught:
        app.route(path, methods=methods)(handler)
    return str(caught.value)


def test_a_handler_that_lacks_a_parameter_is_refused_at_once(app):
    def show(request):
        pass

    assert "show() in tests.worker.test_application cannot be called for /page/{name}" in complaint(app, show)


def test_a_handler_that_wants_more_than_the_path_has_is_refused_at_once(app):
    assert "'other'" in complaint(app, lambda request, name, other: "")


def test_a_parameter_with_the_name_of_the_request_is_refused_at_once(app):
    assert "'request'" in complaint(app, lambda request: "", "/{request}")


def test_an_async_handler_is_refused_at_once(app):
    async def show(request, name):
        pass

    async def stream(request, name):
        yield ""

    assert "show() in tests.worker.test_application is async" in complaint(app, show)
    assert "is async" in complaint(app, stream, "/other/{name}")


def test_a_method_in_lower_case_is_refused(app):
    expected = "'get' is not a method for /page/{name}: write it in upper case, as GET"
    assert complaint(app, lambda request, name: "", methods=["get"]) == expected


def test_methods_that_are_one_text_are_refused(app):
    assert "must be a list, as in methods=['GET']" in complaint(app, lambda request, name: "", methods="GET")


def test_any_callable_that_takes_the_arguments_is_a_handler(app, client):
    class Show:
        def __call__(self, request, name):
            return name

    app.get("/a/{name}")(Show())
    app.get("/b/{name}")(
        functools.partial(lambda word, request, **parameters: word + parameters["name"], "b")
    )
    app.get("/c")(type("Page", (Response,), {"__init__": lambda self, request: Response.__init__(self, "c")}))
    assert [client.get(f"/pages/{path}").text for path in ("a/x", "b/x", "c")] == ["x", "bx", "c"]


def test_a_callable_of_c_that_does_not_say_what_it_takes_is_a_handler(app, client):
    app.get("/c")(str)
    assert client.get("/pages/c").text == "<Request GET '/pages/c'>"


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_registered_is_refused(name):
    with pytest.raises(LrwpError, match="1 to 200 printable"):
        Application(name)


# ── Results ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("result", "kind", "body"),
    [
        ("é", "text/html; charset=utf-8", "é".encode()),
        (b"\0", "application/octet-stream", b"\0"),
        ({"a": 1}, "application/json", b'{"a":1}'),
        ([{"a": 1}], "application/json", b'[{"a":1}]'),
        ([], "application/json", b"[]"),
        (["a", ["b", ["c"]]], "text/html; charset=utf-8", b"abc"),
        (Response("a", content_type="text/plain"), "text/plain", b"a"),
    ],
)
def test_a_handler_returns_what_it_has(app, client, result, kind, body):
    app.get("/")(lambda request: result)
    answer = client.get("/pages")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, kind, body)


def test_a_generator_is_streamed(app, client):
    @app.get("/")
    def show(request):
        yield "a"
        yield b"b"

    assert client.get("/pages").body == b"ab"


def test_a_generator_that_fails_at_once_is_an_error_page(app, client):
    @app.get("/")
    def show(request):
        if not request.query.get("go"):
            raise HttpError(403)
        yield "a"

    assert client.get("/pages").status == 403


@pytest.mark.parametrize("result", [None, 42, {1}, object()])
def test_a_result_that_cannot_be_sent_names_its_handler(app, client, result):
    @app.get("/")
    def show(request):
        return result

    with pytest.raises(ContentError, match=r"show\(\) in tests.worker.test_application returned"):
        client.get("/pages")


def test_what_a_handler_raises_is_for_the_worker_to_log(app, client):
    @app.get("/")
    def show(request):
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        client.get("/pages")


def test_a_header_that_would_split_the_response_is_for_the_worker_to_refuse(app, client):
    app.get("/")(lambda request: Response("a", headers=[("X-A", "1\r\nX-B: 2")]))
    with pytest.raises(HeaderError):
        client.get("/pages")


def test_an_http_error_is_answered_with_its_page(app, client):
    @app.get("/")
    def show(request):
        raise HttpError(409, "Somebody was <faster>.", [("Retry-After", "1")])

    result = client.get("/pages")
    assert (result.status, result.headers["retry-after"]) == (409, "1")
    assert "Somebody was &lt;faster&gt;." in result.text


def test_what_the_client_sent_wrongly_is_never_a_500(app, client):
    app.post("/json")(lambda request: request.json)
    app.post("/form")(lambda request: request.form["name"])
    app.post("/text")(lambda request: request.text)
    app.post("/query")(lambda request: request.query["name"])
    app.post("/header")(lambda request: request.headers["x-name"])
    app.post("/next")(lambda request: redirect(request.query["next"]))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/pages/json", body="{").status == 400
    assert client.post("/pages/form", form={"other": "1"}).status == 400
    assert client.post("/pages/form", body="a&" * 2000, headers=form).status == 400
    assert client.post("/pages/form", json=[]).status == 415
    assert client.post("/pages/text", body=b"\xff").status == 400
    assert client.post("/pages/query").status == 400
    assert client.post("/pages/header").status == 400
    assert client.post("/pages/next?next=/%0d%0aSet-Cookie:a=b").status == 400


def test_json_goes_in_and_out(app, client):
    app.put("/json")(lambda request: {"got": request.json})
    assert client.put("/pages/json", json={"é": [1, None]}).json() == {"got": {"é": [1, None]}}
    assert json.loads(client.put("/pages/json", body="[]").body) == {"got": []}


# ── Start, stop, retirement ──────────────────────────────────────────────────────────────────────────


def test_what_is_opened_at_the_start_is_closed_at_the_end_in_reverse(app):
    steps: list[str] = []
    for name in ("a", "b"):
        app.on_start(lambda name=name: steps.append(f"open {name}"))
        app.on_stop(lambda name=name: steps.append(f"close {name}"))
    app.start()
    app.stop()
    assert steps == ["open a", "open b", "close b", "close a"]


def test_hooks_are_given_back_to_be_called_elsewhere(app):
    def hook():
        pass

    assert app.on_start(hook) is hook
    assert app.on_stop(hook) is hook


def test_a_start_that_fails_says_what_failed_and_why(app):
    later = []

    @app.on_start
    def open_database():
        raise OSError("no such file")

    app.on_start(lambda: later.append(True))
    with pytest.raises(StartError) as caught:
        app.start()
    assert str(caught.value) == (
        "pages cannot start: test_a_start_that_fails_says_what_failed_and_why.<locals>.open_database() "
        "in tests.worker.test_application failed with OSError: no such file"
    )
    assert isinstance(caught.value.__cause__, OSError)
    assert later == []


def test_a_start_that_fails_with_words_of_its_own_keeps_them(app):
    @app.on_start
    def open_database():
        raise SettingsError("set DATABASE to a URL")

    with pytest.raises(SettingsError, match="set DATABASE to a URL"):
        app.start()


def test_a_stop_that_fails_does_not_keep_the_others_from_closing(app):
    closed = []
    app.on_stop(lambda: closed.append("first"))

    @app.on_stop
    def close():
        raise OSError("stuck")

    app.on_stop(lambda: closed.append("last"))
    with pytest.raises(OSError, match="stuck"):
        app.stop()
    assert closed == ["last", "first"]


def test_wrappers_are_closed_after_the_hooks_and_before_the_database():
    closed = []

    class Wrapper:
        def __init__(self, name):
            self.name = name

        def __call__(self, responder):
            return responder

        def close(self):
            closed.append(self.name)

    app, blog = Application("site"), Router()
    app.wrap(Wrapper("around the site"))
    app.wrap(lambda responder: responder)
    blog.wrap(Wrapper("around the blog"))
    app.mount("/blog", blog)
    app.on_stop(lambda: closed.append("hook"))
    app.use(database := FakeDatabase())
    database.close = lambda: closed.append("database")
    app.stop()
    assert closed == ["hook", "around the blog", "around the site", "database"]


def test_an_application_that_retires_still_answers(app, client):
    @app.get("/")
    def show(request):
        app.retire()
        return "last"

    assert not app.retired
    assert repr(app) == "<Application pages>"
    assert client.get("/pages").text == "last"
    assert app.retired
    assert repr(app) == "<Application pages, retired>"
    assert client.get("/pages").text == "last"


# ── Wrappers, and the database ───────────────────────────────────────────────────────────────────────


def test_the_first_wrapper_is_the_outermost(app, client):
    steps = []

    def noting(name):
        def wrapper(handler):
            def wrapped(request):
                steps.append(f"before {name}")
                response = handler(request)
                steps.append(f"after {name}")
                return response

            return wrapped

        return wrapper

    app.get("/")(lambda request: steps.append("handler") or "page")
    app.wrap(noting("a"))
    app.wrap(noting("b"))
    assert client.get("/pages").text == "page"
    assert steps == ["before a", "before b", "handler", "after b", "after a"]


def test_a_wrapper_stands_around_every_path_and_sees_errors_as_pages(app, client):
    @app.wrap
    def mark(handler):
        def wrapped(request):
            response = handler(request)
            response.set_header("X-Status", str(response.status))
            return response

        return wrapped

    @app.get("/x")
    def show(request):
        raise HttpError(409)

    assert client.get("/pages/x").headers["x-status"] == "409"
    assert client.get("/pages/none").headers["x-status"] == "404"
    assert client.get("/pages//x").headers["x-status"] == "308"


def test_a_response_answers_one_request_because_wrappers_write_cookies_into_it(app, client):
    response = Response("page")

    @app.get("/")
    def show(request):
        return response

    assert client.get("/pages").text == "page"
    with pytest.raises(ContentError, match=r"show\(\) in .* a Response answers one request: make a new one"):
        client.get("/pages")


def test_a_wrapper_returns_what_handlers_do(app, client):
    app.wrap(lambda _: lambda request: {"path": request.path})
    assert client.get("/pages/x").json() == {"path": "/x"}


def test_a_wrapper_that_forgets_its_response_is_named(app, client):
    app.get("/")(lambda request: "page")

    @app.wrap
    def forgetful(handler):
        def wrapped(request):
            handler(request)

        return wrapped

    complaint = r"forgetful.*wrapped\(\) in .* returned None: return Response\(\) if it is to have no body"
    with pytest.raises(LrwpError, match=complaint):
        client.get("/pages")


def test_a_wrapper_may_answer_by_itself_or_refuse(app, client):
    app.get("/x")(lambda request: "page")
    seen = []

    @app.wrap
    def look(handler):
        def wrapped(request):
            response = handler(request)
            seen.append(response.status)
            return response

        return wrapped

    @app.wrap
    def gate(handler):
        def wrapped(request):
            if "closed" in request.query:
                raise HttpError(503)
            return Response("closed") if "quiet" in request.query else handler(request)

        return wrapped

    assert client.get("/pages/x?closed").status == 503
    assert client.get("/pages/x?quiet").text == "closed"
    assert client.get("/pages/x").text == "page"
    assert seen == [503, 200, 200]


class FakeDatabase:
    """Says what is done with it; its guard sets request.db and sees what handlers raise."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def open(self) -> None:
        self.steps.append("open")

    def close(self) -> None:
        self.steps.append("close")

    def roll_back(self) -> bool:
        return "uncommitted" in self.steps

    def guard(self, handler):
        def guarded(request):
            request.db = self
            try:
                return handler(request)
            except HttpError as error:
                self.steps.append(f"rolled back after {error.status}")
                raise

        return guarded


def test_a_database_is_open_from_before_the_first_hook_to_after_the_last(app):
    database = FakeDatabase()
    app.on_start(lambda: database.steps.append("start"))
    app.on_stop(lambda: database.steps.append("stop"))
    app.use(database)
    app.start()
    app.stop()
    assert database.steps == ["open", "start", "stop", "close"]


def test_a_start_that_fails_leaves_no_database_open(app):
    database = FakeDatabase()
    app.use(database)
    app.on_start(lambda: 1 / 0)
    with pytest.raises(StartError):
        app.start()
    assert database.steps == ["open", "close"]


def test_a_start_that_leaves_changes_uncommitted_fails_and_names_the_hook(app):
    database = FakeDatabase()
    app.use(database)

    @app.on_start
    def make_tables():
        database.steps.append("uncommitted")

    with pytest.raises(StartError, match=r"make_tables\(\) in .* left changes uncommitted"):
        app.start()
    assert database.steps == ["open", "uncommitted", "close"]


def test_the_reason_why_a_start_failed_is_one_line(app):
    @app.on_start
    def fail():
        raise ValueError("no such table\n[SQL: INSERT INTO page]")

    with pytest.raises(StartError, match=r"ValueError: no such table\Z"):
        app.start()


def test_the_guard_stands_within_all_wrappers_and_sees_what_handlers_raise(app, client):
    database = FakeDatabase()

    @app.wrap
    def look(handler):
        def wrapped(request):
            database.steps.append("wrapper")
            return handler(request)

        return wrapped

    @app.get("/{page}")
    def show(request, page):
        if page != "home":
            raise HttpError(404)
        return str(request.db is database)

    app.use(database)
    assert client.get("/pages/home").text == "True"
    assert client.get("/pages/other").status == 404
    assert database.steps == ["wrapper", "wrapper", "rolled back after 404"]


def test_a_database_or_session_that_nobody_set_says_what_to_do(app, client):
    app.get("/db")(lambda request: request.db)
    app.get("/session")(lambda request: request.session)
    with pytest.raises(LrwpError, match="only with --database URL"):
        client.get("/pages/db")
    with pytest.raises(LrwpError, match=r"this application has no sessions: wrap it with Sessions\(...\)"):
        client.get("/pages/session")


def test_a_client_opens_the_database_that_it_is_given(app):
    database, usual = FakeDatabase(), FakeDatabase()
    app.use(usual)
    app.get("/")(lambda request: str(request.db is database))
    with Client(app, database=database) as client:
        assert client.get("/").text == "True"
    assert database.steps == ["open", "close"]
    assert app.database is usual
    assert usual.steps == []


def test_a_client_of_a_wsgi_application_has_no_database_to_open():
    with pytest.raises(LrwpError, match="leave out database="):
        Client(lambda environ, start_response: [], database=FakeDatabase())


def test_a_database_may_be_given_by_its_url(app):
    app.get("/")(lambda request: str(request.db.exec_driver_sql("SELECT 1 + 1").scalar()))
    with Client(app, database="sqlite://") as client:
        assert client.get("/").text == "2"


# ── Streams are handlers too ─────────────────────────────────────────────────────────────────────────


def test_what_a_stream_raises_before_its_first_piece_is_seen_by_guard_and_wrappers(app, client):
    database = FakeDatabase()
    app.use(database)
    statuses = []

    @app.wrap
    def look(handler):
        def wrapped(request):
            response = handler(request)
            statuses.append(response.status)
            return response

        return wrapped

    @app.get("/")
    def show(request):
        if "go" not in request.query:
            raise HttpError(403)
        yield "page"

    assert client.get("/pages").status == 403
    assert client.get("/pages?go").text == "page"
    assert statuses == [403, 200]
    assert database.steps == ["rolled back after 403"]


def test_an_application_without_a_database_says_how_to_give_it_one():
    app = Application("shop")
    with pytest.raises(NotProvidedError, match="shop needs a database: start its worker with --database URL"):
        _ = app.database
