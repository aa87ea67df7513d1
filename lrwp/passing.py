"""Passing open files on to the program that a child becomes, as systemd does: sd_listen_fds(3)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from typing import Final

_FIRST: Final = 3
"""Where the files begin that a program finds open; the standard streams come before it."""


def pass_on(files: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Put files, given with their names, where the program looks for them; returns the variables that say so.

    This is for a child that becomes the program next. What has been at those numbers is closed.
    """
    above = _FIRST + len(files)
    copies = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, above) for _, file in files]
    for number, copy in enumerate(copies, _FIRST):
        os.dup2(copy, number, inheritable=True)
    return {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(files)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in files),
    }


def keep_open(file: int, passed: int) -> int:
    """Return the number under which the program still has a file, beside so many that are passed on."""
    return fcntl.fcntl(file, fcntl.F_DUPFD, _FIRST + passed)
