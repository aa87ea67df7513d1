from __future__ import annotations

from datetime import date, datetime
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RouteError
from worker.patterns import KINDS, Parameter, read_pattern

INT, DATE, UUID_, STR, REST = (KINDS[name] for name in ("int", "date", "uuid", "str", "rest"))


def complaint(text: str) -> str:
    with pytest.raises(RouteError) as caught:
        read_pattern(text)
    return str(caught.value)


def test_a_pattern_is_literals_and_parameters():
    pattern = read_pattern("/page/{name}/{id:int}/{path:rest}")
    assert pattern.segments == (
        "page",
        Parameter("name", STR),
        Parameter("id", INT),
        Parameter("path", REST),
    )
    assert pattern.names == ("name", "id", "path")
    assert pattern.query == ()


def test_the_query_of_a_pattern_names_fields():
    pattern = read_pattern("/hello/{name}?{word}&{times:int}")
    assert pattern.segments == ("hello", Parameter("name", STR))
    assert [(name, kind.name) for name, kind in pattern.query] == [("word", "str"), ("times", "int")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("page", "the route 'page' must start with /"),
        ("", "the route '' must start with /"),
        ("//page", "can never match"),
        ("/caf%C3%A9", "must be written as people read it: /café"),
        ("/page//list", "can never match"),
        ("/page/../list", "can never match"),
        ("/page/.", "can never match"),
        ("/page-{name}", "parameter as a whole segment"),
        ("/{name}.html", "parameter as a whole segment"),
        ("/{}", "parameter as a whole segment"),
        ("/{:int}", "parameter as a whole segment"),
        ("/{two words}", "parameter as a whole segment"),
        ("/{class}", "parameter as a whole segment"),
        ("/{a}{b}", "parameter as a whole segment"),
        ("/{", "parameter as a whole segment"),
        ("/{a}/{a}", "two parameters 'a'"),
        ("/{a}?{a}", "two parameters 'a'"),
        ("/{a:integer}", "of no known kind: choose one of int, date, uuid, str, rest"),
        ("/{a:}", "of no known kind"),
        ("/{a:rest}/b", "must have a, its rest, at the end of the path"),
        ("/{a:rest}/", "must have a, its rest, at the end of the path"),
        ("/x?{a:rest}", "must have a, its rest, at the end of the path"),
        ("/x?a", "must have its fields written as in ?{word}&{page:int}"),
        ("/x?{a}&", "must have its fields written as in ?{word}&{page:int}"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_its_reason(text, expected):
    assert expected in complaint(text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INT, "0", 0),
        (INT, "7", 7),
        (INT, "9" * 18, 10**18 - 1),
        (DATE, "2024-02-29", date(2024, 2, 29)),
        (UUID_, "123e4567-e89b-12d3-a456-426614174000", UUID(int=0x123E4567E89B12D3A456426614174000)),
        (UUID_, "123E4567-E89B-12D3-A456-426614174000", UUID(int=0x123E4567E89B12D3A456426614174000)),
        (STR, "a b/c", "a b/c"),
        (REST, "a/b", "a/b"),
    ],
)
def test_a_kind_reads_what_is_of_it(kind, text, value):
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (INT, ""),
        (INT, "-1"),
        (INT, "+1"),
        (INT, "007"),
        (INT, "1.0"),
        (INT, "1_000"),
        (INT, " 1"),
        (INT, "٣"),
        (INT, "9" * 19),
        (INT, "9" * 5000),
        (DATE, "2023-02-29"),
        (DATE, "20240229"),
        (DATE, "2024-W09-4"),
        (DATE, "2024-2-9"),
        (DATE, "0000-01-01"),
        (DATE, "٢٠٢٤-٠٢-٢٩"),
        (UUID_, "123e4567e89b12d3a456426614174000"),
        (UUID_, "{123e4567-e89b-12d3-a456-426614174000}"),
        (UUID_, "urn:uuid:123e4567-e89b-12d3-a456-426614174000"),
        (UUID_, "123e4567-e89b-12d3-a456-42661417400\u017f"),
        (STR, ""),
        (REST, ""),
    ],
)
def test_a_kind_does_not_read_anything_else(kind, text):
    assert kind.read(text) is None


