"""Files as responses: with the conditions and ranges of RFC 9110, and in pieces where they are large."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from io import FileIO
from time import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from protocol import limits
from protocol.conditions import Decision, Representation, decide, describe_file, write_date
from protocol.heads import write_head
from protocol.media_types import media_type
from worker.errors import HttpError
from worker.exchange import Answer
from worker.response import Response, not_modified_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from worker.request import Request

# Without O_NONBLOCK, to open a FIFO would wait for its writer.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_VALIDATORS: Final = frozenset({"etag", "last-modified"})


def file_response(
    path: str | Path, *, content_type: str = "", download_as: str = "", max_age: int | None = None
) -> Response:
    """Return a response that sends a file, or the part of it that the client asks for.

    Where a client has a say in ``path``, a :class:`worker.static_folder.StaticFolder` sees to it that it
    stays in its folder.

    Args:
        path: the file.
        content_type: what it is, where its suffix does not say so.
        download_as: a name under which the browser is to save it; empty for it to be shown.
        max_age: seconds for which a browser need not ask again.

    Raises:
        HttpError: 404, there is no such file.
    """
    response = FileResponse(path, content_type)
    if download_as:
        response.headers.append(("Content-Disposition", _disposition(download_as)))
    if max_age is not None:
        response.headers.append(("Cache-Control", f"max-age={max_age}"))
    return response


class FileResponse(Response):
    """A file. It is opened when it is sent, so a response that is not sent leaves nothing open."""

    __slots__ = ("_path",)

    def __init__(self, path: str | Path, content_type: str = "") -> None:
        self._path = os.fspath(path)
        kind = content_type or media_type(os.path.splitext(self._path)[1].lower())
        super().__init__(None, 200, [("X-Content-Type-Options", "nosniff")], kind)
        try:
            is_file = stat.S_ISREG(os.stat(path).st_mode)
        except (OSError, ValueError):  # ValueError for a NUL in the path
            is_file = False
        if not is_file:
            raise HttpError(404)

    def answer(self, method: str = "GET") -> Answer:
        """Return the answer that sends all of it.

        Raises:
            HttpError: 404, it is gone.
        """
        return self._answer(method, {})

    def answer_to(self, request: Request) -> Answer:
        """Return the answer with the request's conditions weighed.

        Raises:
            HttpError: 404, it is gone; 412 or 416, the request is not for what there is.
        """
        is_conditional = request.method in {"GET", "HEAD"} and self.status == 200
        return self._answer(request.method, request.headers if is_conditional else {})

    def _answer(self, method: str, fields: Mapping[str, str]) -> Answer:
        with ExitStack() as stack:
            file = stack.enter_context(_open(self._path))
            representation = self._representation(os.fstat(file.fileno()))
            decision = decide(method, fields, representation, time())
            if decision.status == 412:
                raise HttpError(412)
            if decision.status == 416:
                raise HttpError(416, headers=[("Content-Range", f"bytes */{representation.size}")])
            own = [field for field in self.headers if field[0].lower() not in _VALIDATORS]
            described = [*own, *_describe(decision, representation)]
            if decision.status == 304:
                return not_modified_answer(described)
            head = write_head(described)
            part = decision.part
            code = self.status if decision.status == 200 else 206
            if method == "HEAD":
                return Answer(code, head, b"")
            if len(part) <= limits.PIECE:
                return Answer(code, head, os.pread(file.fileno(), len(part), part.start))
            stack.pop_all()
            return Answer(code, head, FilePieces(file, part))

    def _representation(self, status: os.stat_result) -> Representation:
        """Return what conditions are weighed by: what the author has set, or what the file system says."""
        representation = describe_file(status.st_mtime_ns, status.st_size, time())
        if self._etag:
            representation = representation._replace(etag=f'"{self._etag}"')
        if self._modified is not None:
            representation = representation._replace(modified=self._modified)
        return representation


class FilePieces:
    """A part of a file, piece by piece."""

    __slots__ = ("_file", "_left")

    def __init__(self, file: FileIO, part: range) -> None:
        self._file = file
        self._left = part

    def __iter__(self) -> FilePieces:
        return self

    def __next__(self) -> bytes:
        # A file that has become shorter ends the answer early, and the dispatcher lets the client see that.
        size = min(len(self._left), limits.PIECE)
        piece = os.pread(self._file.fileno(), size, self._left.start) if size else b""
        if not piece:
            raise StopIteration
        self._left = self._left[len(piece) :]
        return piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open(path: str) -> FileIO:
    try:
        return FileIO(os.open(path, _FLAGS))
    except OSError:
        raise HttpError(404) from None


def _describe(decision: Decision, representation: Representation) -> Iterator[tuple[str, str]]:
    yield "ETag", representation.etag
    if representation.modified is not None:
        yield "Last-Modified", write_date(representation.modified)
    yield "Accept-Ranges", "bytes"
    yield "Content-Length", str(len(decision.part))
    if decision.status == 206:
        part = decision.part
        yield "Content-Range", f"bytes {part.start}-{part.stop - 1}/{representation.size}"


def _disposition(name: str) -> str:
    """Return what has a browser save a file, by its name, and by one in ASCII for old browsers (RFC 6266)."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
