from __future__ import annotations

import importlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import pytest

from worker.testing import Client

ROOT = Path(__file__).parents[2]
PAGES = ["apps/lrtest/page.html", "configs/docroot/index.html", "configs/docroot/lrtest.html"]


@pytest.fixture
def start(monkeypatch):
    """Return a function that imports lrtest anew with the given environment, as a new process does."""

    def start(**environment: str):
        for name in ("LRWP_LABEL", "LRTEST_CALLS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return importlib.reload(importlib.import_module("apps.lrtest"))

    yield start
    monkeypatch.undo()
    importlib.reload(importlib.import_module("apps.lrtest"))


def call(lrtest, path: str = "/lrtest") -> str:
    return Client(lrtest.app, prefix="/lrtest").get(path).text


def test_a_worker_says_its_label_its_process_and_its_count(start):
    lrtest = start(LRWP_LABEL="ONE")
    assert "<h1>Process ONE, call 1</h1>" in call(lrtest)
    assert "<h1>Process ONE, call 2</h1>" in call(lrtest, "/lrtest/")
    assert f"process {os.getpid()}," in call(lrtest)


def test_a_worker_without_a_label_is_called_by_its_process_id(start):
    assert f"<h1>Process {os.getpid()}, call 1</h1>" in call(start())


def test_a_label_is_text_and_not_html(start):
    assert "<h1>Process &lt;b&gt;, call 1</h1>" in call(start(LRWP_LABEL="<b>"))


def test_a_worker_leaves_after_as_many_calls_as_it_was_told(start):
    lrtest = start(LRTEST_CALLS="3")
    retired = []
    for _ in range(4):
        call(lrtest)
        retired.append(lrtest.app.retired)
    assert retired == [False, False, True, True]


def test_a_worker_that_was_told_nothing_stays(start):
    lrtest = start()
    for _ in range(50):
        call(lrtest)
    assert not lrtest.app.retired


def test_threads_share_the_count(start):
    lrtest = start()
    with ThreadPoolExecutor(8) as threads:
        pages = [*threads.map(lambda _: call(lrtest), range(200))]
    counts = [int(re.search(r", call (\d+)</h1>", page)[1]) for page in pages]
    assert sorted(counts) == [*range(1, 201)]


def test_a_visitor_may_ask_the_worker_to_be_slow(start, monkeypatch):
    lrtest = start()
    slept = []
    monkeypatch.setattr(lrtest.time, "sleep", slept.append)
    for text in ("0", "0.05", "10"):
        call(lrtest, f"/lrtest?sleep={text}")
    assert slept == [0, 0.05, 10]


@pytest.mark.parametrize("text", ["10.1", "-1", "nan", "inf", "long", ""])
def test_a_sleep_that_cannot_be_is_the_visitors_mistake(start, text):
    assert Client(start().app, prefix="/lrtest").get("/lrtest", query={"sleep": text}).status == 400


class Tags(HTMLParser):
    """Notes what a page opens, what it leaves open, and where it links to."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in {"href", "src"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass
            return
        raise AssertionError(f"</{tag}> ends nothing")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_complete_in_itself_and_fits_a_telephone(name):
    page = (ROOT / name).read_text()
    tags = Tags(page)
    assert tags.open == []
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert [link for link in tags.links if re.match(r"(https?:)?//", link)] == []


def test_the_front_page_leads_to_lrtest_and_names_what_to_try():
    page = (ROOT / "configs/docroot/index.html").read_text()
    assert "/lrtest" in Tags(page).links
    for command in (
        "lrwp worker apps.lrtest:app --label FOUR",
        "lrwp load http://127.0.0.1:8080/lrtest -c 10 -n 1000 --match '&lt;h1&gt;'",
        "lrwp status",
    ):
        assert f"<pre>{command}</pre>" in page


def test_the_page_for_when_no_worker_is_left_says_so():
    page = (ROOT / "configs/docroot/lrtest.html").read_text()
    assert "<h1>This server takes no more calls</h1>" in page
    assert "lrwp worker apps.lrtest:app" in page
