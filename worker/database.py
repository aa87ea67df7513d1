"""A database: SQLite or PostgreSQL through SQLAlchemy Core, with one connection for each thread of a worker.

::

    database = Database("sqlite:///pages.db")        # or postgresql://user@host/name
    app.use(database)                                # what --database URL does

    with request.db.begin():                         # commits at its end, rolls back if it fails
        request.db.execute(update(page).where(page.c.name == name).values(content=content))

``request.db.commit()`` does as well. A connection is looked at before it is handed out: after a pause it is
asked whether it still works, and what was lost is opened again. A database that is gone or locked answers
503 for the requests that need it, and no others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, cast

import structlog
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from worker.errors import HttpError, StartError
from worker.guard import guard
from worker.sqlite import Sqlite

if TYPE_CHECKING:
    from worker.request import Request
    from worker.response import Response

log = structlog.get_logger()

WAIT: Final = 5.0
"""Seconds to wait for a lock: as long as people wait for a page before they try again themselves."""

STATEMENT_TIMEOUT: Final = 30.0
"""Seconds for a statement on PostgreSQL: half of what a dispatcher gives a request by default."""

PAUSE: Final = 30.0
"""Seconds without a request after which a connection is asked whether it still works: firewalls forget
connections after some minutes, and say nothing."""

PATIENCE: Final = 2.0
"""Seconds in which a database that has just been lost may come back before requests fail: a restart of
PostgreSQL takes 0.2 to 1."""

_BETWEEN_TRIES: Final = 0.05
"""Seconds between two tries to open a database that was lost."""


class DatabaseError(StartError):
    """A database that cannot be opened; the sentence says why and never holds a password."""


class UnavailableError(HttpError):
    """503: what the request needs is gone or locked at the moment, and may be back in a second."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(503, sentence, [("Retry-After", "1")])


