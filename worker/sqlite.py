"""SQLite, as a worker opens it: in WAL mode, with a bounded wait for locks and with foreign keys enforced.

Python's own module begins a transaction only before it sees INSERT, UPDATE or DELETE as the first word of a
statement. Then what is read before is not part of the transaction, and ``WITH … INSERT`` and ``CREATE TABLE``
are committed behind everybody's back. So transactions are begun here, before their first statement:

* for a safe method (GET, HEAD, OPTIONS) with BEGIN: it sees one state of the database and locks nobody out;
* for every other with BEGIN IMMEDIATE: it waits for other writers before it reads. If it waited only when it
  first writes, what it had read could be outdated by then, and SQLite would refuse the write at once
  (SQLITE_BUSY_SNAPSHOT), without the wait that was asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import URL, Engine, NullPool, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import PoolProxiedConnection

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY: Final = 0xFF
"""The part of an extended error code that says which kind it is (sqlite.org/rescode.html)."""


class Connection(sqlite3.Connection):
    """A connection that knows whether its transaction has changed anything.

    Attributes:
        is_reading: whether its transactions are expected only to read.
    """

    is_reading = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = (0, 0)
        self._savepoints: dict[str, int] = {}

    @property
    def is_autocommit(self) -> bool:
        """Whether each statement is a transaction of its own."""
        return self.isolation_level is None

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open, whoever began it."""
        return self.in_transaction

    def prepare(self) -> None:
        """Let many processes read while one writes, and have foreign keys mean something."""
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA foreign_keys = ON")

    def begin(self) -> None:
        """Begin a transaction, and note from where on to count what it changes."""
        if self.is_autocommit:
            return
        self.execute("BEGIN" if self.is_reading else "BEGIN IMMEDIATE")
        self._savepoints.clear()
        self._before = self._count()

    def set_savepoint(self, name: str) -> None:
        """Note what was changed before a savepoint."""
        self._savepoints[name] = self.total_changes - self._before[0]

    def return_to(self, name: str) -> None:
        """Note that what was changed since a savepoint is undone.

        SQLite takes the number of the schema back by itself, but not the rows.
        """
        self._before = (self.total_changes - self._savepoints.pop(name), self._before[1])

    def has_written(self, is_last: bool) -> bool:  # noqa: ARG002 - asking costs nothing here
        """Return whether the open transaction has changed a row or the schema."""
        return self._count() != self._before

    def is_alive(self, is_idle: bool) -> bool:  # noqa: ARG002 - a file does not go away by waiting
        """Return whether the database is still there."""
        return True

    def _count(self) -> tuple[int, int]:
        """Return the rows changed by this connection, and the number of the schema: SQLite's own counters.

        They tell what was written in whatever words, and count no statement that failed or changed nothing.
        Reading the number of the schema twice costs a transaction 1.8 µs.
        """
        (schema,) = self.execute("PRAGMA schema_version").fetchone()
        return self.total_changes, schema


class VolatileConnection(Connection):
    """A connection that does not wait for the disk: a power cut may undo what was committed last."""

    def prepare(self) -> None:
        """Prepare it as all are."""
        super().prepare()
        self.execute("PRAGMA synchronous = NORMAL")


class Dialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's SQLite, with transactions that begin where they seem to."""

    driver = "lrwp"
    supports_statement_cache = True

    def on_connect(self) -> Callable[[DBAPIConnection], None]:
        """Return what prepares each new connection."""
        prepare = super().on_connect()

        def on_connect(connection: DBAPIConnection) -> None:
            prepare(connection)
            cast("Connection", connection).prepare()

        return on_connect

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Begin a transaction."""
        cast("Connection", dbapi_connection.dbapi_connection).begin()

    def do_savepoint(self, connection: SqlConnection, name: str) -> None:
        """Set a savepoint."""
        _raw(connection).set_savepoint(name)
        super().do_savepoint(connection, name)  # type: ignore[no-untyped-call]  # SQLAlchemy's has no types

    def do_rollback_to_savepoint(self, connection: SqlConnection, name: str) -> None:
        """Return to a savepoint."""
        _raw(connection).return_to(name)
        super().do_rollback_to_savepoint(connection, name)  # type: ignore[no-untyped-call]  # nor has this


def _raw(connection: SqlConnection) -> Connection:
    return cast("Connection", connection.connection.dbapi_connection)


registry.register("sqlite.lrwp", __name__, Dialect.__name__)


class Sqlite:
    """How SQLite is opened, and what its errors mean.

    Args:
        url: where the file is.
        wait: most seconds to wait for a lock.
        statement_timeout: of no use here, since SQLite has none.
        is_durable: whether a commit is on the disk when it returns.

    Attributes:
        engine: makes connections.
        name: what messages call the database.
    """

    def __init__(
        self,
        url: URL,
        *,
        wait: float,
        statement_timeout: float,  # noqa: ARG002 - as it says above
        is_durable: bool,
    ) -> None:
        self.name = url.set(query={}).render_as_string()
        self._path = None if url.database in {None, "", ":memory:"} else Path(str(url.database))
        self.engine: Engine = create_engine(
            url.set(drivername="sqlite+lrwp"),
            poolclass=NullPool,
            connect_args={"timeout": wait, "factory": Connection if is_durable else VolatileConnection},
            hide_parameters=True,  # an error goes to the log, and what people typed does not
        )

    def is_busy(self, error: BaseException | None) -> bool:
        """Return whether the wait for a lock has ended in vain."""
        return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & _PRIMARY in _BUSY

    def describe(self, error: BaseException | None) -> str:
        """Say why the database cannot be opened, and what to do."""
        folder = self._path.absolute().parent if self._path else None
        if folder and not folder.is_dir():
            return f"there is no folder {folder}: create it"
        if isinstance(error, sqlite3.OperationalError):
            return f"{error}: check that this user may write {self._path} and into {folder}"
        return f"{error}: name a file that SQLite has made, or one that does not exist yet"

    def exclusively(self, connection: SqlConnection) -> None:
        """Keep others out until the transaction ends: one that was begun to write does so already."""
