"""The demo as people see it: in Chromium, in two browsers at once, with its workers taking turns.

What each step looks like is kept in ``tests/screenshots``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.demo import a_demo
from tests.tools import needed

SCREENSHOTS = Path(__file__).parent / "screenshots"
DESK = (1280, 800)
PHONE = (390, 844)

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
"""A container has neither a sandbox nor a screen, and the tests have no network."""

ODD = """<script>document.title = "taken"</script> "quotes" & 'more'"""
"""What a page must show as it was typed."""

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright's own pipes, at its end


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = needed("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The demo's address."""
    with a_demo(tmp_path) as (address, program):
        yield address
        assert "Traceback" not in program.output


class Visitor:
    """Somebody at a browser of their own.

    Attributes:
        page: what they look at.
    """

    def __init__(
        self, chromium: Browser, address: str, size: tuple[int, int], *, scripts: bool = True
    ) -> None:
        width, height = size
        self._context: BrowserContext = chromium.new_context(
            base_url=address, viewport={"width": width, "height": height}, java_script_enabled=scripts
        )
        self._context.set_default_timeout(10_000)
        self._steps = 0
        self.page: Page = self._context.new_page()
        self.page.on("pageerror", lambda error: pytest.fail(f"the page raised {error}"))

    def keep(self, name: str) -> None:
        """Keep a picture of what is seen; nothing may stick out at the side, nor two things have one id."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        box = self.page.locator("main").bounding_box()
        assert box is not None
        assert self.page.viewport_size is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= self.page.viewport_size["width"]
        ids = self.page.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
        assert sorted(ids) == sorted(set(ids))

    def see_navigation(self, link: str, *, is_there: bool) -> None:
        """Make sure of an entry of the navigation, in whichever worker's page: they take turns."""
        for _ in range(6):
            self.page.goto("/")
            expect(self.page.locator("nav a", has_text=link)).to_have_count(int(is_there))

    def log_in(self) -> None:
        """Log in as the page says."""
        self.page.get_by_label("Name").fill("editor")
        self.page.get_by_label("Password").fill("editor")
        self.page.get_by_role("button", name="Log in").click()

    def leave(self) -> None:
        """Close the browser."""
        self._context.close()


@pytest.fixture
def ann(chromium: Browser, address: str) -> Iterator[Visitor]:
    """An editor at a desk."""
    visitor = Visitor(chromium, address, DESK)
    yield visitor
    visitor.leave()


@pytest.fixture
def ben(chromium: Browser, address: str) -> Iterator[Visitor]:
    """Another one on the way, whose browser runs no scripts."""
    visitor = Visitor(chromium, address, PHONE, scripts=False)
    yield visitor
    visitor.leave()


def test_a_page_is_found_read_edited_and_deleted_while_somebody_else_looks(
    ann: Visitor, ben: Visitor
) -> None:
    page = ann.page

    # Home, and from there to a page.
    page.goto("/")
    expect(page.locator("nav [aria-current=page]")).to_have_count(1)
    ann.keep("home-desk")
    ben.page.goto("/")
    ben.keep("home-phone")
    second = page.locator("nav a").nth(1)
    name = second.inner_text()
    second.click()
    expect(page).to_have_url(re.compile(r"/page/[^/]+$"))
    expect(page.locator("nav [aria-current=page]")).to_have_text(name)
    ann.keep("page-desk")

    # To edit it one logs in, and is led on to the form.
    page.get_by_role("link", name=re.compile("edit", re.IGNORECASE)).click()
    expect(page).to_have_url(re.compile("/login"))
    ann.keep("login-desk")
    ann.log_in()
    expect(page.get_by_label("Link text")).to_have_value(name)
    ann.keep("edit-desk")

    # Saved, it is in the navigation of every worker, as it was typed.
    page.get_by_label("Link text").fill("Freshly named")
    page.get_by_label("Content").fill(f"# {ODD}\n\n{ODD}")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("nav [aria-current=page]")).to_have_text("Freshly named")
    expect(page.locator("main h1")).to_have_text(ODD)
    expect(page.locator("main script")).to_have_count(0)
    ann.keep("saved-desk")
    ben.see_navigation("Freshly named", is_there=True)
    ben.see_navigation(name, is_there=False)

    # Deleted, it is in none, and whoever asks for it is told.
    address = page.url
    page.get_by_role("link", name=re.compile("edit", re.IGNORECASE)).click()
    page.get_by_role("link", name=re.compile("delete", re.IGNORECASE)).click()
    ann.keep("delete-desk")
    page.get_by_role("button", name="Delete").click()
    ann.see_navigation("Freshly named", is_there=False)
    ben.see_navigation("Freshly named", is_there=False)
    answer = ben.page.goto(address)
    assert answer is not None
    assert answer.status == 404
    ben.keep("error-phone")


def test_of_two_who_edit_one_page_the_second_is_shown_what_the_first_has_saved(
    ann: Visitor, ben: Visitor
) -> None:
    for visitor in (ann, ben):
        visitor.page.goto("/")
        visitor.page.get_by_role("link", name=re.compile("edit", re.IGNORECASE)).click()
        visitor.log_in()
    ben.keep("edit-phone")
    for visitor, words in ((ann, "What Ann wrote."), (ben, "What Ben wrote.")):
        visitor.page.get_by_label("Content").fill(words)
        visitor.page.get_by_role("button", name="Save").click()
    expect(ann.page.locator("main")).to_contain_text("What Ann wrote.")
    expect(ben.page.get_by_label("Content")).to_have_value("What Ben wrote.")
    expect(ben.page.locator("main")).to_contain_text("What Ann wrote.")
    ben.keep("conflict-phone")
    ben.page.get_by_role("button", name="Save").click()
    ann.page.reload()
    expect(ann.page.locator("main")).to_contain_text("What Ben wrote.")


def test_lrtest_says_in_a_browser_which_worker_it_was(ann: Visitor) -> None:
    ann.page.goto("/lrtest")
    labels = set()
    for _ in range(6):
        ann.page.reload()
        labels.add(ann.page.locator("h1").inner_text().partition(",")[0])
    assert labels == {"Process ONE", "Process TWO", "Process THREE"}
    ann.keep("lrtest-desk")
