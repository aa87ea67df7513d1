"""What is fuzzed: each module here has a ``TARGET``, whose name is that of the module."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.target import Target

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""The names of all targets."""


def load(name: str) -> Target:
    """Return the target of this name; what it tests is imported only now."""
    target: Target = importlib.import_module(f"{__name__}.{name}").TARGET
    return target
