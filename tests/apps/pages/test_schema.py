"""The first start, by one or by several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from apps.pages import app, pages, samples, schema
from worker import Database
from worker.errors import NotProvidedError

if TYPE_CHECKING:
    from tests.apps.pages.conftest import Elsewhere
    from worker.testing import Client


def test_the_first_start_makes_the_samples(site: Client, elsewhere: Elsewhere) -> None:
    with elsewhere.database() as db:
        found = pages.find_all(db)
    assert [each.name for each in found] == [
        each.name for each in sorted(samples.PAGES, key=lambda each: each.number)
    ]
    assert {each.version for each in found} == {1}
    assert all(each.created == each.modified for each in found)


def test_several_that_start_at_once_make_them_once(database_url: str) -> None:
    database = Database(database_url)
    app.use(database)
    together = threading.Barrier(4)

    def live() -> int:
        """Do what each thread of each worker does."""
        together.wait(10)
        app.start()
        try:
            return len(pages.find_all(database.connection))
        finally:
            app.stop()

    try:
        with ThreadPoolExecutor(4) as threads:
            counts = [future.result(30) for future in [threads.submit(live) for _ in range(4)]]
    finally:
        app.use(None)
    assert counts == [len(samples.PAGES)] * 4


def test_a_later_start_leaves_alone_what_people_have_made_of_it(
    start: Callable[[], Client], elsewhere: Elsewhere
) -> None:
    start()
    elsewhere.remove("worker")
    elsewhere.save("queue", content="# Mine")
    client = start()
    assert client.get("/page/worker").status == 404
    assert "<h1>Mine</h1>" in client.get("/page/queue").text


def test_without_a_database_a_worker_says_what_it_needs() -> None:
    with pytest.raises(
        NotProvidedError, match="pages needs a database: start its worker with --database URL"
    ):
        app.start()


def test_the_samples_fit_their_columns() -> None:
    for sample in samples.PAGES:
        assert len(sample.name) <= schema.NAME
        assert len(sample.link_text) <= schema.LINK_TEXT
        assert len(sample.page_set) <= schema.PAGE_SET
