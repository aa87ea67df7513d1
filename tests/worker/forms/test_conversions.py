from __future__ import annotations

from datetime import date, datetime
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.forms import (
    Choice,
    Conversion,
    Date,
    EnumChoice,
    FormError,
    Integer,
    ListOf,
    Nullable,
    Option,
    Text,
)
from worker.forms.conversions import YesOrNo


class State(Enum):
    OPEN = 1
    IN_HAND = 2


STATE = EnumChoice(State)
KIND = Choice({1: "One", 2: "Two"})


@pytest.mark.parametrize(
    ("conversion", "text", "value"),
    [
        (Text(), "a", "a"),
        (Text(), " a ", " a "),
        (Text(3), "ééé", "ééé"),
        (Text(3), "😀😀😀", "😀😀😀"),
        (Text(3, least=3), "abc", "abc"),
        (Text(least=0), "", ""),
        (Text(least=0), "  ", "  "),
        (Integer(), "0", 0),
        (Integer(), "-12", -12),
        (Integer(), "+7", 7),
        (Integer(), "007", 7),
        (Integer(), "9" * 18, 10**18 - 1),
        (Integer(1, 3), "1", 1),
        (Integer(1, 3), "3", 3),
        (Date(), "2024-02-29", date(2024, 2, 29)),
        (Date(), "0001-01-01", date(1, 1, 1)),
        (Date(date(2024, 1, 1), date(2024, 1, 2)), "2024-01-01", date(2024, 1, 1)),
        (Date(date(2024, 1, 1), date(2024, 1, 2)), "2024-01-02", date(2024, 1, 2)),
        (KIND, "2", 2),
        (Choice(["a", "b"]), "b", "b"),
        (STATE, "IN_HAND", State.IN_HAND),
        (YesOrNo(), "yes", True),
        (YesOrNo(), "", False),
        (Nullable(Text()), "", None),
        (Nullable(Text()), " \t\n", None),
        (Nullable(Text()), "x", "x"),
        (Nullable(Integer()), "", None),
        (Nullable(Integer()), "5", 5),
        (Nullable(Date()), "", None),
        (Nullable(STATE), "", None),
        (Nullable(STATE), "OPEN", State.OPEN),
        (ListOf(Text()), "", []),
        (ListOf(Text()), "a\n\n  b c \n", ["a", "b c"]),
        (ListOf(Integer(), 1, 3), "1\n2\n2", [1, 2, 2]),
        (ListOf(STATE), "OPEN\nOPEN", [State.OPEN, State.OPEN]),
    ],
)
def test_good_text_becomes_a_value(conversion, text, value):
    assert conversion.read(text) == value


@pytest.mark.parametrize(
    ("conversion", "text", "sentence"),
    [
        (Text(), "", "Please fill this in."),
        (Text(), " \n ", "Please fill this in."),
        (Text(3), "abcd", "Please write at most 3 characters; there are 4 now."),
        (Text(1), "ab", "Please write at most 1 character; there are 2 now."),
        (Text(least=2), "a", "Please write at least 2 characters."),
        (Integer(), "", "Please fill this in."),
        (Integer(), "1.5", "Please write a whole number, such as 12."),
        (Integer(), "1e3", "Please write a whole number, such as 12."),
        (Integer(), "1_000", "Please write a whole number, such as 12."),
        (Integer(), "0x1f", "Please write a whole number, such as 12."),
        (Integer(), "१२", "Please write a whole number, such as 12."),
        (Integer(), "1\n", "Please write a whole number, such as 12."),
        (Integer(), "9" * 19, "Please write a whole number, such as 12."),
        (Integer(1), "0", "This must be 1 or more."),
        (Integer(most=3), "4", "This must be 3 or less."),
        (Date(), "", "Please fill this in."),
        (Date(), "29.2.2024", "Please write a date as year-month-day, such as 2024-02-29."),
        (Date(), "2024-2-9", "Please write a date as year-month-day, such as 2024-02-29."),
        (Date(), "20240229", "Please write a date as year-month-day, such as 2024-02-29."),
        (Date(), "2024-W09-4", "Please write a date as year-month-day, such as 2024-02-29."),
        (Date(), "２０２４-02-29", "Please write a date as year-month-day, such as 2024-02-29."),  # noqa: RUF001 - digits that are not ASCII are the point
        (Date(), "2024-02-29T00:00", "Please write a date as year-month-day, such as 2024-02-29."),
        (Date(), "2024-02-29\n", "Please write a date as year-month-day, such as 2024-02-29."),
        (Date(), "2023-02-29", "There is no such day in the calendar."),
        (Date(), "0000-01-01", "There is no such day in the calendar."),
        (Date(date(2024, 1, 1)), "2023-12-31", "This must not be before 2024-01-01."),
        (Date(most=date(2024, 1, 1)), "2024-01-02", "This must not be after 2024-01-01."),
        (KIND, "", "Please choose one of the options."),
        (KIND, "3", "Please choose one of the options."),
        (KIND, "One", "Please choose one of the options."),
        (KIND, "1 ", "Please choose one of the options."),
        (STATE, "CLOSED", "Please choose one of the options."),
        (STATE, "open", "Please choose one of the options."),
        (STATE, "1", "Please choose one of the options."),
        (STATE, "__class__", "Please choose one of the options."),
        (YesOrNo(), "on", "Please tick this or leave it."),
        (Nullable(Integer()), "x", "Please write a whole number, such as 12."),
        (Nullable(STATE), "CLOSED", "Please choose one of the options."),
        (ListOf(Integer()), "1\n\nx", "Line 3: Please write a whole number, such as 12."),
        (ListOf(Text(), least=1), "\n", "Please give at least 1; there are none now."),
        (ListOf(Text(), most=1), "a\nb", "Please give at most 1; there are 2 now."),
        (ListOf(Text(), least=2), "a", "Please give at least 2; there is 1 now."),
    ],
)
def test_bad_text_is_refused_with_a_sentence(conversion, text, sentence):
    with pytest.raises(ValueError, match=r"\.$") as caught:
        conversion.read(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("conversion", "value", "text"),
    [
        (Text(), "a", "a"),
        (Integer(), -5, "-5"),
        (Date(), date(987, 6, 5), "0987-06-05"),
        (Date(), datetime(2024, 2, 29, 12, 30), "2024-02-29"),
        (KIND, 2, "2"),
        (STATE, State.OPEN, "OPEN"),
        (YesOrNo(), True, "yes"),
        (YesOrNo(), None, ""),
        (Nullable(Date()), None, ""),
        (Nullable(Date()), date(2024, 2, 29), "2024-02-29"),
        (ListOf(Integer()), [1, 2], "1\n2"),
        (ListOf(STATE), [State.OPEN, State.IN_HAND], "OPEN\nIN_HAND"),
    ],
)
def test_a_value_becomes_its_text(conversion, value, text):
    assert conversion.write(value) == text


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_numbers_survive_a_round_trip(number):
    assert Integer().read(Integer().write(number)) == number


