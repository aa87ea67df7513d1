"""What can keep a fault from being tried."""

from __future__ import annotations

from protocol.errors import LrwpError


class ChaosError(LrwpError):
    """A fault that cannot be tried, here or at all; one sentence says why."""


class MissingError(ChaosError):
    """This machine, or this user, does not allow the fault: it is left out, but in CI it fails."""
