"""Content: what a handler may give back, and the bytes that it becomes.

* ``str`` is a page, ``text/html; charset=utf-8``;
* ``bytes`` are ``application/octet-stream``;
* a ``dict`` or a dataclass is JSON;
* a list or tuple is an *iolist* if its first leaf is text (``str`` or ``bytes``): a page in pieces, nested as
  deep as you like and not joined before it is sent. Every other list is JSON, the empty one too;
* an iterator is streamed: a page in pieces of ``str`` or ``bytes``, each sent when it is there.

Within JSON, dates and times stand as ISO 8601 writes them, and UUIDs as text.

So a list of strings is a page; to send it as JSON, say so: ``Response.json(names)``. An iolist with something
else than text in it is an error: it never turns into JSON, nor JSON into a page, by what happens to stand
behind the first leaf.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import fields, is_dataclass
from datetime import date, time
from typing import Any, Final
from uuid import UUID

from worker.errors import ContentError

PAGE: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"

_NO_LEAF: Final = object()


def read_content(content: Any) -> tuple[str, Any]:
    """Return the usual type of a content, and the content, of which only JSON is encoded now.

    Raises:
        ContentError: it is nothing that can be sent.
    """
    if isinstance(content, str):
        return PAGE, content
    if isinstance(content, bytes):
        return BINARY, content
    if isinstance(content, dict) or _is_record(content):
        return JSON, encode_json(content)
    if isinstance(content, list | tuple):
        is_page = isinstance(_first_leaf(content), str | bytes) or hasattr(content, "__html__")
        return (PAGE, content) if is_page else (JSON, encode_json(content))
    if isinstance(content, Iterator):
        return PAGE, content
    raise ContentError(f"{_kind(content)} is not a Response, str, bytes, dict, list, dataclass or iterator")


def encode_json(value: Any) -> bytes:
    """Return ``value`` as JSON.

    Raises:
        ContentError: JSON has no words for it.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_in_words_of_json
        )
    except (TypeError, ValueError) as error:
        raise ContentError(f"JSON has no words for a part of {_kind(value)}: {error}") from error
    return _encode(text)


def join_content(content: Any) -> bytes:
    """Return the bytes of a content that is not streamed.

    Raises:
        ContentError: an iolist has something else than text in it.
    """
    if not isinstance(content, list | tuple):
        return _encode(content)
    encoded: list[bytes] = []
    unread = [iter(content)]
    while unread:
        for piece in unread[-1]:
            if isinstance(piece, list | tuple):
                unread.append(iter(piece))
                break
            encoded.append(_encode(piece))
        else:
            unread.pop()
    return b"".join(encoded)


def stream_content(content: Iterator[str | bytes]) -> Generator[bytes]:
    """Yield the pieces that are not empty, and close the content at the end.

    Raises:
        ContentError: a piece is not text.
    """
    try:
        for piece in content:
            if encoded := _encode(piece):
                yield encoded
    finally:
        close_source(content)


class Pieces:
    """A streamed content that was begun: the piece taken out already, then the rest.

    A generator that was never begun does nothing when it is closed, and so would leave open what it reads
    from. Therefore a stream is always run up to its first piece, and comes into one of these.

    Attributes:
        first: the first piece, until it is taken; empty if there is none at all.
    """

    __slots__ = ("_rest", "first")

    def __init__(self, first: bytes, rest: Generator[bytes]) -> None:
        self.first = first
        self._rest = rest

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> bytes:
        if self.first:
            first, self.first = self.first, b""
            return first
        return next(self._rest)

    def close(self) -> None:
        """End it, whether it was read to its end or not."""
        self._rest.close()


class HeldPieces:
    """A streamed content that needs something until it is closed.

    Args:
        pieces: the content.
        release: gives back what it needs.
    """

    __slots__ = ("_iterator", "_pieces", "_release")

    def __init__(self, pieces: Iterable[bytes], release: Callable[[], None]) -> None:
        self._pieces = pieces
        self._iterator = iter(pieces)
        self._release = release

    def __iter__(self) -> HeldPieces:
        return self

    def __next__(self) -> bytes:
        return next(self._iterator)

    def close(self) -> None:
        """End it, and give back what it needed."""
        try:
            close_source(self._pieces)
        finally:
            self._release()


def close_source(source: object) -> None:
    """Call the ``close()`` of what a content was read from, if it has one."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


def _encode(piece: str | bytes) -> bytes:
    """Return a piece as it is sent; a lone surrogate, which a client's JSON may hold, becomes "?"."""
    if isinstance(piece, str):
        return piece.encode("utf-8", "replace")
    if isinstance(piece, bytes):
        return piece
    raise ContentError(f"a page in pieces has {_kind(piece)} in it: make it text, or use Response.json()")


def _is_record(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _in_words_of_json(value: Any) -> Any:
    """Return what stands in JSON for something that JSON does not know."""
    if _is_record(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"there is {_kind(value)} in it")


def _first_leaf(pieces: list[Any] | tuple[Any, ...]) -> object:
    """Return the first element at any depth that is not a list itself; a mark of its own if there is none."""
    unread = [iter(pieces)]
    while unread:
        piece = next(unread[-1], _NO_LEAF)
        if piece is _NO_LEAF:
            unread.pop()
        elif isinstance(piece, list | tuple):
            unread.append(iter(piece))
        else:
            return piece
    return _NO_LEAF


def _kind(value: object) -> str:
    """Return what a value is, for a sentence: "an int", "None"."""
    name = type(value).__name__
    if value is None:
        return "None"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
