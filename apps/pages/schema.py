"""The tables, and how they are made at the first start."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table, Text, insert, select

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from apps.pages.samples import Sample

NAME: Final = 60
"""Most characters of a page's name."""

LINK_TEXT: Final = 60
"""Most characters of what links to a page say."""

PAGE_SET: Final = 30
"""Most characters of the name of a page set."""

metadata = MetaData()

page = Table(
    "page",
    metadata,
    Column("name", String(NAME), primary_key=True),
    Column("created", DateTime, nullable=False),
    Column("modified", DateTime, nullable=False),
    Column("number", Integer, nullable=False),
    Column("page_set", String(PAGE_SET), nullable=False),
    Column("link_text", String(LINK_TEXT), nullable=False),
    Column("template", String(20), nullable=False),
    Column("content", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
"""The pages. Times are in UTC; a version is the revision in which the page was saved last."""

revision = Table("revision", metadata, Column("number", Integer, nullable=False))
"""One row, which counts the edits of all pages.

An edit increments it before anything else, so edits wait for each other; and whoever has seen its number
knows without a look at the pages that none has changed.
"""

editor = Table(
    "editor",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("salt", String(32), nullable=False),
    Column("hash", String(64), nullable=False),
)
"""Who may edit. Salt and hash are in hexadecimal; the salt is another one for each password that is set."""


def now() -> datetime:
    """Return the time in UTC, without a zone: SQLite has no type for one with it."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def create(db: Connection, samples: Iterable[Sample]) -> None:
    """Make the tables that are missing, and fill them if nobody has; the caller keeps others out."""
    metadata.create_all(db)
    if db.execute(select(revision.c.number)).first() is not None:
        return
    db.execute(insert(revision).values(number=1))
    moment = now()
    rows = [{**each._asdict(), "created": moment, "modified": moment, "version": 1} for each in samples]
    db.execute(insert(page), rows)
