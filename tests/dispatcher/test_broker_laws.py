"""The laws of the broker, under whatever clients, workers and clocks may do in any order.

The machine plays everybody around the broker: clients that come and go, workers that answer, refuse, stream,
break, hang and die, and the wire between, on which a cancelled exchange is settled later and exactly once.
After every step it compares what the broker believes with what was really sent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispatcher.broker import OVERRUN, ApplicationQueue, Broker, Link
from dispatcher.exchange import NO_WORKER, WORKER_HUNG, Exchange, Failure, Standing
from tests.dispatcher.fakes import HAS_DRAINED, FakeBody, a_link, an_application, an_exchange

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

NAMES: Final = ("pages", "shop")
BOUND: Final = 6
WAIT_TIMEOUT: Final = 30.0
REQUEST_TIMEOUT: Final = 60.0

SERVICE: Final = st.sampled_from([0.001, 0.001, 0.003, 0.012])
"""Seconds that pass until a worker answers."""

PICK: Final = st.integers(min_value=0, max_value=11)
"""Which of those that are there; taken modulo their number."""


@dataclass(eq=False)
class Entry:
    """An exchange as one worker has it.

    Attributes:
        exchange: the exchange.
        cancelled: whether the worker was told that nobody waits for it.
        begun: whether the first byte of its answer was sent.
    """

    exchange: Exchange
    cancelled: bool = False
    begun: bool = False


@dataclass(eq=False)
class Worker:
    """A worker at the other end of a link.

    Attributes:
        link: the link.
        threads: how many exchanges it works on at once.
        front_since: since when it can have worked on the oldest exchange that it has.
        inbox: what it was sent and has not settled, oldest first.
    """

    link: Link
    threads: int
    front_since: float = 0.0
    inbox: list[Entry] = field(default_factory=list)

    def find(self, exchange: Exchange) -> Entry:
        """Return the entry of an exchange for which somebody waits."""
        (entry,) = [entry for entry in self.inbox if entry.exchange is exchange and not entry.cancelled]
        return entry

    def take(self, exchange: Exchange, now: float) -> None:
        """Take in an exchange."""
        if not self.inbox:
            self.front_since = now
        self.inbox.append(Entry(exchange))

    def give(self, entry: Entry, now: float) -> None:
        """Give an exchange up: it is answered or refused."""
        if self.inbox[0] is entry:
            self.front_since = now
        self.inbox.remove(entry)

    def in_hand(self) -> list[Entry]:
        """Return what it works on."""
        return self.inbox[: self.threads]

    def unbegun(self) -> list[Entry]:
        """Return what it may still refuse."""
        return [entry for entry in self.inbox if not entry.begun and not entry.cancelled]

    def cancelled(self) -> list[Entry]:
        """Return what nobody waits for."""
        return [entry for entry in self.inbox if entry.cancelled]


class World:
    """The hands of the broker: they carry out its decisions, and refuse those that break a law.

    Attributes:
        workers: the workers whose links are up.
        turns: the number of each exchange in the order of their arrival.
        endings: how each exchange ended.
        ran: the links on which an exchange was or may have been begun.
        lost: how many links each exchange has seen lost.
        now: the time.
    """

    def __init__(self) -> None:
        self.workers: dict[Link, Worker] = {}
        self.turns: dict[Exchange, int] = {}
        self.endings: defaultdict[Exchange, list[str]] = defaultdict(list)
        self.ran: defaultdict[Exchange, set[Link]] = defaultdict(set)
        self.lost: Counter[Exchange] = Counter()
        self.now = 1000.0

    def assign(self, link: Link, exchange: Exchange) -> None:
        worker = self.workers[link]
        assert not link.draining, "a draining link was given something new"
        assert not self.endings[exchange], "an exchange ran after its end"
        assert not exchange.begun, "an answer that had begun was begun again"
        assert exchange.safe or not self.ran[exchange], "an unsafe exchange may run twice"
        assert exchange.queue in link.queues, "an exchange went to another application's worker"
        self._check_place(worker, exchange)
        self._check_turn(exchange)
        worker.take(exchange, self.now)
        self.ran[exchange].add(link)

    def _check_place(self, worker: Worker, exchange: Exchange) -> None:
        if not worker.inbox:
            return
        assert len(worker.inbox) < worker.link.window <= worker.link.largest_window, "more than the window"
        assert exchange.safe, "an unsafe exchange was placed behind another"
        assert exchange.body is None, "a large body was placed behind another exchange"
        assert not exchange.losses, "a second try was placed behind another exchange"
        assert not worker.inbox[0].exchange.losses, "an exchange was placed behind a second try"
        assert all(entry.exchange is not exchange for entry in worker.inbox), "twice on one link"

    def _check_turn(self, exchange: Exchange) -> None:
        if exchange.attempt == 1:
            queue = exchange.queue
            assert not queue.returned, "an exchange overtook one that came back"
            assert all(self.turns[exchange] < self.turns[other] for other in queue.waiting), "overtaken"

    def cancel(self, link: Link, exchange: Exchange) -> None:
        self.workers[link].find(exchange).cancelled = True

    def fail(self, exchange: Exchange, failure: Failure) -> None:
        self.end(exchange, f"failed {failure.status}")

    def close(self, link: Link, reason: str) -> None:
        worker = self.workers.pop(link)
        if reason == HAS_DRAINED:
            assert not worker.inbox, "a link was closed over what it held"
        else:
            assert not link.paused, "a link was cut off for the sake of a slow client"
            assert self.now - link.quiet_since > REQUEST_TIMEOUT, "a link was cut off too early"
            self.lose(worker)

    def lose(self, worker: Worker, unsent: Collection[Exchange] = ()) -> None:
        """Note what a lost link takes with it."""
        for entry in worker.inbox:
            if entry.exchange in unsent:
                self.ran[entry.exchange].discard(worker.link)
            elif not entry.cancelled:
                self.lost[entry.exchange] += 1
                assert self.lost[entry.exchange] <= 2, "an exchange saw too many links lost"

    def end(self, exchange: Exchange, how: str) -> None:
        """Note how an exchange ended."""
        self.endings[exchange].append(how)
        assert len(self.endings[exchange]) == 1, "an exchange ended twice"


class BrokerMachine(RuleBasedStateMachine):
    """Everything that can happen to a broker."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.broker = Broker(self.world)

    def queue(self, name: str) -> ApplicationQueue:
        """Return an application's queue, made anew if it is not known."""
        queue = self.broker.queues.get(name)
        if queue is None:
            queue = self.broker.queues[name] = an_application(
                name,
                bound=BOUND,
                wait_timeout=WAIT_TIMEOUT,
                request_timeout=REQUEST_TIMEOUT,
                configured=name == NAMES[0],
            )
        return queue

    def busy(self) -> list[Worker]:
        """Return the workers that have something in their hands."""
        return [worker for worker in self.world.workers.values() if worker.inbox]

    def has_room(self) -> bool:
        """Return whether another worker would make the play more interesting."""
        return len(self.world.workers) < 4

    def has_company(self) -> bool:
        """Return whether a worker can be missed."""
        return len(self.world.workers) > 2

    def pick_worker(self, pick: int) -> Worker:
        workers = list(self.world.workers.values())
        return workers[pick % len(workers)]

    def pick_busy(self, pick: int) -> Worker:
        busy = self.busy()
        return busy[pick % len(busy)]

    def live(self) -> list[Exchange]:
        """Return the exchanges that have not ended."""
        return [exchange for exchange in self.world.turns if not self.world.endings[exchange]]

    def anything_is_live(self) -> bool:
        return bool(self.live())

    def anybody_is_busy(self) -> bool:
        return bool(self.busy())

    # ── Clients ──────────────────────────────────────────────────────────────────────────────────

    @initialize()
    def begin(self) -> None:
        self.submit(NAMES[0], "GET", False, 4)
        self.join(NAMES[:1], 4, True, 1)

    @rule(
        name=st.sampled_from([*NAMES, NAMES[0]]),
        method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
        large=st.sampled_from([False, False, False, False, True]),
        count=st.integers(min_value=1, max_value=5),
    )
    def submit(self, name: str, method: str, large: bool, count: int) -> None:
        queue = self.queue(name)
        for _ in range(count):
            exchange = an_exchange(method, now=self.world.now, body=FakeBody() if large else None)
            self.world.turns[exchange] = len(self.world.turns)
            had_room = len(queue) < BOUND or bool(queue.idle)
            self.broker.submit(exchange, queue, self.world.now)
            assert had_room == (not self.world.endings[exchange]), "only a full queue turns a request away"

    @precondition(anything_is_live)
    @rule(pick=PICK)
    def abandon(self, pick: int) -> None:
        live = self.live()
        exchange = live[pick % len(live)]
        self.world.end(exchange, "abandoned")
        self.broker.abandon(exchange)

    # ── Workers ──────────────────────────────────────────────────────────────────────────────────

    @precondition(has_room)
    @rule(
        names=st.sampled_from([NAMES[:1], NAMES[:1], NAMES[1:], NAMES]),
        window=st.integers(min_value=1, max_value=4),
        grown=st.booleans(),
        threads=st.sampled_from([1, 2]),
    )
    def join(self, names: Sequence[str], window: int, grown: bool, threads: int) -> None:
        link = a_link(f"w{len(self.world.workers)}", window)
        link.window = window if grown else 1
        self.world.workers[link] = Worker(link, threads)
        self.broker.join(link, [self.queue(name) for name in names], self.world.now)

    @precondition(anybody_is_busy)
    @rule(pick=PICK, which=PICK)
    def begin_an_answer(self, pick: int, which: int) -> None:
        worker = self.pick_busy(pick)
        entries = [entry for entry in worker.in_hand() if not entry.begun]
        if entries:
            entry = entries[which % len(entries)]
            entry.begun = True
            if not entry.cancelled:
                entry.exchange.begun = True
                worker.link.quiet_since = self.world.now

    @precondition(anybody_is_busy)
    @rule(pick=PICK, which=PICK, seconds=SERVICE)
    def answer(self, pick: int, which: int, seconds: float) -> None:
        self.world.now += seconds
        worker = self.pick_busy(pick)
        entries = worker.in_hand()
        self.settle(worker, entries[which % len(entries)])

    @precondition(anybody_is_busy)
    @rule(pick=PICK, count=st.integers(min_value=1, max_value=4), seconds=SERVICE)
    def answer_in_turn(self, pick: int, count: int, seconds: float) -> None:
        worker = self.pick_busy(pick)
        for _ in range(count):
            if worker.inbox:
                self.world.now += seconds
                self.settle(worker, worker.inbox[0])

    def settle(self, worker: Worker, entry: Entry) -> None:
        """Let the last part of a reply arrive."""
        worker.give(entry, self.world.now)
        exchange = entry.exchange
        if entry.cancelled:
            self.broker.discard(worker.link, exchange, self.world.now)
            return
        exchange.begun = True
        self.world.end(exchange, "answered")
        self.broker.release(worker.link, exchange, self.world.now)

    @precondition(anybody_is_busy)
    @rule(pick=PICK, which=PICK)
    def settle_what_was_cancelled(self, pick: int, which: int) -> None:
        """A worker that reads while it works need not come to a cancelled exchange to settle it."""
        worker = self.pick_busy(pick)
        entries = worker.cancelled()
        if entries:
            self.settle(worker, entries[which % len(entries)])

    @precondition(anybody_is_busy)
    @rule(pick=PICK, which=PICK)
    def refuse(self, pick: int, which: int) -> None:
        worker = self.pick_busy(pick)
        entries = worker.unbegun()
        if entries:
            entry = entries[which % len(entries)]
            worker.give(entry, self.world.now)
            self.world.ran[entry.exchange].discard(worker.link)
            self.broker.refuse(worker.link, entry.exchange, self.world.now)

    @precondition(anybody_is_busy)
    @rule(pick=PICK, which=PICK, last=st.booleans())
    def break_an_answer(self, pick: int, which: int, last: bool) -> None:
        worker = self.pick_busy(pick)
        entries = [entry for entry in worker.in_hand() if not entry.cancelled]
        if entries:
            entry = entries[which % len(entries)]
            entry.begun = True
            self.broker.spoil(entry.exchange)
            if last:
                self.settle(worker, entry)

    @precondition(anybody_is_busy)
    @rule(pick=PICK, unsent=st.sampled_from([0, 0, 1, 3]))
    def die(self, pick: int, unsent: int) -> None:
        """A link is lost, perhaps before the last requests were written to it."""
        worker = self.pick_busy(pick)
        del self.world.workers[worker.link]
        tail: list[Exchange] = []
        for entry in reversed(worker.inbox):
            if entry.begun or len(tail) == unsent:
                break
            tail.append(entry.exchange)
        self.world.lose(worker, tail)
        still_wanted = [exchange for exchange in tail if not self.world.endings[exchange]]
        losses = [exchange.losses for exchange in still_wanted]
        self.broker.leave(worker.link, self.world.now, tail)
        assert [exchange.losses for exchange in still_wanted] == losses, "unsent, and yet held against it"
        assert not any(self.world.endings[exchange] for exchange in still_wanted), "what was unsent is lost"
        self.broker.leave(worker.link, self.world.now)

    @precondition(has_company)
    @precondition(anything_is_live)
    @rule(pick=PICK, gently=st.booleans())
    def go(self, pick: int, gently: bool) -> None:
        """A worker is told to leave, or is gone while it has nothing in its hands."""
        worker = self.pick_worker(pick)
        if gently or worker.inbox:
            self.broker.drain(worker.link, self.world.now)
        else:
            del self.world.workers[worker.link]
            self.broker.leave(worker.link, self.world.now)

    @precondition(anybody_is_busy)
    @rule(pick=PICK)
    def pause_or_resume(self, pick: int) -> None:
        """A client takes its answer more slowly than its worker gives it, or has caught up."""
        link = self.pick_busy(pick).link
        link.paused = not link.paused
        link.quiet_since = self.world.now

    # ── Time ─────────────────────────────────────────────────────────────────────────────────────

    @precondition(anybody_is_busy)
    @rule(seconds=st.sampled_from([0.0, 0.012, 0.012]))
    def relieve(self, seconds: float) -> None:
        self.world.now = now = self.world.now + seconds
        begun = [e for worker in self.busy() for e in worker.inbox if e.begun and not e.cancelled]
        self.broker.relieve(now)
        assert not any(entry.cancelled for entry in begun), "an answer that had begun was taken back"
        for worker in self.world.workers.values():
            if now - worker.link.front_since > OVERRUN:
                for entry in worker.inbox[1:]:
                    assert entry.cancelled or entry.begun, "something waits behind an exchange that overruns"

    @precondition(anything_is_live)
    @rule(seconds=st.sampled_from([0.0, 0.0, 0.0, 31.0, 61.0]))
    def expire(self, seconds: float) -> None:
        self.world.now = now = self.world.now + seconds
        overdue = [e for e in self.live() if e.standing is Standing.WAITING and e.deadline <= now]
        hung = [worker for worker in self.busy() if self.is_silent(worker)]
        fronts = [worker.inbox[0].exchange for worker in hung if not worker.inbox[0].cancelled]
        self.broker.expire(now)
        for exchange in overdue:
            assert self.world.endings[exchange] == [f"failed {NO_WORKER.status}"], "it waited too long"
        for exchange in fronts:
            assert self.world.endings[exchange] == [f"failed {WORKER_HUNG.status}"], "it ran too long"
        assert not any(self.is_silent(worker) for worker in self.busy()), "a silent link was not cut off"
        for queue in self.broker.forget_applications(now):
            assert not queue.links, "an application with workers was forgotten"
            assert not len(queue), "an application with waiting exchanges was forgotten"
            assert not queue.configured, "a configured application was forgotten"

    def is_silent(self, worker: Worker) -> bool:
        return not worker.link.paused and self.world.now - worker.link.quiet_since > REQUEST_TIMEOUT

    # ── Laws ─────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def no_link_is_idle_while_its_application_has_a_waiting_exchange(self) -> None:
        for queue in self.broker.queues.values():
            assert not (queue.idle and len(queue)), queue

    @invariant()
    def the_broker_knows_which_links_are_idle(self) -> None:
        for queue in self.broker.queues.values():
            idle = {
                link
                for link, worker in self.world.workers.items()
                if queue in link.queues and not worker.inbox and not link.draining
            }
            assert set(queue.idle) == idle

    @invariant()
    def the_broker_knows_its_links(self) -> None:
        assert set(self.broker.links) == set(self.world.workers)
        for queue in self.broker.queues.values():
            assert set(queue.links) == {link for link in self.world.workers if queue in link.queues}
            assert queue.serving == sum(not link.draining for link in queue.links)

    @invariant()
    def the_broker_knows_how_much_waits(self) -> None:
        queues = self.broker.queues.values()
        assert self.broker.waiting == sum(map(len, queues))
        for queue in queues:
            assert queue.size == sum(each.size for each in [*queue.waiting, *queue.returned])

    @invariant()
    def the_broker_knows_what_each_worker_has(self) -> None:
        for link, worker in self.world.workers.items():
            assert list(link.held) == [entry.exchange for entry in worker.inbox]
            for entry in worker.inbox:
                assert entry.cancelled == (entry.exchange.link is not link)
            assert not worker.inbox or link.front_since == worker.front_since
            assert len(worker.inbox) < 2 or self.broker.crowded

    @invariant()
    def every_exchange_stands_in_one_place(self) -> None:
        for exchange in self.world.turns:
            queue = exchange.queue
            places = (exchange in queue.waiting) + (exchange in queue.returned)
            if self.world.endings[exchange]:
                assert (places, exchange.link) == (0, None), exchange
            elif exchange.standing is Standing.WAITING:
                assert (places, exchange.link) == (1, None), exchange
            else:
                assert (places, exchange.standing) == (0, Standing.ASSIGNED), exchange
                assert exchange.link in self.broker.links, exchange

    @invariant()
    def the_counts_agree_with_what_happened(self) -> None:
        endings = Counter(how for ended in self.world.endings.values() for how in ended)
        answered = endings.pop("answered", 0)
        endings.pop("abandoned", 0)
        queues = {exchange.queue for exchange in self.world.turns}
        assert sum(queue.served for queue in queues) == answered
        assert sum(queue.failed for queue in queues) == endings.total()

    # ── The end ──────────────────────────────────────────────────────────────────────────────────

    def teardown(self) -> None:
        """Whatever has happened: with willing workers everything comes to its end, and nothing is left."""
        for queue in list(self.broker.queues.values()):
            self.join([queue.name], 4, False, 1)
        while busy := self.busy():
            for worker in busy:
                self.settle(worker, worker.inbox[0])
        for link in list(self.broker.links):
            self.broker.drain(link, self.world.now)
        self.broker.relieve(self.world.now)
        assert (self.broker.links, self.world.workers, self.broker.crowded) == ({}, {}, False)
        for queue in self.broker.queues.values():
            assert (len(queue), len(queue.idle), len(queue.links)) == (0, 0, 0)
        for exchange in self.world.turns:
            self.broker.abandon(exchange)  # a client may leave in the very moment in which it has its answer
            assert len(self.world.endings[exchange]) == 1, exchange


BrokerMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
TestTheBrokerKeepsItsLaws = BrokerMachine.TestCase
