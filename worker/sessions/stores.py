"""Which store a URL stands for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from worker.errors import StartError
from worker.sessions.memory import MemoryStore
from worker.sessions.sqlite import SqliteStore

if TYPE_CHECKING:
    from sqlalchemy import URL

    from worker.sessions.store import Store

_REDIS = ("redis://", "rediss://", "unix://")


class StoreError(StartError):
    """A URL that stands for no store; the sentence says which ones there are."""


def open_store(url: str | URL) -> Store:
    """Return the store at a URL; it is opened when it is first needed.

    ``sqlite:///shop.db`` stands for ``shop-sessions.db`` beside it, because an application that has its own
    tables in the same file would lock itself out; ``sqlite://`` and ``memory://`` for the memory of the
    process.

    Raises:
        StoreError: it stands for none.
        DatabaseError: its driver is missing.
    """
    if isinstance(url, str) and url.startswith(_REDIS):
        return _open_redis(url)
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(_advice("this")) from None
    kind = read.get_backend_name()
    if kind == "memory" or (kind == "sqlite" and read.database in {None, "", ":memory:"}):
        return MemoryStore()
    if kind == "sqlite":
        file = Path(str(read.database))
        return SqliteStore(file.with_name(f"{file.stem}-sessions{file.suffix}"))
    if kind in {"postgresql", "postgres"}:
        return _open_postgresql(read)
    raise StoreError(_advice(f"{read.drivername}://"))


def _open_postgresql(url: URL) -> Store:
    from worker.sessions.postgresql import PostgresqlStore  # noqa: PLC0415 - imported by those who use it

    return PostgresqlStore(url)


def _open_redis(url: str) -> Store:
    try:
        from worker.sessions.redis import RedisStore  # noqa: PLC0415 - its driver is there only if it is wanted
    except ImportError:
        raise StoreError("redis:// needs a driver: install it with pip install 'lrwp[redis]'") from None
    return RedisStore(url)


def _advice(what: str) -> str:
    return (
        f"{what} is no store for sessions: use sqlite:///shop.db, postgresql://user@host/name, "
        "redis://host:6379/0 or memory://"
    )
