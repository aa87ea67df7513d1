from __future__ import annotations

import importlib
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from markupsafe import escape

from tests.apps.test_lrtest import Tags
from worker.csrf import FIELD
from worker.errors import StartError
from worker.filling import fill
from worker.testing import Client, Result

ROOT = Path(__file__).parents[2]
HOSTILE = "</title></style><script>alert(\"1\")</script>'x'&amp;{{7*7}}"
SALT = bytes(range(16))
PASSWORDS = {"ann": " open sesame ", "bob": "Grüße, Ωmega", HOSTILE: HOSTILE}


@pytest.fixture
def portal(monkeypatch):
    """The module, imported anew as by a new process, with passwords that cost next to nothing."""
    portal = importlib.reload(importlib.import_module("apps.portal"))
    monkeypatch.setitem(portal.COST, "n", 2)
    hashed = {name: portal.hash_password(password, SALT).hex() for name, password in PASSWORDS.items()}
    people = " ".join(f"{name}:{SALT.hex()}:{text}" for name, text in hashed.items())
    monkeypatch.setenv("PORTAL_PEOPLE", people)
    return portal


@pytest.fixture
def client(portal):
    with Client(portal.app, prefix="/portal", database="sqlite://") as client:
        yield client


def log_in(client: Client, name: str = "ann", path: str = "/portal/login") -> Result:
    return client.submit(path, {"name": name, "password": PASSWORDS[name]})


def token(client: Client, path: str = "/portal") -> dict[str, str]:
    """Return the hidden field that a page has for its forms."""
    return {FIELD: dict(fill(client.get(path).text, {}).fields)[FIELD]}


def another(portal, **cookies: str) -> Client:
    """Return another browser, with these cookies to begin with."""
    client = Client(portal.app, prefix="/portal")
    client.cookies.update(cookies)
    return client


def name_of(client: Client) -> str | None:
    """Return who the home page says that somebody is."""
    match = re.search(r"You are <strong>(.*?)</strong>", client.get("/portal").text)
    return match and match[1]


def at_once(portal, *calls):
    """Run calls at the same time, each in a thread of the worker, and return what they return."""
    everybody = threading.Barrier(len(calls))

    def run(call):
        portal.app.start()
        try:
            everybody.wait(10)
            return call()
        finally:
            portal.app.stop()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [*threads.map(run, calls)]


# ── Login, home, logout ──────────────────────────────────────────────────────────────────────────────


def test_who_only_looks_has_no_session(client):
    result = client.get("/portal")
    assert "You are not logged in." in result.text
    assert client.cookies == {}


def test_who_logs_in_is_known_until_they_log_out(client):
    for name in ("ann", "bob"):
        result = log_in(client, name)
        assert (result.status, result.headers["location"]) == (303, "/portal/")
        assert name_of(client) == name
        result = client.post("/portal/logout", form=token(client))
        assert (result.status, result.headers["location"]) == (303, "/portal/")
        assert client.cookies == {}
        assert name_of(client) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ann", "open sesame"),
        ("ann", " Open sesame "),
        ("Ann", " open sesame "),
        ("bob", " open sesame "),
        ("eve", "x"),
        (SALT.hex(), "x"),
    ],
)
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer_for_the_same_work(
    portal, client, monkeypatch, name, password
):
    hashed = []
    hash_password = portal.hash_password
    monkeypatch.setattr(
        portal, "hash_password", lambda *given: (hashed.append(given), hash_password(*given))[1]
    )
    result = client.submit("/portal/login", {"name": name, "password": password})
    assert result.status == 422
    assert "This name and this password do not belong together." in result.text
    assert len(hashed) == 1
    shown = dict(fill(result.text, {"name": name}).fields)
    assert (shown["name"], shown["password"]) == (name, "")
    assert password.strip() == "x" or password not in result.text
    assert name_of(client) is None


@pytest.mark.parametrize(
    "typed",
    [
        {"name": "", "password": "x"},
        {"name": "ann", "password": ""},
        {"name": "ann\0", "password": "x"},
        {"name": "x" * 101, "password": "x"},
        {"name": "ann", "password": "x" * 201},
        {"name": "ann", "password": "\r\n"},
    ],
)
def test_what_cannot_be_a_name_or_a_password_is_refused_before_it_costs_anything(
    portal, client, monkeypatch, typed
):
    monkeypatch.setattr(portal, "hash_password", None)
    result = client.submit("/portal/login", typed)
    assert result.status == 422
    assert 'class="error"' in result.text


