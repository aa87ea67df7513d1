from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from tests.waiting import until
from tests.worker.handling import body_of, request_of, respond
from worker.database import Database, DatabaseError, UnavailableError
from worker.errors import HttpError, StartError

PATIENCE = 10
"""Seconds for a test's threads to be done."""


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def pg(postgresql):
    database = Database(postgresql.new_database())
    yield database
    database.close()


def ask(request):
    return str(request.db.scalar(text("SELECT 42")))


def handle(database, handler, method="GET"):
    return database.guard(respond)(request_of(handler, method))


def make_table(database) -> None:
    with database.exclusively() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS visit (who INTEGER PRIMARY KEY)"))


def insert(who):
    def visit(request):
        with request.db.begin():
            request.db.execute(text("INSERT INTO visit VALUES (:who)"), {"who": who})
        return "noted"

    return visit


def visitors(database) -> list[int]:
    with database.connection.begin():
        return [*database.connection.scalars(text("SELECT who FROM visit ORDER BY who"))]


def terminate(postgresql, database) -> None:
    """Have the server end the connection of this thread, as a restart does."""
    pid = database._raw().info.backend_pid
    with postgresql.connect("postgres", autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


# ── Opening and closing ──────────────────────────────────────────────────────────────────────────────


def test_a_connection_is_opened_once_and_stays(database):
    database.open()
    connection = database.connection
    database.open()
    assert database.connection is connection
    database.close()
    assert connection.closed
    database.close()


def test_each_thread_has_a_connection_of_its_own(database):
    def own():
        connection = database.connection
        number = connection.scalar(text("SELECT 1"))
        database.close()
        return connection, number

    with ThreadPoolExecutor(1) as pool:
        other, number = pool.submit(own).result(PATIENCE)
    assert number == 1
    assert other is not database.connection


def test_it_is_called_by_its_url_without_a_secret(postgresql, tmp_path):
    name = "postgresql://db.example:5432/pages"
    database = Database("postgresql://user:secret@db.example:5432/pages?sslpassword=other")
    assert (database.name, repr(database)) == (name, f"<Database {name}>")
    assert Database(f"sqlite:///{tmp_path}/a.db?timeout=3").name == f"sqlite:///{tmp_path}/a.db"


def test_its_url_opens_another_one_like_it(database):
    other = Database(database.url)
    assert other.connection.scalar(text("SELECT 42")) == 42
    other.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_goes_by_several_names(postgresql, scheme):
    database = Database(make_url(postgresql.url()).set(drivername=scheme))
    database.open()
    database.close()


# ── What can be wrong ────────────────────────────────────────────────────────────────────────────────


def failure(url) -> str:
    with pytest.raises(DatabaseError) as caught:
        Database(url).open()
    assert isinstance(caught.value, StartError)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_a_folder_that_is_missing_is_named(tmp_path):
    url = f"sqlite:///{tmp_path}/none/a.db"
    assert failure(url) == f"cannot open the database {url}: there is no folder {tmp_path}/none: create it"


def test_a_file_of_something_else_is_not_touched(tmp_path):
    path = tmp_path / "a.db"
    path.write_text("not a database, but long enough to be one" * 100)
    assert failure(f"sqlite:///{path}") == (
        f"cannot open the database sqlite:///{path}: file is not a database: "
        "name a file that SQLite has made, or one that does not exist yet"
    )


def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "a.db").mkdir()
    assert failure(f"sqlite:///{tmp_path}/a.db") == (
        f"cannot open the database sqlite:///{tmp_path}/a.db: unable to open database file: "
        f"check that this user may write {tmp_path}/a.db and into {tmp_path}"
    )


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path):
    sentence = failure(f"postgresql://user:s3cret@/pages?host={tmp_path}")
    assert sentence == (
        "cannot open the database postgresql:///pages: No such file or directory: "
        "start the server, or correct the URL"
    )


def test_a_server_that_refuses_is_told_in_its_words(postgresql):
    assert failure(f"postgresql://postgres:s3cret@/none?host={postgresql.folder}") == (
        'cannot open the database postgresql:///none: database "none" does not exist: '
        "start the server, or correct the URL"
    )


