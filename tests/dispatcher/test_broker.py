"""The broker's decisions as dialogues: this happened at that time, so that was commanded."""

from __future__ import annotations

import pytest

from dispatcher.broker import FAST, MEMORY, OVERRUN, SMOOTHING, Link
from dispatcher.exchange import (
    NO_WORKER,
    QUEUE_FULL,
    QUEUES_FULL,
    WORKER_BROKE,
    WORKER_DIED,
    WORKER_HUNG,
    Exchange,
    Standing,
)
from dispatcher.retries import FIRST, SHARE
from tests.dispatcher.fakes import (
    HAS_DRAINED,
    WAS_SILENT,
    Assign,
    Cancel,
    Close,
    Fail,
    FakeBody,
    Stage,
    a_link,
)

NEVER = float("inf")
FAST_ANSWER = FAST / 2
SLOW_ANSWER = FAST * 2
LATE = OVERRUN + 0.001


@pytest.fixture
def stage() -> Stage:
    return Stage()


def held(link: Link) -> list[Exchange]:
    return list(link.held)


def waiting(stage: Stage) -> list[Exchange]:
    """Return what waits for ``pages``, in the order in which it will be handed out."""
    return [*stage.pages.returned, *stage.pages.waiting]


# ── Queues ───────────────────────────────────────────────────────────────────────────────────────


