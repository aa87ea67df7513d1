"""Sessions in SQLite, in a file of their own.

Not in the file of the application: SQLite has one writer at a time, so a handler that has begun to write
through ``request.db`` would lock its own session out, and wait for itself.

A hold is a lease, a note in the session's row: SQLite can lock nothing smaller than the file. It ends by
itself when its worker is gone.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Column, Float, MetaData, String, Table, Text, delete, insert, or_, select, update

from worker.database import Database
from worker.sessions.sql import SqlStore
from worker.sessions.store import LEASE, PATIENCE, SWEPT_AT_ONCE, Held, SessionLostError, wait_for

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_TABLES = MetaData()
_SESSION = Table(
    "session",
    _TABLES,
    Column("key", String, primary_key=True),
    Column("text", Text, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("token", String, nullable=False, default=""),
    Column("held_until", Float, nullable=False, default=0.0),
)


class SqliteStore(SqlStore):
    """Keeps sessions in a file.

    Args:
        path: the file; it is made if it is not there.
        patience: most seconds to wait for a session that another request holds.
        lease: seconds after which a hold ends by itself.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE, lease: float = LEASE) -> None:
        url = URL.create("sqlite", database=str(path))
        super().__init__(Database(url, wait=patience, is_durable=False), _TABLES)
        self._patience = patience
        self._lease = lease

    def take(self, key: str, now: float) -> Held | None:
        """Return a session and hold it; None if there is none."""
        token, began = secrets.token_hex(8), time.monotonic()
        taken = wait_for(lambda: self._try(key, token, now + time.monotonic() - began), self._patience)
        return taken[0] if taken else None

    def put(self, held: Held, key: str, text: str, expires: float, now: float) -> None:  # noqa: ARG002 - ``expires`` says it
        """Keep new values and let go."""
        values = {"key": key, "text": text, "expires": expires, "held_until": 0.0}
        with self._asking() as connection, connection.begin():
            if not connection.execute(update(_SESSION).where(*_is(held)).values(values)).rowcount:
                raise SessionLostError

    def add(self, key: str, text: str, expires: float, now: float) -> None:  # noqa: ARG002 - as above
        """Keep a session that is new."""
        with self._asking() as connection, connection.begin():
            connection.execute(insert(_SESSION).values(key=key, text=text, expires=expires))

    def remove(self, held: Held) -> None:
        """Delete a session, whoever holds it."""
        with self._asking() as connection, connection.begin():
            connection.execute(delete(_SESSION).where(_SESSION.c.key == held.key))

    def release(self, held: Held) -> None:
        """Let go of a session as it was."""
        with self._asking() as connection, connection.begin():
            connection.execute(update(_SESSION).where(*_is(held)).values(held_until=0.0))

    def sweep(self, now: float) -> None:
        """Delete sessions that have expired."""
        expired = select(_SESSION.c.key).where(_SESSION.c.expires <= now, _SESSION.c.held_until <= now)
        with self._asking() as connection, connection.begin():
            connection.execute(delete(_SESSION).where(_SESSION.c.key.in_(expired.limit(SWEPT_AT_ONCE))))

    def _try(self, key: str, token: str, now: float) -> tuple[Held | None] | None:
        """Return the session, or that there is none; None if somebody holds it."""
        until = now + self._lease
        # A lease that ends much later than ours would was made while the clock was wrong.
        is_free = or_(_SESSION.c.held_until <= now, _SESSION.c.held_until > until + self._lease)
        hold = (
            update(_SESSION)
            .where(_SESSION.c.key == key, is_free)
            .values(token=token, held_until=until)
            .returning(_SESSION.c.text, _SESSION.c.expires)
        )
        with self._asking() as connection, connection.begin():
            row = connection.execute(hold).one_or_none()
            if row is not None:
                return (Held(key, row.text, row.expires, token),)
            is_there = connection.scalar(select(_SESSION.c.key).where(_SESSION.c.key == key))
            return None if is_there else (None,)


def _is(held: Held) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return what is true of the session as long as it is held."""
    return _SESSION.c.key == held.key, _SESSION.c.token == held.token