def test_a_password_that_a_driver_repeats_is_blotted_out(postgresql):
    sentence = failure(f"postgresql://s3cret:s3cret@/pages?host={postgresql.folder}")
    assert 'role "***" does not exist' in sentence


@pytest.mark.parametrize("url", ["", "pages.db", "postgresql://user:s3cret@host:port/name", "://"])
def test_a_url_that_cannot_be_read_is_not_repeated(url):
    assert failure(url) == (
        "the URL of the database cannot be read: write sqlite:///pages.db or postgresql://user@host/name"
    )


@pytest.mark.parametrize("scheme", ["mysql", "postgresql+asyncpg", "sqlite+aiosqlite"])
def test_another_kind_of_database_is_refused(scheme):
    assert failure(f"{scheme}://user:s3cret@host/name") == (
        f"{scheme}:// is no database that is opened here: "
        "use sqlite:///pages.db or postgresql://user@host/name"
    )


def test_a_driver_that_is_missing_is_named():
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from worker.database import Database, DatabaseError\n"
        "try: Database('postgresql://host/name')\n"
        "except DatabaseError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "postgresql:// needs a driver: install it with pip install 'lrwp[postgresql]'\n"


# ── How it is opened ─────────────────────────────────────────────────────────────────────────────────


def test_sqlite_is_opened_for_many_processes(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/a.db")
    connection = database.connection
    assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
    assert connection.scalar(text("PRAGMA busy_timeout")) == 5000
    assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    database.close()


def test_a_new_file_can_be_opened_by_many_at_once(tmp_path):
    together = threading.Barrier(8)

    def start(number):
        database = Database(f"sqlite:///{tmp_path}/a.db")
        together.wait(PATIENCE)
        database.open()
        make_table(database)
        handle(database, insert(number), "POST")
        database.close()

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(start, range(8))] == [None] * 8


def test_tables_are_made_by_one_worker_and_found_by_the_others(postgresql):
    url = postgresql.new_database()
    together = threading.Barrier(8)

    def start(_):
        database = Database(url)
        database.open()
        together.wait(PATIENCE)
        make_table(database)
        database.close()

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(start, range(8))] == [None] * 8


def test_what_is_done_exclusively_is_committed_or_undone(database):
    make_table(database)
    with pytest.raises(IntegrityError), database.exclusively() as connection:
        connection.execute(text("INSERT INTO visit VALUES (1), (1)"))
    assert visitors(database) == []


