"""Stores: where sessions are kept, and how a request holds one of them.

A store knows sessions by the hash of their id only, so who reads the store cannot take over a session. It
does not know what time it is: ``now`` is an argument, in seconds since 1970, as sessions outlive processes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeVar

from worker.errors import HttpError

PATIENCE: Final = 10.0
"""Seconds to wait for a session that another request holds."""

LEASE: Final = 60.0
"""Seconds after which a hold ends by itself: as long as a dispatcher gives a request by default. So long a
session stays locked, at most, when its worker was killed."""

SWEPT_AT_ONCE: Final = 1000
"""Most expired sessions to delete in one go: some milliseconds of work."""

_FIRST_NAP: Final = 0.002
_LONGEST_NAP: Final = 0.05

T = TypeVar("T")


class SessionBusyError(HttpError):
    """503: another request has held the session for too long."""

    def __init__(self) -> None:
        super().__init__(
            503, "Another page of yours is still being made. Please try again.", [("Retry-After", "1")]
        )


class SessionLostError(HttpError):
    """500: what the request changed in its session could not be kept; what it did elsewhere may have been."""

    def __init__(self) -> None:
        super().__init__(500, "Your session could not be saved: have a look before you repeat what you did.")


class Held(NamedTuple):
    """A session in the hands of one request.

    Attributes:
        key: the hash of its id.
        text: its values, as JSON.
        expires: until when it lasts.
        token: tells this hold from every other.
    """

    key: str
    text: str
    expires: float
    token: str = ""


class Store(Protocol):
    """Where sessions are kept; all of its methods may be called by several threads at once."""

    def take(self, key: str, now: float) -> Held | None:
        """Return a session and hold it, so that others wait; None if there is none.

        Raises:
            SessionBusyError: somebody else holds it, and did not let go.
            HttpError: 503, the store is not there.
        """

    def put(self, held: Held, key: str, text: str, expires: float, now: float) -> None:
        """Keep new values and let go; ``key`` may be another one, and then the old one is known no more.

        Raises:
            SessionLostError: the hold had ended, and so the session may be another request's by now.
            HttpError: 503, the store is not there.
        """

    def add(self, key: str, text: str, expires: float, now: float) -> None:
        """Keep a session that is new, which nobody holds then.

        Raises:
            HttpError: 503, the store is not there.
        """

    def remove(self, held: Held) -> None:
        """Delete a session, even if the hold has ended and it is another request's: a logout always counts.

        Raises:
            HttpError: 503, the store is not there.
        """

    def release(self, held: Held) -> None:
        """Let go of a session as it was."""

    def sweep(self, now: float) -> None:
        """Delete sessions that have expired."""

    def close(self) -> None:
        """Close what this thread has opened."""


def wait_for(ask: Callable[[], T | None], patience: float) -> T:
    """Ask until there is an answer.

    Raises:
        SessionBusyError: there was none in ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    nap = _FIRST_NAP
    while (answer := ask()) is None:
        if time.monotonic() >= deadline:
            raise SessionBusyError
        time.sleep(nap * random.uniform(0.5, 1.0))  # noqa: S311 - no secret: it keeps several from asking at once
        nap = min(2 * nap, _LONGEST_NAP)
    return answer
