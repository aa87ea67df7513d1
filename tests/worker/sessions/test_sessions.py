from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.worker.handling import body_of, request_of, respond
from tests.worker.sessions import places
from worker import Application, Router, csrf_protect
from worker.csrf import FIELD, csrf_token
from worker.database import Database
from worker.errors import HttpError, NotProvidedError
from worker.response import Response
from worker.sessions import Held, SessionError, Sessions
from worker.sessions.memory import MemoryStore
from worker.sessions.sessions import IDLE, SWEEP, _key
from worker.sessions.store import SessionLostError
from worker.testing import Client

PATIENCE = 10

FORGED = "A" * 22
"""What an id looks like, but none that was ever given out."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(place, clock):
    return Sessions(place.open(), clock=clock)


@pytest.fixture
def app(sessions):
    app = Application("visits")
    app.wrap(sessions)

    @app.get("/")
    def count(request):
        request.session["visits"] = request.session.get("visits", 0) + 1
        return str(request.session["visits"])

    @app.get("/look")
    def look(request):
        return str(request.session.get("visits"))

    @app.get("/not")
    def look_not(request):
        return "nothing"

    @app.get("/login")
    def login(request):
        request.session["user"] = "ada"
        request.session.rotate()
        return "in"

    @app.get("/logout")
    def logout(request):
        request.session.clear()
        return "out"

    @app.get("/relogin")
    def relogin(request):
        request.session.clear()
        request.session["user"] = "eve"
        return "in"

    @app.get("/fail")
    def fail(request):
        request.session["visits"] = 99
        request.session.rotate()
        raise ZeroDivisionError

    @app.get("/status/{status}")
    def answer(request, status):
        request.session["visits"] = request.session.get("visits", 0) + 1
        raise HttpError(int(status))

    @app.get("/who")
    def who(request):
        return str(dict(request.session))

    return app


@pytest.fixture
def client(app):
    return Client(app)


def session_id(client) -> str:
    return client.cookies["session"]


# ── What is remembered ───────────────────────────────────────────────────────────────────────────────


def test_visits_are_counted_for_each_browser(app, client):
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
    other = Client(app)
    assert other.get("/").text == "1"
    assert session_id(other) != session_id(client)


def test_who_stores_nothing_has_no_cookie_and_no_row(app, client):
    for path in ("/look", "/not", "/logout", "/none"):
        assert "set-cookie" not in client.get(path).headers
    assert client.cookies == {}


def test_an_id_is_long_random_and_known_to_the_store_by_its_hash_only(app):
    store = MemoryStore()
    stored = Application("x")
    stored.wrap(Sessions(store))
    stored.get("/")(lambda request: request.session.update(a=1) or "done")
    clients = [Client(stored) for _ in range(20)]
    for client in clients:
        client.get("/")
    ids = {session_id(client) for client in clients}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[\w-]{22}", each) for each in ids)
    assert {*store._sessions} == {_key(each) for each in ids}
    assert not ids & {*store._sessions}


def test_the_cookie_is_for_this_site_and_no_script(client):
    line = client.get("/").headers["set-cookie"]
    assert line == f"session={session_id(client)}; Path=/; SameSite=Lax; HttpOnly"
    assert "set-cookie" not in client.get("/").headers


def test_over_tls_the_cookie_is_for_tls_only(app):
    assert "; Secure" in Client(app, scheme="https").get("/").headers["set-cookie"]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "session=ID; Path=/deep/visits; SameSite=Lax; HttpOnly"),
        ({"path": "/"}, "session=ID; Path=/; SameSite=Lax; HttpOnly"),
        ({"secure": True, "cookie": "sid"}, "sid=ID; Path=/deep/visits; SameSite=Lax; Secure; HttpOnly"),
    ],
)
def test_the_cookie_can_be_chosen(settings, line):
    app = Application("visits")
    app.wrap(Sessions("memory://", **settings))
    app.get("/")(lambda request: request.session.update(a=1) or "done")
    said = Client(app, prefix="/deep/visits").get("/deep/visits").headers["set-cookie"]
    assert re.sub(r"=[\w-]{22};", "=ID;", said) == line


def test_caches_are_told_that_the_page_is_for_one_browser(client):
    for path in ("/", "/look"):
        headers = client.get(path).headers
        assert (headers["vary"], headers["cache-control"]) == ("Cookie", "private")
    assert "vary" not in client.get("/not").headers


def test_what_a_page_says_about_caches_stays(app, client):
    @app.get("/kept")
    def show(request):
        request.session["a"] = 1
        return Response("x", headers=[("Cache-Control", "no-store")])

    assert client.get("/kept").headers.getlist("cache-control") == ["no-store"]


# ── Ids that are not ours ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "forged",
    [
        FORGED,
        "",
        "x",
        "A" * 23,
        "A" * 5000,
        "../../etc/passwd",
        "' OR 1=1 --",
        "*",
        "%00",
        "é" * 22,
        "{}" * 11,
    ],
)
def test_an_id_that_was_never_given_out_is_not_adopted(app, forged):
    client = Client(app)
    client.cookies["session"] = forged
    assert client.get("/look").text == "None"
    assert client.get("/").text == "1"
    assert session_id(client) != forged
    victim = Client(app)
    victim.cookies["session"] = forged
    assert victim.get("/look").text == "None"


def test_nobody_gets_in_with_what_the_store_knows(app, client):
    client.get("/")
    client.cookies["session"] = _key(session_id(client))[:22]
    assert client.get("/look").text == "None"


# ── Login and logout ─────────────────────────────────────────────────────────────────────────────────


def test_a_login_gets_a_new_id_and_the_old_one_dies_at_once(app, client):
    client.get("/")
    before = session_id(client)
    client.get("/login")
    assert session_id(client) != before
    assert client.get("/who").text == "{'visits': 1, 'user': 'ada'}"
    thief = Client(app)
    thief.cookies["session"] = before
    assert thief.get("/who").text == "{}"


def test_a_login_without_a_session_makes_one(client):
    client.get("/login")
    assert client.get("/who").text == "{'user': 'ada'}"


def test_a_logout_ends_the_session_and_takes_the_cookie_back(app, client):
    client.get("/")
    before = session_id(client)
    line = client.get("/logout").headers["set-cookie"]
    assert line == "session=; Path=/; SameSite=Lax; Max-Age=0; HttpOnly"
    assert client.cookies == {}
    client.cookies["session"] = before
    assert client.get("/look").text == "None"


def test_a_logout_after_the_session_has_expired_takes_the_cookie_back_too(client):
    client.cookies["session"] = FORGED
    client.get("/logout")
    assert client.cookies == {}


def test_what_is_stored_after_a_logout_begins_another_session(app, client):
    client.get("/")
    before = session_id(client)
    client.get("/relogin")
    assert session_id(client) != before
    assert client.get("/who").text == "{'user': 'eve'}"


def test_a_session_that_was_emptied_is_gone(app, client):
    client.get("/")
    app.get("/empty")(lambda request: request.session.pop("visits") and "done")
    client.get("/empty")
    assert client.cookies == {}


# ── When a request fails ─────────────────────────────────────────────────────────────────────────────


def test_what_a_failed_request_did_to_its_session_is_dropped(client):
    client.get("/")
    before = session_id(client)
    with pytest.raises(ZeroDivisionError):
        client.get("/fail")
    assert session_id(client) == before
    assert client.get("/").text == "2"


@pytest.mark.parametrize(("status", "kept"), [(403, "2"), (404, "2"), (500, "1"), (503, "1")])
def test_a_page_that_says_no_keeps_its_session_and_one_that_is_broken_does_not(client, status, kept):
    client.get("/")
    assert client.get(f"/status/{status}").status == status
    assert client.get("/look").text == kept


def test_a_value_that_cannot_be_kept_is_the_handlers_error(app, client):
    client.get("/")

    @app.get("/spoil")
    def spoil(request):
        request.session["list"] = items = []
        items.append(object())
        return "done"

    with pytest.raises(SessionError, match="JSON"):
        client.get("/spoil")
    assert client.get("/who").text == "{'visits': 1}"


class BrokenStore(MemoryStore):
    """A store that goes away between taking a session and giving it back."""

    def put(self, *_):
        raise HttpError(503)

    add = release = put


def test_a_session_that_could_not_be_saved_is_told(clock):
    store = BrokenStore()
    sessions = Sessions(store, clock=clock)

    def change(request):
        request.session["a"] = request.session.get("a", 0) + 1
        return "done"

    with pytest.raises(SessionLostError) as caught:
        sessions(respond)(request_of(change))
    assert caught.value.status == 500
    store._sessions[_key(FORGED)] = Held(_key(FORGED), '{"a":1}', clock.now + 5)
    with pytest.raises(SessionLostError):
        sessions(respond)(request_of(change, cookies={"session": FORGED}))


def test_a_stream_whose_session_could_not_be_saved_is_closed():
    closed = []

    class Stream:
        def __iter__(self):
            return self

        def __next__(self):
            raise AssertionError

        def close(self):
            closed.append(True)

    def change(request):
        request.session["a"] = 1
        return Stream()

    with pytest.raises(SessionLostError):
        Sessions(BrokenStore())(respond)(request_of(change))
    assert closed == [True]


# ── Streams ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_finds_its_session_saved_and_free(app, sessions):
    client = Client(app)
    client.get("/")
    cookies = {"session": session_id(client)}

    def show(request):
        request.session["visits"] += 1

        def pieces():
            yield str(request.session["visits"])
            with pytest.raises(SessionError, match="saved before the answer began"):
                request.session["visits"] = 7
            yield "!"

        return pieces()

    pieces = iter(sessions(respond)(request_of(show, cookies=cookies)).answer().body)
    assert next(pieces) == b"2"
    assert client.get("/").text == "3"
    assert [*pieces] == [b"!"]
    assert client.get("/look").text == "3"


def test_a_handler_that_is_a_generator_reads_its_session(app, sessions):
    client = Client(app)
    client.get("/")

    def show(request):
        yield str(request.session["visits"])

    request = request_of(show, cookies={"session": session_id(client)})
    assert body_of(sessions(respond)(request)) == b"1"
    assert client.get("/").text == "2"


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_session_that_is_not_used_for_an_hour_is_gone(client, clock):
    client.get("/")
    clock.now += IDLE - 1
    assert client.get("/").text == "2"
    clock.now += IDLE + 1
    assert client.get("/look").text == "None"
    assert client.get("/").text == "1"


def test_looking_at_it_keeps_it(client, clock):
    client.get("/")
    for _ in range(5):
        clock.now += IDLE - 61
        assert client.get("/look").text == "1"


def test_a_session_that_is_only_read_is_written_once_a_minute(clock):
    store = MemoryStore()
    sessions = Sessions(store, clock=clock)
    store.add(_key(FORGED), '{"a":1}', clock.now + IDLE, clock.now)
    written = []
    for _ in range(130):
        clock.now += 1
        request = request_of(lambda request: str(request.session["a"]), cookies={"session": FORGED})
        assert body_of(sessions(respond)(request)) == b"1"
        written.append(store._sessions[_key(FORGED)].expires)
    assert [after - before for before, after in pairwise(dict.fromkeys(written))] == [61, 61]


def test_expired_sessions_are_cleared_without_anybodys_doing(clock):
    store = MemoryStore()
    app = Application("x")
    app.wrap(Sessions(store, clock=clock))
    app.get("/")(lambda request: request.session.update(a=1) or "done")
    for _ in range(3):
        Client(app).get("/")
    clock.now += IDLE + SWEEP
    Client(app).get("/")
    assert len(store._sessions) == 1


def test_a_sweep_that_fails_disturbs_nobody(clock):
    class Store(MemoryStore):
        def sweep(self, now):
            raise HttpError(503)

    sessions = Sessions(Store(), clock=clock)
    clock.now += SWEEP
    response = sessions(respond)(request_of(lambda request: request.session.update(a=1) or "done"))
    assert body_of(response) == b"done"


# ── At once ──────────────────────────────────────────────────────────────────────────────────────────


def test_requests_of_one_browser_that_come_at_once_all_count(app, client, place):
    client.get("/")
    together = threading.Barrier(4)

    def visit(_):
        mine = Client(app)
        mine.cookies = dict(client.cookies)
        together.wait(PATIENCE)
        for _ in range(10):
            assert mine.get("/").status == 200
        place.close()

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(visit, range(4))] == [None] * 4
    assert client.get("/").text == "42"


def test_who_does_not_look_at_the_session_does_not_wait(app, client, place):
    client.get("/")
    inside, leave = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow(request):
        request.session["visits"] = 5
        inside.set()
        assert leave.wait(PATIENCE)
        return "done"

    def visit():
        client.get("/slow")
        place.close()

    with ThreadPoolExecutor(1) as pool:
        slow_visit = pool.submit(visit)
        assert inside.wait(PATIENCE)
        assert client.get("/not").text == "nothing"
        leave.set()
        slow_visit.result(PATIENCE)
    assert client.get("/look").text == "5"


def program(place, what, client) -> list[str]:
    return [sys.executable, "-m", places.__name__, place.kind, place.name, what, session_id(client)]


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "redis"], indirect=True)
def test_processes_that_count_at_once_all_count(place):
    app = Application("visits")
    app.wrap(sessions := Sessions(place.open()))
    app.get("/")(lambda request: request.session.update(visits=0) or "begun")
    app.get("/look")(lambda request: str(request.session["visits"]))
    client = Client(app)
    client.get("/")
    workers = [subprocess.Popen(program(place, "count", client)) for _ in range(2)]
    assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]
    assert client.get("/look").text == str(2 * places.ROUNDS)
    sessions.close()


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "redis"], indirect=True)
def test_a_worker_that_is_killed_does_not_keep_its_session_locked(place):
    app = Application("visits")
    app.wrap(Sessions(place.open(patience=PATIENCE)))
    app.get("/")(lambda request: request.session.update(visits=1) or "begun")
    app.get("/who")(lambda request: str(dict(request.session)))
    client = Client(app)
    client.get("/")
    with subprocess.Popen(program(place, "hold", client), stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"held\n"
        worker.send_signal(signal.SIGKILL)
        assert worker.wait(PATIENCE) == -signal.SIGKILL
    assert client.get("/who").text == "{'visits': 1}"


def test_a_session_that_is_held_for_too_long_is_a_503(place):
    app = Application("visits")
    store = place.open(patience=0.05)
    app.wrap(Sessions(store))
    app.get("/")(lambda request: request.session.update(visits=1) or "begun")
    client = Client(app)
    client.get("/")
    held = store.take(_key(session_id(client)), time.time())

    def visit():
        result = client.get("/")
        place.close()
        return result

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(visit).result(PATIENCE)
    assert (result.status, result.headers["retry-after"]) == (503, "1")
    store.release(held)
    assert client.get("/").status == 200


# ── Logins ───────────────────────────────────────────────────────────────────────────────────────────


def test_forms_that_were_shown_before_a_login_are_refused_after_it(app, client):
    app.get("/form")(csrf_token)
    app.post("/change")(csrf_protect(lambda request: "changed"))
    token = client.get("/form").text
    assert client.post("/change", form={FIELD: token}).status == 200
    client.get("/login")
    assert client.post("/change", form={FIELD: token}).status == 403
    assert client.post("/change", form={FIELD: client.get("/form").text}).status == 200


# ── Servers that go away ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("place", "server"),
    [("postgresql", "postgresql"), ("redis", "redis_server")],
    indirect=["place"],
)
def test_a_store_that_was_restarted_is_found_again(app, client, request, server):
    service = request.getfixturevalue(server)
    client.get("/")
    service.stop()
    try:
        assert client.get("/not").status == 200
        assert client.get("/look").status == 503
    finally:
        service.start()
    assert client.get("/look").status == 200  # a Redis without a disk has forgotten the session
    assert client.get("/").status == 200


# ── The worker's own database ────────────────────────────────────────────────────────────────────────


def test_without_a_store_sessions_are_where_the_database_is(database_url, tmp_path):
    app, router = Application("visits"), Router()
    app.wrap(sessions := Sessions())
    assert repr(sessions) == "<Sessions in the database of the worker>"
    app.mount("/deep", router)

    @app.wrap
    def look_first(responder):
        def respond(request):
            assert request.session.get("visits", 0) >= 0
            return responder(request)

        return respond

    @router.post("/")
    def count(request):
        # To write and then to look at the session must not lock the handler out of its own file.
        with request.db.begin():
            request.db.exec_driver_sql("CREATE TABLE IF NOT EXISTS visit (who INTEGER)")
            request.session["visits"] = request.session.get("visits", 0) + 1
        return str(request.session["visits"])

    with Client(app, database=database_url) as client:
        assert [client.post("/deep").text for _ in range(2)] == ["1", "2"]
    is_file = database_url.startswith("sqlite")
    assert (tmp_path / "test-sessions.db").exists() == is_file
    assert ("Store" in repr(sessions)) is True


def test_sessions_follow_the_application_to_another_database(tmp_path):
    app = Application("visits")
    app.wrap(Sessions())
    app.get("/")(lambda request: request.session.update(visits=1) or "done")
    for name in ("one", "two"):
        with Client(app, database=f"sqlite:///{tmp_path / name}.db") as client:
            client.get("/")
    assert (tmp_path / "one-sessions.db").exists()
    assert (tmp_path / "two-sessions.db").exists()


def test_without_a_store_and_without_a_database_it_is_said_what_to_do():
    app = Application("visits")
    app.wrap(Sessions())
    app.get("/")(lambda request: request.session.update(a=1) or "done")
    with pytest.raises(NotProvidedError, match=r"start it with --database URL, or say Sessions\(URL\)"):
        Client(app).get("/")


def test_a_database_in_memory_has_its_sessions_there_too():
    database = Database("sqlite://")
    app = Application("visits")
    app.wrap(Sessions())
    app.get("/")(lambda request: request.session.update(a=1) or "done")
    with Client(app, database=database) as client:
        assert client.get("/").status == 200
        assert client.cookies
