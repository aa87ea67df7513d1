"""The lines of bodies that ``--match`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator


def matching_lines(pattern: re.Pattern[str], body: bytes) -> Iterator[str]:
    """Yield the lines of ``body`` that ``pattern`` is found in, stripped of white space and escaped."""
    for line in body.decode("utf-8", "replace").splitlines():
        if pattern.search(line):
            yield escape(line.strip())


def escape(text: str) -> str:
    """Return ``text`` with escapes in place of what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text
    )
