"""pages: a site that is kept in a table, and edited in the browser.

::

    PAGES_PASSWORD=... lrwp worker apps.pages:app --path / --database sqlite:///pages.db

SQLite or PostgreSQL, and as many workers as you like: the first one to start makes the tables and fills them
with sample pages, and what one of them saves the others show with the next request.

Environment variables:

* ``PAGES_PASSWORD``: the password of the editor named ``editor``. Who starts a worker with another one
  changes it. Without any, everybody reads and nobody edits.
* ``PAGES_DEMO``: if it is ``yes``, the password is ``editor`` too, and the login page says so.
"""

from __future__ import annotations

import os

from apps.pages import navigation, samples, schema
from apps.pages.editing import Delete, Edit, New, list_pages
from apps.pages.editors import remove_editors, set_password
from apps.pages.login import Login, LoginNeededError, ask_for_login, guesses, log_out
from apps.pages.site import refuse, show, show_error, show_home, with_policy
from worker import Application, Sessions, StaticFolder

EDITOR = "editor"
YEAR = 365 * 24 * 60 * 60

app = Application("pages")
app.wrap(with_policy)
app.wrap(Sessions())

app.get("/")(show_home)
app.get("/page/{name}")(show)
app.mount("/static", StaticFolder("static", max_age=YEAR))  # its address changes when a file in it does

app.servlet("/login?{to}")(Login)
app.post("/logout")(log_out)

app.get("/edit/")(list_pages)
app.servlet("/edit/new")(New)
app.servlet("/edit/page/{name}")(Edit)
app.servlet("/edit/page/{name}/delete")(Delete)

app.on_error(404)(show_error)
app.on_error(403)(refuse)
app.on_error(429)(refuse)
app.on_error(LoginNeededError)(ask_for_login)


@app.on_start
def prepare() -> None:
    """Make what is missing in the database: tables, sample pages, and the editor's password."""
    with app.database.exclusively() as db:
        schema.create(db, samples.PAGES)
        password = EDITOR if os.environ.get("PAGES_DEMO") == "yes" else os.environ.get("PAGES_PASSWORD")
        if password:
            set_password(db, EDITOR, password)
        else:
            remove_editors(db)  # a site that began as a demo has an editor whose password everybody knows
    navigation.forget()  # what is known is of the database that was used before
    guesses.forget()
