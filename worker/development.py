"""Development mode: what a worker does differently for somebody who works on its code.

It is for one person at their own machine: its pages show source code to whoever can reach them.
"""

from __future__ import annotations


def begin() -> None:
    """Have this process look at its templates at each use, and leave faults to the traceback page."""
    # Imported here, because a worker that is not in development mode may never need them.
    from worker.error_answers import ErrorHandlers  # noqa: PLC0415
    from worker.templates import Templates  # noqa: PLC0415

    Templates.reloads = True
    ErrorHandlers.leave_faults = True
