from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest
import structlog

from worker import Application, HttpError, Response
from worker.errors import MissingFieldError, RouteError
from worker.router import Router
from worker.testing import Client


@pytest.fixture
def app() -> Application:
    return Application("pages")


@pytest.fixture
def client(app) -> Client:
    return Client(app, prefix="/pages")


def page(request, **parameters):
    return {"prefix": request.prefix, "path": request.path, **{n: str(v) for n, v in parameters.items()}}


# ── Functions: the path's parameters and the query's fields ──────────────────────────────────────────


def test_parameters_come_as_what_they_are(app, client):
    seen = []
    app.get("/{id:int}/{day:date}/{key:uuid}/{name}/{path:rest}")(
        lambda request, **parameters: seen.append(parameters) or ""
    )
    client.get(f"/pages/7/2024-02-29/{UUID(int=1)}/a%2Fb/c/d/")
    assert seen == [
        {"id": 7, "day": date(2024, 2, 29), "key": UUID(int=1), "name": "a/b", "path": "c/d/"},
    ]


def test_a_parameter_of_another_kind_is_not_found(app, client):
    app.get("/{id:int}")(page)
    assert client.get("/pages/seven").status == 404


def test_fields_of_the_query_come_as_keywords_and_defaults_make_them_optional(app, client):
    @app.get("/hello/{name}?{word}&{times:int}")
    def hello(request, name, word="Hello", times=1):
        return f"{word} {name}! " * times

    assert client.get("/pages/hello/you").text == "Hello you! "
    assert client.get("/pages/hello/you?word=Hi&times=2").text == "Hi you! Hi you! "
    assert client.get("/pages/hello/you?word=").text == " you! "
    assert client.get("/pages/hello/you?other=1").status == 200


def test_a_field_without_a_default_must_be_sent(app, client):
    @app.get("/find?{word}")
    def find(request, word):
        return word

    assert client.get("/pages/find?word=x").text == "x"
    assert client.get("/pages/find").status == 400


def test_a_field_that_cannot_be_read_is_the_clients_mistake(app, client):
    @app.get("/find?{page:int}")
    def find(request, page=1):
        return page

    result = client.get("/pages/find?page=<b>")
    assert result.status == 400
    assert "The field page of the address must be a whole number." in result.text
    assert "&lt;b&gt;" not in result.text


# ── What cannot be registered ────────────────────────────────────────────────────────────────────────


def test_a_route_that_is_taken_names_the_handler_that_has_it(app):
    app.get("/page/{name}")(page)
    with pytest.raises(RouteError) as caught:
        app.get("/page/{key}")(lambda request, key: "")
    assert str(caught.value) == (
        "GET /page/{key} is answered by page() in tests.worker.test_router already: remove one of the two"
    )


def test_methods_of_one_path_may_name_its_parameters_differently(app, client):
    app.get("/page/{name}")(lambda request, name: name)
    app.put("/page/{key}")(lambda request, key: key)
    assert (client.get("/pages/page/a").text, client.put("/pages/page/b").text) == ("a", "b")


