from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.patterns import read_pattern
from worker.tree import Match, Node


def tree(*patterns: str) -> Node[str, str]:
    """Return a tree with routes; a pattern that ends in * is a mount, and one in /* the mount of a folder."""
    root: Node[str, str] = Node()
    for text in patterns:
        if text.endswith("*"):
            path = text.removesuffix("*").removesuffix("/")
            node = root.reach(read_pattern(path).segments if path else ())
            node.mount, node.is_folder = text, text.endswith("/*")
        else:
            root.reach(read_pattern(text).segments).routes["GET"] = text
    return root


def found(root: Node[str, str], path: str) -> tuple[str, tuple] | None:
    match = root.find(path[1:].split("/"))
    return match and (match.routes.get("GET") or match.mount or "add a slash", match.values)


def test_a_literal_path_is_found_and_no_other():
    root = tree("/", "/page", "/page/list/")
    assert found(root, "/") == ("/", ())
    assert found(root, "/page") == ("/page", ())
    assert found(root, "/page/list/") == ("/page/list/", ())
    for path in ("/page/", "/Page", "/other", "/page/list/more", "//"):
        assert found(root, path) is None


def test_a_parameter_stands_for_one_whole_segment():
    root = tree("/page/{name}", "/page/{name}/edit/{field}")
    assert found(root, "/page/home") == ("/page/{name}", ("home",))
    assert found(root, "/page/home/edit/title") == ("/page/{name}/edit/{field}", ("home", "title"))
    assert found(root, "/page/home/edit") is None


def test_a_parameter_never_stands_for_nothing():
    root = tree("/page/{name}", "/{set}/all", "/file/{path:rest}")
    assert found(root, "/page/") is None
    assert found(root, "//all") is None
    assert found(root, "/file/") is None
    assert found(root, "/file") is None


def test_a_segment_with_a_slash_in_it_is_one_segment():
    match = tree("/page/{name}").find(["page", "a/b"])
    assert match is not None
    assert match.values == ("a/b",)


def test_a_literal_beats_a_parameter():
    root = tree("/page/{name}", "/page/new", "/{set}/new")
    assert found(root, "/page/new") == ("/page/new", ())
    assert found(root, "/shop/new") == ("/{set}/new", ("shop",))


def test_a_parameter_of_a_kind_beats_one_for_any_text_and_that_beats_the_rest():
    root = tree("/{path:rest}", "/{name}", "/{id:int}", "/today")
    assert found(root, "/today") == ("/today", ())
    assert found(root, "/7") == ("/{id:int}", (7,))
    assert found(root, "/seven") == ("/{name}", ("seven",))
    assert found(root, "/seven/eight/") == ("/{path:rest}", ("seven/eight/",))


def test_a_dead_end_behind_a_literal_leads_back_to_the_parameter():
    root = tree("/page/new/draft", "/page/{name}/edit", "/{set}/{name}/print", "/{id:int}/x", "/{set}/y")
    assert found(root, "/page/new/edit") == ("/page/{name}/edit", ("new",))
    assert found(root, "/page/new/print") == ("/{set}/{name}/print", ("page", "new"))
    assert found(root, "/7/x") == ("/{id:int}/x", (7,))
    assert found(root, "/7/y") == ("/{set}/y", ("7",))
    assert found(root, "/page/new/burn") is None


def test_a_mount_takes_its_path_and_everything_below_that_nothing_else_takes():
    root = tree("/blog*", "/blog/about", "/blog/{name}/edit")
    assert found(root, "/blog") == ("/blog*", ())
    assert found(root, "/blog/") == ("/blog*", ())
    assert found(root, "/blog/2024/june") == ("/blog*", ())
    assert found(root, "/blog/about") == ("/blog/about", ())
    assert found(root, "/blog/about/us") == ("/blog*", ())
    assert found(root, "/blog/home/edit") == ("/blog/{name}/edit", ("home",))
    assert found(root, "/blogs") is None


def test_the_deepest_mount_wins():
    root = tree("*", "/a*", "/a/b*", "/{x}/c/d*")
    assert found(root, "/") == ("*", ())
    assert found(root, "/z") == ("*", ())
    assert found(root, "/a/z") == ("/a*", ())
    assert found(root, "/a/b/z") == ("/a/b*", ())
    assert found(root, "/z/c/d/e") == ("/{x}/c/d*", ("z",))
    assert found(root, "/z/c/e") == ("*", ())


def test_a_literal_beats_a_parameter_above_mounts_too():
    root = tree("/en*", "/{lang}/docs*")
    assert found(root, "/en/docs/x") == ("/en*", ())
    assert found(root, "/de/docs/x") == ("/{lang}/docs*", ("de",))


