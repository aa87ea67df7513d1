"""Sessions in the memory of one process: for tests, and for what runs alone on a desk."""

from __future__ import annotations

import secrets
import threading

from worker.sessions.store import PATIENCE, Held, SessionBusyError, SessionLostError


class MemoryStore:
    """Keeps sessions until the process ends.

    Args:
        patience: most seconds to wait for a session that another request holds.
    """

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._sessions: dict[str, Held] = {}
        self._holds: dict[str, str] = {}
        self._changed = threading.Condition()

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self._sessions)} sessions>"

    def take(self, key: str, now: float) -> Held | None:  # noqa: ARG002 - a hold ends with its process
        """Return a session and hold it; None if there is none."""
        with self._changed:
            if not self._changed.wait_for(lambda: key not in self._holds, self._patience):
                raise SessionBusyError
            if key not in self._sessions:
                return None
            token = self._holds[key] = secrets.token_hex(8)
            return self._sessions[key]._replace(token=token)

    def put(self, held: Held, key: str, text: str, expires: float, now: float) -> None:
        """Keep new values and let go."""
        with self._changed:
            self._let_go(held)
            self._sessions.pop(held.key, None)
            self.add(key, text, expires, now)

    def add(self, key: str, text: str, expires: float, now: float) -> None:  # noqa: ARG002 - nothing is timed
        """Keep a session that is new."""
        self._sessions[key] = Held(key, text, expires)

    def remove(self, held: Held) -> None:
        """Delete a session, whoever holds it."""
        with self._changed:
            self._sessions.pop(held.key, None)
            self._holds.pop(held.key, None)
            self._changed.notify_all()

    def release(self, held: Held) -> None:
        """Let go of a session as it was."""
        with self._changed:
            self._let_go(held)

    def sweep(self, now: float) -> None:
        """Delete sessions that have expired."""
        with self._changed:
            for key, session in [*self._sessions.items()]:
                if session.expires <= now and key not in self._holds:
                    del self._sessions[key]

    def close(self) -> None:
        """Nothing is open."""

    def _let_go(self, held: Held) -> None:
        if self._holds.get(held.key) != held.token:
            raise SessionLostError
        del self._holds[held.key]
        self._changed.notify_all()