def test_the_path_decides_before_the_method(app, client):
    app.get("/page/new")(page)
    app.post("/page/{name}")(page)
    result = client.post("/pages/page/new")
    assert (result.status, result.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_handler_must_take_the_fields_of_the_query_too(app):
    with pytest.raises(RouteError, match="'word'"):
        app.get("/x?{word}")(lambda request: "")


# ── Folders ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_who_leaves_out_the_slash_of_a_folder_is_sent_on(app, client, method):
    app.route("/list/", methods=["GET", "POST"])(page)
    result = client.request(method, "/pages/list?a=1&b=%2F")
    assert (result.status, result.headers["location"]) == (308, "/pages/list/?a=1&b=%2F")


def test_a_page_of_the_same_name_is_not_sent_on(app, client):
    app.get("/list")(lambda request: "page")
    app.get("/list/")(lambda request: "folder")
    assert (client.get("/pages/list").text, client.get("/pages/list/").text) == ("page", "folder")


# ── Mounts ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_mounted_router_has_its_paths_relative_to_the_mount(app, client):
    blog = Router()
    blog.get("/")(page)
    blog.get("/{year:int}/{title}")(page)
    app.mount("/blog", blog)
    for path in ("/pages/blog", "/pages/blog/"):
        assert client.get(path).json() == {"prefix": "/pages/blog", "path": "/"}
    assert client.get("/pages/blog/2024/a%20b").json() == {
        "prefix": "/pages/blog",
        "path": "/2024/a b",
        "year": "2024",
        "title": "a b",
    }
    assert client.get("/pages/blog/none").status == 404
    assert client.post("/pages/blog").status == 405


def test_a_mounted_folder_has_its_slash_added(app, client):
    blog = Router()
    blog.get("/")(page)
    app.mount("/blog/", blog)
    result = client.get("/pages/blog?a=1")
    assert (result.status, result.headers["location"]) == (308, "/pages/blog/?a=1")
    assert client.get("/pages/blog/").json() == {"prefix": "/pages/blog", "path": "/"}


def test_a_callable_can_be_mounted_and_takes_every_method_and_path(app, client):
    app.mount("/echo", lambda request: f"{request.method} {request.prefix} {request.path}")
    assert client.get("/pages/echo").text == "GET /pages/echo /"
    assert client.request("DELETE", "/pages/echo/a/b/").text == "DELETE /pages/echo /a/b/"
    assert client.get("/pages/echoes").status == 404


def test_routers_nest_and_the_deepest_mount_wins(app, client):
    inner, outer = Router(), Router()
    inner.get("/x")(page)
    outer.mount("/inner", inner)
    outer.get("/{rest:rest}")(page)
    app.mount("/outer", outer)
    app.mount("/outer/other", inner)
    assert client.get("/pages/outer/inner/x").json() == {"prefix": "/pages/outer/inner", "path": "/x"}
    assert client.get("/pages/outer/other/x").json() == {"prefix": "/pages/outer/other", "path": "/x"}
    assert client.get("/pages/outer/z/x").json()["path"] == "/z/x"


def test_a_router_may_be_mounted_in_several_places(app, client):
    shop = Router()
    shop.get("/item")(page)
    app.mount("/a", shop)
    app.mount("/b/c", shop)
    assert client.get("/pages/a/item").json()["prefix"] == "/pages/a"
    assert client.get("/pages/b/c/item").json()["prefix"] == "/pages/b/c"


def test_the_parameters_of_a_mount_are_on_the_request(app, client):
    blog = Router()
    blog.get("/{title}")(lambda request, title: {n: str(v) for n, v in request.parameters.items()})
    app.mount("/{lang}/{year:int}", blog)
    app.mount("/raw/{lang}", lambda request: request.parameters)
    assert client.get("/pages/en/2024/x").json() == {"lang": "en", "year": "2024", "title": "x"}
    assert client.get("/pages/raw/de/y").json() == {"lang": "de"}


def test_the_body_is_shared_by_all_views_of_a_request(app, client):
    inner = Router()
    inner.post("/")(lambda request: request.form["a"])
    app.mount("/inner", inner)
    seen = []

    @app.wrap
    def look(handler):
        def wrapped(request):
            response = handler(request)
            seen.append((request.form["a"], request.path, request.prefix))
            return response

        return wrapped

    assert client.post("/pages/inner", form={"a": "1"}).text == "1"
    assert seen == [("1", "/inner", "/pages")]


def test_what_a_wrapper_sets_on_a_request_is_seen_below(app, client):
    inner = Router()
    inner.get("/")(lambda request: f"{request.session} {request.user}")
    app.mount("/inner", inner)

    @app.wrap
    def sessions(handler):
        def wrapped(request):
            request.session = "session"
            request.user = "user"
            return handler(request)

        return wrapped

    assert client.get("/pages/inner").text == "session user"


def test_a_wrapper_may_call_its_handler_twice(app, client):
    inner = Router()
    calls = []

    @inner.get("/{name}")
    def show(request, name):
        calls.append(request.path)
        if len(calls) == 1:
            raise HttpError(503)
        return name

    app.mount("/inner", inner)

    @app.wrap
    def again(handler):
        def wrapped(request):
            response = handler(request)
            return handler(request) if response.status == 503 else response

        return wrapped

    assert client.get("/pages/inner/x").text == "x"
    assert calls == ["/x", "/x"]


def test_a_generator_sees_its_own_view_when_it_runs(app, client):
    inner = Router()

    @inner.get("/x")
    def show(request):
        yield request.prefix
        yield request.path

    app.mount("/inner", inner)
    assert client.get("/pages/inner/x").text == "/pages/inner/x"


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("blog", Router(), "must start with /"),
        ("/blog?{a}", Router(), "has fields of a query"),
        ("/blog", 5, "5 for the mount /blog cannot be called"),
        ("/blog", lambda: "", "cannot be called for the mount /blog"),
        ("/blog", Application("blog"), "<Application blog> cannot be mounted at /blog: mount a Router"),
    ],
)
def test_a_mount_that_cannot_be_used_is_refused(app, path, target, expected):
    with pytest.raises(RouteError) as caught:
        app.mount(path, target)
    assert expected in str(caught.value)