@given(st.dates())
def test_days_survive_a_round_trip(day):
    assert Date().read(Date().write(day)) == day


@given(st.text())
def test_whatever_is_typed_is_read_or_refused_with_a_sentence(text):
    for conversion in (Text(5), Integer(), Date(), KIND, STATE, YesOrNo(), ListOf(Nullable(Date()))):
        try:
            conversion.read(text)
        except ValueError as error:
            assert str(error).endswith(".")  # noqa: PT017 - most texts are refused, not all


# ── Several values, each from a text of its own ──────────────────────────────────────────────────────


def test_several_options_are_a_list():
    assert ListOf(KIND).read_all(["2", "1"]) == [2, 1]
    assert ListOf(KIND).read_all([]) == []
    assert ListOf(KIND).write_all([2, 1]) == ["2", "1"]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["1", "1"], "Please choose each option only once."),
        (["1", "3"], "Please choose one of the options."),
        ([""], "Please choose one of the options."),
        ([], "Please give at least 1; there are none now."),
    ],
)
def test_options_that_were_not_offered_are_refused_in_a_list_too(texts, sentence):
    with pytest.raises(ValueError, match="Please") as caught:
        ListOf(KIND, least=1).read_all(texts)
    assert str(caught.value) == sentence


# ── Options ──────────────────────────────────────────────────────────────────────────────────────────


def test_options_have_a_value_a_text_and_a_label():
    assert KIND.options == (Option(1, "1", "One"), Option(2, "2", "Two"))
    assert Choice(["a"]).options == (Option("a", "a", "a"),)
    assert STATE.options == (Option(State.OPEN, "OPEN", "open"), Option(State.IN_HAND, "IN_HAND", "in hand"))


def test_the_members_of_an_enum_may_be_labelled():
    assert [option.label for option in EnumChoice(State, lambda state: f"<{state.value}>").options] == [
        "<1>",
        "<2>",
    ]


def test_options_may_depend_on_the_request():
    choice = Choice(lambda request: {request: "the request"})
    assert choice.bound_to("x").read("x") == "x"
    assert choice.bound_to("y").read("y") == "y"
    with pytest.raises(ValueError, match="one of the options"):
        choice.bound_to("x").read("y")


@pytest.mark.parametrize("wrap", [lambda choice: choice, Nullable, ListOf])
def test_options_of_the_request_come_through_what_is_around_them(wrap):
    bound = wrap(Choice(lambda request: [request])).bound_to("x")
    assert [option.text for option in bound.options] == ["x"]
    assert wrap(KIND).bound_to("x").options == KIND.options


def test_a_value_that_is_no_option_any_more_is_written_all_the_same():
    assert KIND.write(7) == "7"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Choice({1: "one", "1": "another"}), "two options of a choice have the same text"),
        (lambda: Choice(["", "a"]), "an option of a choice has no text"),
        (lambda: Choice("abc"), "'abc' is no list of options"),
        (lambda: Choice(State), "is no list of options: give .* an EnumChoice an Enum"),
        (lambda: Nullable(ListOf(Text())), "a list may be empty already"),
        (lambda: ListOf(ListOf(Text())), "a list cannot be listed"),
        (lambda: Nullable(Text), "is no conversion"),
        (lambda: ListOf("x"), "is no conversion"),
    ],
)
def test_what_could_never_work_is_refused_when_it_is_written(make, sentence):
    with pytest.raises(FormError, match=sentence):
        make()


def test_a_conversion_of_ones_own_has_to_read():
    with pytest.raises(NotImplementedError):
        Conversion().read("x")
    assert Conversion().write(5) == "5"
