"""The guard: sees to it that no database work of a handler is left open when its request is over.

It stands around each call of a handler, and looks when the handler has returned:

* what was written and not committed is rolled back, and the answer is a 500 whose sentence names the handler;
* reading opens a transaction too, but leaves nothing to be lost: it is ended without a word;
* what the handler raised goes on, after a rollback.

A streamed answer is looked at twice. What its handler left uncommitted becomes a 500 like any other. A
transaction that has only read stays open for the stream, which may read on in it, and is ended with it; what
the stream itself wrote and did not commit breaks the answer off, since it is too late for a status.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from protocol.errors import LrwpError
from worker.content import close_source
from worker.errors import HttpError
from worker.handlers import describe

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.handlers import Responder
    from worker.request import Request
    from worker.response import Response

log = structlog.get_logger()

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that are expected only to read (RFC 9110 §9.2.1); one that writes nevertheless may."""

_END: Final = object()


class UncommittedError(LrwpError):
    """A handler left changes uncommitted; they were rolled back."""


class Watched(Protocol):
    """What the guard asks of a database."""

    @property
    def connection(self) -> Connection:
        """This thread's connection; an HttpError if there is none."""

    def expect(self, is_reading: bool) -> None:
        """Say whether the transactions that follow are expected only to read."""

    def has_written(self) -> bool:
        """Return whether the open transaction has changed anything."""

    def roll_back(self) -> bool:
        """Undo what is open, and return whether it had changed anything."""

    def explain(self, error: SQLAlchemyError) -> HttpError | None:
        """Return what the client is to be told of an error; None if it is the application's own."""


class Absent:
    """In the place of a connection that could not be opened: it is an error only to use it.

    So the pages that need no database are shown while it is away.
    """

    def __init__(self, error: HttpError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def guard(database: Watched, responder: Responder) -> Responder:
    """Return a responder that does the same, with ``request.db`` set and watched over."""

    def guarded(request: Request) -> Response:
        try:
            request.db = database.connection
        except HttpError as error:
            request.db = Absent(error)
            return responder(request)
        watch = _Watch(database, request)
        with watch:
            response = responder(request)
        stream = response.stream
        if stream is None:
            watch.end()
        else:
            response.stream = _WatchedStream(stream, watch)
            watch.look(stream)
        return response

    return guarded


class _Watch:
    """The watch over one call of a handler; as a context manager, over what it raises."""

    def __init__(self, database: Watched, request: Request) -> None:
        self._database = database
        self._request = request
        self._handler = request.call.handler
        if database.roll_back():
            log.error("a transaction was open before the request, and was rolled back", before=self._name)
        database.expect(request.method in READING)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        self._withdraw()
        answer = self._database.explain(error) if isinstance(error, SQLAlchemyError) else None
        self._database.roll_back()
        if answer is not None:
            log.warning("database unavailable", handler=self._name, reason=str(error).partition("\n")[0])
            raise answer from error

    def look(self, stream: object) -> None:
        """See to it that nothing is left open before a stream begins, but for reading.

        Raises:
            UncommittedError: something was written and not committed.
        """
        if self._database.has_written():
            self._database.roll_back()
            close_source(stream)
            raise self._complaint()

    def end(self) -> None:
        """See to it that nothing is left open.

        Raises:
            UncommittedError: something was written and not committed.
        """
        self._withdraw()
        if self._database.roll_back():
            raise self._complaint()

    def _withdraw(self) -> None:
        """Take the connection back: nobody would look at what a wrapper leaves open in it."""
        self._request.__dict__.pop("db", None)

    @property
    def _name(self) -> str:
        return describe(self._handler)

    def _complaint(self) -> UncommittedError:
        return UncommittedError(
            f"{self._name} left changes uncommitted, and they were rolled back: "
            "put them into `with request.db.begin():`, or end with request.db.commit()"
        )


class _WatchedStream(Iterator[Any]):
    """A streamed content, with the watch going on until it is closed."""

    def __init__(self, stream: Iterator[Any], watch: _Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __next__(self) -> Any:
        with self._watch:
            piece = next(self._stream, _END)
        if piece is _END:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Close the stream, and end the watch."""
        try:
            close_source(self._stream)
        finally:
            self._watch.end()
