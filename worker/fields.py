"""Fields: names with one or more values each, as queries, forms, headers and uploads have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from worker.errors import MissingFieldError

Value = TypeVar("Value")
Default = TypeVar("Default")


class Many(Mapping[str, Value], Generic[Value]):
    """Values by name, in the order in which they came.

    ``many["name"]`` is the first value. A name that the client did not send raises MissingFieldError, which
    is a KeyError here and a 400 for the client; ``many.get("name")`` is for what may be missing.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, Value]] = ()) -> None:
        self._values: dict[str, list[Value]] = {}
        for name, value in pairs:
            self._values.setdefault(self._key(name), []).append(value)

    def __getitem__(self, name: str) -> Value:
        try:
            return self._value(self._values[self._key(name)])
        except KeyError:
            raise MissingFieldError(name) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._key(name) in self._values

    @overload
    def get(self, name: str, /) -> Value | None: ...
    @overload
    def get(self, name: str, /, default: Value | Default) -> Value | Default: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """Return the first value of a name; ``default`` if it was not sent."""
        values = self._values.get(self._key(name))  # what Mapping inherits would make an exception first
        return default if values is None else self._value(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self)}>"

    def getlist(self, name: str) -> list[Value]:
        """Return all values of a name, none if it was not sent."""
        return [*self._values.get(self._key(name), ())]

    def _key(self, name: str) -> str:
        return name

    def _value(self, values: list[Value]) -> Value:
        return values[0]


class Fields(Many[str]):
    """Fields of a query or a form."""

    __slots__ = ()


class Headers(Many[str]):
    """Header fields: names in any case; several values of one read as one, as RFC 9110 §5.3 joins them."""

    __slots__ = ()

    def _key(self, name: str) -> str:
        return name.lower()

    def _value(self, values: list[str]) -> str:
        return values[0] if len(values) == 1 else ", ".join(values)
