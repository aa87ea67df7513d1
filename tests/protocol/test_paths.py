"""Which applications may serve a path, and what is left of it for them."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits, paths
from protocol.paths import decode_path, prefixes, split_path

PATHS = st.lists(st.sampled_from(["", "a", "shop", "*", "ä", "x" * 600]), max_size=6).map("/".join)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/shop/cart/7", ["/shop/cart/7", "/shop/cart", "/shop", "/"]),
        ("/shop/cart/", ["/shop/cart", "/shop", "/"]),
        ("/shopping", ["/shopping", "/"]),
        ("/", ["/"]),
        ("", ["/"]),
        ("///", ["/"]),
        ("*", ["*", "/"]),
        ("no-slash/x", ["no-slash/x", "no-slash", "/"]),
    ],
)
def test_the_longest_registered_path_is_tried_first(path: str, found: list[str]) -> None:
    assert list(prefixes(path)) == found


def test_paths_that_are_too_long_to_be_registered_are_not_tried() -> None:
    longest = "/" + "x" * (limits.PATH - 1)
    assert list(prefixes(longest)) == [longest, "/"]
    assert list(prefixes(longest + "/more")) == [longest, "/"]
    assert list(prefixes(longest + "x/more")) == ["/"]
    assert list(prefixes("/a" + longest)) == ["/a", "/"]


def test_a_target_of_slashes_costs_no_more_than_the_longest_path() -> None:
    assert sum(map(len, prefixes("/a" * 4096))) <= limits.PATH**2


@given(PATHS)
def test_every_prefix_ends_where_a_component_does(path: str) -> None:
    found = list(prefixes(path))
    assert found[-1] == "/"
    assert sorted(found, key=len, reverse=True) == found
    assert all(path.startswith(prefix) and path[len(prefix) :][:1] in {"", "/"} for prefix in found[:-1])
    assert all(len(prefix) <= limits.PATH for prefix in found)


@pytest.mark.parametrize(
    ("path", "prefix", "split"),
    [
        ("/shop/cart", "/shop", ("/shop", "/cart")),
        ("/shop", "/shop", ("/shop", "")),
        ("/shop/", "/shop", ("/shop", "/")),
        ("/cart", "/", ("", "/cart")),
        ("/", "/", ("", "/")),
    ],
)
def test_a_path_is_what_the_prefix_covers_and_the_rest(
    path: str, prefix: str, split: tuple[str, str]
) -> None:
    assert split_path(path, prefix) == split


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/shop/cart?item=7&next=/a", "/shop/cart"),
        (b"/caf%C3%A9", "/caf\xe9"),
        (b"/a%20b%2Fc%3Fd", "/a b/c?d"),
        (b"/%2e%2e/a", "/../a"),
        (b"/caf\xe9", "/caf\xe9"),
        (b"/caf%E9", "/caf\ufffd"),
        (b"/100%", "/100%"),
        (b"/%252e", "/%2e"),
        (b"/?", "/"),
        (b"*", "*"),
        (b"", ""),
    ],
)
def test_a_path_is_decoded_once_and_without_its_query(target: bytes, path: str) -> None:
    assert decode_path(target) == path


def test_the_examples_in_the_module_are_right() -> None:
    assert doctest.testmod(paths).failed == 0
