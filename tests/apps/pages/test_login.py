"""Login and logout: who is let in, where to, and with which session."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING

import pytest

from apps.pages import editors
from tests.apps.pages.conftest import PASSWORD, Elsewhere, log_in
from worker.filling import fill

if TYPE_CHECKING:
    from worker.testing import Client

WRONG = "The name or the password is wrong."


def test_who_logs_in_goes_on_to_the_list_of_pages(site: Client) -> None:
    result = log_in(site)
    assert (result.status, result.headers["location"]) == (303, "/edit/")
    page = site.get("/edit/")
    assert page.status == 200
    assert "Logged in as <b>editor</b>" in page.text


@pytest.mark.parametrize("path", ["/edit/", "/edit/new", "/edit/page/worker", "/edit/page/worker/delete"])
def test_who_wants_to_edit_is_sent_to_the_login_and_back(site: Client, path: str) -> None:
    away = site.get(path)
    assert away.status == 303
    back = site.submit(away.headers["location"], {"name": "editor", "password": PASSWORD})
    assert (back.status, back.headers["location"]) == (303, path)


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "/%5Cevil.example/",
        "%5C%5Cevil.example",
        "javascript:alert(1)",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:%20a=b",
        "evil.example",
        "",
    ],
)
def test_a_login_leads_to_no_other_site(site: Client, to: str) -> None:
    assert log_in(site, to=to).headers["location"] == "/edit/"


@pytest.mark.parametrize(
    ("name", "password"), [("editor", "battery staple"), ("nobody", PASSWORD), ("Editor", PASSWORD)]
)
def test_a_wrong_name_and_a_wrong_password_get_the_same_sentence(
    site: Client, name: str, password: str
) -> None:
    result = log_in(site, password, name)
    assert result.status == 422
    assert WRONG in result.text
    assert password not in result.text
    assert site.get("/edit/").status == 303


def test_a_wrong_name_costs_as_much_as_a_wrong_password(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[dict[str, object]] = []
    scrypt = editors.hashlib.scrypt

    def noting(password: bytes, **cost: object) -> bytes:
        costs.append({key: cost[key] for key in "nrp"} | {"salt": len(cost["salt"])})
        return scrypt(password, **cost)

    monkeypatch.setattr(editors.hashlib, "scrypt", noting)
    log_in(site, "wrong", "editor")
    log_in(site, "wrong", "nobody")
    assert len(costs) == 2
    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"name": "", "password": "x"}, "Please fill this in."),
        ({"name": "editor", "password": ""}, "Please fill this in."),
        ({"name": "e" * 201, "password": "x"}, "Please write at most 200 characters; there are 201 now."),
        (
            {"name": "editor", "password": "x" * 201},
            "Please write at most 200 characters; there are 201 now.",
        ),
        ({"name": "edi\0tor", "password": "x"}, "There are characters in this that cannot be kept."),
    ],
)
def test_what_cannot_be_a_login_is_said_beside_the_field(
    site: Client, typed: dict[str, str], sentence: str
) -> None:
    result = site.submit("/login", typed)
    assert result.status == 422
    assert sentence in result.text


def test_what_is_typed_as_a_name_comes_back_as_text(site: Client) -> None:
    name = "\"><script>alert('x')</script>"
    result = site.submit("/login", {"name": name, "password": "x"})
    assert "<script" not in result.text
    assert name in unescape(result.text)


def test_a_login_has_a_session_that_nobody_knew_before(site: Client, database_url: str) -> None:
    site.get("/login")
    planted = site.cookies["session"]
    form = fill(site.get("/login").text, {"name": "editor", "password": PASSWORD})
    assert site.post("/login", form=form.fields).status == 303
    assert site.cookies["session"] != planted
    site.cookies["session"] = planted
    assert site.get("/edit/").status == 303  # whoever planted it has nothing of it


def test_a_form_from_before_the_login_is_worth_nothing_after_it(site: Client) -> None:
    before = fill(site.get("/login").text, {"name": "editor", "password": PASSWORD})
    assert site.post("/login", form=before.fields).status == 303
    assert site.post("/logout", form=before.fields).status == 403
    assert site.get("/edit/").status == 200


def test_the_login_needs_a_token(site: Client) -> None:
    result = site.post("/login", form={"name": "editor", "password": PASSWORD})
    assert result.status == 403
    assert "Please go back, reload the page" in result.text


def test_a_logout_ends_the_session(editor: Client) -> None:
    session = editor.cookies["session"]
    form = fill(editor.get("/edit/").text, {})
    assert (form.method, form.action) == ("POST", "/logout")
    result = editor.post(form.action, form=form.fields)
    assert (result.status, result.headers["location"]) == (303, "/")
    editor.cookies["session"] = session
    assert editor.get("/edit/").status == 303


def test_a_logout_is_no_link_and_needs_a_token(editor: Client) -> None:
    assert editor.get("/logout").status == 405
    assert editor.post("/logout").status == 403
    assert editor.get("/edit/").status == 200


def test_a_demo_says_how_to_log_in(start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'class="note"' not in start().get("/login").text
    monkeypatch.setenv("PAGES_DEMO", "yes")
    demo = start()
    assert '<p class="note">This is a demo' in demo.get("/login").text
    assert log_in(demo, "editor").status == 303


def test_without_a_password_nobody_edits_and_the_page_says_what_to_do(
    start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGES_PASSWORD")
    site = start()
    assert site.get("/").status == 200
    refused = site.get(site.get("/edit/new").headers["location"])
    assert refused.status == 403
    assert "environment variable PAGES_PASSWORD" in refused.text
    assert "<h1>" in refused.text
    assert "<nav" in refused.text


def test_a_start_without_a_password_takes_it_from_who_had_one(
    editor: Client, start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAGES_PASSWORD")
    assert start().get("/login").status == 403
    assert editor.get("/edit/").status == 303


def test_an_empty_password_is_none(start: Callable[[], Client], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGES_PASSWORD", "")
    assert start().get("/login").status == 403


def test_another_password_at_the_next_start_ends_what_was_begun_with_the_old_one(
    editor: Client, elsewhere: Elsewhere
) -> None:
    with elsewhere.database() as db:
        editors.set_password(db, "editor", "another one")
        db.commit()
    assert editor.get("/edit/").status == 303
    assert log_in(editor).status == 422
    assert log_in(editor, "another one").status == 303


def test_the_same_password_at_the_next_start_ends_nothing(editor: Client, elsewhere: Elsewhere) -> None:
    with elsewhere.database() as db:
        editors.set_password(db, "editor", PASSWORD)
        db.commit()
    assert editor.get("/edit/").status == 200
