"""Conversions: which texts may be typed, and the values that they stand for.

``read`` raises ValueError with a sentence for the person who typed the text; that a browser would have
refused it is no reason to believe that it did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from worker.forms.errors import FormError

if TYPE_CHECKING:
    from worker.request import Request

_FILL_IN: Final = "Please fill this in."
_YES: Final = "yes"
_CHOOSE: Final = "Please choose one of the options."
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
"""ASCII digits, no more than every database has a column for, and than Python reads in no time."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Bounded = TypeVar("Bounded", int, date)
Options = Mapping[Any, str] | Iterable[str]


class Option(NamedTuple):
    """One of several values to choose from.

    Attributes:
        value: what the program gets.
        text: what the browser sends for it.
        label: what people read.
    """

    value: Any
    text: str
    label: str


class Conversion:
    """The base of conversions.

    Attributes:
        is_optional: whether nothing may be typed, and that is a value too.
        attributes: of HTML, with which a browser helps to type what is right.
        options: all values, where they are to be chosen from.
        is_choice: whether they are.
    """

    is_optional = False
    is_choice = False
    attributes: Mapping[str, Any] = {}
    options: tuple[Option, ...] = ()

    def read(self, text: str) -> Any:
        """Return the value that a text stands for.

        Raises:
            ValueError: none; with a sentence for who typed it.
        """
        raise NotImplementedError

    def write(self, value: Any) -> str:
        """Return the text that stands for a value."""
        return str(value)

    def bound_to(self, request: Request | None) -> Conversion:
        """Return this conversion as it is for one request."""
        del request
        return self


def require_conversion(value: object) -> None:
    """Raise FormError for what is no conversion."""
    if not isinstance(value, Conversion):
        raise FormError(f"{value!r:.100} is no conversion: write one, such as Text() or Date()")


class Text(Conversion):
    """Text itself.

    Args:
        most: how many characters it may have, in code points; None for as many as a request can carry.
        least: how many it must have; spaces alone count as none. With 0 it may be empty.
    """

    def __init__(self, most: int | None = None, least: int = 1) -> None:
        self._most = most
        self._least = least
        self.is_optional = least == 0
        self.attributes = {"maxlength": most} if most is not None else {}

    def read(self, text: str) -> str:
        """Return the text, if its length is right."""
        if not text.strip() and self._least:
            raise ValueError(_FILL_IN)
        if len(text) < self._least:
            raise ValueError(f"Please write at least {_count(self._least, 'character')}.")
        if self._most is not None and len(text) > self._most:
            raise ValueError(
                f"Please write at most {_count(self._most, 'character')}; there are {len(text)} now."
            )
        return text


class Integer(Conversion):
    """A whole number, of 18 digits at most.

    Args:
        least: the smallest that is allowed.
        most: the largest that is allowed.
    """

    # Not type="number": that changes its value when somebody scrolls, and hides what is not a number.
    attributes: Mapping[str, Any] = {"inputmode": "numeric"}

    def __init__(self, least: int | None = None, most: int | None = None) -> None:
        self._least = least
        self._most = most

    def read(self, text: str) -> int:
        """Return the number."""
        if not text:
            raise ValueError(_FILL_IN)
        if not _INTEGER.fullmatch(text):
            raise ValueError("Please write a whole number, such as 12.")
        return _within(
            int(text), self._least, self._most, "This must be {} or more.", "This must be {} or less."
        )


class Date(Conversion):
    """A day, written as HTML and ISO 8601 do: 2024-02-29.

    Args:
        least: the first that is allowed.
        most: the last that is allowed.
    """

    def __init__(self, least: date | None = None, most: date | None = None) -> None:
        self._least = least
        self._most = most
        bounds = {"min": least, "max": most}
        self.attributes = {
            "type": "date",
            **{name: day.isoformat() for name, day in bounds.items() if day is not None},
        }

    def read(self, text: str) -> date:
        """Return the day."""
        if not text:
            raise ValueError(_FILL_IN)
        if not _DATE.fullmatch(text):
            raise ValueError("Please write a date as year-month-day, such as 2024-02-29.")
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError("There is no such day in the calendar.") from None
        return _within(
            day, self._least, self._most, "This must not be before {}.", "This must not be after {}."
        )

    def write(self, value: date) -> str:
        """Return the day in the form in which it is read, also where the value has a time of day."""
        return f"{value.year:04}-{value.month:02}-{value.day:02}"  # strftime writes the year 987 as 987


class YesOrNo(Conversion):
    """True for what a ticked box sends, False for nothing."""

    is_optional = True

    def read(self, text: str) -> bool:
        """Return whether the box was ticked."""
        if text not in {"", _YES}:
            raise ValueError("Please tick this or leave it.")
        return text == _YES

    def write(self, value: object) -> str:
        """Return what stands for a value, or for the lack of it."""
        return _YES if value else ""


