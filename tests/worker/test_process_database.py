"""A worker's process and its database: open before it registers, or not registered at all."""

from __future__ import annotations

import re
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import a_worker
from tests.worker.dispatchers import FakeDispatcher, FakeLink, Response

SITE = """
from worker import Application

app = Application("pages")

@app.get("/")
def show(request):
    return f"{request.db.engine.dialect.name} {request.db.exec_driver_sql('SELECT 42').scalar()}"

@app.get("/forget")
def forget(request):
    request.db.exec_driver_sql("CREATE TABLE visit (who INTEGER)")
    return "done"

def wsgi(environ, start_response):
    raise AssertionError
"""


@pytest.fixture
def dispatcher(tmp_path: Path) -> Iterator[FakeDispatcher]:
    (tmp_path / "site1.py").write_text(SITE)
    with FakeDispatcher() as dispatcher:
        yield dispatcher


def ask(link: FakeLink, target: bytes = b"/pages") -> Response:
    link.request(target=target)
    return link.expect_response()


def test_each_thread_opens_the_database_and_answers_from_it(
    tmp_path: Path, dispatcher: FakeDispatcher, database_url: str
) -> None:
    with (
        a_worker(
            tmp_path, "site1:app", "--database", database_url, "--threads", "2", to=str(dispatcher.address)
        ),
        dispatcher.accept() as one,
        dispatcher.accept() as two,
    ):
        for link in (one, two):
            link.register()
            answer = ask(link)
            kind = database_url.partition(":")[0].encode()
            assert (answer.status, answer.body) == (200, kind + b" 42")


def test_what_a_handler_forgets_to_commit_is_a_500_and_named_in_the_log(
    tmp_path: Path, dispatcher: FakeDispatcher
) -> None:
    url = "sqlite:///test.db"
    with (
        a_worker(tmp_path, "site1:app", "--database", url, to=str(dispatcher.address)) as program,
        dispatcher.accept() as link,
    ):
        link.register()
        assert ask(link, b"/pages/forget").status == 500
        program.wait_for(r"forget\(\) in site1 left changes uncommitted, and they were rolled back")
        assert ask(link).status == 200


@pytest.mark.parametrize(
    ("code", "target", "flags", "sentence"),
    [
        (
            1,
            "site1:app",
            ["--database", "sqlite:///none/test.db"],
            r"cannot open the database sqlite:///none/test.db: there is no folder \S+/none: create it",
        ),
        (
            1,
            "site1:app",
            ["--database", "postgresql://user:s3cret@127.0.0.1:1/pages"],
            r"cannot open the database postgresql://127.0.0.1:1/pages: Connection refused: start the server",
        ),
        (
            1,
            "site1:app",
            ["--database", "mysql://user:s3cret@host/x"],
            "mysql:// is no database that is opened",
        ),
        (
            2,
            "site1:wsgi",
            ["--kind", "wsgi", "--database", "sqlite:///test.db"],
            "a WSGI application opens its database by itself: leave out the database",
        ),
    ],
)
def test_a_worker_without_its_database_does_not_register(
    tmp_path: Path, dispatcher: FakeDispatcher, code: int, target: str, flags: list[str], sentence: str
) -> None:
    with a_worker(tmp_path, target, *flags, to=str(dispatcher.address)) as program:
        assert program.wait() == code
    assert "Traceback" not in program.output
    assert "s3cret" not in program.output
    assert re.search(sentence, program.output)
    readable, _, _ = select.select([dispatcher._listener], [], [], 0)
    assert not readable
