from __future__ import annotations

from dataclasses import dataclass

import pytest

from worker import Application, HttpError, Request, Servlet, redirect
from worker.errors import RouteError
from worker.testing import Client


@pytest.fixture
def app() -> Application:
    return Application("tasks")


@pytest.fixture
def client(app) -> Client:
    return Client(app)


# ── Servlets ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_servlet_has_a_method_for_each_method_and_an_instance_for_each_request(app, client):
    made = []

    @app.servlet("/entry/{id:int}")
    class Entry(Servlet):
        id: int

        def __init__(self, request, **parameters):
            super().__init__(request, **parameters)
            made.append(self)

        def get(self):
            return f"show {self.id}"

        def post(self):
            return f"save {self.id} {self.request.form['title']}"

    assert client.get("/entry/7").text == "show 7"
    assert client.head("/entry/7").headers["content-length"] == "6"
    assert client.post("/entry/8", form={"title": "x"}).text == "save 8 x"
    result = client.delete("/entry/7")
    assert (result.status, result.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert client.options("/entry/7").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert len({id(each) for each in made}) == len(made) == 3


def test_any_class_that_takes_the_request_and_the_parameters_is_a_servlet(app, client):
    @app.servlet("/entry/{id:int}")
    @dataclass
    class Entry:
        request: Request
        id: int

        def get(self):
            return f"{self.request.method} {self.id}"

    assert client.get("/entry/7").text == "GET 7"


def test_a_servlet_may_refuse_in_its_making(app, client):
    @app.servlet("/entry/{number:int}")
    class Entry(Servlet):
        def __init__(self, request, number):
            if number > 9:
                raise HttpError(404)
            super().__init__(request, number=number)

        def get(self):
            return str(self.number)

    assert (client.get("/entry/7").text, client.get("/entry/10").status) == ("7", 404)


def test_methods_may_be_inherited(app, client):
    class Shown(Servlet):
        def get(self):
            return type(self).__name__

    @app.servlet("/a")
    class A(Shown):
        pass

    @app.servlet("/b")
    class B(Shown):
        def put(self):
            return "put"

    assert (client.get("/a").text, client.get("/b").text, client.put("/b").text) == ("A", "B", "put")


def test_a_servlet_has_the_session_and_the_database_of_its_request(app, client):
    @app.wrap
    def provide(handler):
        def wrapped(request):
            request.session, request.db = {"visits": 1}, "db"
            return handler(request)

        return wrapped

    @app.servlet("/")
    class Visits(Servlet):
        def get(self):
            self.session["visits"] += 1
            return f"{self.session['visits']} {self.db}"

    assert client.get("/").text == "2 db"


def test_fields_of_the_query_are_optional_where_the_class_has_a_default(app, client):
    @app.servlet("/find?{word}&{page:int}")
    class Find(Servlet):
        word: str
        page = 1

        def get(self):
            return f"{self.word} {self.page}"

    @app.servlet("/look?{word}&{page:int}")
    class Look(Servlet):
        def __init__(self, request, word, page=2):
            super().__init__(request, word=word, page=page)

        def get(self):
            return f"{self.word} {self.page}"

    assert client.get("/find?word=x").text == "x 1"
    assert client.get("/find?word=x&page=3").text == "x 3"
    assert client.get("/find").status == 400
    assert client.get("/look?word=x").text == "x 2"
    assert client.get("/look").status == 400


def test_a_class_gives_itself_back(app):
    class Entry(Servlet):
        def get(self):
            return ""

    assert app.servlet("/entry")(Entry) is Entry


# ── Services ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def task(app):
    @app.service("/task/{id:int}/")
    class Task(Servlet):
        id: int

        def get(self):
            return f"show {self.id}"

        def delete(self):
            return f"delete {self.id}"

        def get_history(self):
            return f"history {self.id}"

        def post_finish(self):
            return redirect(self.request.url_for("Task", id=self.id))

        def post_put_off(self):
            return f"put off {self.id}"

        def helper(self):
            return "never"

        def _get_secret(self):
            return "never"

    return Task


def test_a_service_has_a_method_for_each_method_and_last_part(client, task):
    assert client.get("/task/7/").text == "show 7"
    assert client.delete("/task/7/").text == "delete 7"
    assert client.get("/task/7/history").text == "history 7"
    assert client.post("/task/7/finish").headers["location"] == "/task/7/"
    assert client.post("/task/7/put_off").text == "put off 7"


def test_a_service_is_a_folder(client, task):
    result = client.get("/task/7")
    assert (result.status, result.headers["location"]) == (308, "/task/7/")


def test_a_service_answers_nothing_else(client, task):
    assert client.get("/task/7/finish").headers["allow"] == "OPTIONS, POST"
    assert client.post("/task/7/").headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    for path in ("helper", "secret", "get", "post_finish", "finish/", "history/more", "__init__", "session"):
        assert client.get(f"/task/7/{path}").status == 404
    assert client.get("/task/seven/history").status == 404


def test_a_service_may_have_nothing_at_the_folder_itself(app, client):
    @app.service("/tools/")
    class Tools(Servlet):
        def get_clock(self):
            return "noon"

    assert client.get("/tools/clock").text == "noon"
    assert client.get("/tools/").status == 404
    assert client.get("/tools").status == 404


# ── What cannot be registered ────────────────────────────────────────────────────────────────────────


class Empty(Servlet):
    pass


class Shown(Servlet):
    def get(self):
        return ""


class Async(Servlet):
    async def get(self):
        return ""


class Narrow:
    def __init__(self, request, key):
        pass

    def get(self):
        return ""


@pytest.mark.parametrize(
    ("path", "cls", "expected"),
    [
        ("/x", Empty, "Empty for /x answers nothing: give it a method such as get()"),
        ("/x", Async, "Async.get() in tests.worker.test_servlet is async"),
        ("/x", Narrow, "Narrow() in tests.worker.test_servlet cannot be called for /x: missing"),
        ("/{name}", Narrow, "cannot be called for /{name}"),
        ("/{get}", Shown, "/{get} cannot have a parameter get: Shown has get() already"),
        ("/{request}", Shown, "cannot be called for /{request}"),
        ("/x", lambda request: "", "is not a class"),
    ],
)
def test_a_class_that_cannot_be_used_is_refused_with_its_reason(app, path, cls, expected):
    with pytest.raises(RouteError) as caught:
        app.servlet(path)(cls)
    assert expected in str(caught.value)


def test_a_service_without_methods_or_without_its_slash_is_refused(app):
    with pytest.raises(RouteError, match="Empty for /x/ answers nothing"):
        app.service("/x/")(Empty)
    with pytest.raises(RouteError, match="the service /x is a folder: write it with a /"):
        app.service("/x")
