from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RouteError
from worker.router import Match, Router, describe


def handler(*arguments, **keywords):
    return arguments, keywords


def router(*paths: str) -> Router:
    result = Router()
    for path in paths:
        result.add("GET", path, functools.partial(handler, path))
    return result


def found(router: Router, path: str) -> tuple[str, tuple[str, ...]] | None:
    match = router.find(path[1:].split("/"))
    return match and (match.routes["GET"].handler.args[0], match.values)


def test_a_literal_path_is_found_and_no_other():
    r = router("/", "/page", "/page/list/")
    assert found(r, "/") == ("/", ())
    assert found(r, "/page") == ("/page", ())
    assert found(r, "/page/list/") == ("/page/list/", ())
    for path in ("/page/", "/page/list", "/Page", "/other", "/page/list/more", "//"):
        assert found(r, path) is None


def test_a_parameter_stands_for_one_whole_segment():
    r = router("/page/{name}", "/page/{name}/edit/{field}")
    assert found(r, "/page/home") == ("/page/{name}", ("home",))
    assert found(r, "/page/home/edit/title") == ("/page/{name}/edit/{field}", ("home", "title"))
    assert found(r, "/page/home/edit") is None


def test_a_parameter_never_stands_for_nothing():
    r = router("/page/{name}", "/{set}/all")
    assert found(r, "/page/") is None
    assert found(r, "//all") is None


def test_a_segment_with_a_slash_in_it_is_one_segment():
    match = router("/page/{name}").find(["page", "a/b"])
    assert match is not None
    assert match.values == ("a/b",)


def test_a_literal_beats_a_parameter():
    r = router("/page/{name}", "/page/new", "/{set}/new")
    assert found(r, "/page/new") == ("/page/new", ())
    assert found(r, "/shop/new") == ("/{set}/new", ("shop",))


def test_a_dead_end_behind_a_literal_leads_back_to_the_parameter():
    r = router("/page/new/draft", "/page/{name}/edit", "/{set}/{name}/print")
    assert found(r, "/page/new/edit") == ("/page/{name}/edit", ("new",))
    assert found(r, "/page/new/print") == ("/{set}/{name}/print", ("page", "new"))
    assert found(r, "/page/new/burn") is None


def test_methods_of_one_path_may_name_its_parameters_differently():
    r = Router()
    r.add("GET", "/page/{name}", handler)
    r.add("PUT", "/page/{key}", handler)
    match = r.find(["page", "home"])
    assert match is not None
    assert {method: route.names for method, route in match.routes.items()} == {
        "GET": ("name",),
        "PUT": ("key",),
    }


def test_the_path_decides_before_the_method():
    r = Router()
    r.add("GET", "/page/new", handler)
    r.add("POST", "/page/{name}", handler)
    match = r.find(["page", "new"])
    assert match is not None
    assert [*match.routes] == ["GET"]


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("page", "the route 'page' must start with /"),
        ("", "the route '' must start with /"),
        ("//page", "can never match"),
        ("/page//list", "can never match"),
        ("/page/../list", "can never match"),
        ("/page/.", "can never match"),
        ("/page-{name}", "parameter as a whole segment"),
        ("/{name}.html", "parameter as a whole segment"),
        ("/{}", "parameter as a whole segment"),
        ("/{two words}", "parameter as a whole segment"),
        ("/{class}", "parameter as a whole segment"),
        ("/{a}{b}", "parameter as a whole segment"),
        ("/{", "parameter as a whole segment"),
        ("/{a}/{a}", "two parameters 'a'"),
    ],
)
def test_a_route_that_cannot_be_used_is_refused_with_its_reason(path, complaint):
    with pytest.raises(RouteError) as caught:
        Router().add("GET", path, handler)
    assert complaint in str(caught.value)


def test_a_route_that_is_taken_names_the_handler_that_has_it():
    r = Router()
    r.add("GET", "/page/{name}", found)
    with pytest.raises(RouteError) as caught:
        r.add("GET", "/page/{key}", handler)
    assert str(caught.value) == (
        "GET /page/{key} is answered by found() in tests.worker.test_router already: remove one of the two"
    )


def test_a_handler_without_a_name_is_called_after_its_class():
    assert describe(functools.partial(handler)) == "partial() in functools"


SEGMENTS = st.sampled_from(["a", "b", "{x}", ""])
ROUTES = st.lists(st.lists(SEGMENTS, min_size=1, max_size=4), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4)


def usable(route: list[str]) -> str | None:
    if "" in route[:-1]:
        return None
    return "/" + "/".join(f"{{x{depth}}}" if s == "{x}" else s for depth, s in enumerate(route))


def matches(route: list[str], path: list[str]) -> bool:
    return len(route) == len(path) and all(
        s == p or (s[:1] == "{" and p) for s, p in zip(route, path, strict=True)
    )


@given(ROUTES, PATHS)
def test_the_tree_finds_what_trying_every_route_finds(routes, path):
    paths = [*dict.fromkeys(filter(None, map(usable, routes)))]
    candidates = [p for p in paths if matches(p[1:].split("/"), path)]
    best = min(candidates, key=lambda p: [s.startswith("{") for s in p[1:].split("/")], default=None)
    match: Match | None = router(*paths).find(path)
    assert (match and match.routes["GET"].handler.args[0]) == best


class CountingSegments(list[str]):
    """A path that counts how often one of its segments is looked at: once for each step of a search."""

    def __init__(self, *segments: str) -> None:
        super().__init__(segments)
        self.looks = 0

    def __getitem__(self, index):
        self.looks += 1
        return super().__getitem__(index)


def test_a_search_takes_a_step_for_each_segment_however_many_routes_there_are():
    r = router(*(f"/shop/section{n}/{{item}}" for n in range(1000)))
    path = CountingSegments("shop", "section777", "lamp")
    assert r.find(path) is not None
    assert path.looks == 3


def test_a_search_that_goes_back_visits_no_node_twice():
    names = [f"{bits:08b}" for bits in range(256)]
    r = router(
        *("/" + "/".join("a" if bit == "0" else f"{{p{i}}}" for i, bit in enumerate(bits)) for bits in names)
    )
    path = CountingSegments(*"aaaaaaaa", "none")
    assert r.find(path) is None
    assert path.looks == 2**9 - 1
