"""The table of messages, and what is said of one that does not match it."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import RemoteProtocolError
from protocol.messages import KINDS, REJECTIONS, SCHEMA, Side, check_message

EXAMPLES: dict[type, Any] = {int: 7, str: "x", bytes: b"x", bool: True, tuple: (), dict: {}}
FIELDS = [(number, index) for number, row in SCHEMA.items() for index in range(len(row.fields))]


def example(number: int) -> tuple[Any, ...]:
    return (number, *(EXAMPLES[kind] for _, kind in SCHEMA[number].fields))


@pytest.mark.parametrize("number", SCHEMA)
def test_a_message_that_matches_its_row_is_known_by_its_number(number: int) -> None:
    assert check_message(example(number)) == number


@pytest.mark.parametrize(("number", "index"), FIELDS)
def test_each_field_must_have_its_type(number: int, index: int) -> None:
    row = SCHEMA[number]
    name, kind = row.fields[index]
    for other, value in EXAMPLES.items():
        if other is kind:
            continue
        message = list(example(number))
        message[index + 1] = value
        with pytest.raises(RemoteProtocolError) as caught:
            check_message(tuple(message))
        assert str(caught.value) == f"{row.name}.{name} is {KINDS[other]}, not {KINDS[kind]}"


@pytest.mark.parametrize("value", [None, 1.0, float("nan"), object()])
def test_a_field_of_a_type_that_no_message_has_is_refused(value: object) -> None:
    with pytest.raises(
        RemoteProtocolError, match=r"^cancel\.exchange is a float, nil or an extension, not int$"
    ):
        check_message((20, value))


@pytest.mark.parametrize("number", SCHEMA)
def test_a_message_has_all_its_fields_and_no_more(number: int) -> None:
    message = example(number)
    for wrong in (message[:-1], (*message, 1)):
        if not wrong:
            continue
        with pytest.raises(RemoteProtocolError) as caught:
            check_message(wrong)
        row = SCHEMA[number]
        assert str(caught.value) == f"{row.name} has {len(row.fields)} fields, not {len(wrong) - 1}"


@pytest.mark.parametrize("number", [0, -1, 7, 15, 23, 2**64 - 1])
def test_an_unknown_type_is_refused(number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^unknown message type {number}$"):
        check_message((number,))


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("5", "str"),
        (b"5", "bin"),
        (True, "bool"),
        ((), "array"),
        ({}, "map"),
        (5.0, "a float, nil or an extension"),
    ],
)
def test_a_type_that_is_not_an_integer_is_refused(first: object, kind: str) -> None:
    with pytest.raises(
        RemoteProtocolError, match=f"^a message starts with {kind}, not with the int of its type$"
    ):
        check_message((first,))


def test_arrays_nested_deeper_than_python_can_print_are_refused_like_others() -> None:
    nested: Any = ()
    for _ in range(5000):
        nested = (nested,)
    with pytest.raises(RemoteProtocolError):
        check_message((nested,))
    with pytest.raises(RemoteProtocolError):
        check_message((20, nested))


def test_names_and_numbers_are_unique_and_the_sides_have_ranges_of_their_own() -> None:
    names = [row.name for row in SCHEMA.values()]
    assert len(set(names)) == len(names)
    assert {number for number, row in SCHEMA.items() if row.side is Side.DISPATCHER} == {*range(16, 23)}
    assert {number for number, row in SCHEMA.items() if row.side is not Side.DISPATCHER} == {*range(1, 7)}


def test_a_message_with_an_exchange_names_it_first() -> None:
    assert [
        row.name for row in SCHEMA.values() if any(name == "exchange" for name, _ in row.fields[1:])
    ] == []


def test_rejections_are_codes_with_a_meaning() -> None:
    assert list(REJECTIONS) == ["version", "proof", "registration", "draining", "fenced"]
    assert all(REJECTIONS.values())