def test_a_login_that_lacks_something_or_has_it_twice_is_refused(client):
    form = token(client, "/portal/login")
    for more in ({}, {"name": "ann"}, {"password": "x"}):
        assert client.post("/portal/login", form=form | more).status == 422
    twice = [*form.items(), ("name", "ann"), ("name", "bob"), ("password", PASSWORDS["ann"])]
    assert client.post("/portal/login", form=twice).status == 422
    assert name_of(client) is None


def test_the_desk_counts_the_visits_since_the_login(client):
    log_in(client)
    assert "here once since" in client.get("/portal/desk").text
    assert "here 2 times since" in client.get("/portal/desk").text
    log_in(client, "bob")
    page = client.get("/portal/desk").text
    assert "The desk of bob" in page
    assert "here once since" in page


# ── Where to go on ───────────────────────────────────────────────────────────────────────────────────


def test_who_has_not_logged_in_may_do_so_and_comes_back(client):
    result = client.get("/portal/desk?lamp=on&%22=%2F")
    assert (result.status, client.cookies) == (303, {})
    login = result.headers["location"]
    assert login == "/portal/login?then=%2Fportal%2Fdesk%3Flamp%3Don%26%2522%3D%252F"
    assert client.submit(login, {"name": "ann", "password": "wrong"}).status == 422
    result = log_in(client, path=login)
    assert result.headers["location"] == "/portal/desk?lamp=on&%22=%2F"
    assert client.get(result.headers["location"]).status == 200


@pytest.mark.parametrize(
    "then",
    [
        "",
        "desk",
        "https://example.org/",
        "//example.org/",
        "///example.org/",
        "/\\example.org/",
        "\\\\example.org/",
        "/\t/example.org/",
        "/\n/example.org/",
        "\r\n/x",
        " //example.org/",
        "/ /example.org",
        "javascript:alert(1)",
        "http:example.org",
        "/x\r\nSet-Cookie: a=b",
        "/é",
        "/x\0",
        "?then=/",
        "@example.org",
    ],
)
def test_nobody_is_sent_on_to_another_site(client, then):
    page = client.get("/portal/login", query={"then": then})
    form = dict(fill(page.text, {"name": "ann", "password": PASSWORDS["ann"]}).fields)
    result = client.post("/portal/login", query={"then": then}, form=form)
    assert (result.status, result.headers["location"]) == (303, "/portal/")


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
def test_scripts_and_other_sites_do_not_see_the_cookie(portal, client, scheme, is_secure):
    visitor = Client(portal.app, prefix="/portal", scheme=scheme)
    cookie = log_in(visitor).headers["set-cookie"]
    assert re.match(r"session=[A-Za-z0-9_-]{22}; Path=/portal; SameSite=Lax;", cookie)
    assert "HttpOnly" in cookie
    assert ("Secure" in cookie) == is_secure


def test_a_login_gives_the_session_a_new_id_and_the_old_one_is_worth_nothing(portal, client):
    client.get("/portal/login")
    planted = client.cookies["session"]
    log_in(client)
    assert client.cookies["session"] != planted
    assert name_of(client) == "ann"
    assert name_of(another(portal, session=planted)) is None


def test_forms_of_before_the_login_are_refused_after_it(client):
    before = token(client, "/portal/login")
    log_in(client)
    assert client.post("/portal/logout", form=before).status == 403
    assert name_of(client) == "ann"


def test_a_logout_ends_the_session_for_who_copied_its_id_too(portal, client):
    log_in(client)
    thief = another(portal, **client.cookies)
    assert name_of(thief) == "ann"
    client.post("/portal/logout", form=token(client))
    assert name_of(thief) is None
    assert thief.get("/portal/desk").status == 303


def test_the_id_of_a_session_is_never_chosen_by_a_visitor(portal, client):
    for chosen in ("A" * 22, "x", "../../etc", ""):
        visitor = another(portal, session=chosen)
        assert visitor.get("/portal/login").status == 200
        assert visitor.cookies["session"] != chosen


def test_no_id_is_given_twice(portal, client):
    ids = set()
    for _ in range(50):
        visitor = another(portal)
        visitor.get("/portal/login")
        ids.add(visitor.cookies["session"])
        log_in(visitor)
        ids.add(visitor.cookies["session"])
    assert len(ids) == 100


@pytest.mark.parametrize("form", [{}, {FIELD: ""}, {FIELD: "0" * 64}])
def test_a_form_that_was_not_shown_here_neither_logs_in_nor_out(portal, client, form):
    stranger = another(portal)
    login = {"name": "ann", "password": PASSWORDS["ann"]}
    assert stranger.post("/portal/login", form=login | form).status == 403
    assert name_of(stranger) is None
    log_in(client)
    assert client.post("/portal/logout", form=form).status == 403
    assert (
        client.post(
            "/portal/logout", form=form | token(client), headers={"Origin": "https://evil.example"}
        ).status
        == 403
    )
    assert client.get("/portal/logout").status == 405
    assert name_of(client) == "ann"


