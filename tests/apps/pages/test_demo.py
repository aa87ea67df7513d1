"""The demo as ``lrwp up`` runs it: a dispatcher, the page site and lrtest, in processes of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from tests.demo import a_demo
from worker.filling import fill


class Visitor:
    """A browser at the demo, with cookies."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> str:
        with self._opener.open(self._address + path, timeout=10) as answer:
            return str(answer.read().decode())

    def submit(self, path: str, typed: dict[str, str]) -> str:
        """Fill in the form of a page, send it, and return the page that it leads to."""
        body = urlencode(fill(self.get(path), typed).fields).encode()
        with self._opener.open(self._address + path, body, timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    with a_demo(tmp_path) as (address, _):
        yield Visitor(address)


def test_a_visitor_reads_logs_in_as_told_edits_and_every_worker_shows_it(visitor: Visitor) -> None:
    home = visitor.get("/")
    assert 'href="/lrtest"' in home
    assert "<h1>Process " in visitor.get("/lrtest")
    hint = re.search(r'<p class="note">(.*?)</p>', visitor.get("/login"))
    assert hint is not None
    assert hint[1] == "This is a demo: the name is <b>editor</b>, and so is the password."
    assert "All pages" in visitor.submit("/login", {"name": "editor", "password": "editor"})
    for number in range(5):  # by whichever of the two workers
        text = f"Edit {number}"
        assert text in visitor.submit("/edit/page/worker", {"link_text": text})
        assert all(text in visitor.get("/") for _ in range(6))
