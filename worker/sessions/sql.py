"""What the stores in databases share: a connection of their own for each thread, a table on demand.

Sessions do not take part in the transactions of ``request.db``. A handler that fails has its transaction
rolled back, and what it did to its session is dropped by never being written: that needs no transaction. And
a page that says no with a 4xx may well keep in the session that it did.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

    from worker.database import Database


class SqlStore:
    """A table of sessions.

    Args:
        database: where it is.
        tables: what it is made of.
    """

    def __init__(self, database: Database, tables: MetaData) -> None:
        self._database = database
        self._tables = tables
        self._is_made = False
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._database.name}>"

    def close(self) -> None:
        """Close this thread's connection."""
        self._database.close()

    @contextmanager
    def _asking(self) -> Iterator[Connection]:
        """Yield this thread's connection; what goes wrong with it becomes what the client is told."""
        try:
            connection = self._database.connection
            if not self._is_made:
                self._make()
            yield connection
        except SQLAlchemyError as error:
            answer = self._database.explain(error)
            self._database.roll_back()
            if answer is None:
                raise
            raise answer from error

    def _make(self) -> None:
        with self._making:
            if not self._is_made:
                with self._database.exclusively() as connection:
                    self._tables.create_all(connection)
                self._is_made = True
