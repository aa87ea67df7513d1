"""The broker: every decision about queues, links and exchanges. No I/O, no clock.

Methods are plain calls that take ``now``, in seconds of a monotonic clock. What has to be done to the outside
world is done by the *hands*, which must not call back: they write to buffers and return.

One first-in-first-out queue for each application, one queue of its idle links: so a request never waits
behind a slow one while a link is idle. Each decision costs the same for one link as for a thousand.

**The window.** A link that must wait a round trip for its next request idles meanwhile. While requests are
waiting and the link answers fast, it may therefore hold up to ``window`` of them. Only safe methods are ever
placed behind another exchange, and only from the head of the queue, so that nobody is overtaken. When the
exchange in front takes longer than :data:`OVERRUN`, those behind it are taken back and go to other links.

**Retries.** An exchange that was on a link when it was lost may have been begun, so only a safe one goes to
another link, once, and then *alone*: in front of an idle link and with nothing behind it. An exchange that
kills its workers so ends two of them at most, and takes no neighbour with it. Second tries have a budget,
see :mod:`dispatcher.retries`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from dispatcher import exchange as x
from dispatcher.exchange import Exchange, Failure, Standing
from dispatcher.retries import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from protocol.registration import Claim

OVERRUN: Final = 0.010
"""Seconds after which the exchanges behind a slow one are taken back."""

FAST: Final = 0.005
"""Seconds of service below which a link's window grows; one slower answer shuts it again."""

LOSSES: Final = 2
"""Links that an exchange may see lost before it is answered 502."""

MEMORY: Final = 60.0
"""Seconds for which an application without workers is remembered when nothing configures it."""

SMOOTHING: Final = 0.05
"""Weight of the newest value in the moving averages of the status page."""


class Hands(Protocol):
    """What the broker can have done; none of these may call the broker."""

    def assign(self, link: Link, exchange: Exchange) -> None:
        """Send the request over the link."""

    def cancel(self, link: Link, exchange: Exchange) -> None:
        """Tell the worker that nobody waits for this exchange any more."""

    def fail(self, exchange: Exchange, failure: Failure) -> None:
        """Give the client this answer, or cut it off if an answer has begun."""

    def close(self, link: Link, reason: str) -> None:
        """Close the link; the broker has already forgotten it."""


class Wire(Protocol):
    """A link's connection, as the hands use it."""

    def assign(self, exchange: Exchange) -> None:
        """Send a request."""

    def cancel(self, exchange: Exchange) -> None:
        """Take an exchange back."""

    def close(self, reason: str) -> None:
        """End the connection."""


class Link:
    """What the broker knows of a link.

    Attributes:
        name: what tables and logs call it.
        wire: its connection.
        queues: the applications that it serves.
        held: the exchanges that its worker has and has not settled, oldest first. One whose ``link`` is not
            this link was cancelled here and only keeps its place, whatever has become of it elsewhere.
        window: how many it may hold now.
        largest_window: how many it may ever hold.
        draining: whether it takes nothing new.
        paused: whether we keep it from sending, for the sake of a slow client.
        front_since: since when its worker can have worked on the oldest exchange it holds.
        quiet_since: since when it owes us a sign of life about that exchange.
        served: how many answers it has given.
        joined: when it registered.
    """

    __slots__ = (
        "draining",
        "front_since",
        "held",
        "joined",
        "largest_window",
        "name",
        "paused",
        "queues",
        "quiet_since",
        "served",
        "window",
        "wire",
    )

    def __init__(self, name: str, window: int, wire: Wire) -> None:
        self.name = name
        self.wire = wire
        self.queues: tuple[ApplicationQueue, ...] = ()
        self.held: dict[Exchange, None] = {}
        self.window = 1
        self.largest_window = window
        self.draining = False
        self.paused = False
        self.front_since = self.quiet_since = 0.0
        self.served = 0
        self.joined = 0.0

    def __repr__(self) -> str:
        return f"<Link {self.name} {self.state}, holds {len(self.held)} of {self.window}>"

    @property
    def state(self) -> str:
        """``idle``, ``busy`` or ``draining``."""
        return "draining" if self.draining else "busy" if self.held else "idle"

    def front(self) -> Exchange:
        """Return the exchange that the worker is working on."""
        return next(iter(self.held))


