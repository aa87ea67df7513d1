"""Patterns: how a route writes its path, and what the parts of an address are read as.

::

    /page/{name}                 a parameter stands for one whole segment, which is not empty
    /entry/{id:int}/{day:date}   where its segment is not of this kind, the pattern does not match
    /files/{name:rest}           stands for all that is left, slashes too; only at the end
    /hello/{name}?{times:int}    a field of the query; what more there are follow behind an &
    /task/{id}/                  a folder: who leaves out the slash at its end is sent on to it

What a kind reads it writes in the same spelling, save for the capitals of a UUID: a thing has one address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from keyword import iskeyword
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlencode
from uuid import UUID

from worker.errors import RouteError

IN_SEGMENT: Final = "!$&'()*+,;=:@~"
"""What a segment of a path may have besides letters, digits and "-._" (RFC 3986 §3.3)."""


class Kind(NamedTuple):
    """What a parameter may be.

    Attributes:
        name: what patterns call it.
        meaning: what it is, for a sentence.
        read: returns the value that a text stands for, None if the text is not of this kind.
    """

    name: str
    meaning: str
    read: Callable[[str], Any]


_ESCAPE: Final = re.compile("%[0-9A-Fa-f]{2}")

# A number has 18 digits at most, so that the BIGINT of every database holds it, and no zeros in front.
_INT: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def _read_text(text: str) -> str | None:
    return text or None


def _read_int(text: str) -> int | None:
    return int(text) if _INT.fullmatch(text) else None


def _read_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:  # the 31st of February
        return None


def _read_uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.fullmatch(text) else None


STR: Final = Kind("str", "text that is not empty", _read_text)
REST: Final = Kind("rest", "a path that is not empty", _read_text)

_FIELD: Final = Kind("str", "text", str)
"""What ``str`` is in a query, where it may be empty."""

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("int", "a whole number", _read_int),
        Kind("date", "a date, such as 2001-12-31", _read_date),
        Kind("uuid", "a UUID", _read_uuid),
        STR,
        REST,
    )
}
"""The kinds by name, in the order in which they are tried. No text is of two of the first three."""


class Parameter(NamedTuple):
    """A part of an address that a handler is given."""

    name: str
    kind: Kind


class Pattern(NamedTuple):
    """An address as a route writes it.

    Attributes:
        text: as it was written.
        segments: the literals of its path, decoded, and its parameters, in their order.
        names: the names of the path's parameters, in their order.
        query: the fields of the query that the handler is given.
    """

    text: str
    segments: tuple[str | Parameter, ...]
    names: tuple[str, ...]
    query: tuple[Parameter, ...]

    def below(self, part: str) -> Pattern:
        """Return the pattern of a literal in this folder."""
        path, mark, query = self.text.partition("?")
        return self._replace(text=f"{path}{part}{mark}{query}", segments=(*self.segments[:-1], part))

    def write(self, values: Mapping[str, Any]) -> str:
        """Return the path, percent-encoded, that has these values; of ``values`` it takes what it names.

        Raises:
            RouteError: a value is missing, or cannot stand where it is to stand.
        """
        return "".join(f"/{self._write_segment(segment, values)}" for segment in self.segments)

    def _write_segment(self, segment: str | Parameter, values: Mapping[str, Any]) -> str:
        if isinstance(segment, str):
            return quote(segment, safe=IN_SEGMENT)
        name, kind = segment
        if name not in values:
            raise RouteError(f"{self.text} needs a value for {name}")
        text = self._write_value(name, kind, values)
        parts = text.split("/") if kind is REST else [text]
        if "" in parts[:-1] or {".", ".."} & set(parts):
            raise RouteError(f"{name} in {self.text} cannot be {text!r:.100}: no request has such a path")
        return quote(text, safe=f"{IN_SEGMENT}/" if kind is REST else IN_SEGMENT, errors="replace")

    def write_query(self, values: Mapping[str, Any]) -> str:
        """Return the query with its ``?``; empty if no field of it is among ``values``.

        Raises:
            RouteError: a value is not of the kind that it is to be.
        """
        fields = [
            (name, self._write_value(name, kind, values)) for name, kind in self.query if name in values
        ]
        return f"?{urlencode(fields, errors='replace')}" if fields else ""

    def _write_value(self, name: str, kind: Kind, values: Mapping[str, Any]) -> str:
        text = str(values[name])
        if kind.read(text) is None:
            raise RouteError(f"{name} in {self.text} must be {kind.meaning}, not {values[name]!r:.100}")
        return text


def read_pattern(text: str) -> Pattern:
    """Return what is written as ``text``.

    Raises:
        RouteError: it cannot be used.
    """
    path, _, query = text.partition("?")
    if not path.startswith("/"):
        raise RouteError(f"the route {text!r} must start with /")
    written = path[1:].split("/")
    if "" in written[:-1] or {".", ".."} & set(written):
        raise RouteError(f"the route {text} can never match: requests come without //, /./ and /../")
    if _ESCAPE.search(path):
        raise RouteError(f"the route {text} must be written as people read it: {unquote(path)}")
    segments = tuple(_read_segment(segment, text) for segment in written)
    fields = tuple(_read_field(field, text) for field in query.split("&")) if query else ()
    names = tuple(segment.name for segment in segments if isinstance(segment, Parameter))
    every = (*names, *(field.name for field in fields))
    for name in every:
        if every.count(name) > 1:
            raise RouteError(f"the route {text} has two parameters {name!r}: give each its own name")
    for part in (*segments[:-1], *fields):
        if isinstance(part, Parameter) and part.kind is REST:
            raise RouteError(f"the route {text} must have {part.name}, its rest, at the end of the path")
    return Pattern(text, segments, names, fields)


def _read_segment(segment: str, text: str) -> str | Parameter:
    if "{" not in segment and "}" not in segment:
        return segment
    return _read_parameter(
        segment, text, "must have a parameter as a whole segment, as in /page/{name} or /page/{id:int}"
    )


def _read_field(field: str, text: str) -> Parameter:
    name, kind = _read_parameter(field, text, "must have its fields written as in ?{word}&{page:int}")
    return Parameter(name, _FIELD if kind is STR else kind)


def _read_parameter(written: str, text: str, advice: str) -> Parameter:
    name, colon, kind = written[1:-1].partition(":")
    if written != f"{{{name}{colon}{kind}}}" or not name.isidentifier() or iskeyword(name):
        raise RouteError(f"the route {text} {advice}")
    if colon and kind not in KINDS:
        kinds = ", ".join(KINDS)
        raise RouteError(f"the route {text} has a parameter {name} of no known kind: choose one of {kinds}")
    return Parameter(name, KINDS[kind] if colon else STR)
