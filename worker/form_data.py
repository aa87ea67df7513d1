"""What a form sends: fields and files, read no further than its limits go.

Forms come in two ways: as ``application/x-www-form-urlencoded``, or, with files, as ``multipart/form-data``.
Whatever is wrong with them is the client's mistake, and becomes an HttpError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from worker.errors import HttpError
from worker.fields import Fields, Many

if TYPE_CHECKING:
    from worker.exchange import BodyStream
    from worker.uploads import UploadedFile

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

MOST_FIELDS: Final = 1000
"""Most fields of a query or a form: more than people fill in, and few enough to be read in a millisecond."""

_SLICE: Final = 16 * 1024
"""Bytes of a value that are decoded at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """How much a form may send; more is refused, as soon as it is known."""

    size: int = 64 * 1024 * 1024
    """Most bytes in all: a dozen photographs."""

    text: int = 4 * 1024 * 1024
    """Most bytes of what is no file, which is kept in memory: a long book."""

    fields: int = MOST_FIELDS
    """Most fields."""

    files: int = 1000
    """Most files: a folder of photographs."""

    line: int = 4 * 1024
    """Most bytes of a line in the head of a part; names of files have 255 in most file systems."""

    lines: int = 8
    """Most lines in the head of a part; RFC 7578 has use for three."""

    memory: int = 256 * 1024
    """Bytes of all files together that are kept in memory; beyond, they go to one temporary file."""


class Form(NamedTuple):
    """What was sent.

    Attributes:
        fields: the fields; those without a value too.
        files: the files that were chosen, by the names of their fields.
        release: gives back what the files take; called when the request is over.
    """

    fields: Fields
    files: Many[UploadedFile]
    release: Callable[[], None] = lambda: None


class Sent(NamedTuple):
    """A body that may be a form.

    Attributes:
        content_type: what it says that it is.
        length: how many bytes it says that it has; None if it does not say.
        body: the body, to be read once.
    """

    content_type: str
    length: int | None
    body: BodyStream


def read_form(sent: Sent, limits: FormLimits) -> Form:
    """Return the form that was sent; an empty one if there is no body.

    Raises:
        HttpError: 400, it is malformed or has too many fields or files; 413, it is too large; 415, it is no
            form; 507, there is no room to keep its files.
    """
    media_type = sent.content_type.partition(";")[0].strip().lower()
    if not media_type and not sent.length:
        return Form(Fields(), Many())
    is_multipart = media_type == MULTIPART
    if not is_multipart and media_type != URLENCODED:
        raise HttpError(415, f"This page reads forms that are sent as {URLENCODED} or {MULTIPART}.")
    most = limits.size if is_multipart else limits.text
    if sent.length is not None and sent.length > most:
        raise too_large(most)
    if is_multipart:
        from worker.uploads import read_multipart  # noqa: PLC0415 - 9 ms that few applications need

        return read_multipart(sent, limits)
    encoded = sent.body.read(most + 1)
    if len(encoded) > most:
        raise too_large(most)
    return Form(read_fields(encoded, limits.fields), Many())


def read_fields(encoded: bytes, most: int = MOST_FIELDS) -> Fields:
    """Read fields by the URL Standard (§5.1): no text is malformed, and what is not UTF-8 becomes U+FFFD.

    Raises:
        HttpError: 400, there are more than ``most``.
    """
    if encoded and encoded.count(b"&") >= most:
        raise too_many("fields", most)
    pairs = [part.partition(b"=") for part in encoded.replace(b"+", b" ").split(b"&") if part]
    return Fields((_decode(name), _decode(value)) for name, _, value in pairs)


def _decode(text: bytes) -> str:
    return (_unescape(text) if b"%" in text else text).decode("utf-8", "replace")


def _unescape(text: bytes) -> bytes:
    """Undo escapes slice by slice, as unquote_to_bytes() takes up to 190 bytes for each that it is given.

    Slices end where a % stands, which is never within an escape.
    """
    slices = []
    start = 0
    while start < len(text):
        end = text.find(b"%", start + _SLICE)
        if end < 0:
            end = len(text)
        slices.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(slices)


def too_many(what: str, most: int) -> HttpError:
    """Return the error for a request with more than ``most`` fields or files."""
    return HttpError(400, f"The request has more than {most} {what}.")


def too_large(most: int) -> HttpError:
    """Return the error for a form with more than ``most`` bytes."""
    return HttpError(413, f"The form is larger than {most} bytes.")