class ApplicationQueue:
    """One application: its waiting exchanges, its links, its bounds, its figures.

    Attributes:
        name: the application's name.
        bound: most exchanges that may wait.
        size_bound: most bytes of their bodies; one exchange may wait alone, however large it is.
        size: bytes of the bodies of those that wait.
        wait_timeout: seconds that an exchange may wait.
        request_timeout: seconds that a worker may be silent about an exchange.
        configured: whether it is known even without a worker.
        waiting: exchanges in order of arrival.
        returned: exchanges that came back from a link; they go first.
        idle: links that hold nothing, longest idle first.
        links: all links that serve it, also draining ones.
        serving: how many of them take new exchanges.
        missing: how many links were lost without a goodbye, and no other one has come since.
        lost_at: when the last of those was lost, None if there is one or the last one said goodbye.
        forgotten_at: when it is forgotten for want of workers.
        claims: the paths it serves, each with the number of links that registered it.
        retries: how many of its exchanges may still be tried again.
    """

    __slots__ = (
        "bound",
        "claims",
        "configured",
        "failed",
        "forgotten_at",
        "idle",
        "links",
        "lost_at",
        "missing",
        "name",
        "request_timeout",
        "retries",
        "returned",
        "served",
        "service",
        "serving",
        "size",
        "size_bound",
        "wait",
        "wait_timeout",
        "waiting",
    )

    def __init__(
        self,
        name: str,
        bound: int,
        wait_timeout: float,
        request_timeout: float,
        configured: bool = False,
        size_bound: float = float("inf"),
    ) -> None:
        self.name = name
        self.bound = bound
        self.wait_timeout = wait_timeout
        self.request_timeout = request_timeout
        self.configured = configured
        self.size_bound = size_bound
        self.size = 0
        self.waiting: OrderedDict[Exchange, None] = OrderedDict()
        self.returned: OrderedDict[Exchange, None] = OrderedDict()
        self.idle: OrderedDict[Link, None] = OrderedDict()
        self.links: dict[Link, None] = {}
        self.claims: dict[Claim, int] = {}
        self.retries = RetryBudget()
        self.serving = 0
        self.missing = 0
        self.lost_at: float | None = None
        self.forgotten_at = float("inf")
        self.served = self.failed = 0
        self.service = self.wait = 0.0

    def __repr__(self) -> str:
        return (
            f"<ApplicationQueue {self.name}, {len(self)} waiting, {len(self.idle)} of {len(self.links)} idle>"
        )

    def __len__(self) -> int:
        return len(self.waiting) + len(self.returned)

    def head(self) -> Exchange | None:
        """Return the exchange whose turn it is."""
        for exchange in self.returned:
            return exchange
        for exchange in self.waiting:
            return exchange
        return None

    def has_room_for(self, size: int) -> bool:
        """Whether a body of this size may join those that wait."""
        return self.size + size <= self.size_bound or not len(self)

    def overdue(self, now: float) -> Iterator[Exchange]:
        """Yield the exchanges that have waited too long.

        Those that waited from the start stand in the order of their deadlines. Those that came back do
        not, but there are at most as many as links hold.
        """
        for exchange in self.waiting:
            if exchange.deadline > now:
                break
            yield exchange
        for exchange in self.returned:
            if exchange.deadline <= now:
                yield exchange


