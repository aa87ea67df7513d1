"""Sessions in PostgreSQL, in a table ``lrwp_session``.

A hold is a transaction with an advisory lock: it ends with the transaction, and so with the worker, however
that ends. Locking the row instead would write to it, even for a request that only reads its session.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Float,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from worker.database import STATEMENT_TIMEOUT, Database
from worker.sessions.sql import SqlStore
from worker.sessions.store import PATIENCE, SWEPT_AT_ONCE, Held, SessionLostError

_TABLES = MetaData()
_SESSION = Table(
    "lrwp_session",
    _TABLES,
    Column("key", String, primary_key=True),
    Column("text", Text, nullable=False),
    Column("expires", Float(53), nullable=False, index=True),
)


class PostgresqlStore(SqlStore):
    """Keeps sessions in a table.

    Args:
        url: the database.
        patience: most seconds to wait for a session that another request holds.
    """

    def __init__(self, url: str | URL, *, patience: float = PATIENCE) -> None:
        database = Database(
            url, wait=patience, statement_timeout=patience + STATEMENT_TIMEOUT, is_durable=False
        )
        super().__init__(database, _TABLES)

    def take(self, key: str, now: float) -> Held | None:  # noqa: ARG002 - the server ends what is too old
        """Return a session and hold it; None if there is none."""
        self._database.roll_back()  # what an earlier request could not give back
        with self._asking() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(literal(_number(key), BigInteger))))
            # In a statement of its own: one that waits for the lock sees what was there before it waited.
            row = connection.execute(select(_SESSION).where(_SESSION.c.key == key)).one_or_none()
            if row is not None:
                return Held(key, row.text, row.expires)
            connection.rollback()
            return None

    def put(self, held: Held, key: str, text: str, expires: float, now: float) -> None:  # noqa: ARG002 - ``expires`` says it
        """Keep new values and let go."""
        values = {"text": text, "expires": expires}
        with self._holding() as connection:
            if key != held.key:
                connection.execute(delete(_SESSION).where(_SESSION.c.key == held.key))
            # Not an update: a session that expired in our hands may have been swept.
            save = insert(_SESSION).values(key=key, **values)
            connection.execute(save.on_conflict_do_update(index_elements=["key"], set_=values))
            connection.commit()

    def add(self, key: str, text: str, expires: float, now: float) -> None:  # noqa: ARG002 - as above
        """Keep a session that is new."""
        with self._asking() as connection, connection.begin():
            connection.execute(insert(_SESSION).values(key=key, text=text, expires=expires))

    def remove(self, held: Held) -> None:
        """Delete a session and let go."""
        with self._asking() as connection:
            connection.execute(delete(_SESSION).where(_SESSION.c.key == held.key))
            connection.commit()

    def release(self, held: Held) -> None:  # noqa: ARG002 - a thread holds one session at a time
        """Let go of a session as it was."""
        self._database.roll_back()

    def sweep(self, now: float) -> None:
        """Delete sessions that have expired."""
        expired = select(_SESSION.c.key).where(_SESSION.c.expires <= now).limit(SWEPT_AT_ONCE)
        # Two workers that sweep at once would wait for each other, perhaps in a circle.
        expired = expired.with_for_update(skip_locked=True)
        with self._asking() as connection, connection.begin():
            connection.execute(delete(_SESSION).where(_SESSION.c.key.in_(expired)))

    @contextmanager
    def _holding(self) -> Iterator[Connection]:
        """Yield the connection with the transaction that is the hold.

        Raises:
            SessionLostError: there is no such transaction any more.
        """
        with self._asking() as connection:
            if not connection.in_transaction():
                raise SessionLostError
            yield connection


def _number(key: str) -> int:
    """Return the number of the advisory lock for a session: 64 bits of its hash."""
    return int.from_bytes(bytes.fromhex(key)[:8], signed=True)
