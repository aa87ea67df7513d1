"""What a setting is: a dataclass field with a type, a default and a sentence.

Each part of LRWP has one frozen dataclass for each section of the configuration. The command line, the TOML
reader and the reference page are all derived from these classes, so nothing about a setting is written twice.
"""

from __future__ import annotations

from dataclasses import MISSING, field
from typing import Any, NewType

Duration = NewType("Duration", float)
"""Seconds; people write ``"250ms"``, ``"30s"``, ``"5m"``, ``"1h"`` or a plain number."""

Size = NewType("Size", int)
"""Bytes; people write ``"64KiB"``, ``"10MiB"``, ``"1GiB"`` or a plain number."""


def setting(
    help: str,  # noqa: A002 - argparse and typer call it help too
    *,
    default: Any = MISSING,
    factory: Any = MISSING,
    flag: str | None = None,
    least: float = 0,
    most: float | None = None,
) -> Any:
    """Declare a setting: a dataclass field with its sentence.

    Args:
        help: one sentence for ``--help`` and for the reference page.
        default: its value when nobody says otherwise; without one the setting is required.
        factory: makes the default where the default is mutable.
        flag: the command-line flags that set it, separated by spaces, such as ``"-n --processes"``; None if
            only the configuration file does.
        least: smallest value that a number, a duration or a size may have; none of ours makes sense below 0.
        most: largest value, None for no such bound.
    """
    metadata = {"help": help, "flag": flag, "least": least, "most": most}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)
