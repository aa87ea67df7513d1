"""The front: what becomes of a request, and the hands of the broker.

An application with workers gets it. Without one a static file answers, if there is one; else an application
that is known waits for a worker to come back, and what nobody knows is not found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import structlog

from dispatcher.broker import MEMORY, ApplicationQueue, Broker, Link
from dispatcher.exchange import LEAVING, WORKER_BROKE, Exchange, Failure
from dispatcher.gate import Gate
from dispatcher.keyring import Keyring
from dispatcher.recollection import Recollection
from dispatcher.routes import Routes
from dispatcher.settings import ApplicationSettings
from dispatcher.storage import Storage
from protocol.errors import RejectedError
from protocol.heads import read_request_head
from protocol.registration import Claim, RegistrationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.accesslog import AccessLog
    from dispatcher.framing import BadRequest
    from dispatcher.http import HttpConnection
    from dispatcher.settings import Limits
    from dispatcher.static import StaticFiles
    from dispatcher.workers import WorkerConnection
    from protocol.registration import Registration

log = structlog.get_logger()

GRACE: Final = 1.0
"""Seconds for which a leaving dispatcher waits for another request on an idle connection."""

UNCONFIGURED: Final = ApplicationSettings()

MOST_HOPS: Final = 10
"""Most times that programs may send one request on to another path: more would be a circle."""

NOT_FOUND: Final = Failure(404, "There is nothing at this address.")


class Fields(Mapping[str, str]):
    """The fields of a request; those that came more than once are joined (RFC 9110 §5.3).

    They are read when the first of them is asked for, because most paths have no file that could ask.
    """

    __slots__ = ("_fields", "_head")

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._fields: dict[str, str] | None = None

    def _read(self) -> dict[str, str]:
        if self._fields is None:
            self._fields = {}
            for name, value in read_request_head(self._head):
                earlier = self._fields.get(name)
                self._fields[name] = value if earlier is None else f"{earlier}, {value}"
        return self._fields

    def __getitem__(self, name: str) -> str:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


class Front:
    """Takes in requests and workers, and brings them together.

    Attributes:
        storage: where bodies wait.
        broker: who decides.
        routes: which application serves which path.
        connections: the clients' connections.
        links: the workers' connections.
        requests: how many requests have been answered.
        gate: who lets strangers in at the link ports.
        keyring: what workers must prove to know.
        leaving: whether nothing new is taken.
        crowded: set when a link holds more than one exchange, which may have to be taken back from it.
        done: set when, after that, the last client's connection has ended.
        deserted: set when, after that, the last worker's connection has ended.
        most_connections: how many clients may be connected at once.
    """

    def __init__(
        self,
        limits: Limits,
        applications: Mapping[str, ApplicationSettings],
        static: StaticFiles | None = None,
        access_log: AccessLog | None = None,
        keyring: Keyring | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.storage = Storage(limits)
        self.heartbeat: float = limits.heartbeat
        self.now = clock
        self.broker = Broker(self, limits.queue_all)
        self.routes = Routes()
        self.connections: set[HttpConnection] = set()
        self.links: set[WorkerConnection] = set()
        self.gate = Gate()
        self.keyring = Keyring() if keyring is None else keyring
        self.leaving = False
        self.requests = 0
        self.date = b""
        self.most_connections: float = limits.connections or float("inf")
        self.crowded = asyncio.Event()
        self.done = asyncio.Event()
        self.deserted = asyncio.Event()
        self._recollection = Recollection()
        self._by_address: dict[str, int] = {}
        self._static = static
        self._access_log = access_log
        self._applications = applications
        self._configured: set[Claim] = set()
        for name, settings in applications.items():
            queue = self._queue(name)
            for claim in _claims(name, settings):
                self._claim(queue, claim)
                self._configured.add(claim)

    def recall(self, recollection: Recollection) -> None:
        """Know what the dispatchers before us knew, as if its workers had been lost just now."""
        self._recollection = recollection
        for claim in recollection.claims:
            try:
                self.routes.check(claim, claim.name)
            except RegistrationError:  # what is configured now counts for more
                continue
            queue = self._queue(claim.name)
            if claim not in queue.claims:
                self.routes.add(claim, queue)
                queue.claims[claim] = 0
            queue.lost_at = self.now()
            if not queue.configured:
                queue.forgotten_at = self.now() + MEMORY

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────

    @property
    def closing(self) -> bool:
        """Whether connections are to end with their next answer."""
        return self.leaving

    def admit(self, connection: HttpConnection) -> bool:
        """Take a new connection in, or say that there are too many."""
        self.connections.add(connection)
        if self.leaving:
            self.done.clear()
            connection.hurry(self.now() + GRACE)
        count = self._count(connection, 1)
        most = self.limits.connections_per_address
        return len(self.connections) <= self.most_connections and (not most or count <= most)

    def gone(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self._count(connection, -1)
        if self.leaving and not self.connections:
            self.done.set()

    def _count(self, connection: HttpConnection, change: int) -> int:
        """Return how many connections the client's address has, if there is a bound to that."""
        if not self.limits.connections_per_address or connection.is_shared:
            return 0
        address = connection.peer.rpartition(":")[0]
        self._by_address[address] = count = self._by_address.get(address, 0) + change
        if not count:
            del self._by_address[address]
        return count

    def handle(self, exchange: Exchange) -> None:
        """Give a request to its application, to a static file, or turn it away."""
        queue = self.routes.find(exchange.host, exchange.path)
        if queue is not None and queue.serving:
            exchange.application = queue.name
            self.broker.submit(exchange, queue, exchange.arrived)
        elif self._answer_with_file(exchange, queue):
            pass
        elif queue is None:
            exchange.client.fail(NOT_FOUND)
        elif self.leaving:
            exchange.client.fail(LEAVING)
        else:
            exchange.application = queue.name
            self.broker.submit(exchange, queue, exchange.arrived)

    def _answer_with_file(self, exchange: Exchange, queue: ApplicationQueue | None) -> bool:
        """Answer with a static file if that is right and there is one.

        Where an application is known, a file stands in for it, and so does only what a file can: it answers
        GET and HEAD. A worker that was lost without a goodbye will be back soon, and is waited for.
        """
        if self._static is None:
            return False
        if queue is not None and (queue.lost_at is not None or exchange.method not in {"GET", "HEAD"}):
            return False
        path = exchange.target.partition(b"?")[0].decode("latin-1")
        answer = self._static.find(exchange.method, path, Fields(exchange.head))
        if answer is None:
            return False
        exchange.client.respond_file(answer)
        return True

    def send_on(self, exchange: Exchange, location: str) -> None:
        """Answer a request with another path of this server, as the program that was asked says.

        It goes there as a GET without a body (RFC 3875 §6.2.2), or as the HEAD that it was.
        """
        exchange.go_to(location)
        if exchange.hops > MOST_HOPS:
            exchange.client.fail(WORKER_BROKE)
        else:
            self.handle(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """Forget an exchange whose client has left."""
        self.broker.abandon(exchange)

    def finished(self, exchange: Exchange, status: int, sent: int) -> None:
        """Count an answer and write its line."""
        self.requests += 1
        if self._access_log is not None:
            self._access_log.note(exchange, status, sent, self.now())

    def refused(self, peer: str, error: BadRequest) -> None:
        """Count a request that was refused before it became an exchange."""
        self.requests += 1
        if self._access_log is not None:
            self._access_log.note_refusal(peer, error)

    # ── Workers ──────────────────────────────────────────────────────────────────────────────────

    def enlist(self, connection: WorkerConnection, registration: Registration) -> None:
        """Let a registered worker serve its applications.

        Raises:
            RegistrationError: two applications would serve one path.
            RejectedError: we are leaving.
        """
        claims = registration.applications
        if self.leaving and not any(self._is_waited_for(claim.name) for claim in claims):
            raise RejectedError("draining", "this dispatcher is stopping")
        self._check(claims)
        self._check_rights(claims, connection.secret)
        twin = self._find_twin(registration)
        if twin is not None:
            twin.fence()
        queues = {claim.name: self._queue(claim.name) for claim in claims}
        for claim in claims:
            self._claim(queues[claim.name], claim)
        for queue in queues.values():
            self._release(queue, [claim for claim, count in queue.claims.items() if not count])
        link = Link(_name_of(registration), registration.window, connection)
        connection.accept(link, registration)
        self.broker.join(link, queues.values(), self.now())
        for claim in claims:
            self._recollection.note(claim)

    def _find_twin(self, registration: Registration) -> WorkerConnection | None:
        """Return the link that is registered as the same instance, and is to make room.

        Raises:
            RegistrationError: it serves what the new link does not, for which no right has been proved.
        """
        for other in self.links:
            if other.link not in self.broker.links or other.registration is None:
                continue
            if other.registration.instance != registration.instance:
                continue
            names = {claim.name for claim in registration.applications}
            if not names.issuperset(claim.name for claim in other.registration.applications):
                raise RegistrationError(
                    f"the instance {registration.instance} is registered for other applications:"
                    " give each worker one of its own"
                )
            return other
        return None

    def _is_waited_for(self, name: str) -> bool:
        """Whether a request that we have accepted waits for a worker of this application."""
        queue = self.broker.queues.get(name)
        return queue is not None and len(queue) > 0

    def _check(self, claims: Iterable[Claim]) -> None:
        """Raise RegistrationError if two applications would serve one path.

        One that is only remembered, since its workers have left, gives its path up to one that has a worker.
        """
        wanted: dict[tuple[str, str], str] = {}
        for claim in claims:
            name = wanted.setdefault((claim.host, claim.path), claim.name)
            if name != claim.name:
                raise RegistrationError(
                    f"{claim.path} cannot be served by both {name} and {claim.name}: choose another path"
                )
        for queue in self.broker.queues.values():
            if not queue.links and not queue.configured:
                stale = [c for c in queue.claims if wanted.get((c.host, c.path), c.name) != c.name]
                self._release(queue, stale)
        for claim in claims:
            self.routes.check(claim, claim.name)

    def _check_rights(self, claims: Iterable[Claim], secret: bytes | None) -> None:
        """Raise RegistrationError if a worker would take requests that it may not answer.

        The longest path wins, so a path below another takes from it. Where the configuration has said that
        it should, it may.
        """
        if not self.keyring.own:
            return
        for claim in claims:
            if claim in self._configured:
                continue
            for loser in self.routes.losers(claim):
                if loser.name != claim.name and self.keyring.shuts_out(secret, loser.name):
                    raise RegistrationError(
                        f"{claim.path} would take requests from {loser.name}, which has a secret of its own:"
                        f" choose another path for {claim.name}, or write this one into the dispatcher's"
                        f" [applications.{claim.name}]"
                    )

    def use(self, keyring: Keyring) -> None:
        """Have other secrets be valid from now on.

        Links that were proved with one that is valid no more get nothing new, and end when they hold nothing.
        """
        self.keyring = keyring
        for connection in list(self.links):
            link, registration = connection.link, connection.registration
            if link is None or registration is None:
                continue
            if not keyring.opens(connection.secret, registration.applications):
                log.warning("secret withdrawn", link=link.name, peer=connection.peer)
                self.broker.drain(link, self.now())

    def dismiss(self, connection: WorkerConnection) -> None:
        """Forget a worker's connection, and take back what the worker was registered for.

        The paths of an application without workers stay known, until it is forgotten itself.
        """
        self.links.discard(connection)
        if self.leaving and not self.links:
            self.deserted.set()
        if connection.registration is None:
            return
        for claim in connection.registration.applications:
            queue = self.broker.queues.get(claim.name)
            if queue is None or claim not in queue.claims:
                continue
            queue.claims[claim] -= 1
            if not queue.claims[claim] and queue.links:
                self._release(queue, [claim])

    def _release(self, queue: ApplicationQueue, claims: Iterable[Claim]) -> None:
        for claim in claims:
            del queue.claims[claim]
            self.routes.remove([claim])

    def _queue(self, name: str) -> ApplicationQueue:
        queue = self.broker.queues.get(name)
        if queue is None:
            settings = self._applications.get(name, UNCONFIGURED)
            limits = self.limits
            queue = self.broker.queues[name] = ApplicationQueue(
                name,
                limits.queue if settings.queue is None else settings.queue,
                limits.wait_timeout if settings.wait_timeout is None else settings.wait_timeout,
                limits.request_timeout if settings.request_timeout is None else settings.request_timeout,
                name in self._applications,
                limits.queue_size if settings.queue_size is None else settings.queue_size,
            )
        return queue

    def _claim(self, queue: ApplicationQueue, claim: Claim) -> None:
        if claim not in queue.claims:
            self.routes.add(claim, queue)
        queue.claims[claim] = queue.claims.get(claim, 0) + 1

    # ── The broker's hands ───────────────────────────────────────────────────────────────────────

    def assign(self, link: Link, exchange: Exchange) -> None:
        """Send the request over the link."""
        exchange.worker = link.name
        link.wire.assign(exchange)
        if len(link.held) > 1:
            self.crowded.set()

    def cancel(self, link: Link, exchange: Exchange) -> None:
        """Tell the worker that nobody waits for this exchange any more."""
        link.wire.cancel(exchange)

    def fail(self, exchange: Exchange, failure: Failure) -> None:
        """Answer in the worker's stead."""
        exchange.client.fail(failure)

    def close(self, link: Link, reason: str) -> None:
        """Close the link."""
        link.wire.close(reason)

    # ── Time passes ──────────────────────────────────────────────────────────────────────────────

    def tick(self, now: float) -> None:
        """Do what a few times a second is often enough for: deadlines, heartbeats, logs, the date."""
        self.broker.expire(now)
        for queue in self.broker.forget_applications(now):
            self.routes.remove(queue.claims)
        if self.leaving:  # those whose answer had begun before have not been told to close
            for connection in self.connections:
                connection.hurry(now + GRACE)
        for connection in [c for c in self.connections if c.deadline <= now]:
            connection.overdue(now)
        for link in list(self.links):
            link.beat(now)
        for report in self.gate.report(now):
            log.warning(str(report))
        self.tell_time()

    def relieve(self, now: float) -> None:
        """Take back what waits behind slow requests; to be called every few milliseconds while crowded."""
        self.broker.relieve(now)
        if self.broker.crowded:
            self.crowded.set()

    def tell_time(self) -> None:
        """Renew the date of answers and of the access log."""
        self.date = b"Date: " + formatdate(usegmt=True).encode("ascii") + b"\r\n"
        if self._access_log is not None:
            self._access_log.stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z")
            self._access_log.flush()

    def leave(self, now: float) -> None:
        """Take nothing new: connections end with their next answer, idle ones after a moment.

        The moment is for requests that are on their way: a connection that is closed under them looks
        to its client like a request that was lost.
        """
        self.leaving = True
        for connection in self.connections:
            connection.hurry(now + GRACE)
        if not self.connections:
            self.done.set()
        if not self.links:
            self.deserted.set()


def _claims(name: str, settings: ApplicationSettings) -> list[Claim]:
    return [Claim(name, settings.host.lower(), path) for path in settings.path or (f"/{name}",)]


def _name_of(registration: Registration) -> str:
    return dict(registration.labels).get("label", registration.instance)
