"""Inputs made from others by chance, and from the same start always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.fuzz.target import Target

ODD: Final = b"\0\t\n\r \"%&'*+,-./0:;<=>?@[\\]_{}\x7f\x80\xc0\xff"
"""Bytes that mean something to somebody."""


class Mutation:
    """Makes inputs for a target.

    Args:
        target: the target.
        seed: decides about everything that is left to chance.
        inputs: what is known, besides the target's own seeds.
    """

    def __init__(self, target: Target, seed: object, inputs: Sequence[bytes] = ()) -> None:
        self._known = [*target.seeds, *inputs]
        odd = [bytes([byte]) for byte in ODD]
        self._words = [target.words or odd, odd]
        self._chance = random.Random(repr(seed))
        self._steps: tuple[Callable[[bytes], bytes], ...] = (
            self._insert,
            self._insert,
            self._replace,
            self._remove,
            self._repeat,
            self._flip,
            self._cross,
            self._cut_off,
        )

    def inputs(self) -> Iterator[bytes]:
        """Yield inputs without an end, each some steps away from a known one."""
        while True:
            data = self._chance.choice(self._known)
            for _ in range(self._chance.choice((1, 1, 2, 3, 5))):
                data = self._chance.choice(self._steps)(data)
            yield data

    def long_inputs(self, size: int) -> Iterator[bytes]:
        """Yield inputs without an end that are this long, as something comes in them again and again."""
        while True:
            data = self._chance.choice(self._known)
            start, end = self._slice(data)
            words = self._word(), self._word()
            again = self._chance.choice((data[start:end] or words[0], words[0], b"".join(words)))
            count = (size - len(data)) // len(again)
            yield data[:end] + again * count + data[end:]

    def _word(self) -> bytes:
        return self._chance.choice(self._chance.choice(self._words))

    def _place(self, data: bytes) -> int:
        return self._chance.randint(0, len(data))

    def _slice(self, data: bytes) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._chance.choice((1, 1, 2, 4, 8, 16, 64)))

    def _insert(self, data: bytes) -> bytes:
        place = self._place(data)
        return data[:place] + self._word() + data[place:]

    def _replace(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + self._word() + data[end:]

    def _remove(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:end] + data[start:end] * self._chance.choice((1, 1, 2, 8, 40)) + data[end:]

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        place = self._chance.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << self._chance.randrange(8)]) + data[place + 1 :]

    def _cross(self, data: bytes) -> bytes:
        other = self._chance.choice(self._known)
        return data[: self._place(data)] + other[self._place(other) :]

    def _cut_off(self, data: bytes) -> bytes:
        return data[: self._place(data)]
