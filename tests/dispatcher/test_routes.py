"""Which application serves which path of which host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.routes import Routes
from protocol.paths import prefixes
from protocol.registration import Claim, RegistrationError
from tests.dispatcher.fakes import an_application
from tests.dispatcher.steps import count_steps

if TYPE_CHECKING:
    from dispatcher.broker import ApplicationQueue


def routes_for(*claims: tuple[str, str, str]) -> Routes:
    """Return routes where each claim's application serves it."""
    routes = Routes()
    for claim in claims:
        routes.add(Claim(*claim), an_application(claim[0]))
    return routes


def name_of(queue: ApplicationQueue | None) -> str | None:
    return None if queue is None else queue.name


def find(routes: Routes, path: str, host: str = "site") -> str | None:
    """Return the name of the application that serves a path."""
    return name_of(routes.find(host, path))


# ── Paths ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/shop", "shop"),
        ("/shop/", "shop"),
        ("/shop/list/all", "shop"),
        ("/shop/cart", "cart"),
        ("/shop/cart/7", "cart"),
        ("/shop//cart", "shop"),
    ],
)
def test_the_longest_path_wins(path: str, name: str) -> None:
    assert find(routes_for(("shop", "", "/shop"), ("cart", "", "/shop/cart")), path) == name


@pytest.mark.parametrize("path", ["/shopping", "/shop.html", "/sho", "/Shop", "/", "", "/other/shop"])
def test_a_path_ends_at_a_slash(path: str) -> None:
    assert find(routes_for(("shop", "", "/shop")), path) is None


@pytest.mark.parametrize("path", ["/", "", "//", "/anything", "/any/thing/", "*", "/ünïcode"])
def test_the_root_serves_what_nobody_else_does(path: str) -> None:
    routes = routes_for(("everything", "", "/"), ("shop", "", "/shop"))
    assert find(routes, path) == "everything"
    assert find(routes, "/shop/cart") == "shop"


def test_where_nothing_is_registered_nothing_is_found() -> None:
    assert find(Routes(), "/shop") is None


def test_an_application_may_serve_several_paths() -> None:
    routes = routes_for(("shop", "", "/shop"), ("shop", "", "/boutique"))
    assert [find(routes, "/shop"), find(routes, "/boutique/7")] == ["shop", "shop"]


# ── Hosts ────────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_on_a_host_is_for_that_host_only() -> None:
    routes = routes_for(("blog", "blog.example", "/"))
    assert find(routes, "/2026", "blog.example") == "blog"
    assert find(routes, "/2026", "shop.example") is None


def test_a_claim_without_a_host_is_for_all_of_them() -> None:
    routes = routes_for(("shop", "", "/shop"), ("blog", "blog.example", "/blog"))
    assert find(routes, "/shop", "blog.example") == "shop"
    assert find(routes, "/shop", "") == "shop"


def test_of_two_equally_long_paths_the_one_for_this_host_wins() -> None:
    routes = routes_for(("shop", "", "/shop"), ("boutique", "paris.example", "/shop"))
    assert find(routes, "/shop/7", "paris.example") == "boutique"
    assert find(routes, "/shop/7", "london.example") == "shop"


def test_a_longer_path_for_any_host_wins_over_a_shorter_one_for_this_host() -> None:
    routes = routes_for(("cart", "", "/shop/cart"), ("boutique", "paris.example", "/shop"))
    assert find(routes, "/shop/cart/7", "paris.example") == "cart"
    assert find(routes, "/shop/list", "paris.example") == "boutique"


# ── Conflicts ────────────────────────────────────────────────────────────────────────────────────


# ── Suffixes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/page.ks", ".ks"),
        ("/deep/down/page.ks", ".ks"),
        ("/a.b.ks", ".ks"),
        ("/shop/page.ks", ".ks"),
        ("/archive.tar.ks", ".tar.ks"),
        ("/page.ksx", "shop"),
        ("/page.ks/more", "shop"),
        ("/.ks", ".ks"),
        ("/ks", "shop"),
    ],
)
def test_a_suffix_wins_over_paths_and_the_longest_one_over_others(path: str, name: str) -> None:
    routes = routes_for((".ks", "", ".ks"), (".tar.ks", "", ".tar.ks"), ("shop", "", "/"))
    assert find(routes, path) == name


def test_a_suffix_may_be_limited_to_a_host_and_be_removed() -> None:
    routes = routes_for((".ks", "site", ".ks"))
    assert [find(routes, "/page.ks", host) for host in ("site", "other")] == [".ks", None]
    routes.remove([Claim(".ks", "site", ".ks")])
    assert find(routes, "/page.ks") is None


