"""Where tests keep sessions: each kind of store, made anew, with as many stores at one place as are wanted.

As a program it is another worker: ``python -m tests.worker.sessions.places KIND PLACE count|hold ID``.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from worker.sessions import Sessions, Store
from worker.sessions.memory import MemoryStore
from worker.sessions.postgresql import PostgresqlStore
from worker.sessions.redis import RedisStore
from worker.sessions.sqlite import SqliteStore

KINDS = {"sqlite": SqliteStore, "postgresql": PostgresqlStore, "redis": RedisStore}

ROUNDS = 20
"""How often another worker counts."""


class Place(NamedTuple):
    """A place that several stores share.

    Attributes:
        kind: ``sqlite``, ``postgresql``, ``redis`` or ``memory``.
        name: the path or URL.
        opened: the stores that were opened here.
    """

    kind: str
    name: str
    opened: list[Store]

    def open(self, *, patience: float = 5.0, lease: float = 60.0) -> Store:
        """Return a store here; for the memory of a process it is always the same one."""
        store = MemoryStore(patience=patience) if self.kind == "memory" else self._open(patience, lease)
        self.opened.append(store)
        return store

    def _open(self, patience: float, lease: float) -> Store:
        arguments: dict[str, Any] = {"patience": patience}
        if self.kind != "postgresql":  # there a hold is a transaction, and needs no lease
            arguments["lease"] = lease
        name = Path(self.name) if self.kind == "sqlite" else self.name
        store: Store = KINDS[self.kind](name, **arguments)
        return store

    def close(self) -> None:
        """Close what this thread has opened here."""
        for store in self.opened:
            store.close()


def count(sessions: Sessions, session_id: str) -> None:
    """Count in a session, as a handler would."""
    from tests.worker.handling import request_of, respond

    def visit(request):
        before = request.session.get("visits", 0)
        request.session["visits"] = before + 1
        return "counted"

    response = sessions(respond)(request_of(visit, cookies={"session": session_id}))
    assert response.status == 200


def main(kind: str, name: str, what: str, session_id: str) -> None:
    """Be another worker."""
    from tests.worker.handling import request_of, respond

    store = Place(kind, name, []).open(lease=0.3)
    sessions = Sessions(store)

    def hold(request):
        request.session["held"] = True
        print("held", flush=True)
        threading.Event().wait()

    if what == "hold":
        sessions(respond)(request_of(hold, cookies={"session": session_id}))
    for _ in range(ROUNDS):
        count(sessions, session_id)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
