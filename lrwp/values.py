"""How people write the values of settings: numbers, durations, sizes, addresses, paths.

Each kind of value has one row in :data:`KINDS`; what is true of all kinds (bounds, lists, pairs, and how the
text of a flag becomes a value) stands in :mod:`lrwp.schema`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from protocol.addresses import Address, read_address
from protocol.settings import Duration, Size


class Kind(NamedTuple):
    """One kind of value.

    Attributes:
        meaning: what a value of this kind is, as an error says it after "must be".
        metavar: what stands for the value in ``--help``.
        read: returns the value that a TOML value stands for; raises ValueError or AddressError otherwise.
        write: returns the text that people would write for a value.
    """

    meaning: str
    metavar: str
    read: Callable[[Any], Any]
    write: Callable[[Any], str]


_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final[dict[str, int]] = {
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")


def _read_quantity(value: object, units: Mapping[str, float]) -> float:
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None or match[2].lower() not in {"", *units}:
            raise ValueError
        number = float(match[1]) if "." in match[1] else int(match[1])
        return _finite(number, units.get(match[2].lower(), 1))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return _finite(value, 1)


def _finite(number: float, unit: float) -> float:
    """Return a number of units, if there is such a float: a whole number may be larger than all of them."""
    try:
        product = number * unit
        is_finite = math.isfinite(product)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise ValueError
    return product


def _read_duration(value: object) -> Duration:
    return Duration(float(_read_quantity(value, _SECONDS)))


def _write_duration(seconds: float) -> str:
    """Write a duration so that it reads as it was: ``lrwp up`` tells its workers theirs in flags."""
    for unit in ("h", "m", "s") if seconds >= 1 else ("ms",):
        count = round(seconds / _SECONDS[unit])
        if count and count * _SECONDS[unit] == seconds:
            return f"{count}{unit}"
    return f"{Decimal(repr(seconds)).normalize():f}s"  # without an exponent


def _read_size(value: object) -> Size:
    size = _read_quantity(value, _BYTES)
    if size != int(size):
        raise ValueError
    return Size(int(size))


def _write_size(size: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit.lower()] == 0:
            return f"{size // _BYTES[unit.lower()]}{unit}"
    return str(size)


def _read_integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    return value


def _read_string(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:  # a NUL ends every name that the system knows
        raise ValueError
    return value


def _read_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _read_address(value: object) -> Address:
    return read_address(_read_string(value))


def _read_path(value: object) -> Path:
    if not _read_string(value):
        raise ValueError
    try:
        return Path(_read_string(value)).expanduser()
    except RuntimeError:  # it starts with a ~ and the name of nobody
        raise ValueError from None


KINDS: Final[dict[Any, Kind]] = {
    bool: Kind("true or false", "", _read_boolean, lambda value: str(value).lower()),
    int: Kind("a whole number", "N", _read_integer, str),
    str: Kind("text", "TEXT", _read_string, str),
    Duration: Kind("a duration such as 30s, 250ms or 5m", "DURATION", _read_duration, _write_duration),
    Size: Kind("a size such as 64KiB, 10MB or 1GiB", "SIZE", _read_size, _write_size),
    Address: Kind("an address: host:port, unix:///path or tls://host:port", "ADDRESS", _read_address, str),
    Path: Kind("a path", "PATH", _read_path, str),
}
"""The kinds of values by the type that a settings class names."""


def kind_of_choices(choices: tuple[str, ...]) -> Kind:
    """Return the kind of value that is one of ``choices``."""

    def read(value: object) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    listed = " or ".join((", ".join(choices[:-1]), choices[-1]))
    return Kind(listed, "|".join(choices), read, str)
