"""Uploads: the fields and files of a form that came in parts (RFC 7578).

The files are kept in memory, or all of them in one temporary file: a form with a thousand files takes one
descriptor, not a thousand.
"""

from __future__ import annotations

import unicodedata
from contextlib import ExitStack
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING, BinaryIO, Final

from multipart import (  # type: ignore[import-untyped]  # it ships no types
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from worker.errors import HttpError
from worker.fields import Fields, Many
from worker.form_data import Form, too_large, too_many
from worker.spool import Spool, open_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.form_data import FormLimits, Sent

_CHUNK: Final = 64 * 1024
"""Bytes that are read at once."""

_NAMELESS: Final = "unnamed"
"""What a file is called of whose name nothing is left."""

_LONGEST_NAME: Final = 255
"""Bytes that a name may have in most file systems."""

_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""What no name has: controls, lone surrogates, line ends, and marks that make a name read otherwise than it
is written (Unicode's categories)."""


class UploadedFile:
    """A file that was sent with a form; it is there until the request is over.

    Attributes:
        name: what the client calls it: the last part of its path, without what no name should have. It says
            nothing about what is in the file, and is no path to save it under.
        content_type: what the client says that it is; empty if it does not.
        size: how many bytes it has.
    """

    __slots__ = ("_spool", "_start", "content_type", "name", "size")

    def __init__(self, name: str, content_type: str, spool: Spool) -> None:
        self.name = name
        self.content_type = content_type
        self.size = 0
        self._spool = spool
        self._start = spool.size

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r}, {self.size} bytes>"

    def add(self, data: bytes) -> None:
        """Add what has come of it; nothing else is added to the spool meanwhile.

        Raises:
            HttpError: 507, there is no room for it.
        """
        try:
            self._spool.write(data)
        except OSError as error:
            raise HttpError(507, "There is no room for the files of this form at the moment.") from error
        self.size += len(data)

    @property
    def content(self) -> bytes:
        """All of it."""
        return self._spool.read(self._start, self.size)

    def open(self) -> BinaryIO:
        """Return it as a file to read from, at its beginning."""
        return open_part(self._spool, self._start, self.size)

    def save(self, path: str | Path) -> None:
        """Write it to a new file.

        Raises:
            OSError: there is such a file already, or it cannot be written; then nothing of it is left.
        """
        with Path(path).open("xb") as target:
            try:
                with self.open() as source:
                    copyfileobj(source, target)
            except BaseException:
                Path(path).unlink()
                raise


def read_multipart(sent: Sent, limits: FormLimits) -> Form:
    """Return what came in parts.

    Raises:
        HttpError: 400, it is malformed or has too many fields or files; 413, it is too large; 507, there is
            no room to keep its files.
    """
    parts = _Parts(limits)
    with ExitStack() as stack:
        stack.callback(parts.spool.close)
        try:
            _read_parts(sent, limits, parts)
        except ParserLimitReached:
            raise HttpError(413, "The form has more parts, or longer names, than this page reads.") from None
        except MultipartError:
            raise HttpError(400, "The form cannot be understood as it was sent.") from None
        return Form(Fields(parts.fields), Many(parts.files), stack.pop_all().close)


def _read_parts(sent: Sent, limits: FormLimits, parts: _Parts) -> None:
    _, options = parse_options_header(sent.content_type)
    parser = PushMultipartParser(
        options.get("boundary", ""),
        content_length=-1 if sent.length is None else sent.length,
        max_header_size=limits.line,
        max_header_count=limits.lines,
        max_segment_count=limits.fields + limits.files,
    )
    for event in parser.parse_blocking(_bounded(sent.body.read, limits.size), _CHUNK):
        if event is None:
            parts.end()
        elif isinstance(event, MultipartSegment):
            parts.begin(event)
        else:
            parts.add(event)


def _bounded(read: Callable[[int], bytes], most: int) -> Callable[[int], bytes]:
    """Return ``read`` with an end to it, for a body that does not say how long it is."""
    taken = 0

    def bounded(size: int) -> bytes:
        nonlocal taken
        data = read(size)
        taken += len(data)
        if taken > most:
            raise too_large(most)
        return data

    return bounded


class _Parts:
    """What has come so far."""

    def __init__(self, limits: FormLimits) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, UploadedFile]] = []
        self.spool = Spool(limits.memory)
        self._limits = limits
        self._text = 0
        self._name = ""
        self._file: UploadedFile | None = None
        self._is_chosen = False
        self._pieces: list[bytes] = []

    def begin(self, part: MultipartSegment) -> None:
        """Take in the head of a part."""
        self._name = part.name or ""
        self._pieces = []
        self._file = None
        if part.filename is not None:
            self._is_chosen = bool(part.filename)
            self._file = UploadedFile(clean_name(part.filename), part.header("Content-Type", ""), self.spool)

    def add(self, data: bytes) -> None:
        """Take in a piece of the part."""
        if self._file is not None:
            self._file.add(data)
            return
        self._text += len(data)
        if self._text > self._limits.text:
            raise too_large(self._limits.text)
        self._pieces.append(data)

    def end(self) -> None:
        """Take in the end of the part; a browser sends an empty one for a file that nobody chose."""
        if self._file is None:
            self.fields.append((self._name, b"".join(self._pieces).decode("utf-8", "replace")))
            if len(self.fields) > self._limits.fields:
                raise too_many("fields", self._limits.fields)
        elif self._is_chosen or self._file.size:
            self.files.append((self._name, self._file))
            if len(self.files) > self._limits.files:
                raise too_many("files", self._limits.files)


def clean_name(name: str) -> str:
    r"""Return the last part of a path, without dots in front and without what no name should have.

    >>> clean_name(r"C:\photos\beach.jpg"), clean_name("../../.profile"), clean_name("a\x00b.txt")
    ('beach.jpg', 'profile', 'ab.txt')
    """
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) not in _REFUSED)
    name = name.strip().lstrip(". ")
    if len(name.encode()) > _LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        kept = f"{dot}{suffix}" if stem and len(suffix.encode()) < 20 else ""
        start = (stem if kept else name).encode()[: _LONGEST_NAME - len(kept.encode())]
        name = start.decode(errors="ignore") + kept
    return name or _NAMELESS
