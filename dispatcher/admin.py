"""The admin listener: /live, /ready and /status, on an address of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from dispatcher.exchange import Failure
from protocol.heads import ResponseHead

if TYPE_CHECKING:
    from dispatcher.broker import ApplicationQueue
    from dispatcher.exchange import Exchange
    from dispatcher.framing import BadRequest
    from dispatcher.front import Front
    from dispatcher.http import HttpConnection
    from dispatcher.settings import Limits
    from dispatcher.workers import WorkerConnection

JSON: Final = ResponseHead(
    b"Content-Type: application/json\r\nCache-Control: no-store\r\n", None, False, False
)
NOT_FOUND: Final = Failure(404, "The admin pages are /live, /ready and /status.")
NOT_ALLOWED: Final = ResponseHead(
    b"Content-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\n", None, False, False
)


class Admin:
    """The site of the admin listener; it tells how its dispatcher is and changes nothing."""

    closing = False

    def __init__(self, front: Front, limits: Limits, address: str) -> None:
        self.limits = limits
        self.storage = front.storage
        self.connections: set[HttpConnection] = set()
        self.now = front.now
        self._front = front
        self._address = address
        self._started = front.now()

    @property
    def date(self) -> bytes:
        """The Date field, renewed every second."""
        return self._front.date

    def admit(self, connection: HttpConnection) -> bool:
        """Take every connection in: there are few who can reach this listener."""
        self.connections.add(connection)
        return True

    def gone(self, connection: HttpConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)

    def abandon(self, exchange: Exchange) -> None:
        """Every exchange has been answered when this is asked."""

    def finished(self, exchange: Exchange, status: int, sent: int) -> None:
        """Admin requests are not in the access log."""

    def refused(self, peer: str, error: BadRequest) -> None:
        """Admin requests are not in the access log."""

    def handle(self, exchange: Exchange) -> None:
        """Answer one of the three pages."""
        page = {"/live": self._live, "/ready": self._ready, "/status": self._status}.get(exchange.path)
        if page is None:
            exchange.client.fail(NOT_FOUND)
        elif exchange.method not in {"GET", "HEAD"}:
            exchange.client.respond(405, NOT_ALLOWED, b"The admin pages are read with GET.\n", True)
        else:
            status, content = page()
            exchange.client.respond(status, JSON, json.dumps(content).encode() + b"\n", True)

    def tick(self, now: float) -> None:
        """End connections whose time is up."""
        for connection in [c for c in self.connections if c.deadline <= now]:
            connection.overdue(now)

    def _live(self) -> tuple[int, Any]:
        return 200, {"live": True}

    def _ready(self) -> tuple[int, Any]:
        """Whether every configured application has a free worker, and who has none."""
        queues = self._front.broker.queues.values()
        missing = [queue.name for queue in queues if queue.configured and not queue.idle]
        ready = not missing and not self._front.leaving
        return 200 if ready else 503, {"ready": ready, "without_free_worker": missing}

    def _state(self) -> str:
        """Say how the dispatcher is: degraded, if workers were lost and no others have come instead."""
        if self._front.leaving:
            return "draining"
        is_whole = not any(queue.missing for queue in self._front.broker.queues.values())
        return "serving" if is_whole else "degraded"

    def _status(self) -> tuple[int, Any]:
        front = self._front
        now = front.now()
        return 200, {
            "state": self._state(),
            "uptime": round(now - self._started, 3),
            "http": {
                "address": self._address,
                "connections": len(front.connections),
                "requests": front.requests,
            },
            "bodies": {"memory": front.storage.memory.used, "disk": front.storage.disk.used},
            "gate": {
                "strangers": front.gate.strangers,
                "refused": front.gate.refused,
                "turned_away": front.gate.turned_away,
                "recently": front.gate.recent(),
            },
            "applications": [_application(queue) for queue in front.broker.queues.values()],
            "links": [_link(link, now) for link in front.links if link.link in front.broker.links],
        }


def _application(queue: ApplicationQueue) -> dict[str, Any]:
    busy = sum(1 for link in queue.links if link.held)
    return {
        "name": queue.name,
        "paths": sorted({claim.path for claim in queue.claims}),
        "host": ", ".join(sorted({claim.host for claim in queue.claims} - {""})),
        "links": len(queue.links),
        "missing": queue.missing,
        "idle": len(queue.idle),
        "busy": busy,
        "waiting": len(queue),
        "served": queue.served,
        "failed": queue.failed,
        "service_ms": round(queue.service * 1000, 3),
        "wait_ms": round(queue.wait * 1000, 3),
    }


def _link(connection: WorkerConnection, now: float) -> dict[str, Any]:
    link, registration = connection.link, connection.registration
    assert link is not None  # noqa: S101 - the caller has looked
    assert registration is not None  # noqa: S101 - it comes with the link
    return {
        "instance": registration.instance,
        "label": link.name,
        "peer": connection.peer,
        "state": link.state,
        "applications": [queue.name for queue in link.queues],
        "held": len(link.held),
        "window": link.window,
        "served": link.served,
        "since": round(now - link.joined, 3),
    }
