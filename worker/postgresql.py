"""PostgreSQL, as a worker opens it: through psycopg, with bounds on every wait.

What a connection is told at its start::

    lock_timeout                          the wait for a lock, like SQLite's
    statement_timeout                     a statement, so that it ends before the dispatcher's patience
    idle_in_transaction_session_timeout   a worker that hangs within a transaction, and its locks with it
    tcp_user_timeout, keepalives          a server that vanished from the network

Options in the URL come after these and win. Behind PgBouncer, let it ignore the parameter ``options``.
"""

from __future__ import annotations

import re
import select
from typing import TYPE_CHECKING, Any, Final, Self, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, NullPool, create_engine, event, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

if TYPE_CHECKING:
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import PoolProxiedConnection

CONNECT_TIMEOUT: Final = 2
"""Seconds for a server to accept a connection; libpq takes 1 for 2."""

FROZEN: Final = 60
"""Seconds for which a worker may sit in a transaction without a statement."""

_TCP: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

_ROWS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})
"""First words of the tags (PostgreSQL's protocol, CommandComplete) that say how many rows were changed."""

_OTHERS: Final = frozenset({"CREATE", "DROP", "ALTER", "TRUNCATE", "REFRESH", "GRANT", "REVOKE", "NOTIFY"})
"""Those of other changes that are lost if nobody commits."""

_NUMBERED: Final = re.compile(
    r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b|\bFOR\s+(KEY\s+)?SHARE\b|\b(next|set)val\b", re.IGNORECASE
)
"""What gives a transaction a number although nothing in it is lost by a rollback: row locks, sequences."""

_BUSY: Final = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "53300",  # too_many_connections
        "55P03",  # lock_not_available
        "57014",  # query_canceled: statement_timeout
        "57P03",  # cannot_connect_now
    }
)
"""The conditions (PostgreSQL, appendix A) that the same request may not meet a moment later."""

_HAS_NUMBER: Final = b"SELECT pg_current_xact_id_if_assigned() IS NOT NULL"

_ONE_AT_A_TIME: Final = 0x6C72_7770
"""The advisory lock of :meth:`Postgresql.exclusively`: "lrwp"."""


