"""What was found: made as short as it can be, and kept where ``make test`` replays it."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fuzz.target import TooExpensiveError

if TYPE_CHECKING:
    from tests.fuzz.target import Target

CORPUS: Final = Path(__file__).parent / "corpus"

PATIENCE: Final = 10.0
"""Seconds for which a finding is shortened."""


def complaint_about(target: Target, data: bytes) -> str:
    """Return what is wrong with an input, and where that shows; an empty text if nothing is."""
    for examine in (target.check, target.weigh):
        try:
            examine(data)
        except Exception as error:
            if isinstance(error, TooExpensiveError):
                return f"too expensive: {error}"
            place = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__} in {place.name}(), {Path(place.filename).name}:{place.lineno}"
    return ""


def shortened(target: Target, data: bytes) -> bytes:
    """Return an input with the same mistake that has as little else in it as can be."""
    complaint = complaint_about(target, data)
    if complaint.startswith("too expensive"):  # each look takes long, and the length may be the point
        return data
    return shortest(data, lambda shorter: complaint_about(target, shorter) == complaint)


def shortest(data: bytes, has_it: Callable[[bytes], bool]) -> bytes:
    """Leave out whatever can be left out of ``data``, in large parts first."""
    end = time.monotonic() + PATIENCE
    size = len(data) // 2
    while size:
        for shorter in without_parts(data, size):
            if time.monotonic() > end:
                return data
            if has_it(shorter):
                data = shorter
                break
        else:
            size //= 2
    return data


def without_parts(data: bytes, size: int) -> Iterator[bytes]:
    """Yield ``data`` without each of its parts of this size."""
    for start in range(0, len(data), size):
        yield data[:start] + data[start + size :]


def keep(name: str, data: bytes, corpus: Path = CORPUS) -> Path:
    """Write an input where it is replayed; returns the file."""
    path = corpus / name / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def kept(name: str, corpus: Path = CORPUS) -> list[Path]:
    """Return the files of a target's findings."""
    return sorted((corpus / name).glob("*"))
