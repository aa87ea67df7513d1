from __future__ import annotations

from contextlib import suppress

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from tests.worker.handling import body_of, request_of, respond
from worker.database import Database, UnavailableError
from worker.errors import HttpError, NotProvidedError
from worker.guard import Absent, UncommittedError
from worker.response import Response

TABLES = MetaData()
PAGE = Table("page", TABLES, Column("name", String, primary_key=True), Column("visits", Integer))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def opened(request, tmp_path_factory):
    """A database with tables, made once: a new one on PostgreSQL takes 60 ms."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('guard') / 'test.db'}")
    else:
        database = Database(request.getfixturevalue("postgresql").new_database())
    database.open()
    with database.exclusively() as connection:
        TABLES.create_all(connection)
    yield database
    database.close()


@pytest.fixture
def database(opened):
    with opened.connection.begin():
        opened.connection.execute(delete(PAGE))
        opened.connection.execute(
            insert(PAGE), [{"name": "home", "visits": 0}, {"name": "news", "visits": 0}]
        )
    return opened


@pytest.fixture
def handle(database):
    guarded = database.guard(respond)
    return lambda handler, method="GET": guarded(request_of(handler, method))


def names(database) -> list[str]:
    with database.connection.begin():
        return [*database.connection.scalars(select(PAGE.c.name).order_by(PAGE.c.name))]


def is_idle(database) -> bool:
    return not database.connection.in_transaction() and not database._raw().is_open


# ── What was written and not committed ───────────────────────────────────────────────────────────────


def leave_insert(request):
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    return "done"


def leave_text(request):
    request.db.execute(text("INSERT INTO page VALUES ('new', 0)"))
    return "done"


def leave_comment_first(request):
    request.db.execute(text("/* a */ -- b\n INSERT INTO page VALUES ('new', 0)"))
    return "done"


def leave_driver_sql(request):
    request.db.exec_driver_sql("INSERT INTO page VALUES ('new', 0)")
    return "done"


def leave_many(request):
    request.db.execute(insert(PAGE), [{"name": "new", "visits": 0}, {"name": "newer", "visits": 0}])
    return "done"


def leave_returning(request):
    return request.db.scalar(insert(PAGE).values(name="new", visits=0).returning(PAGE.c.name))


def leave_cte(request):
    request.db.execute(text("WITH new AS (SELECT 'new', 0) INSERT INTO page SELECT * FROM new"))
    return "done"


def leave_update(request):
    request.db.execute(update(PAGE).where(PAGE.c.name == "home").values(name="new"))
    return "done"


def leave_delete(request):
    request.db.execute(text("DELETE FROM page"))
    return "done"


def leave_table(request):
    request.db.execute(text("CREATE TABLE other (a INTEGER)"))
    return "done"


def leave_savepoint(request):
    with request.db.begin_nested():
        request.db.execute(insert(PAGE).values(name="new", visits=0))
    return "done"


def leave_before_savepoint(request):
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    with request.db.begin_nested() as savepoint:
        request.db.execute(insert(PAGE).values(name="newer", visits=0))
        savepoint.rollback()
    return "done"


def leave_begun(request):
    request.db.begin()
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    return "done"


def leave_after_commit(request):
    request.db.execute(select(PAGE)).all()
    request.db.commit()
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    return "done"


def leave_after_failure(request):
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    try:
        request.db.execute(insert(PAGE).values(name="home", visits=0))
    except IntegrityError:
        return "swallowed"


def leave_through_the_driver(request):
    request.db.connection.cursor().execute("INSERT INTO page VALUES ('new', 0)")
    return "done"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "handler",
    [
        leave_insert,
        leave_text,
        leave_comment_first,
        leave_driver_sql,
        leave_many,
        leave_returning,
        leave_cte,
        leave_update,
        leave_delete,
        leave_table,
        leave_savepoint,
        leave_before_savepoint,
        leave_begun,
        leave_after_commit,
        leave_after_failure,
        leave_through_the_driver,
    ],
)
def test_what_a_handler_leaves_uncommitted_is_rolled_back_and_told(database, handle, handler, method):
    with pytest.raises(UncommittedError) as caught:
        handle(handler, method)
    assert str(caught.value) == (
        f"{handler.__name__}() in {__name__} left changes uncommitted, and they were rolled back: "
        "put them into `with request.db.begin():`, or end with request.db.commit()"
    )
    assert is_idle(database)
    assert names(database) == ["home", "news"]


# ── What is no fault ─────────────────────────────────────────────────────────────────────────────────


def commit(request):
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    request.db.commit()
    return "done"


def begin(request):
    with request.db.begin():
        request.db.execute(insert(PAGE).values(name="new", visits=0))
    return "done"


def commit_and_read(request):
    commit(request)
    request.db.execute(select(PAGE)).all()
    return "done"


def commit_in_the_drivers_words(request):
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    request.db.execute(text("COMMIT"))
    return "done"


def commit_savepoint(request):
    with request.db.begin(), request.db.begin_nested():
        request.db.execute(insert(PAGE).values(name="new", visits=0))
    return "done"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "handler", [commit, begin, commit_and_read, commit_in_the_drivers_words, commit_savepoint]
)
def test_what_is_committed_stays(database, handle, handler, method):
    assert body_of(handle(handler, method)) == b"done"
    assert is_idle(database)
    assert names(database) == ["home", "new", "news"]


def use_nothing(request):
    return "done"


def read(request):
    request.db.execute(select(PAGE)).all()
    return "done"


def read_a_part(request):
    request.db.execute(select(PAGE)).first()
    return "done"


def begin_and_read(request):
    request.db.begin()
    return read(request)


def read_with_cte(request):
    request.db.execute(text("WITH x AS (SELECT name FROM page) SELECT * FROM x")).all()
    return "done"


def read_in_savepoint(request):
    with request.db.begin_nested():
        return read(request)


def update_nothing(request):
    result = request.db.execute(update(PAGE).where(PAGE.c.name == "none").values(visits=1))
    assert result.rowcount == 0
    return "done"


def undo_savepoint(request):
    with request.db.begin_nested() as savepoint:
        request.db.execute(insert(PAGE).values(name="new", visits=0))
        savepoint.rollback()
    return "done"


def undo_table_in_savepoint(request):
    with request.db.begin_nested() as savepoint:
        request.db.execute(text("CREATE TABLE other (a INTEGER)"))
        savepoint.rollback()
    return "done"


def fail_in_savepoint(request):
    try:
        with request.db.begin_nested():
            request.db.execute(insert(PAGE).values(name="home", visits=0))
    except IntegrityError:
        return "done"


def fail(request):
    try:
        request.db.execute(insert(PAGE).values(name="home", visits=0))
    except IntegrityError:
        return "done"


def roll_back(request):
    request.db.execute(insert(PAGE).values(name="new", visits=0))
    request.db.rollback()
    return "done"


def roll_back_and_read(request):
    roll_back(request)
    return read(request)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "handler",
    [
        use_nothing,
        read,
        read_a_part,
        begin_and_read,
        read_with_cte,
        read_in_savepoint,
        update_nothing,
        undo_savepoint,
        undo_table_in_savepoint,
        fail_in_savepoint,
        fail,
        roll_back,
        roll_back_and_read,
    ],
)
def test_what_has_changed_nothing_is_no_fault(database, handle, handler, method):
    for _ in range(7):  # from the sixth time on PostgreSQL has prepared the statements
        assert body_of(handle(handler, method)) == b"done"
        assert is_idle(database)
    assert names(database) == ["home", "news"]


# ── What a handler raises ────────────────────────────────────────────────────────────────────────────


def test_what_a_handler_raises_goes_on_and_its_work_is_rolled_back(database, handle):
    def refuse(request):
        request.db.execute(insert(PAGE).values(name="new", visits=0))
        raise HttpError(409, "Somebody was faster.")

    with pytest.raises(HttpError, match="Somebody was faster"):
        handle(refuse, "POST")
    assert is_idle(database)
    assert names(database) == ["home", "news"]


def test_an_error_of_the_applications_own_goes_on_as_it_is(database, handle):
    with pytest.raises(IntegrityError):
        handle(lambda request: request.db.execute(insert(PAGE).values(name="home")), "POST")
    assert is_idle(database)


def test_what_was_open_before_a_request_is_not_committed_with_it(database, handle):
    database.connection.execute(insert(PAGE).values(name="old", visits=0))
    handle(commit, "POST")
    assert names(database) == ["home", "new", "news"]


# ── Streams ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_reads_on_in_the_transaction_of_its_handler(database, handle):
    def show(request):
        found = request.db.execute(select(PAGE.c.name).order_by(PAGE.c.name))
        return (row.name for row in found)

    response = handle(show)
    assert not is_idle(database)
    assert body_of(response) == b"homenews"
    assert is_idle(database)


def test_a_stream_may_write_and_commit(database, handle):
    def show(request):
        yield "a"
        with request.db.begin():
            request.db.execute(insert(PAGE).values(name="new", visits=0))
        yield "b"

    assert body_of(handle(show)) == b"ab"
    assert names(database) == ["home", "new", "news"]


def test_a_stream_that_leaves_changes_uncommitted_breaks_off(database, handle):
    def show(request):
        yield "a"
        leave_insert(request)

    pieces = iter(handle(show).answer().body)
    assert next(pieces) == b"a"
    with pytest.raises(UncommittedError, match="show"):
        next(pieces)
    assert is_idle(database)
    assert names(database) == ["home", "news"]


def test_what_is_left_uncommitted_before_a_stream_is_told_at_once_and_the_stream_is_closed(database, handle):
    class Pages:
        closed = False

        def __iter__(self):
            return self

        def __next__(self):
            raise AssertionError

        def close(self):
            self.closed = True

    pages = Pages()

    def show(request):
        leave_insert(request)
        return pages

    with pytest.raises(UncommittedError, match="show"):
        handle(show)
    assert pages.closed
    assert names(database) == ["home", "news"]


def test_a_stream_whose_client_leaves_is_rolled_back(database, handle):
    def show(request):
        yield request.db.scalar(select(PAGE.c.name).where(PAGE.c.name == "home"))
        yield "never"

    body = handle(show).answer().body
    assert next(iter(body)) == b"home"
    assert not is_idle(database)
    body.close()
    assert is_idle(database)


def test_a_stream_that_fails_is_rolled_back(database, handle):
    def show(request):
        yield "a"
        leave_insert(request)
        raise ValueError("in the stream")

    with pytest.raises(ValueError, match="in the stream"):
        body_of(handle(show))
    assert is_idle(database)
    assert names(database) == ["home", "news"]


# ── Around a handler ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fails", [False, True])
def test_a_wrapper_has_no_connection_because_nobody_looks_at_what_it_leaves(database, fails):
    def show(request):
        leave_nothing(request)
        if fails:
            raise HttpError(409)
        return "done"

    request = request_of(show)
    with suppress(HttpError):
        database.guard(respond)(request)
    with pytest.raises(NotProvidedError, match="a wrapper has none"):
        leave_insert(request)


def leave_nothing(request):
    request.db.execute(select(PAGE)).all()


# ── Without a database ───────────────────────────────────────────────────────────────────────────────


class Away:
    """A database that is not there."""

    @property
    def connection(self):
        raise UnavailableError("It is away.")

    guard = Database.guard


def test_pages_that_need_no_database_are_shown_while_it_is_away():
    assert body_of(Away().guard(respond)(request_of(use_nothing))) == b"done"


def test_pages_that_need_it_are_answered_503():
    with pytest.raises(HttpError) as caught:
        Away().guard(respond)(request_of(read))
    assert caught.value.status == 503
    assert caught.value.headers == (("Retry-After", "1"),)


def test_what_stands_for_an_absent_connection_has_no_attribute_that_works():
    error = UnavailableError()
    with pytest.raises(UnavailableError):
        _ = Absent(error).execute


# ── PostgreSQL's own ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def pg(postgresql):
    database = Database(postgresql.new_database())
    database.open()
    with database.exclusively() as connection:
        TABLES.create_all(connection)
        connection.execute(insert(PAGE).values(name="home", visits=0))
        connection.execute(
            text(
                "CREATE FUNCTION visit() RETURNS integer LANGUAGE sql AS"
                " $$ UPDATE page SET visits = visits + 1 RETURNING visits $$"
            )
        )
        connection.execute(text("CREATE SEQUENCE numbers"))
    yield database
    database.close()


def call_function(request):
    return str(request.db.scalar(text("SELECT visit()")))


def write_below_a_select(request):
    statement = "WITH new AS (INSERT INTO page VALUES ('new', 0) RETURNING name) SELECT name FROM new"
    return request.db.scalar(text(statement))


def select_into(request):
    request.db.execute(text("CREATE TABLE copy AS SELECT * FROM page"))
    return "done"


def truncate(request):
    request.db.execute(text("TRUNCATE page"))
    return "done"


def copy_in(request):
    with request.db.connection.cursor().copy("COPY page FROM STDIN") as copy:
        copy.write_row(("new", 0))
    return "done"


@pytest.mark.parametrize("handler", [call_function, write_below_a_select, select_into, truncate, copy_in])
def test_postgresql_tells_what_is_written_without_the_word(pg, handler):
    with pytest.raises(UncommittedError, match=handler.__name__):
        pg.guard(respond)(request_of(handler))
    assert is_idle(pg)
    assert names(pg) == ["home"]


def lock_rows(request):
    return request.db.scalar(select(PAGE.c.name).with_for_update())


def share_rows(request):
    return request.db.scalar(text("SELECT name FROM page FOR KEY SHARE"))


def lock_table(request):
    request.db.execute(text("LOCK TABLE page IN ACCESS EXCLUSIVE MODE"))
    return "done"


def take_number(request):
    return str(request.db.scalar(text("SELECT nextval('numbers')")))


def undo_in_own_words(request):
    for statement in ("SAVEPOINT a", "SELECT visit()", "ROLLBACK TO a"):
        request.db.execute(text(statement))
    return "done"


def lock_advisory(request):
    request.db.execute(text("SELECT pg_advisory_xact_lock(1)"))
    return "done"


@pytest.mark.parametrize(
    "handler", [lock_rows, share_rows, lock_table, take_number, undo_in_own_words, lock_advisory]
)
def test_what_takes_a_transactions_number_and_changes_nothing_is_no_fault_on_postgresql(pg, handler):
    pg.guard(respond)(request_of(handler, "POST"))
    assert is_idle(pg)


def test_each_statement_may_be_a_transaction_of_its_own(database, handle):
    def clean(request):
        request.db.execution_options(isolation_level="AUTOCOMMIT")
        request.db.execute(text("VACUUM"))
        return leave_insert(request)

    assert body_of(handle(clean, "POST")) == b"done"
    assert names(database) == ["home", "new", "news"]
    with pytest.raises(UncommittedError):
        handle(leave_delete, "POST")
    assert names(database) == ["home", "new", "news"]


def test_a_closed_connection_is_opened_again(database, handle):
    handle(lambda request: request.db.close() or "done")
    assert body_of(handle(read)) == b"done"


def test_what_a_response_says_is_left_as_it_is(handle):
    response = Response("x", 201)
    assert handle(lambda request: response) is response