def test_what_is_done_exclusively_keeps_others_out_even_where_only_reading_was_expected(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    one, other = Database(url), Database(url, wait=0.05)
    other.open()

    def prepare(request):
        with one.exclusively(), pytest.raises(OperationalError, match="locked"), other.exclusively():
            raise AssertionError
        return "done"

    assert body_of(handle(one, prepare, "GET")) == b"done"
    one.close()
    other.close()


def test_every_wait_has_an_end_on_postgresql(pg):
    shown = [
        pg.connection.scalar(text(f"SHOW {name}"))
        for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    ]
    assert shown == ["5s", "30s", "1min"]


def test_options_in_the_url_win(postgresql):
    url = f"{postgresql.url()}&options=-c%20statement_timeout%3D7s&application_name=mine"
    database = Database(url)
    assert database.connection.scalar(text("SHOW statement_timeout")) == "7s"
    assert database.connection.scalar(text("SHOW lock_timeout")) == "5s"
    assert database.connection.scalar(text("SHOW application_name")) == "mine"
    database.close()


def test_what_people_typed_does_not_come_into_an_error(database):
    with pytest.raises(SQLAlchemyError) as caught:
        database.connection.execute(text("INSERT INTO nowhere VALUES (:word)"), {"word": "s3cret"})
    assert "s3cret" not in str(caught.value)


# ── Locked ───────────────────────────────────────────────────────────────────────────────────────────


def refusal(database, handler, method="POST") -> tuple[int, float]:
    began = time.monotonic()
    with pytest.raises(HttpError) as caught:
        handle(database, handler, method)
    assert caught.value.status != 503 or caught.value.headers == (("Retry-After", "1"),)
    return caught.value.status, time.monotonic() - began


def test_a_locked_database_is_waited_for_and_then_answered_503(database_url):
    holder, waiter = Database(database_url), Database(database_url, wait=0.1)
    make_table(holder)
    holder.connection.execute(text("INSERT INTO visit VALUES (1)"))
    status, seconds = refusal(waiter, insert(1))
    assert (status, 0.1 <= seconds < 3) == (503, True)
    holder.connection.commit()
    assert body_of(handle(waiter, insert(2), "POST")) == b"noted"
    assert visitors(waiter) == [1, 2]
    holder.close()
    waiter.close()


def test_who_only_reads_does_not_wait(database_url):
    holder, reader = Database(database_url), Database(database_url, wait=0.1)
    make_table(holder)
    holder.connection.execute(text("INSERT INTO visit VALUES (1)"))
    assert body_of(handle(reader, lambda request: str(visitors(reader)), "GET")) == b"[]"
    holder.close()
    reader.close()


def test_a_reader_that_writes_too_late_is_told_to_try_again(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    database, other = Database(url), Database(url)
    make_table(database)

    def visit(request):
        who = request.db.scalar(text("SELECT count(*) FROM visit"))
        handle(other, insert(7), "POST")
        request.db.execute(text("INSERT INTO visit VALUES (:who)"), {"who": who})

    assert refusal(database, visit, "GET")[0] == 503
    assert visitors(database) == [7]
    database.close()
    other.close()


def test_writers_that_read_first_wait_for_each_other(database):
    """What a POST has read is still so when it writes, on SQLite; on PostgreSQL rows are locked for that."""
    make_table(database)
    handle(database, insert(0), "POST")

    def raise_by_one(request):
        count = request.db.scalar(
            text("SELECT who FROM visit" + " FOR UPDATE" * (database.url.get_backend_name() == "postgresql"))
        )
        request.db.execute(text("UPDATE visit SET who = :who"), {"who": count + 1})
        request.db.commit()
        return "done"

    def visit(_):
        for _ in range(20):
            handle(database, raise_by_one, "POST")
        database.close()

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(visit, range(4))] == [None] * 4
    assert visitors(database) == [80]


def test_a_statement_that_takes_too_long_is_ended(postgresql):
    database = Database(postgresql.url(), statement_timeout=0.05)
    status, seconds = refusal(database, lambda request: request.db.scalar(text("SELECT pg_sleep(9)")), "GET")
    assert (status, seconds < 3) == (503, True)
    assert body_of(handle(database, ask)) == b"42"
    database.close()


# ── Lost, and opened again ───────────────────────────────────────────────────────────────────────────


def test_a_connection_that_is_lost_before_a_request_costs_nothing(postgresql, pg):
    connection = pg.connection
    assert body_of(handle(pg, ask)) == b"42"
    terminate(postgresql, pg)
    assert body_of(handle(pg, ask)) == b"42"
    assert pg.connection is connection


def test_a_connection_that_is_lost_during_a_request_is_a_503_and_the_next_one_works(postgresql, pg):
    def lose(request):
        request.db.scalar(text("SELECT 1"))
        terminate(postgresql, pg)
        return ask(request)

    assert refusal(pg, lose)[0] == 503
    assert body_of(handle(pg, ask)) == b"42"


def test_an_answer_that_was_made_before_the_connection_was_lost_is_sent(postgresql, pg):
    def lose(request):
        answer = ask(request)
        terminate(postgresql, pg)
        return answer

    assert body_of(handle(pg, lose)) == b"42"
    assert body_of(handle(pg, ask)) == b"42"


def test_a_handler_may_swallow_the_loss(postgresql, pg):
    def lose(request):
        request.db.scalar(text("SELECT 1"))
        terminate(postgresql, pg)
        with pytest.raises(Exception, match="terminating connection"):
            request.db.scalar(text("SELECT 1"))
        return "I did not need it"

    assert body_of(handle(pg, lose)) == b"I did not need it"
    assert body_of(handle(pg, ask)) == b"42"


def test_a_handler_that_goes_on_after_the_loss_is_a_503_too(postgresql, pg):
    def lose(request):
        request.db.scalar(text("SELECT 1"))
        terminate(postgresql, pg)
        with pytest.raises(Exception, match="terminating connection"):
            request.db.scalar(text("SELECT 1"))
        return ask(request)

    assert refusal(pg, lose)[0] == 503


def test_a_commit_that_is_interrupted_is_not_to_be_repeated_blindly(postgresql, pg):
    make_table(pg)

    def lose(request):
        request.db.execute(text("INSERT INTO visit VALUES (1)"))
        terminate(postgresql, pg)
        request.db.commit()

    with pytest.raises(HttpError, match="Nobody knows whether this was saved") as caught:
        handle(pg, lose, "POST")
    assert caught.value.status == 500
    assert caught.value.headers == ()
    assert visitors(pg) == []


def test_a_stream_whose_connection_is_lost_breaks_off(postgresql, pg):
    def lose(request):
        yield "a"
        terminate(postgresql, pg)
        yield ask(request)

    pieces = handle(pg, lose).answer().body
    assert next(iter(pieces)) == b"a"
    with pytest.raises(UnavailableError):
        next(iter(pieces))
    assert body_of(handle(pg, ask)) == b"42"


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_a_connection_is_asked_after_a_pause_only(postgresql):
    clock = Clock()
    database = Database(postgresql.url(), pause=30, clock=clock, sleep=clock.sleep)
    database.open()
    raw = database._raw()
    asked = []
    raw.execute = asked.append
    assert body_of(handle(database, lambda request: "nothing")) == b"nothing"
    clock.now += 30
    handle(database, lambda request: "nothing")
    assert asked == []
    clock.now += 31
    handle(database, lambda request: "nothing")
    assert asked == ["SELECT 1"]
    database.close()


def test_the_first_who_misses_it_waits_a_little_and_the_others_do_not(postgresql):
    clock = Clock()
    database = Database(postgresql.url(), patience=2, clock=clock, sleep=clock.sleep)
    database.open()
    postgresql.stop()
    try:
        assert refusal(database, ask)[0] == 503
        assert sum(clock.naps) == pytest.approx(2, abs=0.1)
        clock.naps.clear()
        assert refusal(database, ask)[0] == 503
        assert clock.naps == []
        assert body_of(handle(database, lambda request: "needs none")) == b"needs none"
    finally:
        postgresql.start()
    assert body_of(handle(database, ask)) == b"42"
    database.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_under_load_costs_only_the_requests_that_it_interrupts(postgresql, how):
    """SIGINT is what pg_ctl restart sends; SIGQUIT is a crash, from which the server recovers."""
    database = Database(postgresql.new_database(), patience=PATIENCE)
    make_table(database)
    threads, over = 4, threading.Event()
    answers: list[list[tuple[float, int]]] = [[] for _ in range(threads)]
    known: list[set[int]] = [set() for _ in range(threads)]

    def work(number):
        for who in itertools.count(number, threads):
            if over.is_set():
                break
            began = time.monotonic()
            try:
                handle(database, insert(who), "POST")
                known[number].add(who)
                status = 200
            except HttpError as error:
                status = error.status
            answers[number].append((began, status))
        database.close()

    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(work, number) for number in range(threads)]
        until(lambda: all(len(each) > 20 for each in answers))
        postgresql.stop(how)
        postgresql.start()
        back = time.monotonic()
        until(lambda: all(len([1 for began, _ in each if began > back]) > 20 for each in answers))
        over.set()
        assert [each.result(PATIENCE) for each in working] == [None] * threads
    failed = [(began, status) for each in answers for began, status in each if status != 200]
    assert len(failed) <= threads
    assert {status for _, status in failed} <= {500, 503}
    assert all(began < back for began, _ in failed)
    assert set().union(*known) <= {*visitors(database)}
    database.close()


def test_the_server_is_asked_in_nobody_elses_name(postgresql, pg):
    pg.open()
    with postgresql.connect("postgres") as connection:
        names = connection.execute("SELECT application_name FROM pg_stat_activity").fetchall()
    assert ("lrwp",) in names
    assert issubclass(type(pg._raw()), psycopg.Connection)
