"""Whose code a file is: that of whoever works on an application, or that of Python, a library or LRWP."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]

_FOLDERS: Final = tuple(
    f"{folder}{os.sep}"
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *(_ROOT / package for package in ("protocol", "dispatcher", "worker", "lrwp")),
    )
)

_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
"""In the path of what was installed; another Python's too, in a virtual environment beside the code."""


def is_own(file: str) -> bool:
    """Whether somebody who works on an application wrote a file; not so where there is no file."""
    if file.startswith("<"):
        return False
    return not file.startswith(_FOLDERS) and not any(part in file for part in _INSTALLED)
