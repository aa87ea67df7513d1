"""Five small applications of the kind that kali, whose Router ours comes from, is taught with.

Each shows one way to register; each does what kali's does, and where kali did something wrong, what is right.
"""

from __future__ import annotations

from html import escape

import pytest

from worker import Application, HttpError, Response, Router, Servlet, redirect
from worker.testing import Client

# ── 1. Hello: a function, with what the address says as its arguments ────────────────────────────────


@pytest.fixture
def hello() -> Client:
    app = Application("hello")

    @app.get("/")
    def home(request):
        link = request.url_for("greet", name="world", word="Hello")
        return ["<h1>Welcome</h1>", ['<a href="', escape(link), '">', "greet", "</a>"]]

    @app.get("/greet/{name}?{word}&{times:int}")
    def greet(request, name, word="Good day", times=1):
        return [f"<p>{escape(word)}, {escape(name)}!</p>"] * times

    return Client(app)


def test_hello_greets_whom_the_path_names(hello):
    assert hello.get("/").text == '<h1>Welcome</h1><a href="/greet/world?word=Hello">greet</a>'
    assert hello.get("/greet/Ann").text == "<p>Good day, Ann!</p>"


def test_hello_greets_as_the_query_says(hello):
    assert hello.get("/greet/Ann?word=Hi&times=2").text == "<p>Hi, Ann!</p><p>Hi, Ann!</p>"
    assert hello.get("/greet/%3Cb%3E?word=%26").text == "<p>&amp;, &lt;b&gt;!</p>"
    assert hello.get("/greet/Ann?times=often").status == 400


@pytest.mark.parametrize(
    ("path", "location"),
    [("/greet/..", "/"), ("//greet/Ann", "/greet/Ann"), ("/greet/./Ann?word=Hi", "/greet/Ann?word=Hi")],
)
def test_hello_sends_on_who_asks_for_a_path_that_is_not_normal(hello, path, location):
    result = hello.get(path)
    assert (result.status, result.headers["location"]) == (308, location)


def test_hello_refuses_what_makes_no_sense(hello):
    for path in ("/..", "/greet/../../Ann", "/greet/%zz", "/greet/%ff"):
        assert hello.get(path).status == 400
    for headers in ({"Cookie": "=;;=\xff; a"}, {"Content-Length": "-1"}, {"Range": "lines=1-2"}):
        assert hello.get("/greet/Ann", headers=headers).status == 200


