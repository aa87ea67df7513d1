"""The wrapper that gives each request its session, and keeps what was changed before the answer goes out."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from worker.database import Database
from worker.errors import HttpError, NotProvidedError
from worker.sessions.session import Session
from worker.sessions.store import Held, SessionLostError, Store
from worker.sessions.stores import open_store

if TYPE_CHECKING:
    from worker.handlers import Responder
    from worker.request import Request
    from worker.response import Response

log = structlog.get_logger()

IDLE: Final = 3600.0
"""Seconds for which a session lasts after its last use."""

_REFRESHED: Final = 1 / 60
"""The part of its time that a session may have lost before it is written only to be longer: so one that is
only read is written once a minute, and not with every request."""

SWEEP: Final = 300.0
"""Seconds between two looks for expired sessions, in each process."""

_ID_BYTES: Final = 16
"""128 bits: nobody guesses one of them, however many there are."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
"""What an id of ours looks like; for anything else no store is asked."""


class Sessions:
    """A wrapper: ``app.wrap(Sessions(...))``.

    The answer to a request that looked at its session says that caches must not give it to others. On an
    answer of 500 and above, and if something was raised, the session stays as it was.

    Args:
        store: where they are kept, or its URL; None for the database that the worker was given.
        idle: seconds for which a session lasts after its last use.
        cookie: the name of the cookie.
        path: at and below which path it is sent back; where the wrapper stands if None. An application that
            is registered for several paths needs ``/`` to have one session for all.
        secure: whether it is sent back over TLS only; None for whether it was asked for over TLS.
        clock: returns seconds since 1970: sessions outlive processes, and are seen from several hosts.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        *,
        idle: float = IDLE,
        cookie: str = "session",
        path: str | None = None,
        secure: bool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = open_store(store) if isinstance(store, str) else store
        self._database: Database | None = None  # whose store it is, if none was given
        self._idle = idle
        self._cookie = cookie
        self._path = path
        self._secure = secure
        self._clock = clock
        self._opening = threading.Lock()
        # The processes of a pool start together, and need not sweep together.
        self._next_sweep = clock() + random.uniform(0, SWEEP)  # noqa: S311 - no secret

    def __repr__(self) -> str:
        return f"<Sessions in {self._store or 'the database of the worker'}>"

    def __call__(self, responder: Responder) -> Responder:
        """Return a responder that does the same, with ``request.session`` set and kept."""

        def respond(request: Request) -> Response:
            session = request.session = self._session(request)
            try:
                response = responder(request)
            except BaseException:
                self._drop(session)
                raise
            if response.status >= 500:
                self._drop(session)
            else:
                self._keep(session, request, response)
            return response

        return respond

    def close(self) -> None:
        """Close what this thread has opened; the application does it when it stops."""
        if self._store is not None:
            self._store.close()

    # ── Before the handler ───────────────────────────────────────────────────────────────────────

    def _session(self, request: Request) -> Session:
        return Session(partial(self._take, request), partial(self._peek, request))

    def _take(self, request: Request) -> Held | None:
        """Return the session of a request and hold it; None if it has none, or one that has expired."""
        session_id = request.cookies.get(self._cookie, "")
        if not _ID.fullmatch(session_id):
            return None
        store, now = self._store_for(request), self._clock()
        held = store.take(_key(session_id), now)
        if held is not None and held.expires <= now:
            store.remove(held)
            return None
        return held

    def _peek(self, request: Request) -> Held | None:
        held = self._take(request)
        if held is not None:
            self._store_for(request).release(held)
        return held

    def _store_for(self, request: Request) -> Store:
        if self._store is not None and self._database is None:  # it was given
            return self._store
        database = _database_of(request)
        with self._opening:
            if self._store is None or self._database is not database:
                self._store, self._database = open_store(database.url), database
            return self._store

    # ── After the handler ────────────────────────────────────────────────────────────────────────

    def _keep(self, session: Session, request: Request, response: Response) -> None:
        """Keep what was changed, let go of the session, and tell the browser its id if it has a new one.

        Raises:
            SessionError: there is something in it that cannot be kept.
            SessionLostError: the store did not keep it.
        """
        if not session.is_loaded:
            session.is_over = True
            return
        try:
            session_id = self._save(session, request)
        except BaseException:
            self._drop(session)
            response.close()
            raise
        session.is_over = True
        if session_id is not None:
            self._set_cookie(session_id, request, response)
        response.headers.append(("Vary", "Cookie"))
        if not response.has_header("cache-control"):
            response.headers.append(("Cache-Control", "private"))
        self._sweep()

    def _save(self, session: Session, request: Request) -> str | None:
        """Return the id that the browser is to be told: "" for none from now on, None for what it has."""
        held, text = session.held, session.text()
        if held is None and not session:
            return "" if session.is_renewed and self._cookie in request.cookies else None
        try:
            return self._write(self._store_for(request), session, text)
        except HttpError as error:
            log.error("session lost", reason=str(error))
            raise SessionLostError from error

    def _write(self, store: Store, session: Session, text: str) -> str | None:
        held, now = session.held, self._clock()
        expires = now + self._idle
        session_id = None
        if held is None:
            session_id = secrets.token_urlsafe(_ID_BYTES)
            store.add(_key(session_id), text, expires, now)
        elif not session:
            session_id = ""
            store.remove(held)
        elif session.is_renewed:
            session_id = secrets.token_urlsafe(_ID_BYTES)
            store.put(held, _key(session_id), text, expires, now)
        elif text != held.text or expires - held.expires > _REFRESHED * self._idle:
            store.put(held, held.key, text, expires, now)
        else:
            store.release(held)
        session.held = None
        return session_id

    def _drop(self, session: Session) -> None:
        """Let go of the session as it was."""
        session.is_over = True
        held, session.held = session.held, None
        if held is not None and self._store is not None:
            try:
                self._store.release(held)
            except HttpError as error:
                log.warning("session not released", reason=str(error))

    def _set_cookie(self, session_id: str, request: Request, response: Response) -> None:
        path = self._path or request.prefix or "/"
        if not session_id:
            response.delete_cookie(self._cookie, path=path)
            return
        secure = request.scheme == "https" if self._secure is None else self._secure
        response.set_cookie(self._cookie, session_id, path=path, secure=secure)

    def _sweep(self) -> None:
        """Have expired sessions deleted, if it is time for it."""
        now = self._clock()
        if now < self._next_sweep or self._store is None:
            return
        self._next_sweep = now + SWEEP
        try:
            self._store.sweep(now)
        except HttpError as error:
            log.warning("sessions not swept", reason=str(error))


def _database_of(request: Request) -> Database:
    """Return the database that the worker was given: the application, around all routers, knows it.

    Raises:
        NotProvidedError: it was given none.
    """
    for place in request.places():
        database = getattr(place.router, "_database", None)
        if isinstance(database, Database):
            return database
    raise NotProvidedError(
        "sessions are kept in the worker's database, and it has none: start it with --database URL, "
        "or say Sessions(URL)"
    )


def _key(session_id: str) -> str:
    """Return what a store knows a session by; without salt, because nobody guesses an id."""
    return hashlib.sha256(session_id.encode()).hexdigest()
