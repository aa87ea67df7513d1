from __future__ import annotations

import importlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, time, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql
from markupsafe import escape

from tests.apps.test_lrtest import Tags
from tests.system import a_dispatcher, a_worker
from worker.csrf import FIELD
from worker.errors import NotProvidedError
from worker.filling import fill
from worker.guard import UncommittedError
from worker.testing import Client

HOSTILE = "</textarea></title></style><script>alert(\"1\")</script> 'x' &amp; {{ 7 * 7 }}"
SOMEDAY = date(2031, 5, 14)

no_matter_where = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is refused before any database is asked: once is enough."""


@pytest.fixture
def tasks():
    """The module, imported anew as by a new process: its sessions are where its database is."""
    return importlib.reload(importlib.import_module("apps.tasks"))


@pytest.fixture
def client(tasks, database_url):
    with Client(tasks.app, prefix="/tasks", database=database_url) as client:
        yield client


@pytest.fixture
def rows(tasks, client):
    """Return a function that says what a table holds."""

    def rows(table):
        connection = tasks.app.database.connection
        found = [row._asdict() for row in connection.execute(sql.select(table).order_by(table.c.id))]
        connection.rollback()
        return found

    return rows


def add(client: Client, entry: str, due: date | None = None) -> None:
    result = client.submit("/tasks", {"entry": entry, "due": due.isoformat() if due else ""})
    assert (result.status, result.headers["location"]) == (303, "/tasks/")


def press(client: Client, page: str, action: str):
    """Press the button of a page that sends the form with this action."""
    text = client.get(page).text
    assert f'action="{action}"' in text
    return client.post(action, form={FIELD: dict(fill(text, {}).fields)[FIELD]})


def shown(page: str) -> list[str]:
    """Return the entries of a list, in order."""
    return re.findall(r'<(?:a|span) class="(?:entry|finished)"[^>]*>([^<]*)<', page)


# ── The task list ────────────────────────────────────────────────────────────────────────────────────


def test_at_first_there_is_nothing_to_be_done(client):
    assert "There is nothing to be done." in client.get("/tasks").text


def test_the_list_has_the_most_urgent_tasks_first(client):
    for entry, due in (("any day", None), ("later", SOMEDAY), ("sooner", SOMEDAY - timedelta(1))):
        add(client, entry, due)
    add(client, "later, but important", SOMEDAY)
    client.submit("/tasks/task/4/edit", {"priority": "1"})
    page = client.get("/tasks").text
    assert shown(page) == ["sooner", "later, but important", "later", "any day"]
    assert '<span class="alarm">urgent</span>' in page


def test_what_should_have_been_done_is_marked(client):
    add(client, "late", date(2000, 1, 1))
    add(client, "in time", date(2999, 12, 31))
    page = client.get("/tasks").text
    assert '<span class="alarm">01 Jan 2000</span>' in page
    assert "<span>31 Dec 2999</span>" in page


def test_a_task_is_shown_with_all_that_is_said_of_it(tasks, client, rows):
    add(client, "Call Ann")
    memo = "Her number\n  is on the card."
    result = client.submit(
        "/tasks/task/1/edit",
        {"memo": memo, "due": "2031-05-14", "priority": "3", "state": "WAITING"},
    )
    assert (result.status, result.headers["location"]) == (303, "/tasks/task/1/")
    assert rows(tasks.task) == [
        {
            "id": 1,
            "entry": "Call Ann",
            "memo": memo,
            "due": SOMEDAY,
            "priority": 3,
            "state": tasks.State.WAITING,
        }
    ]
    page = client.get("/tasks/task/1/").text
    assert f'<p class="memo">{memo}</p>' in page
    assert 'waiting, low priority, due on <a href="/tasks/day/2031-05-14">14 May 2031</a>' in page


def test_what_need_not_be_said_can_be_taken_back(tasks, client, rows):
    add(client, "Call Ann", SOMEDAY)
    client.submit("/tasks/task/1/edit", {"memo": "twice"})
    client.submit("/tasks/task/1/edit", {"memo": "", "due": ""})
    assert [(row["memo"], row["due"]) for row in rows(tasks.task)] == [(None, None)]


def test_a_finished_task_is_below_and_can_be_opened_again(client):
    add(client, "one")
    add(client, "two")
    result = press(client, "/tasks", "/tasks/task/1/finish")
    assert (result.status, result.headers["location"]) == (303, "/tasks/")
    assert shown(client.get("/tasks").text) == ["two", "one"]
    assert "/tasks/task/1/finish" not in client.get("/tasks/task/1/").text
    client.submit("/tasks/task/1/edit", {"state": "OPEN"})
    assert shown(client.get("/tasks").text) == ["one", "two"]


def test_a_deleted_task_is_gone_and_its_number_is_not_given_again(tasks, client, rows):
    add(client, "one")
    assert press(client, "/tasks/task/1/", "/tasks/task/1/delete").status == 303
    assert client.get("/tasks/task/1/").status == 404
    add(client, "two")
    assert [row["id"] for row in rows(tasks.task)] == [2]


def test_a_task_that_somebody_else_has_deleted_is_a_404(client):
    add(client, "one")
    text = client.get("/tasks/task/1/").text
    token = {FIELD: dict(fill(text, {}).fields)[FIELD]}
    client.post("/tasks/task/1/delete", form=token)
    for part in ("delete", "finish", "edit"):
        assert client.post(f"/tasks/task/1/{part}", form=token).status == 404


@pytest.mark.parametrize(
    "path",
    ["task/1", "task/1/edit", "task/999999999999999999/", "task/0/", "day/2031-02-29", "month/2031-13-01"],
)
def test_what_is_not_there_is_a_404(client, path):
    assert client.get(f"/tasks/{path}").status in {308, 404}
    assert client.get(f"/tasks/{path.removesuffix('/')}/").status == 404


def test_what_cannot_be_done_is_a_405(client):
    assert client.get("/tasks/task/1/finish").headers["allow"] == "OPTIONS, POST"
    assert client.delete("/tasks/", headers={"X-CSRF-Token": ""}).status == 403
    assert client.get("/tasks/appointment/1/remove").status == 405


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"entry": ""}, "Please fill this in."),
        ({"entry": "   "}, "Please fill this in."),
        ({"entry": "x" * 201}, "Please write at most 200 characters; there are 201 now."),
        ({"entry": "x\0y"}, "There are characters in this that cannot be kept."),
        ({"due": "tomorrow"}, "Please write a date as year-month-day"),
        ({"due": "2031-02-29"}, "There is no such day in the calendar."),
        ({"due": "1899-12-31"}, "This must not be before 1900-01-01."),
        ({"due": "3000-01-01"}, "This must not be after 2999-12-31."),
    ],
)
@pytest.mark.parametrize("path", ["/tasks/", "/tasks/task/1/edit"])
@no_matter_where
def test_what_cannot_be_saved_is_shown_again_with_what_is_wrong(tasks, client, rows, path, typed, sentence):
    add(client, "one", SOMEDAY)
    before = rows(tasks.task)
    result = client.submit(path, {"entry": "two", "due": "2031-05-15"} | typed)
    assert result.status == 422
    assert sentence in result.text
    again = dict(fill(result.text, {"entry": ""} if "entry" not in typed else {"due": ""}).fields)
    assert again | typed == again
    assert rows(tasks.task) == before


def test_what_was_not_offered_cannot_be_chosen(tasks, client, rows):
    add(client, "one")
    before = rows(tasks.task)
    fields = dict(fill(client.get("/tasks/task/1/edit").text, {}).fields)
    for wrong in ({"priority": "4"}, {"priority": ""}, {"state": "DONE"}, {"state": "open"}):
        assert client.post("/tasks/task/1/edit", form=fields | wrong).status == 422
    assert rows(tasks.task) == before


def test_a_form_cannot_set_what_it_does_not_ask_for(tasks, client, rows):
    fields = dict(fill(client.get("/tasks").text, {"entry": "one"}).fields)
    client.post("/tasks/", form=fields | {"id": "77", "state": "FINISHED", "memo": "x"})
    assert [(row["id"], row["memo"], row["state"].name) for row in rows(tasks.task)] == [(1, None, "OPEN")]


# ── The date book ────────────────────────────────────────────────────────────────────────────────────


def test_the_date_book_opens_at_this_month(client):
    first = date.today()
    [day] = re.findall(r'href="/tasks/month/([^"]*)"', client.get("/tasks").text)
    assert first <= date.fromisoformat(day) <= date.today()
    assert f"<h1>{first:%B %Y}</h1>" in client.get(f"/tasks/month/{first}").text


def test_a_month_has_tasks_and_appointments_on_their_days(client):
    add(client, "Tax", SOMEDAY)
    add(client, "Other month", date(2031, 7, 1))
    client.submit(f"/tasks/day/{SOMEDAY}", {"at": "14:30", "entry": "Dentist"})
    page = client.get("/tasks/month/2031-05-01").text
    [cell] = re.findall(r'<a href="/tasks/day/2031-05-14">14</a>(.*?)</td>', page, re.DOTALL)
    assert re.findall(r'<li[^>]*title="(\w+)">([^<]*)<', cell) == [
        ("Dentist", "14:30 Dentist"),
        ("Tax", "Tax"),
    ]
    assert page.count("<li ") == 2


def test_a_month_has_whole_weeks_and_leads_to_its_neighbours(client):
    page = client.get("/tasks/month/2031-05-14").text
    days = re.findall(r'href="/tasks/day/([^"]*)"', page)
    assert (days[0], days[-1], len(days)) == ("2031-04-28", "2031-06-01", 35)
    links = re.findall(r'href="/tasks/month/([^"]*)" aria-label', page)
    assert [link[:7] for link in links] == ["2031-04", "2031-06"]


@pytest.mark.parametrize("day", ["1900-01-01", "2999-12-31", "2024-02-29", "2027-02-01"])
def test_the_date_book_goes_from_its_first_day_to_its_last(client, day):
    assert client.get(f"/tasks/month/{day}").status == 200
    assert client.submit(f"/tasks/day/{day}", {"entry": "Party"}).status == 303
    assert "Party" in client.get(f"/tasks/month/{day}").text


@pytest.mark.parametrize("day", ["1899-12-31", "3000-01-01", "0001-01-01", "9999-12-31", "10000-01-01"])
@no_matter_where
def test_there_are_no_other_days(client, day):
    for path in (f"/tasks/month/{day}", f"/tasks/day/{day}"):
        assert client.get(path).status == 404


def test_a_day_has_its_appointments_in_order(tasks, client, rows):
    for at, entry in (("14:30", "Dentist"), ("", "Holiday"), ("09:05", "Breakfast")):
        result = client.submit(f"/tasks/day/{SOMEDAY}", {"at": at, "entry": entry})
        assert (result.status, result.headers["location"]) == (303, f"/tasks/day/{SOMEDAY}")
    add(client, "Tax", SOMEDAY)
    page = client.get(f"/tasks/day/{SOMEDAY}").text
    assert "<h1>Wednesday, 14 May 2031</h1>" in page
    assert shown(page) == ["Holiday", "Breakfast", "Dentist"]
    assert '<a href="/tasks/task/1/">Tax</a>' in page
    assert [row["at"] for row in rows(tasks.appointment)] == [time(14, 30), None, time(9, 5)]
    assert "There is no appointment" in client.get(f"/tasks/day/{SOMEDAY + timedelta(1)}").text


def test_an_appointment_is_removed(tasks, client, rows):
    client.submit(f"/tasks/day/{SOMEDAY}", {"entry": "Dentist"})
    client.submit(f"/tasks/day/{SOMEDAY}", {"entry": "Party"})
    text = client.get(f"/tasks/day/{SOMEDAY}").text
    token = {FIELD: dict(fill(text, {}).fields)[FIELD]}
    result = client.post("/tasks/appointment/1/remove", form=token)
    assert (result.status, result.headers["location"]) == (303, f"/tasks/day/{SOMEDAY}")
    assert client.post("/tasks/appointment/1/remove", form=token).status == 404
    assert [row["entry"] for row in rows(tasks.appointment)] == ["Party"]


@pytest.mark.parametrize("at", ["25:00", "14.30", "soon", "14:30+02:00"])
@no_matter_where
def test_a_time_that_cannot_be_is_shown_again(tasks, client, rows, at):
    result = client.submit(f"/tasks/day/{SOMEDAY}", {"at": at, "entry": "Dentist"})
    assert result.status == 422
    assert "Please write a time as hours and minutes, such as 14:30." in result.text
    assert f'value="{at}"' in result.text
    assert rows(tasks.appointment) == []


# ── What must hold ───────────────────────────────────────────────────────────────────────────────────


def test_what_people_typed_is_text_on_every_page(client):
    add(client, HOSTILE, SOMEDAY)
    client.submit("/tasks/task/1/edit", {"memo": HOSTILE})
    client.submit(f"/tasks/day/{SOMEDAY}", {"entry": HOSTILE})
    for path in ("", "task/1/", "task/1/edit", f"day/{SOMEDAY}", f"month/{SOMEDAY}"):
        page = client.get(f"/tasks/{path}").text
        assert str(escape(HOSTILE)) in page
        assert "<script" not in page
    again = dict(fill(client.get("/tasks/task/1/edit").text, {}).fields)
    assert (again["entry"], again["memo"]) == (HOSTILE, HOSTILE)
    press(client, "/tasks", "/tasks/task/1/finish")
    assert "<script" not in client.get("/tasks").text


def test_what_cannot_be_saved_is_text_too(client):
    add(client, "one")
    for path, name in (
        ("/tasks/", "due"),
        ("/tasks/task/1/edit", "due"),
        (f"/tasks/day/{SOMEDAY}", "at"),
    ):
        result = client.submit(path, {name: HOSTILE, "entry": HOSTILE})
        assert result.status == 422
        assert result.text.count(str(escape(HOSTILE))) == 2
        assert "<script" not in result.text


def test_pages_are_complete_in_themselves(client):
    add(client, "one", SOMEDAY)
    client.submit(f"/tasks/day/{SOMEDAY}", {"at": "14:30", "entry": "Dentist"})
    for path in ("", "task/1/", "task/1/edit", f"day/{SOMEDAY}", f"month/{SOMEDAY}"):
        page = client.get(f"/tasks/{path}").text
        tags = Tags(page)
        assert tags.open == []
        assert 'name="viewport"' in page
        assert "prefers-color-scheme: dark" in page
        for link in tags.links:
            if not link.startswith(("data:", "#")):
                assert client.get(link).status == 200, link


@pytest.mark.parametrize("form", [{}, {FIELD: ""}, {FIELD: "0" * 64}])
@no_matter_where
def test_nothing_is_changed_by_a_form_that_was_not_shown_here(tasks, client, rows, form):
    add(client, "one", SOMEDAY)
    client.submit(f"/tasks/day/{SOMEDAY}", {"entry": "Dentist"})
    before = rows(tasks.task), rows(tasks.appointment)
    parts = "task/1/finish", "task/1/delete", "task/1/edit", f"day/{SOMEDAY}", "appointment/1/remove"
    for path in ("", *parts):
        assert client.post(f"/tasks/{path}", form={"entry": "forged"} | form).status == 403
    assert (rows(tasks.task), rows(tasks.appointment)) == before


def test_a_form_that_another_browser_was_shown_is_refused(tasks, client, rows):
    forged = dict(fill(client.get("/tasks").text, {"entry": "forged"}).fields)
    other = Client(tasks.app, prefix="/tasks")
    other.get("/tasks")
    assert other.post("/tasks/", form=forged).status == 403
    assert rows(tasks.task) == []


# ── The database ─────────────────────────────────────────────────────────────────────────────────────


def test_a_method_that_forgets_to_commit_is_named_and_nothing_is_kept(tasks, client, rows, monkeypatch):
    def post_finish(self):
        self.db.execute(sql.update(tasks.task).values(state=tasks.State.FINISHED))
        return "finished"

    monkeypatch.setattr(tasks.Task, "post_finish", post_finish)
    add(client, "one")
    with pytest.raises(UncommittedError, match=r"^Task\.post_finish\(\) in apps\.tasks left changes"):
        press(client, "/tasks", "/tasks/task/1/finish")
    assert [row["state"].name for row in rows(tasks.task)] == ["OPEN"]


def test_behind_a_dispatcher_that_is_a_500_and_the_log_names_the_method(tmp_path: Path):
    (tmp_path / "forgetful.py").write_text(
        "from apps.tasks import app, task, Tasks\n"
        "def get(self):\n"
        "    self.db.execute(task.insert().values(entry='forgotten'))\n"
        "    return 'added'\n"
        "Tasks.get = get\n"
    )
    database = f"sqlite:///{tmp_path / 'tasks.db'}"
    with (
        a_dispatcher(tmp_path) as dispatcher,
        a_worker(tmp_path, "forgetful:app", "--database", database, to=dispatcher.link) as worker,
    ):
        dispatcher.wait_for_links(1)
        with dispatcher.browser() as browser:
            assert browser.get("/tasks/").status == 500
            assert browser.get(f"/tasks/day/{SOMEDAY}").status == 200
        worker.wait_for(r"Tasks\.get\(\) in apps\.tasks left changes uncommitted")
    engine = sql.create_engine(database)
    with engine.connect() as connection:
        assert connection.execute(sql.text("SELECT count(*) FROM task")).scalar_one() == 0
    engine.dispose()


def test_workers_that_start_at_once_make_the_tables_once(tasks, client):
    tasks.tables.drop_all(tasks.app.database.connection)
    tasks.app.database.connection.commit()
    everybody = threading.Barrier(4)

    def start(_):
        everybody.wait(10)
        tasks.app.start()
        tasks.app.stop()

    with ThreadPoolExecutor(4) as threads:
        [*threads.map(start, range(4))]
    add(client, "one")


def test_tasks_outlive_the_process(tasks, database_url):
    with Client(tasks.app, prefix="/tasks", database=database_url) as client:
        add(client, "one")
    with Client(tasks.app, prefix="/tasks", database=database_url) as client:
        assert shown(client.get("/tasks").text) == ["one"]


def test_without_a_database_the_worker_says_what_to_do(tasks):
    with pytest.raises(NotProvidedError, match="tasks needs a database: start its worker with"):
        tasks.app.start()
