"""A folder of files, to be mounted: ``app.mount("/static", StaticFolder("static"))``."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import HttpError, RouteError
from worker.files import file_response
from worker.response import Response, redirect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.request import Request

_METHODS: Final = "GET, HEAD, OPTIONS"
_INDEX: Final = "index.html"

_NAME: Final = re.compile(r"(?!\.)[^\x00-\x1f\x7f/\\]+")
"""A name that clients may ask for: no dotfile, no `..`, no path within it."""


class StaticFolder:
    """The files below a folder.

    A folder in it answers with its ``index.html``. What leads out of it, by dots or by links, is not found.

    Args:
        folder: the folder, relative to the one of the module that calls this.
        max_age: seconds for which a browser need not ask again; None for as it likes.

    Raises:
        RouteError: there is no such folder.
    """

    def __init__(self, folder: str | Path, *, max_age: int | None = None) -> None:
        caller = sys._getframe(1).f_globals.get("__file__", "./-")
        self._folder = str(Path(caller).resolve().parent / folder)
        self._max_age = max_age
        if not os.path.isdir(self._folder):
            raise RouteError(f"there is no folder {self._folder}: put the files there")

    def __repr__(self) -> str:
        return f"<StaticFolder {self._folder}>"

    def __call__(self, request: Request) -> Response:
        """Answer with the file that the path names.

        Raises:
            HttpError: 404 or 405, there is none.
        """
        if request.method == "OPTIONS":
            return Response(status=204, headers=[("Allow", _METHODS)])
        if request.method not in {"GET", "HEAD"}:
            raise HttpError(405, headers=[("Allow", _METHODS)])
        path = self._find(request.segments)
        if os.path.isdir(path) and os.path.isfile(os.path.join(path, _INDEX)):
            return redirect(request.target_of_folder, 308)
        return file_response(path, max_age=self._max_age)

    def _find(self, segments: Sequence[str]) -> str:
        """Return the path without links of what these segments name."""
        names = [*segments[:-1], segments[-1] or _INDEX]
        if not all(map(_NAME.fullmatch, names)):
            raise HttpError(404)
        folder = os.path.realpath(self._folder)
        path = os.path.realpath(os.path.join(folder, *names))
        if not path.startswith(f"{folder}{os.sep}"):
            raise HttpError(404)
        return path