class Choice(Conversion):
    """One of several values.

    Args:
        options: labels by value, or texts that are both. ``str(value)`` is what travels. Or a function that
            is called with the request and returns one or the other, for options that are not always the same.

    Raises:
        FormError: two values cannot be told apart, or one cannot be told from nothing.
    """

    is_choice = True

    def __init__(self, options: Options | Callable[[Request | None], Options]) -> None:
        self._find: Callable[[Request | None], Options] | None = None
        if isinstance(options, str | type):
            raise FormError(
                f"{options!r:.100} is no list of options: give a Choice a list, an EnumChoice an Enum"
            )
        if callable(options):
            self._find = options
            return
        labels = options if isinstance(options, Mapping) else {text: text for text in options}
        self._set_options(Option(value, str(value), label) for value, label in labels.items())

    def _set_options(self, options: Iterable[Option]) -> None:
        self.options = tuple(options)
        self._by_text = {option.text: option for option in self.options}
        if len(self._by_text) < len(self.options):
            raise FormError(
                "two options of a choice have the same text: give them values that differ as text"
            )
        if "" in self._by_text:
            raise FormError("an option of a choice has no text, which stands for nothing: use Nullable")

    def bound_to(self, request: Request | None) -> Conversion:
        """Return the choice among the options that this request has."""
        return self if self._find is None else Choice(self._find(request))

    def read(self, text: str) -> Any:
        """Return the value of the option that was chosen."""
        option = self._by_text.get(text)
        if option is None:
            raise ValueError(_CHOOSE)
        return option.value

    def write(self, value: Any) -> str:
        """Return what travels for a value; a value that is no option any more is written, too."""
        for option in self.options:
            if option.value == value:
                return option.text
        return str(value)


class EnumChoice(Choice):
    """One of the members of an Enum. Their names are what travels.

    Args:
        members: the Enum.
        label: what people read of a member; if it is not given, its name in small letters.
    """

    def __init__(self, members: type[Enum], label: Callable[[Any], str] | None = None) -> None:
        self._find = None
        self._set_options(
            Option(member, member.name, label(member) if label else _name_in_words(member))
            for member in members
        )


class Nullable(Conversion):
    """Something else, or nothing: where nothing is typed, the value is None."""

    is_optional = True

    def __init__(self, conversion: Conversion) -> None:
        require_conversion(conversion)
        if isinstance(conversion, ListOf):
            raise FormError(
                "a list may be empty already: leave Nullable out, or put it around what is listed"
            )
        self._conversion = conversion
        self.attributes = conversion.attributes
        self.options = conversion.options
        self.is_choice = conversion.is_choice

    def bound_to(self, request: Request | None) -> Conversion:
        """Return the same around what it is for one request."""
        return Nullable(self._conversion.bound_to(request))

    def read(self, text: str) -> Any:
        """Return None for nothing, or what the other conversion reads."""
        return self._conversion.read(text) if text.strip() else None

    def write(self, value: Any) -> str:
        """Return what the other conversion writes."""
        return "" if value is None else self._conversion.write(value)


class ListOf(Conversion):
    """Several values: on the lines of a Memo, or as the options chosen in a Pick.

    Args:
        conversion: what each of them is.
        least: how many there must be.
        most: how many there may be; None for any number.
    """

    def __init__(self, conversion: Conversion, least: int = 0, most: int | None = None) -> None:
        require_conversion(conversion)
        if isinstance(conversion, ListOf):
            raise FormError("a list cannot be listed: there is no way to type it")
        self._conversion = conversion
        self._least = least
        self._most = most
        self.is_optional = least == 0
        self.options = conversion.options
        self.is_choice = conversion.is_choice

    def bound_to(self, request: Request | None) -> Conversion:
        """Return a list of what it is for one request."""
        return ListOf(self._conversion.bound_to(request), self._least, self._most)

    def read(self, text: str) -> list[Any]:
        """Return the values of the lines; empty ones do not count."""
        values: list[Any] = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    values.append(self._conversion.read(line.strip()))
                except ValueError as error:
                    raise ValueError(f"Line {number}: {error}") from None
        return self._counted(values)

    def write(self, value: Iterable[Any]) -> str:
        """Return a line for each value."""
        return "\n".join(self.write_all(value))

    def read_all(self, texts: Iterable[str]) -> list[Any]:
        """Return the values of texts that came one by one; none may come twice."""
        seen: set[str] = set()
        values: list[Any] = []
        for text in texts:
            if text in seen:
                raise ValueError("Please choose each option only once.")
            seen.add(text)
            values.append(self._conversion.read(text))
        return self._counted(values)

    def write_all(self, values: Iterable[Any]) -> list[str]:
        """Return the texts of values, one by one."""
        return [self._conversion.write(value) for value in values]

    def _counted(self, values: list[Any]) -> list[Any]:
        if len(values) < self._least:
            raise ValueError(f"Please give at least {self._least}; there {_are(len(values))} now.")
        if self._most is not None and len(values) > self._most:
            raise ValueError(f"Please give at most {self._most}; there {_are(len(values))} now.")
        return values


def _within(
    value: Bounded, least: Bounded | None, most: Bounded | None, too_small: str, too_large: str
) -> Bounded:
    """Return a value if it is within bounds, of which None is none."""
    if least is not None and value < least:
        raise ValueError(too_small.format(least))
    if most is not None and value > most:
        raise ValueError(too_large.format(most))
    return value


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _are(number: int) -> str:
    return "is 1" if number == 1 else f"are {number or 'none'}"


def _name_in_words(member: Enum) -> str:
    return member.name.replace("_", " ").lower()
