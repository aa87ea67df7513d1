"""What a target is: a reader of what strangers send, and what holds whatever they send."""

from __future__ import annotations

import atexit
import random
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

SEPARATOR: Final = b"\0;"
"""What stands between the parts of an input that has several; each of them may have a NUL or a semicolon."""

SECONDS: Final = 0.5
"""Seconds of a processor that any input may take."""

SECONDS_EACH: Final = 20e-6
"""Seconds more for each byte: what is linear takes a tenth, what is quadratic is beyond it at 64 KiB."""

ALONE: Final = 600
"""Longest input that is also cut into single bytes."""


class TooExpensiveError(AssertionError):
    """An input took more memory or time than its length allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing that is read.

    Attributes:
        read: reads an input; what it returns says nothing.
        refusals: the errors that may come of that, by the documentation.
        laws: what holds besides; each takes an input and raises AssertionError, or anything, if it does not.
        seeds: inputs to begin with.
        words: what inputs are likely to be made of.
        each: bytes of memory that reading may take for each byte of an input.
        fixed: bytes of memory that it may take beside them.
    """

    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = ()
    laws: Sequence[Callable[[bytes], object]] = ()
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    each: int
    fixed: int = 200_000

    def check(self, data: bytes) -> None:
        """Read an input and see whether all laws hold for it.

        Raises:
            Exception: of any kind: one of them does not.
        """
        self._read(data)
        for law in self.laws:
            law(data)

    def weigh(self, data: bytes) -> None:
        """Read an input and see what it costs.

        Raises:
            TooExpensiveError: more than it may.
        """
        most = SECONDS + SECONDS_EACH * len(data)
        seconds = self._seconds(data)
        if seconds > most:
            seconds = min(seconds, self._seconds(data))  # a collection of garbage may have come in between
        if seconds > most:
            raise TooExpensiveError(f"{len(data)} bytes took {seconds:.1f} s, more than {most:.1f}")
        size = self._size(data)
        room = self.fixed + self.each * len(data)
        if size > room:
            raise TooExpensiveError(f"{len(data)} bytes took {size} bytes of memory, more than {room}")

    def _read(self, data: bytes) -> None:
        with suppress(*self.refusals):
            self.read(data)

    def _seconds(self, data: bytes) -> float:
        started = time.thread_time()
        self._read(data)
        return time.thread_time() - started

    def _size(self, data: bytes) -> int:
        tracemalloc.start()
        try:
            self._read(data)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def parts(data: bytes, count: int) -> list[bytes]:
    """Return ``count`` parts of an input: the last has all that is left, and any may be empty."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def joined(*parts: bytes) -> bytes:
    """Return an input that has these parts."""
    return SEPARATOR.join(parts)


def ways_to_cut(data: bytes) -> Iterator[list[bytes]]:
    """Yield the same bytes as a wire may deliver them: in pieces of any size.

    Where they are cut follows from the bytes themselves, so that an input is all that a finding needs.
    """
    chance = random.Random(zlib.crc32(data))
    if len(data) <= ALONE:
        yield [data[at : at + 1] for at in range(len(data))]
    for count in (1, 1, 5):
        places = sorted(chance.randint(0, len(data)) for _ in range(count))
        yield [data[start:end] for start, end in pairwise([0, *places, len(data)]) if start < end]


def temporary_folder() -> Path:
    """Return a new folder that is gone when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="lrwp-fuzz-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def outcome(function: Callable[..., Any], *arguments: Any, refusals: tuple[type[Exception], ...]) -> Any:
    """Return what a function returns, or the kind of error with which it refused."""
    try:
        return function(*arguments)
    except refusals as error:
        return type(error)
