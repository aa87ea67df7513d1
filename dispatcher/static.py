"""Static files: what is served where no worker answers.

A path is decoded once, checked, and walked from the root, folder by folder, never through a symbolic link.
Where there is a link, it is resolved, and what it leads to is walked from the root in the same way. So no
file outside of the root is ever opened, not even when a folder is exchanged for a link at the wrong moment.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from protocol.conditions import Decision, Representation, choose_coding, decide, describe_file, write_date
from protocol.errors import SettingsError
from protocol.heads import write_head
from protocol.media_types import media_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class FileAnswer(NamedTuple):
    """What the HTTP side is to send.

    Attributes:
        status: the status code.
        head: the header block, without Content-Length, Date and Connection.
        file: the open, unbuffered file to send from, None if nothing of it is to be sent. Who receives the
            answer closes it, also after HEAD, whose answer is GET's and is cut off by who sends it.
        offset: position in the file of the first byte to send.
        length: bytes of the body, from ``file`` or of ``body``. A 204 and a 304 have 0 here and no
            Content-Length on the wire (RFC 9110 §8.6).
        body: the body where there is no file.
    """

    status: int
    head: bytes
    file: FileIO | None
    offset: int
    length: int
    body: bytes


class _Opened(NamedTuple):
    """A regular file that is open, and what the system says of it."""

    file: FileIO
    status: os.stat_result


_TWINS: Final = {"br": b".br", "gzip": b".gz"}
"""Suffixes of the twins that may lie beside a file, compressed beforehand; the better coding first."""

_INDEX: Final = b"/index.html"
_METHODS: Final = "GET, HEAD"

_ABSENT: Final = frozenset(
    {
        errno.EACCES,  # what the dispatcher may not read is none of a client's business either
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENXIO,
        errno.EPERM,
    }
)
"""Errors that mean that there is no such file; after any other, such as EMFILE, there may well be one."""


class StaticFiles:
    """The files below one folder.

    Args:
        root: the folder. It may be a symbolic link that a deployment sets anew: each request follows it.

    Raises:
        SettingsError: ``root`` is not a folder.
    """

    def __init__(self, root: Path) -> None:
        if not os.path.isdir(root):
            raise SettingsError(f"{str(root)!r} is not a folder: create it, or name another one as docroot")
        self._root = os.fsencode(root.absolute()).rstrip(b"/")

    def __repr__(self) -> str:
        return f"<StaticFiles {os.fsdecode(self._root) or '/'}>"

    def find(self, method: str, path: str, fields: Mapping[str, str]) -> FileAnswer | None:
        """Return the answer that the files have for a request, None if there is no file for it.

        Nothing is kept from one call to the next, whether a file was found or not. An absent file costs three
        access() calls and no open descriptor.

        Args:
            method: the method, in upper case.
            path: the path of the target as the client wrote it, percent-encoded, without the query.
            fields: the request's fields, names in lower case.
        """
        name = _read_path(path)
        if name is None:
            return None
        try:
            found = self._locate(name)
        except OSError:
            return _plain(503, "The file cannot be read now: try again.", ("Retry-After", "1"))
        if found is None:
            return None
        page, opened = found
        if method in {"GET", "HEAD"} and page != name + _INDEX:
            return self._send(method, fields, page, opened)
        opened.file.close()
        if method == "OPTIONS":
            return FileAnswer(204, write_head([("Allow", _METHODS)]), None, 0, 0, b"")
        if method not in {"GET", "HEAD"}:
            return _plain(405, f"This takes {_METHODS} only.", ("Allow", _METHODS))
        # With two slashes in front a browser would read a host name; _read_path() has refused those.
        return _plain(301, "This is a folder: add a slash.", ("Location", path + "/"))

    def _locate(self, name: bytes) -> tuple[bytes, _Opened] | None:
        """Return the page that answers for ``name``, by its own name and open.

        Raises:
            OSError: there may be one, but the system cannot open it now.
        """
        for page in _pages(name):
            # access() spares the many absent names an exception each: 0.8 µs instead of 1.6.
            if self._exists(page):
                opened = self._open(page)
                if opened is not None:
                    return page, opened
        return None

    def _exists(self, name: bytes) -> bool:
        """Whether something has this name; it follows links to anywhere, so it is never the last word."""
        return os.access(self._root + name, os.F_OK)

    def _open(self, name: bytes) -> _Opened | None:
        """Open the regular file of this name, None if there is none."""
        try:
            return self._open_inside(name)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def _open_inside(self, name: bytes) -> _Opened:
        try:
            return _walk(self._root, name)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
        return _walk(self._root, self._resolve(name))

    def _resolve(self, name: bytes) -> bytes:
        """Return the name without links of a file that has links in its name, if it is below the root.

        The rule against dotfiles is for names that clients choose. A link is its owner's choice, and where
        Kubernetes mounts a ConfigMap every file is a link into a folder called ``..data``.
        """
        root = os.path.realpath(self._root + b"/").rstrip(b"/")
        real = os.path.realpath(self._root + name)
        if not real.startswith(root + b"/"):
            raise FileNotFoundError(errno.ENOENT, "this leads out of the root")
        return real.removeprefix(root)

    def _send(self, method: str, fields: Mapping[str, str], page: bytes, plain: _Opened) -> FileAnswer:
        twins = [coding for coding, suffix in _TWINS.items() if self._exists(page + suffix)]
        opened, coding = self._choose(page, plain, twins, fields.get("accept-encoding", ""))
        now = time.time()
        representation = describe_file(opened.status.st_mtime_ns, opened.status.st_size, now, coding)
        decision = decide(method, fields, representation, now)
        file = opened.file if decision.part else None
        if file is None:
            opened.file.close()
        if decision.status == 412:
            return _plain(412, "The file is not the one that the request is about.")
        if decision.status == 416:
            extent = f"bytes */{representation.size}"
            return _plain(416, "The file ends before this part.", ("Content-Range", extent))
        head = write_head(_fields(decision, representation, page, coding, has_twins=bool(twins)))
        return FileAnswer(decision.status, head, file, decision.part.start, len(decision.part), b"")

    def _choose(
        self, page: bytes, plain: _Opened, twins: list[str], accept_encoding: str
    ) -> tuple[_Opened, str | None]:
        """Return the file to send, and its coding if it is a twin; the other one is closed."""
        coding = choose_coding(accept_encoding, twins) if twins else None
        twin = self._open_twin(page + _TWINS[coding], plain.status) if coding else None
        if twin is None:
            return plain, None
        plain.file.close()
        return twin, coding

    def _open_twin(self, name: bytes, plain: os.stat_result) -> _Opened | None:
        """Open a twin, unless it is older than its file: then someone changed the file and forgot the twin.

        Whole seconds are compared: brotli copies the time of the file to the twin without the fraction.
        """
        try:
            twin = self._open(name)
        except OSError:  # the file itself is open and will do
            return None
        if twin is not None and _modified(twin.status) < _modified(plain):
            twin.file.close()
            return None
        return twin


def _pages(name: bytes) -> tuple[bytes, ...]:
    """Return the pages that may answer for ``name``, the best first."""
    if name.endswith(b"/"):
        return (name[:-1] + _INDEX,)
    return name, name + _INDEX, name + b".html"


# What RFC 3986 §3.3 allows in a path, and the few characters more that browsers leave as they are. An encoded
# slash is part of a name (RFC 3986 §2.2), and no file has one in its name.
_PATH: Final = re.compile(r"/(?:[!\"$&->@-\[\]-~]++|%(?!2[Ff])[0-9A-Fa-f]{2})*+")

# Looked for in the decoded path: control characters, a backslash, an empty segment, and a segment that begins
# with a dot, `.` and `..` among them. What lies in `/.well-known/` is the exception (RFC 8615 §3).
_REFUSED: Final = re.compile(rb"[\x00-\x1f\x7f\\]|\xc2[\x80-\x9f]|//|/\.(?!(?<=\A/\.)well-known/)")


def _read_path(path: str) -> bytes | None:
    """Return the name that a path has in the file system, None if no file may be reached by it.

    It is decoded once only. To the client a refused path is one where nothing is, so that nobody learns from
    the answers which rule to try next.
    """
    if not _PATH.fullmatch(path):
        return None
    name = unquote_to_bytes(path)
    if _REFUSED.search(name):
        return None
    try:
        name.decode()  # strictly, so that no overlong form of `/` or `.` comes further than here
    except UnicodeDecodeError:
        return None
    return name


_FOLDER: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH is Linux's
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def _walk(root: bytes, name: bytes) -> _Opened:
    """Open the regular file ``name`` below ``root`` without following a link on the way.

    Raises:
        OSError: ELOOP or ENOTDIR if there may be a link in the name; ENOENT if it is no regular file.
    """
    *folders, last = name[1:].split(b"/")
    here = os.open(root + b"/", _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        # Looked at before it is opened: to open a FIFO wakes its writer, to open a device may do anything.
        mode = os.stat(last, dir_fd=here, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise FileNotFoundError(errno.ENOENT, "this is no regular file")
        descriptor = os.open(last, _FILE, dir_fd=here)
    finally:
        os.close(here)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "this was exchanged for something that is no regular file")
    return _Opened(FileIO(descriptor), status)


def _modified(status: os.stat_result) -> int:
    """Return the time of the last change in whole seconds; as a float it may be rounded up to the next."""
    return status.st_mtime_ns // 1_000_000_000


def _fields(
    decision: Decision, representation: Representation, page: bytes, coding: str | None, *, has_twins: bool
) -> Iterator[tuple[str, str]]:
    """Yield the fields of a 200, 206 or 304."""
    yield "ETag", representation.etag
    if has_twins:
        yield "Vary", "Accept-Encoding"
    if decision.status == 304:  # RFC 9110 §15.4.5: what the client has already is not sent again
        return
    if representation.modified is not None:
        yield "Last-Modified", write_date(representation.modified)
    yield "Accept-Ranges", "bytes"
    yield "Content-Type", media_type(os.fsdecode(os.path.splitext(page)[1].lower()))
    yield "X-Content-Type-Options", "nosniff"
    if coding:
        yield "Content-Encoding", coding
    if decision.status == 206:
        part = decision.part
        yield "Content-Range", f"bytes {part.start}-{part.stop - 1}/{representation.size}"


def _plain(status: int, sentence: str, *fields: tuple[str, str]) -> FileAnswer:
    """Return an answer that is one sentence."""
    body = sentence.encode() + b"\n"
    head = write_head([*fields, ("Content-Type", "text/plain; charset=utf-8")])
    return FileAnswer(status, head, None, 0, len(body), body)
