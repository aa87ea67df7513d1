"""Editing: pages are made, changed and deleted, and nobody overwrites what they have not seen."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from apps.pages import samples
from worker.filling import fill

if TYPE_CHECKING:
    from tests.apps.pages.conftest import Elsewhere
    from worker.testing import Client, Result

NEW = {"name": "bread", "link_text": "Bread", "number": "55", "content": "# Bread\n\nFlour, water, salt."}
ODD = "<script>alert('x')</script><style>*{}</style>\"&amp;"


def send(client: Client, page: Result, path: str, typed: dict[str, str]) -> Result:
    """Send the form of a page that was opened before."""
    return client.post(path, form=fill(page.text, typed).fields)


# ── What works ───────────────────────────────────────────────────────────────────────────────────


def test_the_list_has_all_pages_to_show_and_to_edit(editor: Client) -> None:
    text = editor.get("/edit/").text
    for sample in samples.PAGES:
        address = "/" if sample.name == "home" else f"/page/{sample.name}"
        assert f'<a href="{address}">{sample.name}</a>' in text
        assert f'href="/edit/page/{sample.name}"' in text
        assert (f'href="/edit/page/{sample.name}/delete"' in text) == (sample.name not in {"home", "ERROR"})


def test_a_folder_without_its_slash_is_found(editor: Client) -> None:
    assert editor.get("/edit").headers["location"] == "/edit/"


def test_a_page_is_created_and_shown(editor: Client, elsewhere: Elsewhere) -> None:
    result = editor.submit("/edit/new", NEW)
    assert (result.status, result.headers["location"]) == (303, "/page/bread")
    text = editor.get("/page/bread").text
    assert "<p>Flour, water, salt.</p>" in text
    assert '<a href="/page/bread" aria-current="page">Bread</a>' in text
    page = elsewhere.find("bread")
    assert (page.number, page.page_set, page.template, page.version) == (55, "Std", "standard", 2)
    assert page.created == page.modified


def test_a_new_page_is_offered_the_place_behind_all_others(editor: Client) -> None:
    last = max(sample.number for sample in samples.PAGES if sample.name != "ERROR")
    fields = dict(fill(editor.get("/edit/new").text, {"content": "x"}).fields)
    assert (fields["number"], fields["page_set"], fields["template"]) == (str(last + 10), "Std", "standard")


def test_behind_the_last_of_all_numbers_there_is_none(editor: Client, elsewhere: Elsewhere) -> None:
    elsewhere.save("last", number=9995)
    assert dict(fill(editor.get("/edit/new").text, {"content": "x"}).fields)["number"] == "9999"


def test_every_page_can_be_saved_as_it_is_shown_to_be_edited(editor: Client, elsewhere: Elsewhere) -> None:
    for sample in samples.PAGES:
        before = elsewhere.find(sample.name)
        assert editor.submit(f"/edit/page/{sample.name}", {"content": sample.content}).status == 303
        after = elsewhere.find(sample.name)
        assert after.content == before.content
        assert (after.number, after.page_set, after.link_text) == sample[1:4]
        assert after.created == before.created
        assert after.version > before.version


def test_a_page_is_changed_in_all_its_parts(editor: Client, elsewhere: Elsewhere) -> None:
    typed = {
        "link_text": "Of workers",
        "number": "7",
        "page_set": "A set",
        "template": "notice",
        "content": "# New",
    }
    result = editor.submit("/edit/page/worker", typed)
    assert (result.status, result.headers["location"]) == (303, "/page/worker")
    page = elsewhere.find("worker")
    assert {name: str(getattr(page, name)) for name in typed} == typed
    assert '<main id="main" class="notice">' in editor.get("/page/worker").text


def test_the_home_page_s_address_is_that_of_the_site(editor: Client) -> None:
    assert editor.submit("/edit/page/home", {"content": "# Hello"}).headers["location"] == "/"
    assert "<h1>Hello</h1>" in editor.get("/").text


def test_a_page_without_a_link_text_is_there_but_nothing_links_to_it(editor: Client) -> None:
    editor.submit("/edit/new", {**NEW, "link_text": ""})
    assert editor.get("/page/bread").status == 200
    assert "/page/bread" not in editor.get("/").text


def test_a_page_is_deleted(editor: Client, elsewhere: Elsewhere) -> None:
    question = editor.get("/edit/page/worker/delete").text
    assert "Delete worker?" in question
    assert "A worker is a process" in question
    result = editor.submit("/edit/page/worker/delete", {"version": "1"})
    assert (result.status, result.headers["location"]) == (303, "/edit/")
    assert elsewhere.find("worker") is None
    assert editor.get("/page/worker").status == 404
    assert "What a worker is" not in editor.get("/").text


@pytest.mark.parametrize("name", ["home", "ERROR"])
def test_what_the_site_needs_cannot_be_deleted(editor: Client, elsewhere: Elsewhere, name: str) -> None:
    result = editor.submit(f"/edit/page/{name}/delete", {"version": "1"})
    assert result.status == 422
    assert "The site needs this page: change it instead." in result.text
    assert elsewhere.find(name) is not None


@pytest.mark.parametrize("name", ["Brötchen", "хлеб", "パン", "a.b", "a-b_c", "1997", "_"])
def test_a_name_may_have_letters_of_any_alphabet(editor: Client, name: str) -> None:
    result = editor.submit("/edit/new", {**NEW, "name": name})
    assert result.status == 303
    assert editor.get(result.headers["location"]).status == 200
    assert editor.submit(f"/edit/page/{name}", {"content": "# Changed"}).status == 303
    assert "<h1>Changed</h1>" in editor.get(f"/page/{name}").text


def test_a_name_is_kept_in_one_spelling(editor: Client, elsewhere: Elsewhere) -> None:
    assert editor.submit("/edit/new", {**NEW, "name": "Bro\u0308tchen"}).status == 303
    assert elsewhere.find("Br\u00f6tchen") is not None


def test_a_name_stays(editor: Client, elsewhere: Elsewhere) -> None:
    page = editor.get("/edit/page/worker")
    assert 'name="name"' not in page.text
    form = fill(page.text, {"content": "# Same"})
    assert editor.post("/edit/page/worker", form=[*form.fields, ("name", "other")]).status == 303
    assert elsewhere.find("other") is None


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"name": ""}, "Please fill this in."),
        ({"name": "a b"}, "Please use only letters"),
        ({"name": ".."}, "Please use only letters"),
        ({"name": "-a"}, "Please use only letters"),
        ({"name": "a/b"}, "Please use only letters"),
        ({"name": "<script>"}, "Please use only letters"),
        ({"name": "n" * 61}, "Please write at most 60 characters; there are 61 now."),
        ({"name": "worker"}, "There is a page of this name already: choose another name."),
        ({"name": "a\0b"}, "There are characters in this that cannot be kept."),
        ({"link_text": "l" * 61}, "Please write at most 60 characters; there are 61 now."),
        ({"number": ""}, "Please fill this in."),
        ({"number": "seven"}, "Please write a whole number, such as 12."),
        ({"number": "1.5"}, "Please write a whole number, such as 12."),
        ({"number": "-1"}, "This must be 0 or more."),
        ({"number": "10000"}, "This must be 9999 or less."),
        ({"number": "9" * 50}, "Please write a whole number, such as 12."),
        ({"page_set": ""}, "Please fill this in."),
        ({"page_set": "p" * 31}, "Please write at most 30 characters; there are 31 now."),
        ({"content": " \n "}, "Please fill this in."),
        ({"content": "c" * 100_001}, "Please write at most 100000 characters; there are 100001 now."),
        ({"content": "a\0b"}, "There are characters in this that cannot be kept."),
    ],
)
def test_what_cannot_be_saved_is_said_and_what_was_typed_stays(
    editor: Client, typed: dict[str, str], sentence: str
) -> None:
    result = editor.submit("/edit/new", {**NEW, **typed})
    assert result.status == 422
    assert sentence in result.text
    assert "<title>Not saved yet: A new page" in result.text
    shown = dict(fill(result.text, {"content": "x"}).fields)
    for name, value in {**NEW, **typed}.items():
        if name != "content" and "\0" not in value:
            assert shown[name] == value
    assert editor.get("/page/bread").status == 404


def test_a_template_that_is_not_offered_is_refused(editor: Client) -> None:
    fields = dict(fill(editor.get("/edit/new").text, NEW).fields)
    result = editor.post("/edit/new", form={**fields, "template": "../layout"})
    assert result.status == 422
    assert "Please choose one of the options." in result.text


@pytest.mark.parametrize("version", ["", "x", "-1", "1e3"])
def test_a_version_that_nobody_was_shown_changes_nothing(
    editor: Client, elsewhere: Elsewhere, version: str
) -> None:
    result = editor.submit("/edit/page/worker", {"version": version, "content": "# Forged"})
    assert result.status == 422
    assert elsewhere.find("worker").version == 1
    assert editor.submit("/edit/page/worker/delete", {"version": version}).status == 422
    assert elsewhere.find("worker") is not None


@pytest.mark.parametrize("name", ["name", "link_text", "number", "page_set", "content"])
def test_what_is_typed_into_any_field_comes_back_as_text(editor: Client, name: str) -> None:
    result = editor.submit("/edit/new", {**NEW, "name": "-", name: ODD})
    assert result.status == 422
    assert not re.search(r"<(script|style)\b", result.text)
    assert dict(fill(result.text, {"content": "x"}).fields).get(name) in {ODD, "x"}
    assert ODD in unescape(result.text)


def test_what_is_saved_in_any_field_is_shown_as_text(editor: Client) -> None:
    typed = {"name": "odd", "link_text": ODD, "page_set": ODD[:30], "content": f"# {ODD}\n\n{ODD}"}
    assert editor.submit("/edit/new", {**NEW, **typed}).status == 303
    for path in ("/", "/page/odd", "/edit/", "/edit/page/odd", "/edit/page/odd/delete", "/page/nobody"):
        text = editor.get(path).text
        assert not re.search(r"<(script|style)\b", text), path
        assert ODD in unescape(text), path


@pytest.mark.parametrize("path", ["/edit/new", "/edit/page/worker", "/edit/page/worker/delete"])
def test_without_a_token_nothing_is_done(editor: Client, elsewhere: Elsewhere, path: str) -> None:
    fields = {**NEW, "page_set": "Std", "template": "standard", "version": "1"}
    assert editor.post(path, form=fields).status == 403
    assert editor.post(path, form={**fields, "csrf_token": "0" * 64}).status == 403
    assert elsewhere.find("bread") is None
    assert elsewhere.find("worker").version == 1


def test_a_form_from_another_site_is_refused(editor: Client, elsewhere: Elsewhere) -> None:
    form = fill(editor.get("/edit/new").text, NEW)
    result = editor.post("/edit/new", form=form.fields, headers={"Sec-Fetch-Site": "cross-site"})
    assert result.status == 403
    assert elsewhere.find("bread") is None


def test_who_is_not_logged_in_changes_nothing_and_is_told_to_keep_what_was_typed(
    site: Client, elsewhere: Elsewhere
) -> None:
    token = dict(fill(site.get("/login").text, {"name": ""}).fields)["csrf_token"]  # a good one
    fields = {**NEW, "page_set": "Std", "template": "standard", "version": "1", "csrf_token": token}
    for path in ("/edit/new", "/edit/page/worker", "/edit/page/worker/delete"):
        result = site.post(path, form=fields)
        assert result.status == 403
        assert "copy what you typed" in result.text
    assert elsewhere.find("bread") is None
    assert elsewhere.find("worker").version == 1


@pytest.mark.parametrize("path", ["/edit/page/nobody", "/edit/page/nobody/delete", "/edit/nothing"])
def test_what_does_not_exist_cannot_be_edited(editor: Client, path: str) -> None:
    assert editor.get(path).status == 404


def test_an_odd_name_cannot_be_made_by_editing_what_does_not_exist(
    editor: Client, elsewhere: Elsewhere
) -> None:
    form = fill(editor.get("/edit/page/worker").text, {"version": "0"})
    for name in ("%3Cscript%3E", "a%2Fb", "n" * 61):
        assert editor.post(f"/edit/page/{name}", form=form.fields).status == 404


# ── Two at once ──────────────────────────────────────────────────────────────────────────────────


def test_the_second_of_two_is_told_keeps_what_was_typed_and_sees_what_there_is(
    editor: Client, elsewhere: Elsewhere
) -> None:
    opened = editor.get("/edit/page/worker")
    elsewhere.save("worker", content="# Theirs", link_text="Their text", number=33)
    told = send(editor, opened, "/edit/page/worker", {"content": "# Mine", "number": "21"})
    assert told.status == 422
    assert "Somebody else has changed this page while you were typing." in told.text
    assert "# Theirs" in told.text
    assert "Their text" in told.text
    shown = dict(fill(told.text, {"content": "# Mine"}).fields)
    assert (shown["number"], shown["link_text"]) == ("21", "What a worker is")
    assert "# Mine</textarea>" in told.text
    assert elsewhere.find("worker").content == "# Theirs"


def test_who_has_seen_what_there_is_may_replace_it(editor: Client, elsewhere: Elsewhere) -> None:
    opened = editor.get("/edit/page/worker")
    elsewhere.save("worker", content="# Theirs")
    told = send(editor, opened, "/edit/page/worker", {"content": "# Mine"})
    assert send(editor, told, "/edit/page/worker", {"content": "# Ours"}).status == 303
    assert elsewhere.find("worker").content == "# Ours"


def test_who_is_overtaken_twice_is_told_twice(editor: Client, elsewhere: Elsewhere) -> None:
    page = editor.get("/edit/page/worker")
    for content in ("# One", "# Two"):
        elsewhere.save("worker", content=content)
        page = send(editor, page, "/edit/page/worker", {"content": "# Mine"})
        assert page.status == 422
        assert content in page.text


def test_an_edit_of_another_page_is_no_conflict(editor: Client, elsewhere: Elsewhere) -> None:
    opened = editor.get("/edit/page/worker")
    elsewhere.save("queue", content="# Theirs")
    assert send(editor, opened, "/edit/page/worker", {"content": "# Mine"}).status == 303


def test_what_was_typed_for_a_page_that_is_deleted_meanwhile_is_not_lost(
    editor: Client, elsewhere: Elsewhere
) -> None:
    opened = editor.get("/edit/page/worker")
    elsewhere.remove("worker")
    told = send(editor, opened, "/edit/page/worker", {"content": "# Mine"})
    assert told.status == 422
    assert "Somebody else has deleted this page while you were typing." in told.text
    assert "# Mine</textarea>" in told.text
    assert elsewhere.find("worker") is None
    assert send(editor, told, "/edit/page/worker", {"content": "# Mine"}).status == 303
    assert elsewhere.find("worker").content == "# Mine"


def test_a_page_that_is_deleted_and_made_anew_is_another_one(editor: Client, elsewhere: Elsewhere) -> None:
    opened = editor.get("/edit/page/worker")
    elsewhere.remove("worker")
    elsewhere.save("worker", content="# Anew")
    assert send(editor, opened, "/edit/page/worker", {"content": "# Mine"}).status == 422
    assert elsewhere.find("worker").content == "# Anew"


def test_a_page_that_changed_is_not_deleted_unseen(editor: Client, elsewhere: Elsewhere) -> None:
    opened = editor.get("/edit/page/worker/delete")
    elsewhere.save("worker", content="# Precious")
    told = editor.post("/edit/page/worker/delete", form=fill(opened.text, {"version": "1"}).fields)
    assert told.status == 422
    assert "Somebody else has changed this page since you asked to delete it." in told.text
    assert "<h1>Precious</h1>" in told.text
    assert elsewhere.find("worker") is not None
    seen = str(elsewhere.find("worker").version)
    assert dict(fill(told.text, {"version": seen}).fields)["version"] == seen
    again = fill(told.text, {"version": seen})
    assert editor.post("/edit/page/worker/delete", form=again.fields).status == 303
    assert elsewhere.find("worker") is None


def test_a_page_that_is_gone_cannot_be_deleted_again(editor: Client, elsewhere: Elsewhere) -> None:
    form = fill(editor.get("/edit/page/worker/delete").text, {"version": "1"})
    elsewhere.remove("worker")
    assert editor.post("/edit/page/worker/delete", form=form.fields).status == 404


def test_a_name_that_somebody_else_took_meanwhile_is_refused(editor: Client, elsewhere: Elsewhere) -> None:
    opened = editor.get("/edit/new")
    elsewhere.save("bread", content="# Theirs")
    told = send(editor, opened, "/edit/new", NEW)
    assert told.status == 422
    assert "There is a page of this name already" in told.text
    assert elsewhere.find("bread").content == "# Theirs"
