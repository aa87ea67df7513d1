from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.templates import Template
from worker.templates.filters import cents, thousands, write_date


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (-1000, "-1,000"),
        (1234567, "1,234,567"),
        (1234.5, "1,234.5"),
        (Decimal("-1234567.80"), "-1,234,567.80"),
    ],
)
def test_thousands_are_set_apart(number, text):
    assert thousands(number) == text


def test_separator_and_point_are_for_the_template_to_choose():
    assert str(Template("{{ n|thousands('.', ',') }}").pieces(n=1234567.5)) == "1.234.567,5"
    assert str(Template("{{ n|thousands(' ') }}").pieces(n=1234567)) == "1 234 567"
    assert str(Template("{{ n|cents('.', ',') }}").pieces(n=-123456789)) == "-1.234.567,89"


@given(st.integers())
def test_thousands_change_no_digit(number):
    groups = thousands(number).lstrip("-").split(",")
    assert int(thousands(number).replace(",", "")) == number
    assert {len(group) for group in groups[1:]} <= {3}
    assert 1 <= len(groups[0]) <= 3


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00"),
        (5, "0.05"),
        (-5, "-0.05"),
        (99, "0.99"),
        (100, "1.00"),
        (1234, "12.34"),
        (-1234, "-12.34"),
    ],
)
def test_cents_have_two_digits_behind_the_point(amount, text):
    assert cents(amount) == text


@given(st.integers())
def test_no_cent_is_lost(amount):
    assert Fraction(cents(amount)) * 100 == amount
    assert cents(amount, ",").replace(",", "") == cents(amount)


@pytest.mark.parametrize("filter_", [thousands, cents])
@pytest.mark.parametrize("value", ["12", None, [1]])
def test_what_is_no_number_is_refused(filter_, value):
    with pytest.raises(TypeError, match=r"is for (numbers|whole cents), not for "):
        filter_(value)


@pytest.mark.parametrize("value", [12.5, Decimal(1)])
def test_cents_with_a_fraction_are_refused(value):
    with pytest.raises(TypeError, match="cents is for whole cents, not for"):
        cents(value)


def test_dates_are_written_in_iso_form_or_as_told():
    source = "{{ day|date }} {{ day|date('%d.%m.%Y') }} {{ moment|date('%H:%M') }}{{ never|date }}"
    page = Template(source).pieces(day=date(2024, 2, 29), moment=datetime(2024, 1, 2, 3, 4), never=None)
    assert str(page) == "2024-02-29 29.02.2024 03:04"


def test_what_is_no_date_is_refused():
    with pytest.raises(TypeError, match="date is for dates, not for '2024-02-29'"):
        write_date("2024-02-29")