@pytest.mark.parametrize(
    ("host", "path", "losers"),
    [
        ("", "/shop/cart", {"boutique", "shop", "paris"}),
        ("", "/shop", {"shop", "paris"}),
        ("", "/about", {"paris"}),
        ("", "/", set()),
        ("paris.example", "/about", {"paris"}),
        ("paris.example", "/shop", {"shop", "paris"}),
        ("rome.example", "/shop", {"shop"}),
        ("rome.example", "/about", set()),
        ("", ".ks", {"boutique", "shop", "paris"}),
        ("rome.example", ".ks", {"shop"}),
    ],
)
def test_a_claim_takes_requests_from_those_that_serve_what_is_above_it(
    host: str, path: str, losers: set[str]
) -> None:
    routes = routes_for(
        ("shop", "", "/shop"), ("boutique", "paris.example", "/shop"), ("paris", "paris.example", "/")
    )
    assert {queue.name for queue in routes.losers(Claim("new", host, path))} - {"new"} == losers


def test_a_path_belongs_to_one_application() -> None:
    routes = routes_for(("shop", "", "/shop"))
    with pytest.raises(RegistrationError) as caught:
        routes.add(Claim("boutique", "", "/shop"), an_application("boutique"))
    assert str(caught.value) == ("/shop is served by the application shop: choose another path for boutique")
    assert find(routes, "/shop") == "shop"


def test_a_conflict_on_a_host_names_the_host() -> None:
    routes = routes_for(("shop", "paris.example", "/"))
    with pytest.raises(RegistrationError, match=r"^/ on paris\.example is served by the application shop"):
        routes.check(Claim("boutique", "paris.example", "/"), "boutique")


def test_the_same_path_on_another_host_is_no_conflict() -> None:
    routes = routes_for(("shop", "", "/shop"), ("boutique", "paris.example", "/shop"))
    routes.check(Claim("magasin", "lyon.example", "/shop"), "magasin")


def test_an_application_may_claim_its_own_path_again() -> None:
    routes = routes_for(("shop", "", "/shop"))
    anew = an_application("shop")
    routes.add(Claim("shop", "", "/shop"), anew)
    assert routes.find("site", "/shop") is anew


# ── Removal ──────────────────────────────────────────────────────────────────────────────────────


def test_a_removed_path_falls_to_the_next_shorter_one() -> None:
    routes = routes_for(("shop", "", "/shop"), ("cart", "", "/shop/cart"))
    routes.remove([Claim("cart", "", "/shop/cart")])
    assert find(routes, "/shop/cart") == "shop"


def test_a_removed_path_may_be_claimed_by_another_application() -> None:
    routes = routes_for(("shop", "paris.example", "/"), ("everything", "", "/"))
    routes.remove([Claim("shop", "paris.example", "/"), Claim("everything", "", "/")])
    assert find(routes, "/", "paris.example") is None
    routes.add(Claim("boutique", "paris.example", "/"), an_application("boutique"))
    assert find(routes, "/", "paris.example") == "boutique"


def test_a_host_stays_while_another_application_is_on_it() -> None:
    routes = routes_for(("shop", "paris.example", "/shop"), ("blog", "paris.example", "/blog"))
    routes.remove([Claim("shop", "paris.example", "/shop")])
    assert find(routes, "/blog", "paris.example") == "blog"
    assert find(routes, "/shop", "paris.example") is None


# ── All paths, and what they cost ────────────────────────────────────────────────────────────────

PATHS = st.text(alphabet="/ab", max_size=8).map(lambda text: f"/{text}")
PLAIN_PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
HOSTS = st.sampled_from(["", "paris", "lyon"])


@given(claims=st.sets(st.tuples(HOSTS, PLAIN_PATHS), max_size=8), host=HOSTS, path=PATHS)
def test_a_path_is_served_by_its_longest_registered_prefix(
    claims: set[tuple[str, str]], host: str, path: str
) -> None:
    routes = routes_for(*((f"{on}{where}", on, where) for on, where in claims))
    candidates = [(on, prefix) for prefix in prefixes(path) for on in (host, "")]
    assert find(routes, path, host) == next((on + at for on, at in candidates if (on, at) in claims), None)


@pytest.mark.parametrize("path", ["/shop-000/cart", "/nothing/here"])
def test_a_lookup_costs_the_same_for_one_application_as_for_a_thousand(path: str) -> None:
    few = routes_for(("shop", "", "/shop-000"))
    many = routes_for(*((f"shop {number}", "", f"/shop-{number:03}") for number in range(1000)))
    assert count_steps(lambda: many.find("site", path)) == count_steps(lambda: few.find("site", path))


@pytest.mark.parametrize("path", ["/b" * 4000, "/" * 8000, "b" * 8000])
def test_a_lookup_does_not_go_through_every_component_of_a_hostile_path(path: str) -> None:
    routes = routes_for(("shop", "", "/a/a"))
    plain = count_steps(lambda: routes.find("site", "/a/a/cart"))
    assert count_steps(lambda: routes.find("site", path)) <= 5 * plain
