"""The files that an application's code is from, and whether they have changed.

The processes of a pool say which files their imports wanted; the pool's parent looks at these.

* What was wanted is watched, not what was loaded: code that is broken must be watched most of all, and where
  a module was not found, the place where it would have been.
* Imports that come later, from within a handler, are watched as well.
* A process says what a file looked like before it read it, so what is saved meanwhile is not missed.

A look at 300 files takes 0.8 ms, so one every half second costs less than two thousandths of a processor. To
be told by the kernel would take a library, and would miss what is saved outside of a container or a virtual
machine that runs the code from a shared folder.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from worker.origin import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def stamp_of(path: str) -> str:
    """Return what changes when a file does, even if it is replaced by another; "-" for no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "-"
    return f"{status.st_mtime_ns}/{status.st_size}/{status.st_ino}"


class Watch:
    """Files, and what they looked like when they were last looked at."""

    def __init__(self) -> None:
        self._stamps: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Watch of {len(self._stamps)} files>"

    def add(self, stamps: Mapping[str, str]) -> None:
        """Watch files that looked like this when somebody read them.

        One that is watched already keeps its stamp: whoever read another version did so after a change that
        the next look finds.
        """
        self._stamps = {**stamps, **self._stamps}

    def look(self) -> list[str]:
        """Return the files that have changed since they were looked at last, or were read."""
        changed = []
        for path, before in self._stamps.items():
            now = stamp_of(path)
            if now != before:
                self._stamps[path] = now
                changed.append(path)
        return changed


class Imports:
    """The first of the finders on :data:`sys.meta_path`: it finds what they find, and notes the files.

    Args:
        note: called with the path of each file that is nobody's but the user's, and its stamp, once.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        self._noted: set[str] = set()

    def install(self) -> None:
        """Note what is imported from now on.

        No bytecode is written: Python takes it for that of any source of the same length and second, so what
        is saved twice in a row could run as it was the first time.
        """
        sys.dont_write_bytecode = True
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, as the other finders say; None if they know of none."""
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.has_location and spec.origin:
                    self._take(os.path.abspath(spec.origin))
                return spec
        for place in _places(name, path):
            self._take(os.path.abspath(place))
        return None

    def _take(self, file: str) -> None:
        if file not in self._noted and is_own(file):
            self._noted.add(file)
            self._note(file, stamp_of(file))


def _places(name: str, path: Sequence[str] | None) -> Iterator[str]:
    """Yield the files that a module could be from that is not there."""
    last = name.rpartition(".")[2]
    for folder in sys.path if path is None else path:
        if os.path.isdir(folder):
            yield os.path.join(folder, f"{last}.py")
            yield os.path.join(folder, last, "__init__.py")
