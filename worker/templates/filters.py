"""Filters: how templates write numbers, amounts and dates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal


def thousands(number: float | Decimal, separator: str = ",", point: str = ".") -> str:
    """Write a number with its digits in groups of three.

    >>> thousands(1234567), thousands(-1234.5, ".", ","), thousands(999)
    ('1,234,567', '-1.234,5', '999')

    Raises:
        TypeError: it is not a number.
    """
    if not isinstance(number, int | float | Decimal):
        raise TypeError(f"thousands is for numbers, not for {number!r:.100}")
    whole, dot, fraction = f"{number:,}".partition(".")
    return whole.replace(",", separator) + (point if dot else "") + fraction


def cents(amount: int, separator: str = "", point: str = ".") -> str:
    """Write an amount, given in whole cents, in units with two digits behind the point.

    >>> cents(1234), cents(-5), cents(123456789, ","), cents(100000, ".", ",")
    ('12.34', '-0.05', '1,234,567.89', '1.000,00')

    Raises:
        TypeError: it is not an int; a fraction would have lost money on its way here.
    """
    if not isinstance(amount, int):
        raise TypeError(f"cents is for whole cents, not for {amount!r:.100}")
    units, rest = divmod(abs(amount), 100)
    return f"{'-' * (amount < 0)}{thousands(units, separator)}{point}{rest:02}"


def write_date(day: date | None, form: str = "%Y-%m-%d") -> str:
    """Write a date or a moment in a form of ``strftime``; nothing for None.

    >>> write_date(date(2024, 2, 29)), write_date(date(2024, 2, 29), "%d.%m.%Y"), write_date(None)
    ('2024-02-29', '29.02.2024', '')

    Raises:
        TypeError: it is not a date.
    """
    if day is None:
        return ""
    if not isinstance(day, date):
        raise TypeError(f"date is for dates, not for {day!r:.100}")
    return day.strftime(form)
