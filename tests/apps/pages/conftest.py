"""What the tests of the page site share: the site on an empty database of each kind, and an editor in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from apps.pages import app, editors, pages
from worker import Database
from worker.testing import Client, Result

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from apps.pages.pages import Page

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a password cost what a test can afford."""
    monkeypatch.setattr(editors, "LOG_COST", 2)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers with a password for the editor, as outside of a demo."""
    monkeypatch.setenv("PAGES_PASSWORD", PASSWORD)
    monkeypatch.delenv("PAGES_DEMO", raising=False)


@pytest.fixture
def site(database_url: str) -> Iterator[Client]:
    """A visitor of a site that has just been started for the first time."""
    with Client(app, database=database_url) as client:
        yield client


@pytest.fixture
def editor(site: Client) -> Client:
    """The same, logged in."""
    assert log_in(site).status == 303
    return site


class Elsewhere:
    """Another worker: what it does to the pages, this one does not hear of."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def database(self) -> Iterator[Connection]:
        database = Database(self._url)
        database.open()
        try:
            yield database.connection
        finally:
            database.close()

    def find(self, name: str) -> Page | None:
        with self.database() as db:
            return pages.find(db, name)

    def save(self, name: str, **values: object) -> None:
        """Change a page, or make one."""
        with self.database() as db:
            page = pages.find(db, name)
            usual = {
                "number": 50,
                "page_set": "Std",
                "link_text": name,
                "template": "standard",
                "content": name,
            }
            if page is not None:
                usual = {key: getattr(page, key) for key in usual}
            pages.save(db, name, {**usual, **values}, page.version if page else pages.NEW)

    def remove(self, name: str) -> None:
        with self.database() as db:
            page = pages.find(db, name)
            assert page is not None
            pages.remove(db, name, page.version)


@pytest.fixture
def elsewhere(database_url: str) -> Elsewhere:
    return Elsewhere(database_url)


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[[], Client]]:
    """Return a function that starts a worker of the site, which stops at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Client(app, database=database_url))


def log_in(client: Client, password: str = PASSWORD, name: str = "editor", to: str = "") -> Result:
    """Log in as somebody at a browser would."""
    return client.submit(f"/login{to and f'?to={to}'}", {"name": name, "password": password})
