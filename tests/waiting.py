"""Waiting for what no descriptor tells: a condition is looked at until it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], patience: float = 10.0) -> T:
    """Return what ``condition`` returns as soon as that is true in some sense."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"this did not become true: {condition}")
        time.sleep(0.002)
    return value