def test_hello_does_not_know_other_pages_and_other_methods(hello):
    assert hello.get("/greet").status == 404
    assert hello.get("/greet/Ann/again").status == 404
    result = hello.post("/greet/Ann")
    assert (result.status, result.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


# ── 2. A counter: state that the process keeps from request to request ───────────────────────────────


@pytest.fixture
def counter() -> Client:
    app = Application("counter")
    count = {"value": 0}

    @app.get("/")
    def show(request):
        return f"<p>{count['value']}</p><form method=post action='{request.url_for('change')}'>…</form>"

    @app.post("/change")
    def change(request):
        steps = {"up": 1, "down": -1}
        if request.form["direction"] not in steps:
            raise HttpError(400, "A counter goes up or down.")
        count["value"] += steps[request.form["direction"]]
        return redirect(request.url_for("show"))

    return Client(app, prefix="/counter")


def test_a_counter_counts_from_one_request_to_the_next(counter):
    for direction in ("up", "up", "down", "up"):
        result = counter.post("/counter/change", form={"direction": direction})
        assert (result.status, result.headers["location"]) == (303, "/counter/")
    assert counter.get("/counter/").text.startswith("<p>2</p>")


def test_a_counter_is_not_changed_by_looking_or_by_mistake(counter):
    assert counter.get("/counter/change").status == 405
    assert counter.post("/counter/change", form={"direction": "sideways"}).status == 400
    assert counter.post("/counter/change", form={}).status == 400
    assert counter.get("/counter").text.startswith("<p>0</p>")


# ── 3. Delegation: a subtree, and a folder ───────────────────────────────────────────────────────────


@pytest.fixture
def delegating() -> Client:
    app = Application("site")
    docs, tour = Router(), Router()

    def echo(request):
        return Response(f"{request.prefix} | {request.path}", content_type="text/plain")

    @docs.get("/")
    def contents(request):
        return f"contents, with {request.url_for('chapter', number=1)}"

    @docs.get("/{number:int}")
    def chapter(request, number):
        return f"chapter {number} of {request.prefix}"

    @tour.get("/start")
    def start(request):
        return request.url_for("docs.contents")

    app.mount("/echo", echo)
    app.mount("/docs/", docs)
    app.mount("/docs/tour", tour)
    return Client(app)


def test_a_subtree_is_delegated_with_everything_below(delegating):
    assert delegating.get("/echo").text == "/echo | /"
    assert delegating.get("/echo/").text == "/echo | /"
    assert delegating.get("/echo/a/b%20c/").text == "/echo | /a/b c/"
    assert delegating.post("/echo/x").text == "/echo | /x"
    assert delegating.get("/echoes").status == 404


def test_a_folder_is_delegated_once_it_has_its_slash(delegating):
    result = delegating.get("/docs?page=2")
    assert (result.status, result.headers["location"]) == (308, "/docs/?page=2")
    assert delegating.get("/docs/").text == "contents, with /docs/1"
    assert delegating.get("/docs/7").text == "chapter 7 of /docs"
    assert delegating.get("/docs/seven").status == 404


def test_the_deepest_mount_wins(delegating):
    assert delegating.get("/docs/tour/start").text == "/docs/"
    assert delegating.get("/docs/tour/7").status == 404


# ── 4. A servlet: a class for a thing, a method for each method ──────────────────────────────────────


@pytest.fixture
def notes() -> Client:
    app = Application("notes")
    texts = {1: "Buy milk."}

    @app.servlet("/note/{number:int}")
    class Note(Servlet):
        number: int

        def __init__(self, request, **parameters):
            super().__init__(request, **parameters)
            if request.method != "PUT" and self.number not in texts:
                raise HttpError(404, "There is no such note.")

        def get(self):
            return escape(texts[self.number])

        def put(self):
            is_new = self.number not in texts
            texts[self.number] = self.request.text
            return Response(status=201 if is_new else 204)

        def delete(self):
            del texts[self.number]
            return Response(status=204)

    @app.on_error(404)
    def absent(request, error):
        return f"<p>{escape(error.sentence or 'Nothing here.')}</p>"

    return Client(app)


def test_a_servlet_answers_each_method_with_its_own(notes):
    assert notes.get("/note/1").text == "Buy milk."
    assert notes.put("/note/2", body="<b>").status == 201
    assert notes.put("/note/2", body="<i>").status == 204
    assert notes.get("/note/2").text == "&lt;i&gt;"
    assert notes.delete("/note/2").status == 204
    assert (notes.get("/note/2").status, notes.get("/note/2").text) == (404, "<p>There is no such note.</p>")


def test_a_servlet_says_which_methods_it_has(notes):
    assert notes.post("/note/1").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert notes.options("/note/1").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert notes.head("/note/1").headers["content-length"] == "9"
    assert notes.get("/note/one").text == "<p>Nothing here.</p>"


# ── 5. A service: a class for a folder, a method for each method and last part ───────────────────────


@pytest.fixture
def tasks() -> Client:
    app = Application("tasks")
    done = {7: False}

    @app.service("/task/{number:int}/")
    class Task(Servlet):
        number: int

        def get(self):
            return f"task {self.number}: {'done' if done[self.number] else 'to do'}"

        def get_edit(self):
            return f"<form action='{self.request.url_for('Task.finish', number=self.number)}'>"

        def post_finish(self):
            done[self.number] = True
            return redirect(self.request.url_for("Task", number=self.number))

    return Client(app, prefix="/todo")


def test_a_service_has_a_page_for_the_folder_and_for_each_part(tasks):
    assert tasks.get("/todo/task/7/").text == "task 7: to do"
    assert tasks.get("/todo/task/7/edit").text == "<form action='/todo/task/7/finish'>"
    assert tasks.post("/todo/task/7/finish").headers["location"] == "/todo/task/7/"
    assert tasks.get("/todo/task/7/").text == "task 7: done"


def test_a_service_adds_the_slash_of_its_folder(tasks):
    result = tasks.get("/todo/task/7")
    assert (result.status, result.headers["location"]) == (308, "/todo/task/7/")


def test_a_service_knows_wrong_methods_from_wrong_parts(tasks):
    result = tasks.get("/todo/task/7/finish")
    assert (result.status, result.headers["allow"]) == (405, "OPTIONS, POST")
    assert tasks.post("/todo/task/7/burn").status == 404
    assert tasks.get("/todo/task/7/number").status == 404


def test_no_address_splits_an_answer(tasks):
    """Line ends in an address come back encoded, or not at all."""
    for path in ("/todo//task%0d%0aSet-Cookie:a=b", "/todo/task/7%0d%0a/..//"):
        location = tasks.get(path).headers.get("location", "")
        assert not {"\r", "\n"} & set(location)