def test_the_back_button_shows_nothing_after_a_logout(client):
    log_in(client)
    for path in ("/portal", "/portal/desk"):
        assert client.get(path).headers["cache-control"] == "no-store"


def test_two_people_log_in_at_once_and_are_not_mistaken_for_each_other(portal, client):
    browsers = {name: another(portal) for name in ("ann", "bob")}
    results = at_once(portal, *(lambda name=name: log_in(browsers[name], name) for name in browsers))
    assert [result.status for result in results] == [303, 303]
    assert {name: name_of(browser) for name, browser in browsers.items()} == {"ann": "ann", "bob": "bob"}


def test_of_two_logins_in_one_session_at_once_one_counts(portal, client):
    form = token(client, "/portal/login")
    browsers = [another(portal, **client.cookies) for _ in range(2)]
    forms = [form | {"name": name, "password": PASSWORDS[name]} for name in ("ann", "bob")]
    results = at_once(
        portal,
        *(
            lambda browser=browser, form=form: browser.post("/portal/login", form=form)
            for browser, form in zip(browsers, forms, strict=True)
        ),
    )
    assert sorted(result.status for result in results) == [303, 403]
    names = [name_of(browser) for browser in browsers]
    assert names in (["ann", None], [None, "bob"])


def test_visits_at_once_all_count(portal, client):
    log_in(client)
    at_once(portal, *[lambda: another(portal, **client.cookies).get("/portal/desk")] * 8)
    assert "here 9 times" in client.get("/portal/desk").text


def test_whoever_has_logged_in_is_known_to_a_new_process(portal, database_url):
    with Client(portal.app, prefix="/portal", database=database_url) as client:
        log_in(client)
    portal = importlib.reload(portal)
    with Client(portal.app, prefix="/portal", database=database_url) as later:
        later.cookies.update(client.cookies)
        assert name_of(later) == "ann"


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_people_are_called_is_text_on_every_page(client):
    assert (
        client.submit("/portal/login", {"name": HOSTILE, "password": "wrong"}).text.count(
            str(escape(HOSTILE))
        )
        == 1
    )
    log_in(client, HOSTILE)
    for path in ("/portal", "/portal/desk"):
        page = client.get(path).text
        assert str(escape(HOSTILE)) in page
        assert "<script" not in page


def test_where_to_go_on_is_on_no_page(client):
    assert "script" not in client.get("/portal/login", query={"then": HOSTILE}).text


def test_pages_are_complete_in_themselves(client):
    pages = [client.get(f"/portal/{path}").text for path in ("", "login")]
    pages.append(client.submit("/portal/login", {"name": "ann", "password": "wrong"}).text)
    log_in(client)
    pages += [client.get(f"/portal/{path}").text for path in ("", "desk")]
    for page in pages:
        tags = Tags(page)
        assert tags.open == []
        assert 'name="viewport"' in page
        assert "prefers-color-scheme: dark" in page
        for link in tags.links:
            assert link.startswith("data:") or client.get(link).status == 200, link


# ── Who may log in ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("people", ["", " ", "ann", "ann:00", "ann:xx:00", "ann:00:0", "ann:00:00 bob"])
def test_without_people_the_worker_says_what_to_do(portal, monkeypatch, people):
    monkeypatch.setenv("PORTAL_PEOPLE", people)
    with pytest.raises(StartError, match="PORTAL_PEOPLE must say who may log in: write it with"):
        portal.app.start()


def write_person(*names: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program that asks for a password; without a terminal it reads a line."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "apps.portal", *names],
        input=password + "\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        cwd=ROOT,
        check=False,
    )


def test_the_program_writes_what_lets_a_person_in(portal, monkeypatch):
    runs = [write_person("ann", password="pass wörd") for _ in range(2)]
    lines = [run.stdout for run in runs]
    assert all(re.fullmatch(r"ann:[0-9a-f]{32}:[0-9a-f]{128}\n", line) for line in lines)
    assert lines[0] != lines[1]
    portal = importlib.reload(portal)
    monkeypatch.setenv("PORTAL_PEOPLE", lines[0])
    with Client(portal.app, prefix="/portal", database="sqlite://") as client:
        assert client.submit("/portal/login", {"name": "ann", "password": "pass word"}).status == 422
        assert client.submit("/portal/login", {"name": "ann", "password": "pass wörd"}).status == 303


@pytest.mark.parametrize("names", [[], ["a b"], ["a:b"]])
def test_the_program_says_how_it_is_used(names):
    run = write_person(*names)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "Name one person, without spaces and colons: python -m apps.portal ann\n"
