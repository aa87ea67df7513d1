"""The pages: how they are found, saved and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from apps.pages.schema import now, page, revision

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOME: Final = "home"
"""The page that is shown at the address of the site."""

ERROR: Final = "ERROR"
"""The page that is shown where there is none."""

NEEDED: Final = frozenset({HOME, ERROR})
"""The pages that the program shows by itself, and that can therefore not be removed."""

NEW: Final = 0
"""The version of what is not a page yet."""


class StaleError(Exception):
    """Somebody else was faster: the page has another version than the one that is to be replaced."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, as it stands in the table."""

    name: str
    created: datetime
    modified: datetime
    number: int
    page_set: str
    link_text: str
    template: str
    content: str
    version: int


def read_revision(db: Connection) -> int:
    """Return the number of edits so far."""
    return int(db.execute(select(revision.c.number)).scalar_one())


def find(db: Connection, name: str) -> Page | None:
    """Return a page; None if there is none of this name."""
    row = db.execute(select(page).where(page.c.name == name)).first()
    return None if row is None else Page(*row)


def find_at_revision(db: Connection, name: str) -> tuple[int, Page | None]:
    """Return the number of edits so far, and a page as it is then, by one statement."""
    both = revision.outerjoin(page, page.c.name == name)
    number, *row = db.execute(select(revision, page).select_from(both)).one()
    return number, None if row[0] is None else Page(*row)


def find_all(db: Connection) -> list[Page]:
    """Return all pages in their order, the same order in every database."""
    pages = [Page(*row) for row in db.execute(select(page))]
    return sorted(pages, key=lambda each: (each.number, each.name))


def save(db: Connection, name: str, values: Mapping[str, Any], version: int) -> None:
    """Save a page in the place of a version of it, NEW for none, and commit.

    Raises:
        StaleError: that version is not what there is; nothing was changed.
    """
    values = {**values, "modified": now(), "version": _begin_edit(db)}
    if version == NEW:
        if find(db, name) is not None:
            raise StaleError(f"there is a page {name} already")
        db.execute(insert(page).values(name=name, created=values["modified"], **values))
    else:
        is_this = (page.c.name == name) & (page.c.version == version)
        if not db.execute(update(page).where(is_this).values(values)).rowcount:
            raise StaleError(f"version {version} of {name} is not there any more")
    db.commit()


def remove(db: Connection, name: str, version: int) -> None:
    """Remove a version of a page, and commit.

    Raises:
        StaleError: that version is not what there is; nothing was changed.
    """
    _begin_edit(db)
    is_this = (page.c.name == name) & (page.c.version == version)
    if not db.execute(delete(page).where(is_this)).rowcount:
        raise StaleError(f"version {version} of {name} is not there any more")
    db.commit()


def _begin_edit(db: Connection) -> int:
    """Return the number of this edit; others wait here until it is committed or rolled back.

    A page that is removed and made anew has a version that it never had before, so what was typed for the one
    does not replace the other.
    """
    db.execute(update(revision).values(number=revision.c.number + 1))
    return read_revision(db)
