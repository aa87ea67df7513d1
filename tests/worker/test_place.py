from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.worker.test_request import request as bare_request
from worker import Application, Servlet
from worker.errors import RouteError
from worker.place import Place, write_address
from worker.router import Router
from worker.testing import Client

if TYPE_CHECKING:
    from worker.request import Request


class Site:
    """An application with a nest of routers, each of which can look up addresses."""

    def __init__(self) -> None:
        self.app = Application("site")
        self.seen: list[Request] = []
        blog, archive = Router(), Router()
        for router in (self.app, blog, archive):
            router.get("/look/{place}", name="look")(self._look)
        self.app.get("/page/{name}?{lang}", name="page")(lambda request, name, lang="": "")
        self.app.get("/list/")(self.listing)
        blog.get("/{title}", name="entry")(lambda request, title: "")
        archive.get("/{day:date}", name="day")(lambda request, day: "")
        self.app.mount("/{user}/blog/", blog)
        self.app.mount("/static", lambda request: "")
        blog.mount("/archive", archive)

    def _look(self, request, place):
        self.seen.append(request)
        return ""

    def listing(self, request):
        return ""

    def at(self, path: str, prefix: str = "/my%20site") -> Request:
        """Return the request that a handler gets which answers below this path."""
        client = Client(self.app, prefix="/my site")
        assert client.get(f"{prefix}{path}/look/here").status == 200
        return self.seen[-1]


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_address_of_a_route_has_its_prefix_and_its_values(site):
    r = site.at("")
    assert r.url_for("page", name="a b") == "/my%20site/page/a%20b"
    assert r.url_for("page", name="home", lang="de") == "/my%20site/page/home?lang=de"
    assert r.url_for("listing") == "/my%20site/list/"


def test_an_application_of_a_whole_host_has_no_prefix():
    app = Application("x")
    app.get("/", name="home")(lambda request: request.url_for("home"))
    assert Client(app).get("/").text == "/"


def test_the_routes_of_a_mounted_router_are_behind_its_name(site):
    r = site.at("")
    assert r.url_for("blog.entry", user="ann", title="x") == "/my%20site/ann/blog/x"
    day = date(2024, 2, 29)
    assert r.url_for("blog.archive.day", user="ann", day=day) == "/my%20site/ann/blog/archive/2024-02-29"


def test_within_a_mounted_router_its_own_routes_come_first_and_those_around_it_after_them(site):
    r = site.at("/bob%2Fby/blog/archive")
    assert r.url_for("day", day="2024-02-29") == "/my%20site/bob%2Fby/blog/archive/2024-02-29"
    assert r.url_for("look", place="x") == "/my%20site/bob%2Fby/blog/archive/look/x"
    assert r.url_for("entry", title="x") == "/my%20site/bob%2Fby/blog/x"
    assert r.url_for("page", name="home") == "/my%20site/page/home"


def test_addresses_are_the_same_however_the_client_spelled_its_own(site):
    r = site.at("", prefix="/m%79 site")
    assert r.url_for("listing") == "/my%20site/list/"


def test_what_is_mounted_and_no_router_has_paths_below_it(site):
    assert site.at("").url_for("static", path="css/a b.css") == "/my%20site/static/css/a%20b.css"
    with pytest.raises(RouteError, match="needs a value for path"):
        site.at("").url_for("static")


def test_the_routes_behind_a_mount_without_a_name_are_known_by_their_own():
    app, pages, more = Application("x"), Router(), Router()
    pages.get("/{title}", name="page")(lambda request, title: request.url_for("other", lang="de"))
    more.get("/other", name="other")(lambda request: "")
    app.mount("/{lang}", pages)
    app.mount("/{lang}/{year:int}", lambda request: "")
    app.mount("/", more)
    app.get("/look/here/now")(lambda request: request.url_for("page", lang="de", title="x"))
    client = Client(app)
    assert client.get("/look/here/now").text == "/de/x"
    assert [row.name for row in app.table()] == ["", "", "page", "other"]
    with pytest.raises(RouteError, match="/other has no parameter lang"):
        client.get("/en/home")
    with pytest.raises(RouteError, match="no route is called pagge: did you mean page"):
        write_address([Place(app, [], None)], "pagge", {})


def test_servlets_and_services_are_known_by_their_class():
    app = Application("x")
    seen = []

    @app.servlet("/entry/{id:int}")
    class Entry(Servlet):
        def get(self):
            seen.append(self.request)
            return ""

    @app.service("/task/{id:int}/")
    class Task(Servlet):
        get = Entry.get
        post_finish = Entry.get

    Client(app).get("/entry/1")
    (r,) = seen
    assert r.url_for("Entry", id=1) == "/entry/1"
    assert r.url_for("Task", id=1) == "/task/1/"
    assert r.url_for("Task.finish", id=1) == "/task/1/finish"


def test_what_is_not_known_is_told_with_the_nearest_name(site):
    with pytest.raises(RouteError, match=r"no route is called pages: did you mean page\?"):
        site.at("").url_for("pages")
    with pytest.raises(RouteError, match=r"did you mean blog\.archive\.day\?"):
        site.at("").url_for("blog.archive.days")
    with pytest.raises(RouteError, match="lrwp worker TARGET --routes shows all names"):
        site.at("").url_for("xyzzy")
    with pytest.raises(RouteError, match=r"no route is called static\.x"):
        site.at("").url_for("static.x")


def test_values_that_the_route_has_no_place_for_are_refused(site):
    with pytest.raises(RouteError, match=r"/page/\{name\}\?\{lang\} has no parameter nme"):
        site.at("").url_for("page", name="x", nme="y")
    with pytest.raises(RouteError, match="needs a value for name"):
        site.at("").url_for("page")


def test_a_request_that_came_to_no_application_knows_no_addresses():
    with pytest.raises(RouteError, match="no route is called home"):
        bare_request("/").url_for("home")


# ── Names ────────────────────────────────────────────────────────────────────────────────────────────


def show(request, **parameters):
    return request.url_for("show")


def test_a_name_that_several_routes_happen_to_have_is_refused_when_it_is_used():
    app = Application("x")
    app.get("/a")(show)
    app.post("/a")(show)
    assert Client(app).get("/a").text == "/a"
    app.get("/b")(show)
    with pytest.raises(RouteError, match="several routes are called show: register them with a name="):
        Client(app).get("/b")


@pytest.mark.parametrize("given_first", [True, False])
def test_a_name_that_was_given_beats_one_that_a_handler_happens_to_have(given_first):
    app = Application("x")
    steps = [lambda: app.get("/a", name="show")(lambda request: ""), lambda: app.get("/b")(show)]
    for step in steps if given_first else reversed(steps):
        step()
    assert Client(app).get("/b").text == "/a"


def test_a_name_is_given_to_one_route_only():
    app = Application("x")
    app.get("/a", name="a")(show)
    app.post("/a", name="a")(show)
    with pytest.raises(RouteError, match="two routes are called a: give each its own name"):
        app.get("/b", name="a")(show)
