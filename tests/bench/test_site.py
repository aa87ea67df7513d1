"""The application that is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import site

Ask = Callable[[str], Any]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """Ask the application for a path; returns status, headers and body."""
    database = tmp_path / "pages.sqlite"
    site.create_database(database)
    monkeypatch.setenv("BENCH_DATABASE", str(database))

    def ask(path: str) -> Any:
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            head.extend([status, dict(headers)])

        body = site.application({"PATH_INFO": path}, start_response)
        return (*head, b"".join(body))

    yield ask
    site.close_database()


def test_the_small_page_is_twelve_bytes_of_text(ask: Ask) -> None:
    assert ask("/plain") == (
        "200 OK",
        {"Content-Type": "text/plain", "Content-Length": "12"},
        b"Hello, world",
    )


def test_the_database_page_is_three_kibibytes_of_html(ask: Ask) -> None:
    status, headers, body = ask("/page/harbour")
    assert status == "200 OK"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert int(headers["Content-Length"]) == len(body)
    assert 2900 < len(body) < 3300


def test_the_navigation_leads_to_every_page(ask: Ask) -> None:
    body = ask("/page/anchor")[2].decode()
    links = [line for line in body.splitlines() if line.startswith("<li>")]
    assert len(links) == 12
    assert '<li><a href="/page/keel">Keel &amp; mast</a></li>' in links


def test_what_comes_from_the_database_is_escaped(ask: Ask) -> None:
    body = ask("/page/keel")[2].decode()
    assert "<h1>Keel &amp; mast</h1>" in body
    assert "&lt;by the chart&gt;" in body


@pytest.mark.parametrize("path", ["/", "/page/", "/page/atlantis"])
def test_there_are_no_other_pages(ask: Ask, path: str) -> None:
    assert ask(path)[0] == "404 Not Found"


def test_a_thread_keeps_its_connection(ask: Ask) -> None:
    ask("/page/anchor")
    connection = site._connections.connection
    ask("/page/beacon")
    assert site._connections.connection is connection
