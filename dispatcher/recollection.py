"""What the dispatchers before us knew: which applications there are.

A dispatcher that is started again knows nothing of the applications that nothing configures until their
workers are back, and would answer 404 meanwhile. So each notes those that it sees in a file without a name,
which whoever has started it passes on to the next one.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Final

from protocol.registration import Claim

NAME: Final = "applications"
"""What the file is called among those that are passed."""

_READ: Final = 1 << 20
"""Bytes of the file that are read; who has more applications loses no more than a few seconds."""


class Recollection:
    """The applications that were seen, and their paths.

    Args:
        file: the number of the file, which is written at its end; None for none.

    Attributes:
        claims: what stood in the file, and what was noted since.
    """

    def __init__(self, file: int | None = None) -> None:
        self._file = file
        self.claims: dict[Claim, None] = {}
        if file is not None:
            whole, _, _ = os.pread(file, _READ, 0).rpartition(b"\n")
            for line in whole.splitlines():
                self.claims[Claim(*json.loads(line))] = None

    def __repr__(self) -> str:
        return f"<Recollection of {len(self.claims)} paths>"

    def note(self, claim: Claim) -> None:
        """Note that there are workers for a path."""
        if self._file is not None and claim not in self.claims:
            self.claims[claim] = None
            with suppress(OSError):  # who comes after us does without
                os.write(self._file, json.dumps(claim).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
