"""Saving and removing, where several do it at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from apps.pages import pages
from apps.pages.pages import NEW, StaleError
from worker import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.apps.pages.conftest import Elsewhere
    from worker.testing import Client

VALUES = {"number": 5, "page_set": "Std", "link_text": "A text", "template": "standard", "content": "words"}
EDITORS = 6


def at_once(url: str, edit: Callable[[Connection, int], None]) -> list[bool]:
    """Let several workers do the same at the same moment, and return who of them could."""
    database = Database(url)
    together = threading.Barrier(EDITORS)

    def work(number: int) -> bool:
        database.open()
        try:
            together.wait(10)
            edit(database.connection, number)
        except StaleError:
            return False
        else:
            return True
        finally:
            database.close()

    with ThreadPoolExecutor(EDITORS) as threads:
        return [*threads.map(work, range(EDITORS))]


@pytest.mark.parametrize(
    ("name", "version"), [("worker", 1), ("bread", NEW)], ids=["the same page", "the same new name"]
)
def test_of_those_who_save_at_once_exactly_one_does(
    site: Client, database_url: str, elsewhere: Elsewhere, name: str, version: int
) -> None:
    def save(db: Connection, number: int) -> None:
        pages.save(db, name, {**VALUES, "content": f"by {number}"}, version)

    saved = at_once(database_url, save)
    assert saved.count(True) == 1
    page = elsewhere.find(name)
    assert (page.content, page.version) == (f"by {saved.index(True)}", 2)


def test_of_those_who_remove_and_save_at_once_exactly_one_does(
    site: Client, database_url: str, elsewhere: Elsewhere
) -> None:
    def edit(db: Connection, number: int) -> None:
        if number % 2:
            pages.remove(db, "worker", 1)
        else:
            pages.save(db, "worker", VALUES, 1)

    done = at_once(database_url, edit)
    assert done.count(True) == 1
    assert (elsewhere.find("worker") is None) == bool(done.index(True) % 2)


def test_edits_of_different_pages_all_count(site: Client, database_url: str, elsewhere: Elsewhere) -> None:
    def save(db: Connection, number: int) -> None:
        pages.save(db, f"page-{number}", VALUES, NEW)

    assert all(at_once(database_url, save))
    with elsewhere.database() as db:
        versions = {pages.find(db, f"page-{number}").version for number in range(EDITORS)}
        assert versions == {*range(2, 2 + EDITORS)}
        assert pages.read_revision(db) == 1 + EDITORS


def test_an_edit_that_was_refused_has_changed_nothing(site: Client, elsewhere: Elsewhere) -> None:
    def refused(edit: Callable[..., Any], *arguments: Any) -> None:
        with elsewhere.database() as db:
            with pytest.raises(StaleError):
                edit(db, *arguments)
            db.rollback()

    refused(pages.save, "worker", VALUES, 7)
    refused(pages.save, "worker", VALUES, NEW)
    refused(pages.remove, "worker", 7)
    with elsewhere.database() as db:
        assert pages.read_revision(db) == 1
