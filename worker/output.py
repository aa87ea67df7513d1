"""Our standard output and error, which several processes share under their labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from worker.child import STDERR, STDOUT


class Output:
    """Where the lines of labelled processes go, and our own sentences.

    Args:
        labels: the labels that there will be; they are padded to the longest, so that the lines are aligned.
        paint: returns a label and its bar as they are shown, given both, for a terminal with colours.
    """

    def __init__(self, labels: Iterable[str], paint: Callable[[str, str], str] | None = None) -> None:
        self._width = max(map(len, labels), default=0)
        self._paint = paint

    def write(self, label: str, stream: int, lines: Iterable[bytes]) -> None:
        """Write lines of the process that has this label to the stream with this number."""
        prefix = f"{label:<{self._width}} |"
        start = (self._paint(label, prefix) if self._paint else prefix).encode() + b" "
        _write(stream, b"".join(b"%s%s\n" % (start, line) for line in lines))

    def say(self, sentence: str) -> None:
        """Write a sentence of our own about what went wrong, to standard error."""
        _write(STDERR, f"lrwp: {sentence}\n".encode(errors="replace"))

    def tell(self, sentence: str) -> None:
        """Write a sentence of our own that people wait for, to standard output."""
        _write(STDOUT, f"{sentence}\n".encode(errors="replace"))


def _write(stream: int, data: bytes) -> None:
    # Who reads us may be gone; that is no reason for what we supervise to stop.
    with suppress(OSError):
        while data:
            data = data[os.write(stream, data) :]
