from __future__ import annotations

import pytest

from worker.errors import MissingFieldError
from worker.fields import Fields, Headers, Many


def test_fields_keep_order_and_all_values():
    fields = Fields([("b", "1"), ("a", "2"), ("b", "3")])
    assert [*fields.items()] == [("b", "1"), ("a", "2")]
    assert fields.getlist("b") == ["1", "3"]
    assert (len(fields), "a" in fields, "A" in fields) == (2, True, False)


def test_a_list_of_values_may_be_changed_without_changing_the_fields():
    fields = Fields([("a", "1")])
    fields.getlist("a").append("2")
    assert fields.getlist("a") == ["1"]


def test_no_fields_are_false():
    assert not Fields()


def test_a_missing_field_names_itself_to_the_programmer_only():
    with pytest.raises(MissingFieldError) as caught:
        Fields()["secret"]
    assert caught.value.name == "secret"
    assert "secret" not in caught.value.sentence


def test_what_may_be_missing_has_a_default():
    fields = Fields([("a", "1")])
    assert (fields.get("a"), fields.get("b"), fields.get("b", ""), fields.get("b", default=2)) == (
        "1",
        None,
        "",
        2,
    )
    assert 5 not in fields


def test_many_values_may_be_of_any_type():
    many = Many([("a", 1), ("b", 2), ("a", 3)])
    assert (many["a"], many.getlist("a"), many.get("c")) == (1, [1, 3], None)
    assert repr(many) == "<Many a, b>"


def test_headers_have_names_in_any_case_and_joined_values():
    headers = Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("ETag", "x")])
    assert headers["SET-COOKIE"] == "a=1, b=2"
    assert headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert headers["etag"] == "x"
    assert "Etag" in headers
    assert repr(headers) == "<Headers set-cookie, etag>"
