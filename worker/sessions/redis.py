"""Sessions in Redis, which forgets them by itself when they expire.

A hold is a second key with a random token, set only if it is not there (SET NX PX). What belongs together is
done in scripts, because Redis runs each of them as one step.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import HttpError
from worker.sessions.store import LEASE, PATIENCE, Held, SessionLostError, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.commands.core import Script

log = structlog.get_logger()

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for Redis to answer; what it does here takes less than a millisecond."""

CONNECT_TIMEOUT: Final = 2.0
"""Seconds for Redis to accept a connection."""

_TAKE: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('HMGET', KEYS[1], 'text', 'expires')
"""
_PUT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[3], 'text', ARGV[2], 'expires', ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 1
"""
_ADD: Final = """
redis.call('HSET', KEYS[1], 'text', ARGV[1], 'expires', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
_REMOVE: Final = "redis.call('DEL', KEYS[1], KEYS[2])"
_RELEASE: Final = """
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
"""


class _Thread(threading.local):
    """What one thread has."""

    client: redis.Redis | None = None


class RedisStore:
    """Keeps sessions in Redis.

    Args:
        url: ``redis://host:6379/0``, ``rediss://…`` over TLS, or ``unix:///path``.
        patience: most seconds to wait for a session that another request holds.
        lease: seconds after which a hold ends by itself.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE, lease: float = LEASE) -> None:
        self._url = url
        self._patience = patience
        self._lease = round(lease * 1000)
        self._thread = _Thread()
        anybody = self._new_client()  # scripts know a client, which never connects
        self._take, self._put, self._add, self._remove, self._release = (
            anybody.register_script(script) for script in (_TAKE, _PUT, _ADD, _REMOVE, _RELEASE)
        )

    def __repr__(self) -> str:
        return "<RedisStore>"

    def take(self, key: str, now: float) -> Held | None:  # noqa: ARG002 - Redis has a clock of its own
        """Return a session and hold it; None if there is none."""
        token = secrets.token_hex(8)
        found: Sequence[str] = wait_for(
            lambda: self._run(self._take, _names(key), token, self._lease), self._patience
        )
        return Held(key, found[0], float(found[1]), token) if found else None

    def put(self, held: Held, key: str, text: str, expires: float, now: float) -> None:
        """Keep new values and let go."""
        names = [*_names(held.key), _names(key)[0]]
        if not self._run(self._put, names, held.token, text, expires, _milliseconds(expires - now)):
            raise SessionLostError

    def add(self, key: str, text: str, expires: float, now: float) -> None:
        """Keep a session that is new."""
        self._run(self._add, _names(key)[:1], text, expires, _milliseconds(expires - now))

    def remove(self, held: Held) -> None:
        """Delete a session, whoever holds it."""
        self._run(self._remove, _names(held.key))

    def release(self, held: Held) -> None:
        """Let go of a session as it was."""
        self._run(self._release, _names(held.key), held.token)

    def sweep(self, now: float) -> None:
        """Leave it to Redis."""

    def close(self) -> None:
        """Close this thread's connection."""
        client, self._thread.client = self._thread.client, None
        if client is not None:
            client.close()

    def _run(self, script: Script, names: Sequence[str], *arguments: str | float) -> Any:
        """Run a script.

        Raises:
            HttpError: 503, Redis is not there.
        """
        client = self._thread.client
        if client is None:
            client = self._thread.client = self._new_client()
        try:
            return script(keys=names, args=arguments, client=client)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.error("Redis lost", reason=str(error))
            raise HttpError(
                503, "Sessions cannot be reached at the moment.", [("Retry-After", "1")]
            ) from None

    def _new_client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self._url,
            decode_responses=True,
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            # Connections are looked at before they are used. What breaks later may have been done already.
            retry=Retry(NoBackoff(), 0),
        )


def _names(key: str) -> list[str]:
    """Return the keys of a session and of its hold; the braces keep both on one server of a cluster."""
    return [f"lrwp:session:{{{key}}}", f"lrwp:session:{{{key}}}:held"]


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