class Connection(psycopg.Connection[Any]):
    """A connection that knows whether its transaction has changed anything.

    PostgreSQL gives a transaction a number (xid) when it first writes, in whatever words. The number alone is
    not enough: row locks take one as well, and so does what a savepoint has undone. So the server's tags are
    counted ("UPDATE 3"), and the number is asked for only where it can tell more than they do: for what
    writes behind a SELECT, such as a function. A function that writes beside a row lock is not seen.

    Attributes:
        is_reading: whether its transactions are expected only to read.
    """

    is_reading = False

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:
        """Connect; the arguments are psycopg's."""
        connection = super().connect(*args, **kwargs)
        connection.begin()
        connection._poll = select.poll()
        connection._poll.register(connection.pgconn.socket, select.POLLIN)
        return connection

    _poll: select.poll

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open, whoever began it."""
        return not self.closed and self.pgconn.transaction_status != TransactionStatus.IDLE

    def begin(self) -> None:
        """Note that a transaction begins."""
        self._changes = 0
        self._is_number_explained = False
        self._savepoints: dict[str, int] = {}

    def note(self, tag: str | None, statement: str, rows: int) -> None:
        """Note what a statement has done."""
        word = (tag or "").partition(" ")[0]
        if word == "COMMIT":
            self.begin()
        elif word in _ROWS:
            self._changes += rows
            self._is_number_explained = True
        elif word in _OTHERS:
            self._changes += 1
        elif word in {"ROLLBACK", "LOCK"} or _NUMBERED.search(statement):
            self._is_number_explained = True

    def set_savepoint(self, name: str) -> None:
        """Note what was changed before a savepoint."""
        self._savepoints[name] = self._changes

    def return_to(self, name: str) -> None:
        """Note that what was changed since a savepoint is undone."""
        self._changes = self._savepoints.pop(name)
        self._is_number_explained = True

    def has_written(self, is_last: bool) -> bool:
        """Return whether the open transaction has changed anything.

        If that is the last question, a rollback goes with it, and so it costs no round trip of its own.
        """
        if self._changes or self._is_number_explained or self.closed:
            return self._changes > 0
        if self.pgconn.transaction_status != TransactionStatus.INTRANS:
            return False
        # Without psycopg's cursor: with it the question took 32 µs, so it takes 6.
        self.pgconn.send_query(_HAS_NUMBER + b"; ROLLBACK" * is_last)
        answer = None
        while result := self.pgconn.get_result():
            answer = result.get_value(0, 0) if result.ntuples else answer
        return answer == b"t"

    def is_alive(self, is_idle: bool) -> bool:
        """Return whether the server is still there; it is asked after a pause, or if it has said something.

        A server that stops says so to those who are idle, and looking for that takes 0.4 µs. So a restart
        costs only the requests that it interrupts, and not one more for each worker afterwards.
        """
        if self.closed:
            return False
        if not is_idle and not self._poll.poll(0):
            return True
        try:
            self.execute("SELECT 1")
            self.rollback()
        except psycopg.Error:
            return False
        return True


class Dialect(PGDialect_psycopg):
    """SQLAlchemy's PostgreSQL, with connections that know what they have changed."""

    driver = "lrwp"
    supports_statement_cache = True

    def connect(self, *arguments: Any, **keywords: Any) -> DBAPIConnection:
        """Connect; the arguments are psycopg's."""
        return cast("DBAPIConnection", Connection.connect(*arguments, **keywords))

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Note that a transaction begins; psycopg says BEGIN before the first statement."""
        cast("Connection", dbapi_connection.dbapi_connection).begin()

    def do_savepoint(self, connection: SqlConnection, name: str) -> None:
        """Set a savepoint."""
        _raw(connection).set_savepoint(name)
        super().do_savepoint(connection, name)  # type: ignore[no-untyped-call]  # SQLAlchemy's has no types

    def do_rollback_to_savepoint(self, connection: SqlConnection, name: str) -> None:
        """Return to a savepoint."""
        _raw(connection).return_to(name)
        super().do_rollback_to_savepoint(connection, name)  # type: ignore[no-untyped-call]  # nor has this


registry.register("postgresql.lrwp", __name__, Dialect.__name__)


def _raw(connection: SqlConnection) -> Connection:
    return cast("Connection", connection.connection.dbapi_connection)


def _on_executed(connection: SqlConnection, cursor: psycopg.Cursor[Any], statement: str, *_: object) -> None:
    _raw(connection).note(cursor.statusmessage, statement, cursor.rowcount)


class Postgresql:
    """How PostgreSQL is opened, and what its errors mean.

    Args:
        url: where the server is.
        wait: most seconds to wait for a lock.
        statement_timeout: most seconds for a statement.
        is_durable: whether a commit is on the disk when it returns.

    Attributes:
        engine: makes connections.
        name: what messages call the database.
    """

    def __init__(self, url: URL, *, wait: float, statement_timeout: float, is_durable: bool) -> None:
        self.name = URL.create("postgresql", None, None, url.host, url.port, url.database).render_as_string()
        self._password = url.password
        options = {
            "lock_timeout": wait,
            "statement_timeout": statement_timeout,
            "idle_in_transaction_session_timeout": FROZEN,
        }
        told = " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in options.items())
        told += " -c synchronous_commit=off" * (not is_durable)
        usual = {"application_name": "lrwp", "connect_timeout": CONNECT_TIMEOUT, **_TCP}
        arguments = {name: value for name, value in usual.items() if name not in url.query}
        self.engine: Engine = create_engine(
            url.set(drivername="postgresql+lrwp"),
            poolclass=NullPool,
            connect_args={**arguments, "options": f"{told} {url.query.get('options', '')}".rstrip()},
            hide_parameters=True,  # an error goes to the log, and what people typed does not
        )
        event.listen(self.engine, "after_cursor_execute", _on_executed)

    def is_busy(self, error: BaseException | None) -> bool:
        """Return whether the same request may well succeed a moment later."""
        return isinstance(error, psycopg.Error) and error.sqlstate in _BUSY

    def describe(self, error: BaseException | None) -> str:
        """Say why the database cannot be opened, and what to do."""
        reason = str(error).partition("FATAL:")[2] or str(error).rpartition("failed:")[2] or str(error)
        reason = reason.strip().partition("\n")[0]
        if self._password:
            reason = reason.replace(str(self._password), "***")
        return f"{reason}: start the server, or correct the URL"

    def exclusively(self, connection: SqlConnection) -> None:
        """Keep others who ask for the same out until the transaction ends."""
        connection.execute(text(f"SET LOCAL lock_timeout = '{FROZEN}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