@given(st.sampled_from([INT, DATE, UUID_]), st.text() | st.from_regex(r"[-0-9a-f]{0,40}", fullmatch=True))
def test_what_is_read_has_one_spelling_save_for_capitals(kind, text):
    value = kind.read(text)
    assert value is None or str(value) == text.lower()


def test_no_text_is_of_two_kinds():
    for text in ("7", "2024-02-29", "123e4567-e89b-12d3-a456-426614174000"):
        assert sum(kind.read(text) is not None for kind in (INT, DATE, UUID_)) == 1


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("/", {}, "/"),
        ("/list/", {}, "/list/"),
        ("/café/{name}", {"name": "a b"}, "/caf%C3%A9/a%20b"),
        ("/{name}", {"name": "a/b?c#d%"}, "/a%2Fb%3Fc%23d%25"),
        ("/{name}", {"name": "it's:(ok)@~"}, "/it's:(ok)@~"),
        ("/{path:rest}", {"path": "a b/c/"}, "/a%20b/c/"),
        ("/{id:int}/{day:date}", {"id": 7, "day": date(2024, 2, 29)}, "/7/2024-02-29"),
        ("/{id:int}", {"id": "7"}, "/7"),
        ("/{key:uuid}", {"key": UUID(int=1)}, "/00000000-0000-0000-0000-000000000001"),
        ("/{name}", {"name": "\ud800"}, "/%3F"),
    ],
)
def test_a_path_is_written_with_its_values(text, values, expected):
    assert read_pattern(text).write(values) == expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("/{name}", {}, "/{name} needs a value for name"),
        ("/{name}", {"name": ""}, "name in /{name} must be text that is not empty, not ''"),
        ("/{name}", {"name": ".."}, "name in /{name} cannot be '..': no request has such a path"),
        ("/{path:rest}", {"path": "a/../b"}, "no request has such a path"),
        ("/{path:rest}", {"path": "/a"}, "no request has such a path"),
        ("/{path:rest}", {"path": "a//b"}, "no request has such a path"),
        ("/{id:int}", {"id": -1}, "id in /{id:int} must be a whole number, not -1"),
        ("/{id:int}", {"id": True}, "must be a whole number"),
        ("/{id:int}", {"id": None}, "must be a whole number"),
        ("/{day:date}", {"day": datetime(2024, 1, 1)}, "must be a date"),
    ],
)
def test_a_value_that_cannot_stand_there_is_refused(text, values, expected):
    with pytest.raises(RouteError) as caught:
        read_pattern(text).write(values)
    assert expected in str(caught.value)


def test_a_query_is_written_with_the_fields_that_are_given():
    pattern = read_pattern("/x?{word}&{page:int}")
    assert pattern.write_query({}) == ""
    assert pattern.write_query({"page": 2}) == "?page=2"
    assert pattern.write_query({"page": 2, "word": "a b&c"}) == "?word=a+b%26c&page=2"
    assert pattern.write_query({"word": ""}) == "?word="
    with pytest.raises(RouteError, match=r"page in .* must be a whole number"):
        pattern.write_query({"page": "two"})


@given(st.text(min_size=1))
def test_a_text_comes_back_as_it_was_written(text):
    if text in {".", ".."} or not text.isprintable():
        return
    assert unquote(read_pattern("/{name}").write({"name": text})[1:]) == text


def test_a_folder_has_patterns_below_it():
    below = read_pattern("/task/{id:int}/?{back}").below("finish")
    assert below.text == "/task/{id:int}/finish?{back}"
    assert below.write({"id": 7}) == "/task/7/finish"
