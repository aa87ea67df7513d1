"""What everybody may read: pages, the navigation around them, and what is said where there is no page."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from apps.pages import app, samples, schema
from worker.testing import Client

if TYPE_CHECKING:
    from tests.apps.pages.conftest import Elsewhere
    from worker import Application

ODD = '<b>"it\'s"</b> & ü ☃/%2F?#'


def navigation(text: str) -> str:
    (nav,) = re.findall(r"<nav.*?</nav>", text, re.DOTALL)
    return nav


def marked(text: str) -> list[str]:
    """Return what the entries of the navigation say that are marked as the current page."""
    return re.findall(r'<a [^>]*aria-current="page">(.*?)</a>', navigation(text))


def heading_of(content: str) -> str:
    return re.match(r"# (.*)\n", content)[1]


def test_every_sample_page_is_shown_under_its_heading_and_is_marked(site: Client) -> None:
    for sample in samples.PAGES:
        result = site.get(f"/page/{sample.name}")
        assert result.status == 200
        assert f"<h1>{heading_of(sample.content)}</h1>" in unescape(result.text)
        assert marked(result.text) == ([sample.link_text] if sample.link_text else [])
        assert f'href="/edit/page/{sample.name}"' in result.text


def test_the_home_page_links_to_every_page_and_to_lrtest(site: Client) -> None:
    text = site.get("/").text
    assert marked(text) == ["Home"]
    for sample in samples.PAGES:
        if sample.link_text and sample.name != "home":
            assert text.count(f'href="/page/{sample.name}"') == 2  # in the navigation and on a card
    assert '<a href="/lrtest" class="button">' in text
    assert "ERROR" not in text


def test_the_navigation_is_in_the_order_of_the_numbers_below_the_names_of_the_sets(
    site: Client, elsewhere: Elsewhere
) -> None:
    elsewhere.save("last", number=9000, link_text="The last")
    elsewhere.save("first", number=1, link_text="The first")
    elsewhere.save("alone", number=2, page_set="A set", link_text="Alone")
    words = re.findall(r">([^<>\n]+)<", navigation(site.get("/").text))
    assert words[:2] == ["The first", "Home"]
    std = words.index("The last")
    assert words[std + 1 : std + 3] == ["A set", "Alone"]  # sets stand as their first pages do, after Std


def test_links_inside_the_samples_lead_somewhere(site: Client) -> None:
    for sample in samples.PAGES:
        for target in re.findall(r"\]\((/[^)]*)\)", sample.content):
            if target not in {"/lrtest", "/page/there-is-no-such-page"}:
                assert site.get(target).status == 200, (sample.name, target)


@pytest.mark.parametrize("path", ["/page/nobody", "/page/a%2Fb", "/page/%3Cscript%3E", "/nowhere", "/page"])
def test_what_does_not_exist_shows_the_page_error_with_404(
    site: Client, elsewhere: Elsewhere, path: str
) -> None:
    elsewhere.save("ERROR", content="# Gone fishing")
    result = site.get(path)
    assert result.status == 404
    assert "<h1>Gone fishing</h1>" in result.text
    assert "Home" in navigation(result.text)
    assert marked(result.text) == []
    assert "<script" not in result.text


def test_without_a_page_error_the_answer_is_404_all_the_same(site: Client, elsewhere: Elsewhere) -> None:
    elsewhere.remove("ERROR")
    assert site.get("/page/nobody").status == 404


def test_a_page_that_is_shown_by_no_known_template_is_shown_by_the_standard_one(
    site: Client, elsewhere: Elsewhere
) -> None:
    elsewhere.save("odd", template="../secret")
    assert site.get("/page/odd").status == 200


def test_whatever_is_in_a_row_appears_as_text(site: Client, elsewhere: Elsewhere) -> None:
    with elsewhere.database() as db:
        moment = schema.now()
        db.execute(
            insert(schema.page).values(
                name=ODD,
                created=moment,
                modified=moment,
                number=15,
                page_set="<style>x</style>'\"",
                link_text="<script>alert('1')</script>\"",
                template="<i>",
                content='# <script>alert(1)</script>\n\n<style>*{}</style> "it\'s" <img src=x onerror=y>',
                version=7,
            )
        )
        db.execute(schema.revision.update().values(number=7))
        db.commit()
    home = site.get("/").text
    for text in (ODD, "<style>x</style>'\"", "<script>alert('1')</script>\""):
        assert text not in home
    assert (
        escape("<script>alert('1')</script>\"").replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in home
    )
    (address,) = {each for each in re.findall(r'href="(/page/[^"]*)"', home) if "%3Cb" in each}
    page = site.get(unescape(address))
    assert page.status == 200
    for text in (home, page.text):
        assert not re.search(r"<(script|style|img|i)\b", text)
    assert len(marked(page.text)) == 1


def test_what_another_worker_saves_is_in_the_navigation_with_the_next_request(
    site: Client, elsewhere: Elsewhere
) -> None:
    assert "Fresh bread" not in site.get("/page/worker").text
    elsewhere.save("bread", link_text="Fresh bread")
    assert "Fresh bread" in navigation(site.get("/page/worker").text)
    elsewhere.save("bread", link_text="Old bread")
    assert "Fresh bread" not in navigation(site.get("/page/worker").text)
    elsewhere.remove("bread")
    assert "bread" not in navigation(site.get("/page/worker").text)


def test_a_browser_that_has_a_page_is_told_so_until_anything_changes(
    site: Client, elsewhere: Elsewhere
) -> None:
    first = site.get("/page/worker")
    condition = {"If-None-Match": first.headers["etag"]}
    assert first.headers["cache-control"] == "no-cache"
    again = site.get("/page/worker", headers=condition)
    assert (again.status, again.body) == (304, b"")
    elsewhere.save("queue", link_text="Lines")
    changed = site.get("/page/worker", headers=condition)
    assert changed.status == 200
    assert "Lines" in changed.text
    assert site.get("/page/nobody", headers=condition).status == 404


def test_head_is_get_without_the_body(site: Client) -> None:
    get, head = site.get("/page/worker"), site.head("/page/worker")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["content-length"] == str(len(get.body))


def test_who_only_reads_gets_no_cookie(site: Client) -> None:
    for path in ("/", "/page/worker", "/page/nobody"):
        assert "set-cookie" not in site.get(path).headers


def test_the_stylesheet_may_be_kept_for_long_because_its_address_changes_with_it(site: Client) -> None:
    (address,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', site.get("/").text)
    style = site.get(address)
    assert style.status == 200
    assert style.headers["content-type"].startswith("text/css")
    assert style.headers["cache-control"] == "max-age=31536000"
    assert site.get(address, headers={"If-None-Match": style.headers["etag"]}).status == 304


def test_no_script_may_run_on_any_page(site: Client) -> None:
    for path in ("/", "/page/nobody", "/login", "/static/site.css"):
        result = site.get(path)
        assert "default-src 'none'" in result.headers["content-security-policy"]
        assert "script-src" not in result.headers["content-security-policy"]
        assert "<script" not in result.text


def test_pages_can_only_be_read(site: Client) -> None:
    assert site.post("/page/worker").status == 405
    assert site.delete("/page/worker").status == 405


def test_the_application_that_a_sample_shows_does_what_it_says() -> None:
    (sample,) = [each for each in samples.PAGES if each.name == "handlers"]
    (program,) = re.findall(r"```python\n(.*?)```", sample.content, re.DOTALL)
    names: dict[str, Application] = {}
    exec(program, names)
    assert Client(names["app"], prefix="/hello").get("/hello/world").json() == {"hello": "world"}


def test_the_page_on_writing_shows_its_table_to_the_end(site: Client) -> None:
    assert "<td>is typed with <code>|</code> between its columns</td>" in site.get("/page/writing").text


def test_the_site_may_be_served_at_any_path(database_url: str) -> None:
    with Client(app, prefix="/handbook", database=database_url) as client:
        text = client.get("/handbook/").text
        for address in re.findall(r'href="([^"]+)"', f"{navigation(text)}{text.partition('<body>')[0]}"):
            assert address.startswith(("/handbook", "data:")), address
        assert client.get("/handbook/page/worker").status == 200
        assert client.get("/handbook/edit/").headers["location"] == "/handbook/login?to=%2Fhandbook%2Fedit%2F"
