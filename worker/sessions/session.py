"""The session as a handler sees it: a dictionary that is read when it is first looked at.

Looking at it locks it for this request; another request with the same session waits until this one's handler
has returned. So a handler that never asks for its session never waits, and two that count in it both count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import LrwpError
from worker.csrf import KEY as CSRF_KEY

if TYPE_CHECKING:
    from worker.sessions.store import Held

MOST: Final = 64 * 1024
"""Most bytes of a session as JSON: it is read and written with every request, so large things have no place
in it."""

_TOO_MUCH: Final = f", and {MOST} is the most: keep what is large in the database, and its key in the session"
_SEPARATORS: Final = (",", ":")


class SessionError(LrwpError):
    """A session was used in a way in which it cannot be kept; the sentence says what to do instead."""


class Session(MutableMapping[str, Any]):
    """The session of a browser.

    Values are what JSON has: None, bool, int, float, str, list and dict with names that are strings. What is
    changed within a list or dict is kept as well.

    Args:
        take: takes the session out of its store and holds it; None if there is none.
        peek: returns it without holding it.

    Attributes:
        held: what was taken; None if nothing was, or not yet.
        is_renewed: whether it is to get a new id.
        is_over: whether the request has let go of it: from then on it can only be read.
    """

    def __init__(self, take: Callable[[], Held | None], peek: Callable[[], Held | None]) -> None:
        self.held: Held | None = None
        self.is_renewed = False
        self.is_over = False
        self._take = take
        self._peek = peek
        self._loaded: dict[str, Any] | None = None

    def __repr__(self) -> str:
        # Its values are the business of one person, and a repr comes into logs.
        return f"<Session {'not looked at' if self._loaded is None else ', '.join(self._loaded)}>"

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._check_open()
        if not isinstance(name, str):
            raise SessionError(f"the names in a session are strings, and {name!r:.100} is not")
        _check_value(name, value)
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        self._check_open()
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """End the session, at a logout: all that is in it is gone, and its id dies.

        What is stored afterwards begins another one.
        """
        self._check_open()
        self._values.clear()
        self.is_renewed = True

    def rotate(self) -> None:
        """Give the session a new id, at a login: whoever knows the old one has nothing of it from then on.

        Nor do they pass as its browser: forms that were shown before are refused (see :mod:`worker.csrf`).
        """
        self._check_open()
        self._values.pop(CSRF_KEY, None)
        self.is_renewed = True

    @property
    def is_loaded(self) -> bool:
        """Whether anybody has looked at it."""
        return self._loaded is not None

    def text(self) -> str:
        """Return its values as JSON.

        Raises:
            SessionError: JSON has no words for one, or they are too large together.
        """
        for name, value in self._values.items():
            _encode(name, value)
        text = json.dumps(self._values, separators=_SEPARATORS)
        if len(text) > MOST:
            raise SessionError(f"the session would hold {len(text)} bytes{_TOO_MUCH}")
        return text

    @property
    def _values(self) -> dict[str, Any]:
        if self._loaded is None:
            held = self._peek() if self.is_over else self._take()
            if not self.is_over:
                self.held = held
            self._loaded = json.loads(held.text) if held else {}
        return self._loaded

    def _check_open(self) -> None:
        if self.is_over:
            raise SessionError(
                "the session was saved before the answer began: change it in the handler, not in its stream"
            )


def _encode(name: str, value: Any) -> str:
    """Return a value as JSON, all of it ASCII: so its length is its size, and no store minds a NUL in it."""
    try:
        return json.dumps(value, allow_nan=False, separators=_SEPARATORS)
    except (TypeError, ValueError, RecursionError) as error:
        raise SessionError(f"{_place(name)} must be what JSON has words for: {error}") from None


def _check_value(name: str, value: Any) -> None:
    """Refuse where it is stored what would fail, or be something else, when it comes back."""
    text = _encode(name, value)
    if len(text) > MOST:
        raise SessionError(f"{_place(name)} would hold {len(text)} bytes{_TOO_MUCH}")
    if json.loads(text) != value:
        raise SessionError(
            f"{_place(name)} would come back as {text:.100}: JSON has lists and no tuples, "
            "and the names in its objects are strings"
        )


def _place(name: str) -> str:
    return f'session["{name:.100}"]'
