"""Programs that tests need beside Python; ``.ci/debian`` installs them where it may."""

from __future__ import annotations

import os
import shutil

import pytest

PLACES = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
"""Where to look: servers are not on the path of everybody."""


def needed(program: str) -> str:
    """Return the path of a program; without it the test is skipped, except in CI, where it fails."""
    if path := shutil.which(program, path=PLACES):
        return path
    sentence = f"{program} is not installed (on Debian: apt-get install {program})"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)