class RawConnection(Protocol):
    """What a driver's connection knows here beside what drivers know."""

    is_reading: bool

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open, whoever began it."""

    def has_written(self, is_last: bool) -> bool:
        """Return whether the open transaction has changed anything; ``is_last`` allows to roll it back."""

    def is_alive(self, is_idle: bool) -> bool:
        """Return whether it can be used; ``is_idle`` says that it was not for some time."""

    def rollback(self) -> None:
        """Undo what is open."""


class Kind(Protocol):
    """What differs from one kind of database to the other."""

    name: str
    engine: Engine

    def is_busy(self, error: BaseException | None) -> bool:
        """Return whether the same request may well succeed a moment later."""

    def describe(self, error: BaseException | None) -> str:
        """Say why the database cannot be opened, and what to do."""

    def exclusively(self, connection: Connection) -> None:
        """Keep others who ask for the same out until the transaction ends."""


class _Thread(threading.local):
    """What one thread has.

    Attributes:
        connection: its connection; it stays the same while what is under it is replaced.
        used: when it was last handed out.
        is_lost: whether the database was not there at the last try.
        is_committing: whether the last thing that was begun is a commit.
    """

    connection: Connection | None = None
    used: float = 0.0
    is_lost: bool = False
    is_committing: bool = False


class Database:
    """A database, and each thread's connection to it.

    Args:
        url: ``sqlite:///pages.db`` (from the current folder), ``sqlite:////var/lib/pages.db``, ``sqlite://``
            (in memory, another for each thread) or ``postgresql://user@host/name``.
        wait: most seconds to wait for a lock.
        statement_timeout: most seconds for a statement, on PostgreSQL.
        pause: seconds without use after which a connection is asked whether it still works.
        patience: most seconds that a request waits for a database that has just been lost.
        is_durable: whether a commit is on the disk when it returns; without that it is faster, and what was
            committed last may be undone by a power cut.
        clock: returns seconds.
        sleep: waits for seconds.

    Attributes:
        name: what messages call it: its URL without user and password.

    Raises:
        DatabaseError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        wait: float = WAIT,
        statement_timeout: float = STATEMENT_TIMEOUT,
        pause: float = PAUSE,
        patience: float = PATIENCE,
        is_durable: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        kind = _kind_of(url)
        self._kind = kind(
            _read_url(url), wait=wait, statement_timeout=statement_timeout, is_durable=is_durable
        )
        self.name = self._kind.name
        self._pause = pause
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._thread = _Thread()
        engine = self._kind.engine
        event.listen(engine, "begin", self._on_begin)
        event.listen(engine, "commit", self._on_commit)

    def __repr__(self) -> str:
        return f"<Database {self.name}>"

    @property
    def url(self) -> URL:
        """Its URL, with the password if there is one."""
        return self._kind.engine.url

    def open(self) -> None:
        """Open this thread's connection.

        Raises:
            DatabaseError: it cannot be opened.
        """
        if self._thread.connection is not None:
            return
        try:
            self._connect()
        except SQLAlchemyError as error:
            reason = self._kind.describe(getattr(error, "orig", error))
            raise DatabaseError(f"cannot open the database {self.name}: {reason}") from None

    def close(self) -> None:
        """Close this thread's connection, if it has one; what was left uncommitted is lost."""
        connection, self._thread.connection = self._thread.connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # a server that is gone has closed it already
                connection.close()

    @property
    def connection(self) -> Connection:
        """This thread's connection, opened or reopened if need be.

        Raises:
            UnavailableError: the database is not there.
        """
        thread = self._thread
        now = self._clock()
        connection = thread.connection
        if connection is None or not self._is_usable(connection, now - thread.used > self._pause):
            connection = self._reopen(now)
        thread.used = now
        return connection

    @contextmanager
    def exclusively(self) -> Iterator[Connection]:
        """Begin a transaction that only one process has at a time, for what is done once: making the tables.

        It is committed at the end, and rolled back if something is raised.
        """
        connection = self.connection
        self.expect(is_reading=False)
        with connection.begin():
            self._kind.exclusively(connection)
            yield connection

    def guard(self, handler: Callable[[Request], Response], /) -> Callable[[Request], Response]:
        """Return ``handler`` with ``request.db`` set, and with a watch over what it leaves open."""
        return guard(self, handler)

    # ── What the guard asks ──────────────────────────────────────────────────────────────────────

    def expect(self, is_reading: bool) -> None:
        """Say whether the transactions of this thread that follow are expected only to read."""
        self._thread.is_committing = False
        if raw := self._raw():
            raw.is_reading = is_reading

    def has_written(self) -> bool:
        """Return whether this thread's open transaction has changed anything."""
        raw = self._raw()
        return raw is not None and raw.is_open and raw.has_written(is_last=False)

    def roll_back(self) -> bool:
        """Undo what this thread has left open, and return whether it had changed anything."""
        connection, raw = self._thread.connection, self._raw()
        if connection is None:
            return False
        try:
            has_written = raw is not None and raw.is_open and raw.has_written(is_last=True)
            connection.rollback()
            if raw is not None and raw.is_open:  # begun with the driver's own connection
                raw.rollback()
        except Exception:  # whatever the driver says of it: the connection is of no use any more
            log.info("connection closed", database=self.name)
            self._discard(connection)
            return False
        return has_written

    def explain(self, error: SQLAlchemyError) -> HttpError | None:
        """Return what the client is to be told of an error; None if it is the application's own."""
        if self._is_lost(error):
            if self._thread.is_committing:
                return HttpError(
                    500, "Nobody knows whether this was saved: have a look before you repeat it."
                )
            return UnavailableError("The database was lost on the way. Please try again.")
        if self._kind.is_busy(getattr(error, "orig", None)):
            return UnavailableError("The database is busy at the moment. Please try again.")
        return None

    # ── Opening and reopening ────────────────────────────────────────────────────────────────────

    def _connect(self) -> Connection:
        """Return this thread's connection, with a new one of the driver's under it if that one was lost."""
        connection = self._thread.connection
        if connection is None or connection.closed:
            connection = self._thread.connection = self._kind.engine.connect()
        elif connection.invalidated:
            connection.rollback()  # or what was lost with it stands in the way
            _ = connection.connection
        self._thread.used = self._clock()
        return connection

    def _reopen(self, now: float) -> Connection:
        """Open what was lost; the first who notices waits for it a little, the others do not.

        Raises:
            UnavailableError: it has not come back.
        """
        thread = self._thread
        is_first = thread.connection is None
        deadline = now if thread.is_lost else now + self._patience
        while True:
            try:
                connection = self._connect()
            except SQLAlchemyError as error:
                if self._clock() >= deadline:
                    if not thread.is_lost:
                        reason = self._kind.describe(getattr(error, "orig", error))
                        log.error("database lost", database=self.name, reason=reason)
                    thread.is_lost = True
                    raise UnavailableError("The database cannot be reached at the moment.") from None
                self._sleep(_BETWEEN_TRIES)
            else:
                if not is_first:
                    log.info("database reopened", database=self.name)
                thread.is_lost = False
                return connection

    def _is_usable(self, connection: Connection, is_idle: bool) -> bool:
        if connection.closed or connection.invalidated:
            return False
        if connection.in_transaction():
            return True
        if connection.get_execution_options():  # such as an isolation level, which was for one handler only
            self._discard(connection)
            return False
        raw = self._raw()
        if raw is None or raw.is_alive(is_idle):
            return True
        self._discard(connection)
        return False

    def _discard(self, connection: Connection) -> None:
        with suppress(SQLAlchemyError):
            connection.invalidate()

    def _raw(self) -> RawConnection | None:
        connection = self._thread.connection
        if connection is None or connection.closed or connection.invalidated:
            return None
        return cast("RawConnection", connection.connection.dbapi_connection)

    def _is_lost(self, error: SQLAlchemyError) -> bool:
        connection = self._thread.connection
        is_invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
        return is_invalidated or (connection is not None and connection.invalidated)

    def _on_begin(self, connection: Connection) -> None:  # noqa: ARG002 - SQLAlchemy's signature
        self._thread.is_committing = False

    def _on_commit(self, connection: Connection) -> None:  # noqa: ARG002 - SQLAlchemy's signature
        self._thread.is_committing = True


def _read_url(url: str | URL) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # Nothing of it is quoted, because nobody can say which part of it is the password.
        raise DatabaseError(
            "the URL of the database cannot be read: write sqlite:///pages.db or postgresql://user@host/name"
        ) from None


def _kind_of(url: str | URL) -> Callable[..., Kind]:
    """Return what opens databases of this kind.

    Raises:
        DatabaseError: nothing does.
    """
    scheme = _read_url(url).drivername
    if scheme in {"sqlite", "sqlite+pysqlite", "sqlite+lrwp"}:
        return Sqlite
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg", "postgresql+lrwp"}:
        raise DatabaseError(
            f"{scheme}:// is no database that is opened here: use sqlite:///pages.db or postgresql://user@host/name"
        )
    try:
        from worker.postgresql import Postgresql  # noqa: PLC0415 - its driver is there only if it is wanted
    except ImportError:
        raise DatabaseError(
            "postgresql:// needs a driver: install it with pip install 'lrwp[postgresql]'"
        ) from None
    return Postgresql
