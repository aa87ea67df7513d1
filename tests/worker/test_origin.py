from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import jinja2
import pytest

import worker
from worker.origin import is_own


@pytest.mark.parametrize("file", ["/home/ann/shop/main.py", "/home/ann/workers/main.py", str(Path(__file__))])
def test_what_somebody_wrote_is_theirs(file: str) -> None:
    assert is_own(file)


@pytest.mark.parametrize(
    "file",
    [
        json.__file__,
        jinja2.__file__,
        worker.__file__,
        f"{sysconfig.get_path('purelib')}/thing.py",
        "/home/ann/shop/.venv/lib/python3.13/site-packages/thing.py",
        "/usr/lib/python3/dist-packages/thing.py",
        "<frozen importlib._bootstrap>",
        "<string>",
    ],
)
def test_what_was_installed_is_nobodys(file: str) -> None:
    assert not is_own(file)