def test_an_idle_link_gets_a_request_at_once(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a", 1.0)
    assert stage.done() == [Assign(w1, a)]
    assert (a.standing, a.link, a.attempt, a.assigned) == (Standing.ASSIGNED, w1, 1, 1.0)


def test_a_request_waits_while_every_link_is_busy(stage: Stage) -> None:
    stage.link("w1")
    stage.get("/a")
    stage.done()
    b = stage.get("/b", 1.0)
    assert stage.done() == []
    assert (b.standing, b.link, b.attempt, b.deadline) == (Standing.WAITING, None, 0, 31.0)


def test_a_request_without_any_link_waits_for_one_to_join(stage: Stage) -> None:
    a = stage.get("/a")
    w1 = stage.link("w1", now=5.0)
    assert stage.done() == [Assign(w1, a)]
    assert a.waited == 5.0


def test_requests_are_handed_out_in_the_order_in_which_they_came(stage: Stage) -> None:
    a, b, c = (stage.get(path) for path in ("/a", "/b", "/c"))
    w1 = stage.link("w1", largest_window=1)
    stage.broker.release(w1, a, 1.0)
    stage.broker.release(w1, b, 2.0)
    assert stage.done() == [Assign(w1, a), Assign(w1, b), Assign(w1, c)]


def test_the_link_that_has_been_idle_for_longest_goes_first(stage: Stage) -> None:
    w1, w2, w3 = (stage.link(name) for name in ("w1", "w2", "w3"))
    a = stage.get("/a", 1.0)
    stage.broker.release(w1, a, 2.0)
    b, c, d = (stage.get(path, 3.0) for path in ("/b", "/c", "/d"))
    assert stage.done() == [Assign(w1, a), Assign(w2, b), Assign(w3, c), Assign(w1, d)]


def test_a_request_to_a_full_queue_is_answered_503_at_once(stage: Stage) -> None:
    small = stage.application("small", bound=1)
    stage.get("/a", queue=small)
    b = stage.get("/b", queue=small)
    assert stage.done() == [Fail(b, QUEUE_FULL)]
    assert (b.standing, len(small), small.failed) == (Standing.ANSWERED, 1, 1)
    assert (QUEUE_FULL.status, QUEUE_FULL.retry_after) == (503, 1)


def test_an_idle_link_takes_a_request_even_where_nothing_may_wait(stage: Stage) -> None:
    none = stage.application("none", bound=0)
    w1 = stage.link("w1", none)
    a = stage.get("/a", queue=none)
    b = stage.get("/b", queue=none)
    assert stage.done() == [Assign(w1, a), Fail(b, QUEUE_FULL)]


def test_what_came_back_from_a_link_counts_as_waiting(stage: Stage) -> None:
    small = stage.application("small", bound=1)
    w1 = stage.link("w1", small)
    stage.get("/a", queue=small)
    stage.broker.leave(w1, 1.0)
    b = stage.get("/b", 2.0, queue=small)
    assert stage.done()[1:] == [Fail(b, QUEUE_FULL)]


def test_bodies_that_wait_for_one_application_are_bounded_together(stage: Stage) -> None:
    small = stage.application("small", size_bound=1_500_000)
    a = stage.request("POST", "/a", queue=small, body=FakeBody())
    b = stage.request("POST", "/b", queue=small, body=FakeBody())
    c = stage.get("/c", queue=small)
    assert (stage.done(), list(small.waiting), small.size) == ([Fail(b, QUEUE_FULL)], [a, c], 1_000_000)
    stage.broker.abandon(a)
    assert small.size == 0
    stage.request("POST", "/d", queue=small, body=FakeBody())
    assert stage.done() == []


def test_one_request_may_wait_however_large_it_is(stage: Stage) -> None:
    small = stage.application("small", size_bound=10)
    stage.request("POST", "/a", queue=small, body=FakeBody())
    assert (stage.done(), small.size) == ([], 1_000_000)
    b = stage.request("POST", "/b", queue=small, body=FakeBody())
    assert stage.done() == [Fail(b, QUEUE_FULL)]


def test_requests_that_wait_are_bounded_for_all_applications_together(stage: Stage) -> None:
    shop = stage.application("shop")
    stage.broker.bound = 2
    a = stage.get("/a")
    stage.get("/b", queue=shop)
    c = stage.get("/c", queue=shop)
    assert stage.done() == [Fail(c, QUEUES_FULL)]
    assert (QUEUES_FULL.status, QUEUES_FULL.retry_after) == (503, 1)
    stage.broker.abandon(a)
    stage.get("/d", queue=shop)
    assert stage.done() == []
    w1 = stage.link("w1", shop)
    e = stage.get("/e")
    assert (stage.broker.waiting, [each.link for each in stage.done()]) == (2, [w1])
    stage.broker.expire(100.0)
    assert (stage.broker.waiting, e.standing) == (0, Standing.EXPIRED)


def test_the_time_that_a_request_waited_is_averaged_for_the_status_page(stage: Stage) -> None:
    stage.get("/a", 1.0)
    stage.link("w1", now=3.0)
    assert stage.pages.wait == pytest.approx(2.0 * SMOOTHING)


def test_answers_and_their_time_are_counted_for_the_status_page(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a", 1.0)
    stage.broker.release(w1, a, 1.5)
    assert (w1.served, stage.pages.served, stage.pages.failed) == (1, 1, 0)
    assert stage.pages.service == pytest.approx(0.5 * SMOOTHING)


def test_an_answered_exchange_is_on_no_link(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.release(w1, a, 1.0)
    assert (a.standing, a.link, held(w1), list(stage.pages.idle)) == (Standing.ANSWERED, None, [], [w1])


# ── Deadlines of what waits ──────────────────────────────────────────────────────────────────────


def test_a_request_that_waited_too_long_is_answered_503_and_never_runs(stage: Stage) -> None:
    a = stage.get("/a")
    stage.broker.expire(29.9)
    assert stage.done() == []
    stage.broker.expire(30.0)
    assert stage.done() == [Fail(a, NO_WORKER)]
    assert (a.standing, len(stage.pages), stage.pages.failed) == (Standing.EXPIRED, 0, 1)
    stage.link("w1", now=30.1)
    assert stage.done() == []


def test_only_what_is_overdue_expires(stage: Stage) -> None:
    a, b, c = stage.get("/a", 0.0), stage.get("/b", 1.0), stage.get("/c", 2.0)
    stage.broker.expire(31.0)
    assert stage.done() == [Fail(a, NO_WORKER), Fail(b, NO_WORKER)]
    assert list(stage.pages.waiting) == [c]


def test_every_application_has_its_own_deadline(stage: Stage) -> None:
    patient, hasty = (
        stage.application("patient", wait_timeout=60.0),
        stage.application("hasty", wait_timeout=1.0),
    )
    stage.get("/a", queue=patient)
    b = stage.get("/b", queue=hasty)
    stage.broker.expire(2.0)
    assert stage.done() == [Fail(b, NO_WORKER)]


def test_a_request_that_comes_back_goes_on_waiting_where_it_left_off(stage: Stage) -> None:
    a = stage.get("/a")
    w1 = stage.link("w1", now=10.0)
    stage.broker.leave(w1, 15.0)
    assert (a.waited, a.deadline) == (10.0, 35.0)
    stage.done()
    stage.broker.expire(35.0)
    assert stage.done() == [Fail(a, NO_WORKER)]


def test_all_that_a_request_has_waited_counts_against_its_deadline(stage: Stage) -> None:
    a = stage.get("/a")
    w1 = stage.link("w1", now=10.0)
    stage.broker.leave(w1, 11.0, unsent=[a])
    w2 = stage.link("w2", now=16.0)
    stage.broker.leave(w2, 17.0, unsent=[a])
    assert (a.waited, a.deadline) == (15.0, 32.0)


def test_of_the_requests_that_came_back_only_the_overdue_expire(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    a, b = stage.get("/a"), stage.get("/b")
    stage.broker.leave(w1, 1.0)
    stage.broker.leave(w2, 2.0)
    assert list(stage.pages.returned) == [b, a]
    stage.done()
    stage.broker.expire(31.5)
    assert stage.done() == [Fail(a, NO_WORKER)]
    assert list(stage.pages.returned) == [b]


def test_the_second_wait_is_counted_from_the_return(stage: Stage) -> None:
    w1 = stage.link("w1", now=0.0)
    a = stage.get("/a", 1.0)
    stage.broker.leave(w1, 10.0)
    stage.link("w2", now=12.0)
    assert a.waited == 2.0


# ── Deadlines of what runs ───────────────────────────────────────────────────────────────────────


def test_a_silent_link_is_cut_off_and_its_client_gets_504(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.expire(60.0)
    assert stage.done() == [Assign(w1, a)]
    stage.broker.expire(60.1)
    assert stage.done() == [Fail(a, WORKER_HUNG), Close(w1, WAS_SILENT)]
    assert (WORKER_HUNG.status, a.standing, w1 in stage.broker.links) == (504, Standing.ANSWERED, False)


def test_the_neighbours_of_an_exchange_that_hangs_move_on(stage: Stage) -> None:
    a, b, c = stage.post("/a"), stage.get("/b"), stage.get("/c")
    w1 = stage.link("w1", window=3)
    w2 = stage.link("w2", now=1.0)
    stage.done()
    stage.broker.expire(60.1)
    assert stage.done() == [Fail(a, WORKER_HUNG), Assign(w2, b), Close(w1, WAS_SILENT)]
    assert waiting(stage) == [c]


def test_a_link_that_hangs_over_an_abandoned_exchange_is_cut_off_without_an_answer(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.abandon(a)
    stage.done()
    stage.broker.expire(60.1)
    assert stage.done() == [Close(w1, WAS_SILENT)]
    assert a.standing is Standing.ABANDONED


def test_each_application_has_its_own_patience_with_its_workers(stage: Stage) -> None:
    hasty = stage.application("hasty", request_timeout=1.0)
    w1, w2 = stage.link("w1"), stage.link("w2", hasty)
    stage.get("/a")
    b = stage.get("/b", queue=hasty)
    stage.done()
    stage.broker.expire(2.0)
    assert stage.done() == [Fail(b, WORKER_HUNG), Close(w2, WAS_SILENT)]
    assert list(stage.broker.links) == [w1]


def test_a_sign_of_life_puts_the_cut_off_by(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.get("/a")
    stage.done()
    w1.quiet_since = 50.0  # a piece of the answer has come
    stage.broker.expire(110.0)
    assert stage.done() == []
    stage.broker.expire(110.1)
    assert Close(w1, WAS_SILENT) in stage.done()


def test_the_next_exchange_of_a_link_has_the_whole_time_to_itself(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.get("/b")
    w1 = stage.link("w1", window=2)
    stage.broker.release(w1, a, 59.0)
    stage.done()
    stage.broker.expire(119.0)
    assert stage.done() == []
    stage.broker.expire(119.1)
    assert stage.done() == [Fail(b, WORKER_HUNG), Close(w1, WAS_SILENT)]


def test_a_paused_link_is_not_timed_out(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.done()
    w1.paused = True
    stage.broker.expire(1000.0)
    assert stage.done() == []
    w1.paused = False
    stage.broker.expire(1000.0)
    assert stage.done() == [Fail(a, WORKER_HUNG), Close(w1, WAS_SILENT)]


def test_an_exchange_settled_out_of_turn_does_not_excuse_the_one_in_front(stage: Stage) -> None:
    a, b = stage.post("/a"), stage.get("/b")
    w1 = stage.link("w1", window=2)
    stage.broker.abandon(b)
    stage.broker.discard(w1, b, 30.0)  # the worker reads while it works on a
    stage.done()
    stage.broker.expire(60.1)
    assert stage.done() == [Fail(a, WORKER_HUNG), Close(w1, WAS_SILENT)]


# ── The window ───────────────────────────────────────────────────────────────────────────────────


def test_a_fresh_link_holds_one_exchange(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.get("/b")
    w1 = stage.link("w1")
    assert stage.done() == [Assign(w1, a)]
    assert waiting(stage) == [b]


def test_the_window_grows_by_one_with_each_fast_answer_while_requests_wait(stage: Stage) -> None:
    a, b, c, d, e, f = (stage.get(f"/{name}") for name in "abcdef")
    w1 = stage.link("w1")
    stage.done()
    stage.broker.release(w1, a, FAST_ANSWER)
    assert stage.done() == [Assign(w1, b), Assign(w1, c)]
    stage.broker.release(w1, b, 2 * FAST_ANSWER)
    assert stage.done() == [Assign(w1, d), Assign(w1, e)]
    assert (w1.window, held(w1), waiting(stage)) == (3, [c, d, e], [f])


def test_the_window_grows_no_further_than_the_worker_said(stage: Stage) -> None:
    a, b, c, d, _ = (stage.get(f"/{name}") for name in "abcde")
    w1 = stage.link("w1", largest_window=2)
    stage.broker.release(w1, a, 0.0)
    stage.broker.release(w1, b, 0.0)
    assert (w1.window, held(w1)) == (2, [c, d])


def test_a_link_whose_worker_wants_one_at_a_time_is_never_crowded(stage: Stage) -> None:
    a, b, _ = (stage.get(f"/{name}") for name in "abc")
    w1 = stage.link("w1", largest_window=1)
    stage.broker.release(w1, a, 0.0)
    assert (w1.window, held(w1), stage.broker.crowded) == (1, [b], False)


def test_the_window_does_not_grow_while_nothing_waits(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.release(w1, a, 0.0)
    assert w1.window == 1


def test_a_slow_answer_shuts_the_window(stage: Stage) -> None:
    a, b, c = (stage.get(f"/{name}") for name in "abc")
    w1 = stage.link("w1", window=2)
    stage.broker.release(w1, a, SLOW_ANSWER)
    assert (w1.window, held(w1), waiting(stage)) == (1, [b], [c])


def test_service_is_measured_from_when_the_exchange_came_to_the_front(stage: Stage) -> None:
    a, b, *_ = (stage.get(f"/{name}") for name in "abcde")
    w1 = stage.link("w1", window=2)
    stage.broker.release(w1, a, FAST)
    stage.broker.release(w1, b, 2 * FAST)  # twice as long after it was assigned
    assert w1.window == 4


def test_a_post_is_never_placed_behind_another_exchange_and_nothing_overtakes_it(stage: Stage) -> None:
    a, b, c = stage.get("/a"), stage.post("/b"), stage.get("/c")
    w1 = stage.link("w1", window=3)
    assert stage.done() == [Assign(w1, a)]
    stage.broker.release(w1, a, 0.0)
    assert stage.done() == [Assign(w1, b), Assign(w1, c)]


def test_a_large_body_is_never_placed_behind_another_exchange(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.request("OPTIONS", "/b", body=FakeBody())
    w1 = stage.link("w1", window=2)
    assert stage.done() == [Assign(w1, a)]
    stage.broker.release(w1, a, 0.0)
    assert stage.done() == [Assign(w1, b)]


# ── Taking back ──────────────────────────────────────────────────────────────────────────────────


def test_what_is_behind_a_slow_exchange_is_taken_back_and_goes_to_other_links(stage: Stage) -> None:
    a, b, c = (stage.get(f"/{name}") for name in "abc")
    w1 = stage.link("w1", window=3)
    w2, w3 = stage.link("w2"), stage.link("w3")
    stage.done()
    stage.broker.relieve(OVERRUN)
    assert stage.done() == []
    stage.broker.relieve(LATE)
    assert stage.done() == [Cancel(w1, c), Cancel(w1, b), Assign(w2, b), Assign(w3, c)]
    assert (a.link, w1.window) == (w1, 1)
    assert held(w1) == [a, b, c]


def test_what_is_taken_back_goes_first_and_in_its_order(stage: Stage) -> None:
    a, b, c, d = (stage.get(f"/{name}") for name in "abcd")
    w1 = stage.link("w1", window=3)
    stage.broker.relieve(LATE)
    assert waiting(stage) == [b, c, d]
    assert [exchange.standing for exchange in (a, b, c)] == [
        Standing.ASSIGNED,
        Standing.WAITING,
        Standing.WAITING,
    ]
    assert w1.front() is a


def test_an_exchange_taken_back_and_answered_elsewhere_frees_its_old_place_once(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.broker.relieve(LATE)
    stage.broker.release(w2, b, 0.02)
    assert (b.standing, held(w1), held(w2)) == (Standing.ANSWERED, [a, b], [])
    stage.broker.release(w1, a, 0.03)
    assert list(stage.pages.idle) == [w2]
    stage.broker.discard(w1, b, 0.04)
    assert (held(w1), list(stage.pages.idle)) == ([], [w2, w1])
    assert (stage.pages.served, stage.pages.failed, w1.served, w2.served) == (2, 0, 1, 1)


def test_a_late_reply_that_is_discarded_lets_the_link_go_on(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.broker.relieve(LATE)
    stage.broker.release(w1, a, 0.02)
    c = stage.get("/c", 0.03)
    stage.done()
    stage.broker.discard(w1, b, 0.04)
    assert stage.done() == [Assign(w1, c)]
    assert held(w2) == [b]


def test_what_was_taken_back_does_not_return_to_a_link_where_it_keeps_a_place(stage: Stage) -> None:
    a, b, c = stage.get("/a"), stage.get("/b"), stage.get("/c")
    w1 = stage.link("w1", window=2)
    stage.broker.relieve(LATE)
    stage.broker.abandon(a)
    stage.done()
    w1.window = 8  # however wide it is
    stage.broker.discard(w1, a, LATE)
    assert (stage.done(), held(w1), waiting(stage)) == ([], [b], [b, c])
    stage.broker.discard(w1, b, LATE)
    assert stage.done() == [Assign(w1, b), Assign(w1, c)]


def test_what_is_behind_an_abandoned_exchange_that_goes_on_is_taken_back_too(stage: Stage) -> None:
    a, b = stage.post("/a"), stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.broker.abandon(a)
    stage.done()
    stage.broker.relieve(LATE)
    assert stage.done() == [Cancel(w1, b), Assign(w2, b)]


def test_nothing_is_taken_back_twice(stage: Stage) -> None:
    stage.get("/a")
    b = stage.get("/b")
    w1 = stage.link("w1", window=2)
    stage.broker.relieve(LATE)
    assert Cancel(w1, b) in stage.done()
    stage.broker.relieve(2 * LATE)
    assert stage.done() == []


def test_an_answer_that_has_begun_is_not_taken_back(stage: Stage) -> None:
    stage.get("/a")
    b, c = stage.get("/b"), stage.get("/c")
    w1, w2 = stage.link("w1", window=3), stage.link("w2")
    b.begun = True  # by a worker with threads
    stage.done()
    stage.broker.relieve(LATE)
    assert stage.done() == [Cancel(w1, c), Assign(w2, c)]


def test_an_exchange_settled_out_of_turn_does_not_hide_that_the_one_in_front_overruns(stage: Stage) -> None:
    stage.get("/a")
    b, c = stage.get("/b"), stage.get("/c")
    w1, w2 = stage.link("w1", window=3), stage.link("w2")
    stage.broker.release(w1, b, OVERRUN)  # by a worker with threads
    stage.done()
    stage.broker.relieve(LATE)
    assert stage.done() == [Cancel(w1, c), Assign(w2, c)]


def test_a_stream_that_goes_on_does_not_keep_what_is_behind_it(stage: Stage) -> None:
    stage.get("/a")
    b = stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.done()
    w1.quiet_since = OVERRUN  # a piece of the answer has come
    stage.broker.relieve(LATE)
    assert stage.done() == [Cancel(w1, b), Assign(w2, b)]


def test_the_broker_is_crowded_while_some_link_holds_more_than_one(stage: Stage) -> None:
    crowded = [stage.broker.crowded]
    a, b = stage.get("/a"), stage.get("/b")
    w1 = stage.link("w1", window=2)
    stage.link("w2")
    crowded.append(stage.broker.crowded)
    stage.broker.relieve(0.001)
    crowded.append(stage.broker.crowded)
    stage.broker.release(w1, a, 0.002)
    stage.broker.relieve(0.003)
    crowded.append(stage.broker.crowded)
    assert (crowded, held(w1)) == ([False, True, True, False], [b])


# ── Links are lost ───────────────────────────────────────────────────────────────────────────────


def test_a_request_of_which_nothing_was_sent_moves_on_without_penalty(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    a = stage.post("/a")
    stage.done()
    stage.broker.leave(w1, 1.0, unsent=[a])
    assert stage.done() == [Assign(w2, a)]
    assert (a.losses, a.attempt) == (0, 2)


def test_a_safe_request_that_may_have_begun_is_tried_once_more(stage: Stage) -> None:
    w1, w2, w3 = (stage.link(name) for name in ("w1", "w2", "w3"))
    a = stage.get("/a")
    stage.done()
    stage.broker.leave(w1, 1.0)
    assert stage.done() == [Assign(w2, a)]
    stage.broker.leave(w2, 2.0)
    assert stage.done() == [Fail(a, WORKER_DIED)]
    assert (a.losses, WORKER_DIED.status, list(stage.pages.idle)) == (2, 502, [w3])


def test_where_workers_die_one_after_another_second_tries_come_to_an_end(stage: Stage) -> None:
    retried = 0
    rounds = 2 * FIRST
    for number in range(rounds):
        first, second = stage.link("first"), stage.link("second")
        exchange = stage.get(f"/{number}")
        stage.broker.leave(first, 1.0)
        retried += exchange.attempt == 2
        stage.broker.leave(second, 1.0)
        assert stage.done()[-1] == Fail(exchange, WORKER_DIED)
    assert FIRST < retried <= FIRST + SHARE * rounds


def test_a_post_that_may_have_begun_is_answered_502(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.link("w2")
    a = stage.post("/a")
    stage.done()
    stage.broker.leave(w1, 1.0)
    assert stage.done() == [Fail(a, WORKER_DIED)]
    assert (a.standing, a.link) == (Standing.ANSWERED, None)


def test_an_answer_that_has_begun_is_not_begun_again(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.link("w2")
    a = stage.get("/a")
    a.begun = True
    stage.done()
    stage.broker.leave(w1, 1.0)
    assert stage.done() == [Fail(a, WORKER_DIED)]


def test_what_was_behind_a_post_is_tried_once_more(stage: Stage) -> None:
    a, b = stage.post("/a"), stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.done()
    stage.broker.leave(w1, 1.0)
    assert stage.done() == [Fail(a, WORKER_DIED), Assign(w2, b)]


def test_what_a_lost_link_held_goes_first_and_in_its_order(stage: Stage) -> None:
    a, b, c, d = (stage.get(f"/{name}") for name in "abcd")
    w1 = stage.link("w1", window=3)
    stage.broker.leave(w1, 1.0, unsent=[c])
    assert waiting(stage) == [a, b, c, d]
    assert [exchange.losses for exchange in (a, b, c)] == [1, 1, 0]


def test_a_second_try_is_alone_on_its_link(stage: Stage) -> None:
    a, b, c = (stage.get(f"/{name}") for name in "abc")
    w1 = stage.link("w1", window=2)
    stage.broker.leave(w1, 1.0)
    stage.done()
    w2 = stage.link("w2", window=8, now=2.0)
    assert stage.done() == [Assign(w2, a)]
    stage.broker.release(w2, a, 2.0)
    assert stage.done() == [Assign(w2, b)]
    stage.broker.release(w2, b, 2.0)
    assert stage.done() == [Assign(w2, c)]


def test_a_second_try_is_not_placed_behind_another_exchange(stage: Stage) -> None:
    w1 = stage.link("w1")
    a, b, c, d = (stage.get(f"/{name}") for name in "abcd")
    w2 = stage.link("w2", window=2)
    stage.broker.leave(w1, 0.001)
    stage.done()
    stage.broker.release(w2, b, 0.001)
    assert (stage.done(), held(w2), waiting(stage)) == ([], [c], [a, d])
    stage.broker.release(w2, c, 0.001)
    stage.broker.release(w2, a, 0.001)
    assert stage.done() == [Assign(w2, a), Assign(w2, d)]


def test_a_request_that_kills_its_workers_ends_two_of_them_and_harms_no_neighbour(stage: Stage) -> None:
    a, poison, b = stage.get("/a"), stage.get("/poison"), stage.get("/b")
    w1 = stage.link("w1", window=3)
    stage.broker.release(w1, a, 0.001)
    stage.broker.leave(w1, 0.002)
    w2 = stage.link("w2", window=8, now=1.0)
    stage.broker.leave(w2, 1.001)
    w3 = stage.link("w3", window=8, now=2.0)
    stage.broker.release(w3, b, 2.001)
    assert stage.done() == [
        Assign(w1, a),
        Assign(w1, poison),
        Assign(w1, b),
        Assign(w2, poison),
        Fail(poison, WORKER_DIED),
        Assign(w3, b),
    ]
    assert list(stage.pages.idle) == [w3]


def test_an_idle_link_that_is_lost_gets_nothing_more(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.broker.leave(w1, 1.0)
    stage.get("/a", 2.0)
    assert stage.done() == []
    assert (list(stage.broker.links), list(stage.pages.links), list(stage.pages.idle)) == ([], [], [])


def test_a_link_leaves_once(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.get("/a")
    stage.broker.expire(60.1)
    stage.done()
    stage.broker.leave(w1, 61.0)
    stage.broker.leave(a_link("never joined"), 61.0)
    assert stage.done() == []


def test_a_lost_link_says_nothing_about_what_was_taken_back_from_it(stage: Stage) -> None:
    stage.post("/a")
    b = stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.broker.relieve(LATE)
    stage.broker.leave(w1, 0.02)
    assert (b.link, b.losses, held(w1), held(w2)) == (w2, 0, [], [b])


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_request_goes_to_another_idle_link(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    a = stage.post("/a")
    stage.done()
    stage.broker.refuse(w1, a, 1.0)
    assert stage.done() == [Assign(w2, a)]
    assert (held(w1), held(w2), list(stage.pages.idle)) == ([], [a], [w1])


def test_a_refused_request_goes_before_those_that_came_later(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.get("/b")
    stage.done()
    stage.broker.refuse(w1, a, 1.0)
    assert stage.done() == [Assign(w1, a)]


def test_a_request_that_every_worker_may_have_refused_is_answered_503(stage: Stage) -> None:
    stage.link("other", stage.application("other"))
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.refuse(w1, a, 1.0)
    assert stage.done() == [Assign(w1, a), Assign(w1, a)]
    stage.broker.refuse(w1, a, 2.0)
    assert stage.done() == [Fail(a, NO_WORKER)]
    assert (a.standing, held(w1), list(stage.pages.idle)) == (Standing.ANSWERED, [], [w1])


def test_a_request_that_was_taken_back_may_still_be_refused(stage: Stage) -> None:
    w1 = stage.link("w1", window=2)
    a = stage.get("/a")
    a.attempt = 7  # it was placed behind slow ones again and again
    stage.done()
    stage.broker.refuse(w1, a, 1.0)
    assert stage.done() == [Assign(w1, a)]


# ── Links drain ──────────────────────────────────────────────────────────────────────────────────


def test_an_idle_link_that_drains_is_closed_at_once(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.broker.drain(w1, 1.0)
    assert stage.done() == [Close(w1, HAS_DRAINED)]
    stage.get("/a", 2.0)
    assert stage.done() == []
    assert (list(stage.broker.links), list(stage.pages.links)) == ([], [])


def test_a_busy_link_that_drains_finishes_what_it_holds_and_gets_nothing_new(stage: Stage) -> None:
    a, b, c = (stage.get(f"/{name}") for name in "abc")
    w1 = stage.link("w1", window=2)
    stage.done()
    stage.broker.drain(w1, 0.001)
    stage.broker.release(w1, a, 0.002)
    assert stage.done() == []
    stage.broker.release(w1, b, 0.003)
    assert stage.done() == [Close(w1, HAS_DRAINED)]
    assert waiting(stage) == [c]


def test_a_draining_link_stays_until_what_was_cancelled_is_settled(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.abandon(a)
    stage.broker.drain(w1, 1.0)
    assert stage.done() == [Assign(w1, a), Cancel(w1, a)]
    stage.broker.discard(w1, a, 2.0)
    assert stage.done() == [Close(w1, HAS_DRAINED)]


def test_what_a_draining_link_refuses_moves_on(stage: Stage) -> None:
    a, b = stage.post("/a"), stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.done()
    stage.broker.drain(w1, 1.0)
    stage.broker.refuse(w1, b, 2.0)
    stage.broker.refuse(w1, a, 3.0)
    assert stage.done() == [Assign(w2, b), Close(w1, HAS_DRAINED)]
    assert waiting(stage) == [a]


def test_a_rolling_restart_may_refuse_a_request_more_often_than_there_are_workers(stage: Stage) -> None:
    a = stage.post("/a")
    for number in range(5):
        link = stage.link(f"w{number}", now=float(number))
        stage.broker.drain(link, float(number))
        stage.broker.refuse(link, a, float(number))
    assert (a.standing, a.attempt) == (Standing.WAITING, 5)


def test_what_is_behind_a_slow_exchange_leaves_a_draining_link(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.broker.drain(w1, 0.001)
    stage.done()
    stage.broker.relieve(LATE)
    assert stage.done() == [Cancel(w1, b), Assign(w2, b)]
    stage.broker.release(w1, a, 0.02)
    stage.broker.discard(w1, b, 0.03)
    assert stage.done() == [Close(w1, HAS_DRAINED)]


def test_a_draining_link_that_hangs_is_cut_off(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.drain(w1, 1.0)
    stage.done()
    stage.broker.expire(60.1)
    assert stage.done() == [Fail(a, WORKER_HUNG), Close(w1, WAS_SILENT)]


def test_a_link_drains_once(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    stage.get("/a")
    stage.broker.drain(w1, 1.0)
    stage.broker.drain(w2, 1.0)
    stage.done()
    stage.broker.drain(w1, 2.0)
    stage.broker.drain(w2, 2.0)
    assert stage.done() == []


# ── Links of several applications ────────────────────────────────────────────────────────────────


def test_a_link_is_idle_for_every_application_that_it_serves_or_for_none(stage: Stage) -> None:
    shop = stage.application("shop")
    w1 = stage.link("w1", stage.pages, shop)
    assert (list(stage.pages.idle), list(shop.idle)) == ([w1], [w1])
    a = stage.get("/a")
    assert (list(stage.pages.idle), list(shop.idle)) == ([], [])
    stage.broker.release(w1, a, 1.0)
    assert (list(stage.pages.idle), list(shop.idle)) == ([w1], [w1])


def test_a_link_of_several_applications_takes_what_has_waited_longest(stage: Stage) -> None:
    shop, empty = stage.application("shop"), stage.application("empty")
    w1 = stage.link("w1", empty, stage.pages, shop)
    a = stage.get("/a", 0.0)
    b = stage.get("/b", 2.0)
    c = stage.get("/c", 1.0, queue=shop)
    stage.broker.release(w1, a, 3.0)
    stage.broker.release(w1, c, 4.0)
    assert stage.done() == [Assign(w1, a), Assign(w1, c), Assign(w1, b)]


def test_a_link_gets_only_what_it_registered_for(stage: Stage) -> None:
    shop = stage.application("shop")
    stage.link("w1", shop)
    stage.get("/a")
    assert stage.done() == []


def test_a_lost_link_is_missed_by_every_application_that_it_served(stage: Stage) -> None:
    shop = stage.application("shop")
    a, b = stage.get("/a"), stage.get("/b", 1.0, queue=shop)
    w1 = stage.link("w1", stage.pages, shop, window=2, now=2.0)
    w2, w3 = stage.link("w2"), stage.link("w3", shop)
    stage.done()
    stage.broker.leave(w1, 3.0)
    assert stage.done() == [Assign(w2, a), Assign(w3, b)]
    assert (list(stage.pages.links), list(shop.links)) == ([w2], [w3])


def test_a_draining_link_is_idle_for_none_of_its_applications(stage: Stage) -> None:
    shop = stage.application("shop")
    w1 = stage.link("w1", stage.pages, shop)
    stage.broker.drain(w1, 1.0)
    assert (list(stage.pages.idle), list(shop.idle)) == ([], [])


# ── Applications without links ───────────────────────────────────────────────────────────────────


def test_an_application_whose_last_link_was_lost_remembers_when(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    stage.broker.leave(w1, 1.0)
    assert stage.pages.lost_at is None
    stage.broker.leave(w2, 2.0)
    assert stage.pages.lost_at == 2.0


def test_an_application_whose_last_link_said_goodbye_has_lost_nothing(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    stage.broker.leave(w1, 1.0)
    stage.broker.drain(w2, 2.0)
    assert stage.pages.lost_at is None


def test_a_draining_link_that_dies_with_work_in_its_hands_is_lost(stage: Stage) -> None:
    w1 = stage.link("w1")
    stage.get("/a")
    stage.broker.drain(w1, 1.0)
    stage.broker.leave(w1, 2.0)
    assert stage.pages.lost_at == 2.0


def test_only_links_that_take_something_new_serve(stage: Stage) -> None:
    w1, w2, w3 = (stage.link(name) for name in ("w1", "w2", "w3"))
    assert stage.pages.serving == 3
    stage.get("/a")
    stage.broker.drain(w1, 1.0)
    stage.broker.drain(w1, 1.0)
    stage.broker.drain(w2, 1.0)
    assert (stage.pages.serving, list(stage.pages.links)) == (1, [w1, w3])
    stage.broker.leave(w3, 2.0)
    assert (stage.pages.serving, stage.pages.lost_at) == (0, 2.0)
    stage.broker.leave(w1, 3.0)
    assert stage.pages.serving == 0


def test_a_loss_is_remembered_though_another_link_says_goodbye_after_it(stage: Stage) -> None:
    w1, w2 = stage.link("w1"), stage.link("w2")
    a = stage.get("/a")
    stage.broker.drain(w1, 1.0)
    stage.broker.leave(w2, 2.0)
    stage.broker.release(w1, a, 3.0)
    assert (list(stage.pages.links), stage.pages.lost_at) == ([], 2.0)


def test_a_link_that_joins_ends_the_loss(stage: Stage) -> None:
    stage.broker.leave(stage.link("w1"), 1.0)
    stage.link("w2", now=2.0)
    assert (stage.pages.lost_at, stage.pages.forgotten_at) == (None, NEVER)


def test_an_application_that_nothing_configures_is_forgotten_after_a_minute(stage: Stage) -> None:
    stage.broker.leave(stage.link("w1"), 1.0)
    assert stage.broker.forget_applications(MEMORY) == []
    assert stage.broker.forget_applications(1.0 + MEMORY) == [stage.pages]
    assert stage.broker.queues == {}


def test_a_configured_application_is_never_forgotten(stage: Stage) -> None:
    shop = stage.application("shop", configured=True)
    stage.broker.leave(stage.link("w1", shop), 1.0)
    assert shop.lost_at == 1.0
    assert stage.broker.forget_applications(1e9) == []


def test_an_application_for_which_something_waits_is_not_forgotten(stage: Stage) -> None:
    patient = stage.application("patient", wait_timeout=1000.0)
    stage.broker.drain(stage.link("w1", patient), 0.0)
    a = stage.get("/a", queue=patient)
    assert stage.broker.forget_applications(MEMORY) == []
    stage.broker.abandon(a)
    assert stage.broker.forget_applications(MEMORY) == [patient]


# ── Clients leave ────────────────────────────────────────────────────────────────────────────────


def test_a_waiting_request_whose_client_leaves_never_runs(stage: Stage) -> None:
    a, b = stage.get("/a"), stage.get("/b")
    stage.broker.abandon(a)
    w1 = stage.link("w1")
    assert stage.done() == [Assign(w1, b)]
    assert a.standing is Standing.ABANDONED


def test_a_request_that_came_back_and_whose_client_leaves_never_runs_again(stage: Stage) -> None:
    a = stage.get("/a")
    stage.broker.leave(stage.link("w1"), 1.0)
    stage.done()
    stage.broker.abandon(a)
    stage.link("w2")
    assert stage.done() == []


def test_a_running_request_whose_client_leaves_is_cancelled_and_keeps_its_place(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    b = stage.get("/b")
    stage.done()
    stage.broker.abandon(a)
    assert stage.done() == [Cancel(w1, a)]
    assert (a.standing, a.link, held(w1)) == (Standing.ABANDONED, None, [a])
    stage.broker.discard(w1, a, 1.0)
    assert stage.done() == [Assign(w1, b)]


def test_an_abandoned_request_is_not_tried_again_when_its_link_is_lost(stage: Stage) -> None:
    w1, _ = stage.link("w1"), stage.link("w2")
    a = stage.get("/a")
    stage.broker.abandon(a)
    stage.done()
    stage.broker.leave(w1, 1.0, unsent=[a])
    assert stage.done() == []


def test_a_client_that_leaves_after_its_answer_changes_nothing(stage: Stage) -> None:
    a = stage.get("/a")
    stage.broker.release(stage.link("w1"), a, 1.0)
    stage.done()
    stage.broker.abandon(a)
    assert stage.done() == []
    assert a.standing is Standing.ANSWERED


def test_a_client_that_leaves_after_its_deadline_changes_nothing(stage: Stage) -> None:
    a = stage.get("/a")
    stage.broker.expire(30.0)
    stage.broker.abandon(a)
    assert stage.done() == [Fail(a, NO_WORKER)]
    assert a.standing is Standing.EXPIRED


def test_a_client_leaves_once(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.broker.abandon(a)
    stage.broker.abandon(a)
    assert stage.done() == [Assign(w1, a), Cancel(w1, a)]


def test_a_request_that_moved_is_cancelled_only_where_it_is_now(
    stage: Stage,
) -> None:
    stage.get("/a")
    b = stage.get("/b")
    w1, w2 = stage.link("w1", window=2), stage.link("w2")
    stage.broker.relieve(LATE)
    stage.done()
    stage.broker.abandon(b)
    assert stage.done() == [Cancel(w2, b)]
    assert (b in w1.held, b in w2.held) == (True, True)


# ── Answers that cannot be passed on ─────────────────────────────────────────────────────────────


def test_an_answer_that_cannot_be_passed_on_becomes_502_and_its_rest_is_cancelled(stage: Stage) -> None:
    w1 = stage.link("w1")
    a = stage.get("/a")
    stage.done()
    stage.broker.spoil(a)
    assert stage.done() == [Cancel(w1, a), Fail(a, WORKER_BROKE)]
    assert (a.standing, held(w1), stage.pages.failed) == (Standing.ANSWERED, [a], 1)
    stage.broker.discard(w1, a, 1.0)
    assert list(stage.pages.idle) == [w1]


def test_nobody_is_told_of_a_broken_answer_for_which_nobody_waits(stage: Stage) -> None:
    stage.link("w1")
    a = stage.get("/a")
    stage.broker.abandon(a)
    stage.done()
    stage.broker.spoil(a)
    assert stage.done() == []


# ── What an operator reads ───────────────────────────────────────────────────────────────────────


def test_a_link_says_where_it_stands(stage: Stage) -> None:
    w1 = stage.link("w1", window=4, now=7.0)
    assert (w1.state, w1.joined) == ("idle", 7.0)
    stage.get("/a")
    assert repr(w1) == "<Link w1 busy, holds 1 of 4>"
    stage.broker.drain(w1, 1.0)
    assert repr(w1) == "<Link w1 draining, holds 1 of 4>"


def test_an_application_says_how_busy_it_is(stage: Stage) -> None:
    stage.link("w1")
    stage.link("w2")
    stage.get("/a")
    assert repr(stage.pages) == "<ApplicationQueue pages, 0 waiting, 1 of 2 idle>"