class Broker:
    """Decides which link gets which exchange, and what becomes of it.

    Attributes:
        links: every link that has joined and not left.
        queues: every known application, by name.
        bound: most exchanges that may wait, for all applications together.
        waiting: how many wait.
        crowded: whether some link may hold more than one exchange, so that :meth:`relieve` has work.
    """

    def __init__(self, hands: Hands, bound: float = float("inf")) -> None:
        self._hands = hands
        self.bound = bound
        self.waiting = 0
        self.links: dict[Link, None] = {}
        self.queues: dict[str, ApplicationQueue] = {}
        self.crowded = False

    # ── Exchanges come and go ────────────────────────────────────────────────────────────────────

    def submit(self, exchange: Exchange, queue: ApplicationQueue, now: float) -> None:
        """Take in an exchange: an idle link gets it at once, else it waits, unless too many do already."""
        exchange.queue = queue
        if queue.idle:  # so nothing waits
            link, _ = queue.idle.popitem(last=False)
            self._assign(link, exchange, now)
        elif len(queue.waiting) + len(queue.returned) >= queue.bound or (  # len(queue) takes twice as long
            exchange.size and not queue.has_room_for(exchange.size)
        ):
            self._fail(exchange, x.QUEUE_FULL)
        elif self.waiting >= self.bound:
            self._fail(exchange, x.QUEUES_FULL)
        else:
            exchange.deadline = now + queue.wait_timeout
            queue.waiting[exchange] = None
            if exchange.size:
                queue.size += exchange.size
            self.waiting += 1

    def release(self, link: Link, exchange: Exchange, now: float) -> None:
        """Note that the worker has answered an exchange in full, and give it the next."""
        exchange.standing = Standing.ANSWERED
        exchange.link = None
        queue = exchange.queue
        queue.served += 1
        link.served += 1
        service = now - link.front_since
        queue.service += (service - queue.service) * SMOOTHING
        if service > FAST:
            link.window = 1
        elif link.window < link.largest_window and queue.waiting:
            link.window += 1
        self._free(link, exchange, now)

    def refuse(self, link: Link, exchange: Exchange, now: float) -> None:
        """Take back an exchange that the worker has not begun."""
        queue = exchange.queue
        exchange.refusals += 1
        if link.draining or exchange.refusals <= len(queue.links):
            self._put_back(exchange, now)
            self._hand_out(queue, now)  # before this link is free: another one may want it
        else:  # every worker there is may have had it
            self._fail(exchange, x.NO_WORKER)
        self._free(link, exchange, now)

    def discard(self, link: Link, exchange: Exchange, now: float) -> None:
        """Note that the worker has settled an exchange for which nobody waits."""
        self._free(link, exchange, now)

    def abandon(self, exchange: Exchange) -> None:
        """Forget an exchange whose client has left: it is not run, or cancelled if it runs."""
        if exchange.standing is Standing.WAITING:
            self._remove(exchange)
        elif exchange.link is not None:
            self._hands.cancel(exchange.link, exchange)
            exchange.link = None
        else:
            return
        exchange.standing = Standing.ABANDONED

    def spoil(self, exchange: Exchange) -> None:
        """Fail an exchange whose worker gave an answer that cannot be passed on."""
        link = exchange.link
        if link is not None:
            self._hands.cancel(link, exchange)
            self._fail(exchange, x.WORKER_BROKE)

    # ── Links come and go ────────────────────────────────────────────────────────────────────────

    def join(self, link: Link, queues: Iterable[ApplicationQueue], now: float) -> None:
        """Take in a link that serves ``queues``, and give it work."""
        link.queues = tuple(queues)
        link.joined = now
        self.links[link] = None
        for queue in link.queues:
            queue.links[link] = None
            queue.serving += 1
            queue.forgotten_at = float("inf")
            queue.lost_at = None
            queue.missing = max(0, queue.missing - 1)
        self._employ(link, now)

    def drain(self, link: Link, now: float) -> None:
        """Give a link nothing new; close it when it holds nothing."""
        if link not in self.links or link.draining:
            return
        link.draining = True
        for queue in link.queues:
            queue.serving -= 1
        if not link.held:
            self._part(link, now)

    def leave(self, link: Link, now: float, unsent: Collection[Exchange] = ()) -> None:
        """Settle what a link held that is gone.

        Args:
            link: the link; one that has already left is ignored.
            now: the time.
            unsent: the exchanges of which no byte was sent: their worker has not begun them.
        """
        if link not in self.links:
            return
        self._forget(link, now, lost=True)
        for exchange in reversed(link.held):
            if exchange.link is not link:
                continue
            if exchange in unsent:
                self._put_back(exchange, now)
                continue
            exchange.losses += 1
            if self._may_retry(exchange):
                self._put_back(exchange, now)
            else:
                self._fail(exchange, x.WORKER_DIED)
        link.held.clear()
        for queue in link.queues:
            self._hand_out(queue, now)

    # ── Time passes ──────────────────────────────────────────────────────────────────────────────

    def expire(self, now: float) -> None:
        """Fail what has waited too long, cut off links that have been silent for too long."""
        for queue in self.queues.values():
            for exchange in list(queue.overdue(now)):
                self._remove(exchange)
                exchange.standing = Standing.EXPIRED
                queue.failed += 1
                self._hands.fail(exchange, x.NO_WORKER)
        for link in list(self.links):
            if link.held and not link.paused:
                front = link.front()
                if now - link.quiet_since > front.queue.request_timeout:
                    self._cut_off(link, front, now)

    def relieve(self, now: float) -> None:
        """Take back what waits behind an exchange that overruns, and give it to other links."""
        self.crowded = False
        for link in self.links:
            if len(link.held) < 2:
                continue
            self.crowded = True
            if now - link.front_since > OVERRUN:
                link.window = 1
                self._take_back(link, now)

    def forget_applications(self, now: float) -> list[ApplicationQueue]:
        """Return, and forget, the applications that nothing configures and no worker serves any more."""
        gone = [queue for queue in self.queues.values() if queue.forgotten_at <= now and not len(queue)]
        for queue in gone:
            del self.queues[queue.name]
        return gone

    # ── Decisions behind the decisions ───────────────────────────────────────────────────────────

    def _assign(self, link: Link, exchange: Exchange, now: float) -> None:
        waited = now - exchange.arrived if exchange.attempt == 0 else now - exchange.assigned
        exchange.waited += waited
        queue = exchange.queue
        queue.wait += (waited - queue.wait) * SMOOTHING
        exchange.standing = Standing.ASSIGNED
        exchange.link = link
        exchange.attempt += 1
        exchange.assigned = now
        if link.held:
            self.crowded = True
        else:
            link.front_since = link.quiet_since = now
            if len(link.queues) > 1:
                for other in link.queues:
                    other.idle.pop(link, None)
        link.held[exchange] = None
        self._hands.assign(link, exchange)

    def _free(self, link: Link, exchange: Exchange, now: float) -> None:
        """Free an exchange's place on a link, and fill it."""
        if link.front() is exchange:  # one settled out of turn says nothing about the one in front
            link.front_since = link.quiet_since = now
        del link.held[exchange]
        if not link.draining:
            self._employ(link, now)
        elif not link.held:
            self._part(link, now)

    def _employ(self, link: Link, now: float) -> None:
        """Give a link as much work as it may hold now; with none it becomes idle."""
        queues = link.queues
        while True:
            queue = queues[0] if len(queues) == 1 else min(queues, key=_age_of_head)
            exchange = queue.head()
            if exchange is None or not self._may_take(link, exchange):
                break
            self._remove(exchange)
            self._assign(link, exchange, now)
        if not link.held:
            for queue in queues:
                queue.idle[link] = None

    def _may_take(self, link: Link, exchange: Exchange) -> bool:
        held = link.held
        if not held:
            return True
        if len(held) >= link.window or not exchange.safe or exchange.losses or exchange.body is not None:
            return False
        return exchange not in held and not link.front().losses

    def _hand_out(self, queue: ApplicationQueue, now: float) -> None:
        """Give waiting exchanges to idle links."""
        while queue.idle and (exchange := queue.head()) is not None:
            self._remove(exchange)
            link, _ = queue.idle.popitem(last=False)
            self._assign(link, exchange, now)

    def _may_retry(self, exchange: Exchange) -> bool:
        """Whether an exchange goes to another link although its worker may have begun it."""
        if not exchange.safe or exchange.begun or exchange.losses >= LOSSES:
            return False
        queue = exchange.queue
        return queue.retries.take(queue.served + queue.failed)

    def _put_back(self, exchange: Exchange, now: float) -> None:
        """Let an exchange wait again, before all that have not been on a link."""
        queue = exchange.queue
        exchange.standing = Standing.WAITING
        exchange.link = None
        exchange.assigned = now
        exchange.deadline = now + queue.wait_timeout - exchange.waited
        queue.returned[exchange] = None
        queue.returned.move_to_end(exchange, last=False)
        queue.size += exchange.size
        self.waiting += 1

    def _remove(self, exchange: Exchange) -> None:
        """Take an exchange out of its queue, wherever it waits there."""
        queue = exchange.queue
        if exchange in queue.waiting:
            del queue.waiting[exchange]
        else:
            del queue.returned[exchange]
        if exchange.size:
            queue.size -= exchange.size
        self.waiting -= 1

    def _take_back(self, link: Link, now: float) -> None:
        """Take back what is behind the front, save answers that a worker with threads has begun."""
        front = link.front()
        for exchange in reversed(link.held):
            if exchange.link is link and exchange is not front and not exchange.begun:
                self._hands.cancel(link, exchange)
                self._put_back(exchange, now)
        for queue in link.queues:
            self._hand_out(queue, now)

    def _cut_off(self, link: Link, front: Exchange, now: float) -> None:
        if front.link is link:
            self._fail(front, x.WORKER_HUNG)
        self.leave(link, now)
        self._hands.close(link, "it was silent for longer than request_timeout")

    def _fail(self, exchange: Exchange, failure: Failure) -> None:
        exchange.standing = Standing.ANSWERED
        exchange.link = None
        exchange.queue.failed += 1
        self._hands.fail(exchange, failure)

    def _part(self, link: Link, now: float) -> None:
        """Let a link go that said goodbye and holds nothing."""
        self._forget(link, now, lost=False)
        self._hands.close(link, "it has drained")

    def _forget(self, link: Link, now: float, lost: bool) -> None:
        del self.links[link]
        for queue in link.queues:
            del queue.links[link]
            queue.idle.pop(link, None)
            queue.serving -= not link.draining
            queue.missing += lost and not link.draining
            if lost and not queue.serving:
                queue.lost_at = now
            if not queue.links and not queue.configured:
                queue.forgotten_at = now + MEMORY


def _age_of_head(queue: ApplicationQueue) -> float:
    """When the exchange arrived whose turn it is; never, if none waits."""
    head = queue.head()
    return float("inf") if head is None else head.arrived