def test_a_path_or_a_name_has_one_mount_only(app):
    app.mount("/blog", Router())
    for path, expected in (("/blog/", "is mounted already"), ("/old/blog", "two mounts are called 'blog'")):
        with pytest.raises(RouteError, match=expected):
            app.mount(path, Router())
    app.mount("/older/blog", Router(), name="archive")


# ── Wrappers of mounted routers ──────────────────────────────────────────────────────────────────────


def noting(steps, name):
    def wrapper(handler):
        def wrapped(request):
            steps.append(f"{name} {request.path}")
            response = handler(request)
            steps.append(f"{name} {response.status}")
            return response

        return wrapped

    return wrapper


def test_the_wrappers_of_a_mounted_router_stand_within_those_around_it(app, client):
    steps = []
    inner = Router()
    inner.get("/x")(page)
    app.get("/x")(page)
    app.wrap(noting(steps, "outer"))
    inner.wrap(noting(steps, "inner"))
    app.mount("/inner", inner)
    client.get("/pages/inner/y")
    client.get("/pages/x")
    assert steps == ["outer /inner/y", "inner /y", "inner 404", "outer 404", "outer /x", "outer 200"]


# ── Errors ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_handler_answers_the_errors_of_a_status(app, client):
    @app.on_error(404)
    def absent(request, error):
        return f"no {request.path}: {error.status}"

    @app.get("/x")
    def show(request):
        raise HttpError(404)

    for path in ("/x", "/y"):
        result = client.get(f"/pages{path}")
        assert (result.status, result.text) == (404, f"no {path}: 404")
    assert "This page cannot be used in this way." in client.post("/pages/x").text


def test_a_handler_of_a_status_keeps_the_fields_that_go_with_it(app, client):
    app.on_error(405)(lambda request, error: Response("no", 405, [("X-A", "1")]))
    app.on_error(503)(lambda request, error: Response("later", 503, {"retry-after": "9"}))
    app.get("/x")(page)

    @app.get("/y")
    def busy(request):
        raise HttpError(503, headers=[("Retry-After", "1")])

    assert client.post("/pages/x").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.get("/pages/y").headers["retry-after"] == "9"


def test_a_handler_of_an_error_may_answer_with_another_status(app, client):
    app.on_error(404)(lambda request, error: Response("there you are", 200))
    result = client.get("/pages/x")
    assert (result.status, result.text) == (200, "there you are")


class OutOfStockError(Exception):
    pass


class SoldOutError(OutOfStockError):
    pass


def test_a_handler_answers_the_exceptions_of_a_class_the_nearest_first(app, client):
    app.on_error(OutOfStockError)(lambda request, error: f"out: {error}")
    app.on_error(Exception)(lambda request, error: Response(f"any: {error}", 418))

    def raising(error):
        def show(request):
            raise error

        return show

    app.get("/a")(raising(OutOfStockError("lamps")))
    app.get("/b")(raising(SoldOutError("chairs")))
    app.get("/c")(raising(ValueError("c")))
    assert [(r.status, r.text) for r in map(client.get, ("/pages/a", "/pages/b", "/pages/c"))] == [
        (500, "out: lamps"),
        (500, "out: chairs"),
        (418, "any: c"),
    ]
    assert client.get("/pages/none").status == 404


def test_a_class_of_http_errors_is_nearer_than_its_status_and_that_than_all_of_them(app, client):
    app.on_error(400)(lambda request, error: "status")
    app.on_error(MissingFieldError)(lambda request, error: f"field {error.name}")
    app.on_error(HttpError)(lambda request, error: "any")
    app.get("/a")(lambda request: request.query["q"])
    assert client.get("/pages/a").text == "field q"
    assert client.get("/pages/%zz").text == "status"
    assert client.get("/pages/none").text == "any"