def test_a_match_says_how_deep_it_is():
    root = tree("/{a}/b*")
    match = root.find(["x", "b", "c", "d"])
    assert match == Match({}, "/{a}/b*", ("x",), 2)


def test_a_folder_without_its_slash_is_found_as_one_that_lacks_it():
    root = tree("/list/", "/blog/*", "/task/{id:int}/", "/both", "/both/")
    for path in ("/list", "/blog", "/task/7"):
        match = root.find(path[1:].split("/"))
        assert match is not None
        assert (match.routes, match.mount) == ({}, None)
    assert found(root, "/blog/") == ("/blog/*", ())
    assert found(root, "/blog/x") == ("/blog/*", ())
    assert found(root, "/both") == ("/both", ())
    assert found(root, "/both/") == ("/both/", ())
    assert found(root, "/task/seven") is None


def test_routes_are_visited_in_the_order_in_which_they_would_be_found():
    patterns = ("/b", "/", "/{path:rest}", "/{name}/x", "/a/b", "/a", "/{day:date}", "/a*", "/a/b/", "*")
    assert [*tree(*patterns).visit()] == [
        "/",
        "/a",
        "/a/b",
        "/a/b/",
        "/a*",
        "/b",
        "/{day:date}",
        "/{name}/x",
        "/{path:rest}",
        "*",
    ]


# ── Against trying every pattern ─────────────────────────────────────────────────────────────────────

SEGMENTS = st.sampled_from(["a", "b", "7", "{x}", "{x:int}", "{x:rest}", ""])
PATTERNS = st.lists(st.lists(SEGMENTS, min_size=1, max_size=4), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b", "7", "c", ""]), min_size=1, max_size=4)
RANKS = {"{x:int}": 1, "{x}": 2, "{x:rest}": 3}


def usable(segments: list[str]) -> bool:
    return "" not in segments[:-1] and "{x:rest}" not in segments[:-1]


def written(segments: list[str]) -> str:
    return "/" + "/".join(
        s.replace("x", f"x{depth}", 1) if s[:1] == "{" else s for depth, s in enumerate(segments)
    )


def matches(segments: list[str], path: list[str]) -> bool:
    if segments[-1] == "{x:rest}":
        rest = path[len(segments) - 1 :]
        return any(rest) or len(rest) > 1 if matches_each(segments[:-1], path) else False
    return len(segments) == len(path) and matches_each(segments, path)


def matches_each(segments: list[str], path: list[str]) -> bool:
    if len(path) < len(segments):
        return False
    return all(
        (part == "7") if s == "{x:int}" else bool(part) if s == "{x}" else s == part
        for s, part in zip(segments, path, strict=False)
    )


@given(PATTERNS, PATHS)
def test_the_tree_finds_what_trying_every_pattern_finds(patterns, path):
    patterns = [*filter(usable, patterns)]
    ranks = {written(s): [RANKS.get(segment, 0) for segment in s] for s in patterns}
    candidates = [written(s) for s in patterns if matches(s, path)]
    match = tree(*map(written, patterns)).find(path)
    if match is None:
        assert candidates == []
    elif match.routes:
        assert match.routes["GET"] in candidates
        assert ranks[match.routes["GET"]] == min(ranks[text] for text in candidates)
    else:  # a folder whose slash is missing
        assert any(matches(s, [*path, ""]) for s in patterns)


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────────


class CountingSegments(list[str]):
    """A path that counts how often one of its segments is looked at: once for each step of a search."""

    def __init__(self, *segments: str) -> None:
        super().__init__(segments)
        self.looks = 0

    def __getitem__(self, index):
        self.looks += 1
        return super().__getitem__(index)


def steps(root: Node[str, str], *segments: str) -> int:
    path = CountingSegments(*segments)
    assert root.find(path) is not None
    return path.looks


def test_a_search_takes_a_step_for_each_segment_however_many_routes_there_are():
    for size in (10, 10_000):
        root = tree(*(f"/shop/section{n}/{{item}}" for n in range(size)))
        assert steps(root, "shop", f"section{size - 3}", "lamp") == 3


def test_a_search_takes_as_many_steps_as_the_deepest_pattern_has_segments_however_long_the_path_is():
    root = tree("*", "/a/b/c")
    assert steps(root, "a", "b", *["x"] * 10_000) == 3
    assert steps(root, *["x"] * 10_000) == 1


def test_a_search_that_goes_back_visits_no_node_twice():
    names = [f"{bits:08b}" for bits in range(256)]
    root = tree(
        *("/" + "/".join("a" if bit == "0" else f"{{p{i}}}" for i, bit in enumerate(bits)) for bits in names)
    )
    path = CountingSegments(*"aaaaaaaa", "none")
    assert root.find(path) is None
    assert path.looks == 2**9 - 1
