"""What every store does, on each of them for real."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.errors import HttpError
from worker.sessions import SessionBusyError
from worker.sessions.store import SessionLostError

NOW = 1_700_000_000.0
LATER = NOW + 3600
PATIENCE = 10


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture
def store(place):
    return place.open()


def values(store, number) -> str | None:
    held = store.take(key(number), NOW)
    if held is None:
        return None
    store.release(held)
    return held.text


def test_there_is_nothing_at_first(store):
    assert store.take(key(1), NOW) is None
    store.sweep(NOW)


def test_what_is_added_is_there_until_it_is_removed(store):
    store.add(key(1), '{"a":1}', LATER, NOW)
    held = store.take(key(1), NOW)
    assert (held.key, held.text, held.expires) == (key(1), '{"a":1}', LATER)
    store.remove(held)
    assert store.take(key(1), NOW) is None


def test_what_is_put_takes_the_place_of_what_was_there(store):
    store.add(key(1), '{"a":1}', LATER, NOW)
    store.put(store.take(key(1), NOW), key(1), '{"a":2}', LATER + 60, NOW)
    held = store.take(key(1), NOW)
    assert (held.text, held.expires) == ('{"a":2}', LATER + 60)
    store.release(held)


def test_a_session_may_move_to_another_key_and_is_gone_from_the_old_one(store):
    store.add(key(1), "{}", LATER, NOW)
    store.put(store.take(key(1), NOW), key(2), '{"a":2}', LATER, NOW)
    assert values(store, 1) is None
    assert values(store, 2) == '{"a":2}'


def test_a_release_changes_nothing(store):
    store.add(key(1), "{}", LATER, NOW)
    for _ in range(3):
        assert values(store, 1) == "{}"


def test_a_large_text_comes_back_whole(store):
    text = '"' + "x" * 64 * 1024 + '"'
    store.add(key(1), text, LATER, NOW)
    assert values(store, 1) == text


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "redis"], indirect=True)
def test_other_workers_see_it(place, store):
    store.add(key(1), "{}", LATER, NOW)
    assert values(place.open(), 1) == "{}"


# ── One at a time ────────────────────────────────────────────────────────────────────────────────────


def in_a_thread(work, store):
    """Run ``work`` in a thread that closes what it has opened."""

    def run():
        try:
            return work()
        finally:
            store.close()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(run)
    pool.shutdown(wait=False)
    return future


def test_who_comes_second_waits_and_sees_what_the_first_has_put(store):
    store.add(key(1), "{}", LATER, NOW)
    held = store.take(key(1), NOW)
    asking = threading.Event()

    def second():
        asking.set()
        return values(store, 1)

    waiting = in_a_thread(second, store)
    assert asking.wait(PATIENCE)
    with pytest.raises(TimeoutError):
        waiting.result(0.05)
    store.put(held, key(1), '{"a":1}', LATER, NOW)
    assert waiting.result(PATIENCE) == '{"a":1}'


def test_who_waits_for_a_session_that_is_removed_finds_none(store):
    store.add(key(1), "{}", LATER, NOW)
    held = store.take(key(1), NOW)
    waiting = in_a_thread(lambda: values(store, 1) or "none", store)
    with pytest.raises(TimeoutError):
        waiting.result(0.05)
    store.remove(held)
    assert waiting.result(PATIENCE) == "none"


def test_who_waits_for_a_session_that_moves_finds_none(store):
    store.add(key(1), "{}", LATER, NOW)
    held = store.take(key(1), NOW)
    waiting = in_a_thread(lambda: values(store, 1) or "none", store)
    with pytest.raises(TimeoutError):
        waiting.result(0.05)
    store.put(held, key(2), "{}", LATER, NOW)
    assert waiting.result(PATIENCE) == "none"


def test_the_wait_has_an_end(place):
    store = place.open(patience=0.1)
    store.add(key(1), "{}", LATER, NOW)
    held = store.take(key(1), NOW)
    began = time.monotonic()
    with pytest.raises(HttpError) as caught:
        in_a_thread(lambda: store.take(key(1), NOW), store).result(PATIENCE)
    assert 0.1 <= time.monotonic() - began < 3
    assert (caught.value.status, caught.value.headers) == (503, (("Retry-After", "1"),))
    store.release(held)
    assert values(store, 1) == "{}"


def test_different_sessions_never_wait_for_each_other(place):
    store = place.open(patience=0.2)
    for number in (1, 2, 3):
        store.add(key(number), "{}", LATER, NOW)
    held = store.take(key(1), NOW)
    others = [in_a_thread(lambda number=number: values(store, number), store) for number in (2, 3)]
    assert [other.result(PATIENCE) for other in others] == ["{}", "{}"]

    def change():
        store.put(store.take(key(2), NOW), key(2), '{"a":1}', LATER, NOW)
        store.add(key(4), "{}", LATER, NOW)
        store.sweep(NOW)

    in_a_thread(change, store).result(PATIENCE)
    store.release(held)


def test_many_threads_count_and_none_of_them_is_lost(store):
    store.add(key(1), "0", LATER, NOW)

    def count(_):
        for _ in range(20):
            held = store.take(key(1), NOW)
            store.put(held, key(1), str(int(held.text) + 1), LATER, NOW)
        store.close()

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(count, range(4))] == [None] * 4
    assert values(store, 1) == "80"


# ── Holds that end ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
def test_a_hold_ends_by_itself(place):
    forgetful = place.open(lease=0.05)
    forgetful.add(key(1), "{}", LATER, NOW)
    held = forgetful.take(key(1), NOW)
    # Redis has its own clock, for which we wait; SQLite is told the time.
    other = place.open().take(key(1), NOW + 0.06)
    with pytest.raises(SessionLostError):
        forgetful.put(held, key(1), '{"late":1}', LATER, NOW)
    forgetful.release(held)
    place.opened[-1].put(other, key(1), '{"other":1}', LATER, NOW)
    assert values(forgetful, 1) == '{"other":1}'


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
def test_a_session_is_removed_even_by_a_request_whose_hold_has_ended(place):
    forgetful, store = place.open(lease=0.05), place.open()
    forgetful.add(key(1), "{}", LATER, NOW)
    held = forgetful.take(key(1), NOW)
    other = store.take(key(1), NOW + 0.06)
    forgetful.remove(held)
    with pytest.raises(SessionLostError):
        store.put(other, key(1), "{}", LATER, NOW)
    assert store.take(key(1), NOW) is None


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_hold_of_a_time_to_come_is_none(place):
    store = place.open(patience=0.05)
    store.add(key(1), "{}", LATER, NOW)
    store.take(key(1), NOW + 3600)
    assert store.take(key(1), NOW) is not None


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_hold_on_postgresql_ends_with_its_connection(place, postgresql):
    store = place.open()
    store.add(key(1), "{}", LATER, NOW)
    held = store.take(key(1), NOW)
    with postgresql.connect("postgres", autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [store._database._raw().info.backend_pid])
    assert values(place.open(), 1) == "{}"
    with pytest.raises(HttpError):
        store.put(held, key(1), '{"late":1}', LATER, NOW)
    with pytest.raises(SessionLostError):
        store.put(held, key(1), '{"late":1}', LATER, NOW)
    assert values(store, 1) == "{}"


# ── Sweeping ─────────────────────────────────────────────────────────────────────────────────────────


def test_expired_sessions_are_swept_and_others_are_not(place, store):
    store.add(key(1), "{}", NOW - 1, NOW - 3600)
    store.add(key(2), "{}", NOW, NOW - 3600)
    store.add(key(3), "{}", NOW + 1, NOW - 3600)
    store.sweep(NOW)
    # Redis counts by itself, from when a session was last put.
    there = ["{}"] * 3 if place.kind == "redis" else [None, None, "{}"]
    assert [values(store, number) for number in (1, 2, 3)] == there


@pytest.mark.parametrize("place", ["redis"], indirect=True)
def test_redis_sweeps_by_itself(place, redis_server):
    store = place.open()
    with redis_server.connect() as client:
        store.add(key(1), "{}", NOW + 5, NOW)
        (name,) = client.keys()
        assert 4000 < client.pttl(name) <= 5000
        store.put(store.take(key(1), NOW), key(1), "{}", NOW + 50, NOW)
        assert 49_000 < client.pttl(name) <= 50_000
        store.put(store.take(key(1), NOW), key(2), "{}", NOW + 500, NOW)
        (name,) = client.keys()
        assert 499_000 < client.pttl(name) <= 500_000
        held = store.take(key(2), NOW)
        assert all(client.pttl(name) > 0 for name in client.scan_iter())
        store.remove(held)
        assert client.keys() == []


def test_a_session_that_expires_in_the_hands_of_a_request_may_be_kept(store):
    store.add(key(1), "{}", NOW + 1, NOW)
    held = store.take(key(1), NOW)
    in_a_thread(lambda: store.sweep(NOW + 2), store).result(PATIENCE)
    store.put(held, key(1), '{"a":1}', LATER, NOW + 2)
    assert values(store, 1) == '{"a":1}'


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_a_sweep_has_an_end(place, monkeypatch):
    monkeypatch.setattr(f"worker.sessions.{place.kind}.SWEPT_AT_ONCE", 5)
    store = place.open()
    for number in range(8):
        store.add(key(number), "{}", NOW - 1, NOW)
    store.sweep(NOW)
    assert len([number for number in range(8) if values(store, number)]) == 3


def test_workers_that_sweep_at_once_are_not_in_each_others_way(place, store):
    for number in range(100):
        store.add(key(number), "{}", NOW - 1, NOW)

    def sweep(_):
        store.sweep(NOW)
        store.close()

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(sweep, range(4))] == [None] * 4


def test_a_place_is_prepared_by_many_at_once(place):
    stores = [place.open() for _ in range(4)]
    together = threading.Barrier(4)

    def begin(store):
        together.wait(PATIENCE)
        store.add(key(stores.index(store)), "{}", LATER, NOW)
        store.close()

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(begin, stores)] == [None] * 4


def test_it_shows_no_secret(place, store):
    assert "s3cret" not in repr(store)
    assert "Store" in repr(store)


def test_a_busy_session_says_so():
    error = SessionBusyError()
    assert (error.status, error.headers) == (503, (("Retry-After", "1"),))