def test_the_nearest_router_answers_an_error(app, client):
    inner, innermost = Router(), Router()
    app.mount("/inner", inner)
    inner.mount("/most", innermost)
    app.on_error(404)(lambda request, error: "outer")
    inner.on_error(404)(lambda request, error: "inner")
    assert client.get("/pages/x").text == "outer"
    assert client.get("/pages/inner/x").text == "inner"
    assert client.get("/pages/inner/most/x").text == "inner"


def test_a_handler_of_500_answers_what_nobody_else_does_and_it_is_logged(app, client):
    @app.on_error(500)
    def broken(request, error):
        return f"broken: {type(error).__name__}"

    app.get("/a")(lambda request: 1 / 0)

    @app.get("/b")
    def show(request):
        raise HttpError(500)

    with structlog.testing.capture_logs() as logs:
        result = client.get("/pages/a")
        assert (result.status, result.text) == (500, "broken: ZeroDivisionError")
        assert client.get("/pages/b").text == "broken: HttpError"
    assert logs == [
        {
            "event": "application raised",
            "log_level": "error",
            "exc_info": True,
            "application": "pages",
            "method": "GET",
        }
    ]


def test_a_handler_of_an_error_that_fails_is_an_error_itself(app, client):
    @app.on_error(404)
    def absent(request, error):
        raise HttpError(410)

    @app.on_error(410)
    def gone(request, error):
        return 1 / 0

    app.wrap(lambda handler: handler)
    with pytest.raises(ZeroDivisionError):
        client.get("/pages/none")


def test_an_error_in_a_stream_before_its_first_piece_has_its_handler_too(app, client):
    @app.get("/x")
    def show(request):
        raise HttpError(404)
        yield ""

    app.on_error(404)(lambda request, error: "mine")
    assert client.get("/pages/x").text == "mine"


@pytest.mark.parametrize("what", [200, 399, 600, int, BaseException])
def test_only_errors_can_have_a_handler_for_errors(app, what):
    with pytest.raises(RouteError, match="is no error"):
        app.on_error(what)(lambda request, error: "")


def test_an_error_has_one_handler_that_takes_the_request_and_the_error(app):
    @app.on_error(404)
    def absent(request, error):
        return ""

    with pytest.raises(RouteError, match=r"the error 404 is answered by .*absent\(\)"):
        app.on_error(404)(absent)
    with pytest.raises(RouteError, match="cannot be called for the error ValueError"):
        app.on_error(ValueError)(lambda request: "")


# ── The guard stands around every handler ────────────────────────────────────────────────────────────


class WatchingDatabase:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def guard(self, handler):
        def guarded(request):
            request.db = "db"
            name = request.handler.__name__
            try:
                response = handler(request)
            except Exception as error:
                self.seen.append(f"{name} raised {type(error).__name__}")
                raise
            self.seen.append(f"{name} {response.status}")
            return response

        return guarded


def test_the_guard_stands_right_around_each_handler(app, client):
    inner = Router()

    @inner.get("/x")
    def show(request):
        raise HttpError(409)

    @app.on_error(409)
    def conflict(request, error):
        return request.db

    def raw(request):
        return request.db

    app.mount("/inner", inner)
    app.mount("/raw", raw)
    database = WatchingDatabase()
    app.use(database)
    assert client.get("/pages/inner/x").text == "db"
    assert client.get("/pages/raw").text == "db"
    assert client.get("/pages/none").status == 404
    assert database.seen == ["show raised HttpError", "conflict 409", "raw 200"]


# ── The table ────────────────────────────────────────────────────────────────────────────────────────


def test_a_router_says_what_answers_which_paths(app):
    blog = Router()
    blog.get("/{title}", name="entry")(page)
    app.get("/")(page)
    lambda_ = app.post("/page/{name}")(lambda request, name: "")
    app.mount("/blog/", blog)
    app.mount("/raw", page)
    where = "tests.worker.test_router"
    assert [tuple(row) for row in app.table()] == [
        ("GET", "/", "page", f"page() in {where}"),
        ("GET", "/blog/{title}", "blog.entry", f"page() in {where}"),
        (
            "POST",
            "/page/{name}",
            "",
            f"{lambda_.__qualname__}() in {where}",
        ),
        ("*", "/raw/*", "raw", f"page() in {where}"),
    ]
