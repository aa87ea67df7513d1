"""The application that every server of the comparison serves: a small page and a page from a database.

It needs nothing but the standard library, so that what is measured is the server and not a framework. The
database's path comes in the environment variable ``BENCH_DATABASE``; each thread keeps one connection open.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

PLAIN: Final = "/plain"
"""Path of the small page."""

DATABASE: Final = "/page/harbour"
"""Path of the page that is asked of the database."""

GREETING: Final = b"Hello, world"
"""The small page: 12 bytes."""

TITLES: Final = (
    "Anchor", "Beacon", "Compass", "Dockside", "Estuary", "Fairway",
    "Galley", "Harbour", "Inlet", "Jetty", "Keel & mast", "Lighthouse",
)  # fmt: skip
"""Titles of the pages in the database; a page's key is the first word in lower case."""

SENTENCE: Final = (
    'At high water the pilot comes aboard, reads the "notice to mariners" & sets a course <by the chart>.'
)
"""What the pages are made of; its markup characters give :func:`html.escape` something to do."""

HEAD: Final = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
    '<link rel="stylesheet" href="/style.css">\n</head>\n<body>\n'
)

_connections = threading.local()


def create_database(path: Path) -> None:
    """Create the database of twelve pages that the application reads."""
    pages = [
        (title.split()[0].lower(), title, position, "\n".join([f"{title}. {SENTENCE}"] * 17))
        for position, title in enumerate(TITLES)
    ]
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "CREATE TABLE page (name TEXT PRIMARY KEY, title TEXT NOT NULL,"
            " position INTEGER NOT NULL, content TEXT NOT NULL)"
        )
        connection.executemany("INSERT INTO page VALUES (?, ?, ?, ?)", pages)
    connection.close()


def close_database() -> None:
    """Close the connection of this thread, for those who take the database away again."""
    connection = _connections.__dict__.pop("connection", None)
    if connection is not None:
        connection.close()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request (PEP 3333)."""
    path = environ["PATH_INFO"]
    if path == PLAIN:
        return _answer(start_response, "200 OK", "text/plain", GREETING)
    if path.startswith("/page/"):
        page = _render(path.removeprefix("/page/"))
        if page is not None:
            return _answer(start_response, "200 OK", "text/html; charset=utf-8", page.encode())
    return _answer(start_response, "404 Not Found", "text/plain", b"There is no such page.\n")


def _answer(start_response: StartResponse, status: str, kind: str, body: bytes) -> Iterable[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _render(name: str) -> str | None:
    database = _database()
    found = database.execute("SELECT title, content FROM page WHERE name = ?", (name,)).fetchone()
    if found is None:
        return None
    title, content = found
    navigation = database.execute("SELECT name, title FROM page ORDER BY position").fetchall()
    parts = [HEAD.format(title=escape(title)), "<nav>\n<ul>\n"]
    parts += [f'<li><a href="/page/{escape(key)}">{escape(text)}</a></li>\n' for key, text in navigation]
    parts += ["</ul>\n</nav>\n<main>\n<h1>", escape(title), "</h1>\n"]
    parts += [f"<p>{escape(paragraph)}</p>\n" for paragraph in content.splitlines()]
    parts += ["</main>\n</body>\n</html>\n"]
    return "".join(parts)


def _database() -> sqlite3.Connection:
    connection: sqlite3.Connection | None = getattr(_connections, "connection", None)
    if connection is None:
        connection = sqlite3.connect(f"file:{os.environ['BENCH_DATABASE']}?mode=ro", uri=True)
        _connections.connection = connection
    return connection
