"""Settings classes as data: the name, kind, bounds, default and flags of each field.

The flags, the TOML reader and the reference page all work from what :func:`schema` returns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from lrwp.values import KINDS, Kind, kind_of_choices
from protocol.errors import AddressError, SettingsError

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
"""A whole number as it is typed. No setting has more digits, and Python does not read thousands of them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a settings class.

    Attributes:
        name: the field's name, which is the key in TOML.
        kind: what one value of it is.
        shape: ``one`` value, ``many`` of them, or ``pairs`` of a name and a text.
        default: its value when nobody says otherwise; MISSING if it must be given.
        help: its sentence.
        flags: the command-line flags that set it.
        least: smallest number that it may be.
        most: largest number that it may be; None for no bound.
    """

    name: str
    kind: Kind
    shape: Literal["one", "many", "pairs"]
    default: Any
    help: str
    flags: tuple[str, ...]
    least: float
    most: float | None

    def read(self, value: object, subject: str) -> Any:
        """Return what ``value``, as TOML has it, stands for.

        Raises:
            SettingsError: the value cannot be used; the sentence begins with ``subject``.
        """
        if self.shape == "pairs":
            return self._read_pairs(value, subject)
        if self.shape == "one":
            return self._read_one(value, subject)
        listed = value if isinstance(value, list) else [value]
        if not listed and self.default:
            raise SettingsError(f"{subject} must have at least one value")
        return tuple(self._read_one(item, subject) for item in listed)

    def _read_one(self, value: object, subject: str) -> Any:
        try:
            read = self.kind.read(value)
        except AddressError as error:
            raise SettingsError(f"{subject}: {error}") from None
        except ValueError:
            raise SettingsError(f"{subject} must be {self.kind.meaning}, not {_quote(value)}") from None
        if isinstance(read, int | float) and not self._is_within(read):
            raise SettingsError(f"{subject} must be {self.bounds}, not {_quote(value)}")
        return read

    def _is_within(self, number: float) -> bool:
        return number >= self.least and (self.most is None or number <= self.most)

    def _read_pairs(self, value: object, subject: str) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            raise SettingsError(f"{subject} must be a table of names and texts, not {_quote(value)}")
        for name in value:
            if not name or set(name) & set("=\0"):  # the system would refuse such a variable
                raise SettingsError(
                    f"{subject} has the name {_quote(name)}: names are not empty and have neither = nor NUL"
                )
        return tuple((name, self._read_one(text, f"{subject}.{name}")) for name, text in value.items())

    @property
    def bounds(self) -> str:
        """The bounds of a number, as they follow "must be"."""
        least = self.kind.write(self.least)
        return f"at least {least}" if self.most is None else f"from {least} to {self.kind.write(self.most)}"

    def read_texts(self, texts: Sequence[str], subject: str) -> Any:
        """Return what the texts of a flag or a variable stand for.

        Raises:
            SettingsError: a text cannot be used; the sentence begins with ``subject``.
        """
        if self.shape == "pairs":
            pairs = [text.partition("=") for text in texts]
            if not all(name and sign for name, sign, _ in pairs):
                raise SettingsError(f"{subject} must be NAME=text, several of them with commas between")
            return self.read({name: text for name, _, text in pairs}, subject)
        typed = [self._type(text) for text in texts]
        return self.read(typed if self.shape == "many" else typed[-1], subject)

    def _type(self, text: str) -> object:
        """Give ``text`` the type that TOML would have given it."""
        if self.kind is KINDS[bool]:
            return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
        number = _INTEGER.fullmatch(text.strip()) if self.kind is KINDS[int] else None
        return int(number[0]) if number else text

    def write(self, value: Any) -> tuple[str, ...]:
        """Return the texts that people would write for ``value``, none for nothing."""
        if value is None or value is MISSING or value == "":
            return ()
        if self.shape == "pairs":
            return tuple(f"{name}={text}" for name, text in value)
        return tuple(map(self.kind.write, value)) if self.shape == "many" else (self.kind.write(value),)


def _quote(value: object) -> str:
    """Show a value as TOML would write it, or nearly so."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return f'"{value:.80}"' if isinstance(value, str) else f"{value!s:.80}"
    except ValueError:  # Python writes none of those that TOML has in hexadecimal
        return "a number of thousands of digits"
    except RecursionError:
        return "what is nested too deeply"


@cache
def schema(cls: type) -> dict[str, Setting]:
    """Return the settings of a settings class by name, in their order."""
    hints = get_type_hints(cls)
    settings = {}
    for field in fields(cls):
        kind, shape = _take_apart(hints[field.name])
        metadata = field.metadata
        default = field.default if field.default_factory is MISSING else field.default_factory()
        flags = tuple((metadata["flag"] or "").split())
        settings[field.name] = Setting(
            field.name, kind, shape, default, metadata["help"], flags, metadata["least"], metadata["most"]
        )
    return settings


def _take_apart(hint: Any) -> tuple[Kind, Literal["one", "many", "pairs"]]:
    """Return the kind and the shape of a field with this type."""
    if hint in KINDS:
        return KINDS[hint], "one"
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return kind_of_choices(arguments), "one"
    if get_origin(hint) is tuple:
        return (KINDS[str], "pairs") if get_origin(arguments[0]) is tuple else (KINDS[arguments[0]], "many")
    (inner,) = (argument for argument in arguments if argument is not NoneType)
    return _take_apart(inner)
