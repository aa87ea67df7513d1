"""One run of a load: opens the channels, gives them requests as these are due, and sees to the end."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lrwp.load.alarm import LoopAlarm, TimerAlarm, open_alarm
from lrwp.load.answers import AnswerReader, BodyReader, HeadAnswerReader
from lrwp.load.channel import Channel, Connection
from lrwp.load.tally import Tally
from protocol.errors import LrwpError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lrwp.load.pacing import Pace
    from lrwp.load.target import Request, Target

TICK: Final = 0.05
"""Seconds between two looks at what has no event of its own: deadlines, the end of the time, the progress."""

OPENING: Final = 64
"""How many connections are opened at once before the clock starts: half of a short listen queue."""

SEARCHED: Final = 1024 * 1024
"""How many bytes of a body are kept to be shown."""

_SPARE_FILES: Final = 32
"""File descriptors that are in use beside the connections: standard streams, the event loop, libraries."""


class UnreachableError(LrwpError):
    """No connection to the server could be opened before the run began."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        target: where requests go.
        request: what is sent.
        connections: how many channels there are.
        timeout: seconds from sending a request to the last byte of its answer; also for opening a connection.
    """

    target: Target
    request: Request
    connections: int
    timeout: float


class Run:
    """A run: create it, await :meth:`run`, read its tally.

    Args:
        plan: what to do.
        pace: when to send.
        show: is given the number of the channel and the body of each answer.
        watch: is called every :data:`TICK` with the time since the start, in seconds.

    Attributes:
        plan, pace, show, watch: as given; the last two may still be set before it begins.
        tally: what happened until now.
        seconds: how long the run took, when it is over.
        cpu: the CPU time that this process used in it, in seconds.
    """

    def __init__(
        self,
        plan: Plan,
        pace: Pace,
        *,
        show: Callable[[int, bytes], None] | None = None,
        watch: Callable[[float], None] | None = None,
    ) -> None:
        self.plan = plan
        self.pace = pace
        self.show = show
        self.tally = Tally()
        self.seconds = 0.0
        self.cpu = 0.0
        # What each request needs, one attribute away for the channels.
        self.now = time.perf_counter
        self.take = pace.take
        self.payload = plan.request.payload
        self.is_safe = plan.request.is_safe
        self.watch = watch
        self._channels = [Channel(self, number + 1) for number in range(plan.connections)]
        self._resting: deque[Channel] = deque()
        self._address = (plan.target.host, plan.target.port)
        self._tls = _trust() if plan.target.is_secure else None
        self._alarm: TimerAlarm | LoopAlarm | None = None
        self._alarm_due: float | None = None
        self._opening: asyncio.Future[None] | None = None
        self._is_stopped = False
        self._end: asyncio.Future[float] | None = None

    async def run(self) -> None:
        """Do it all; returns when each request that was begun is answered, failed or abandoned.

        Raises:
            UnreachableError: the server cannot be reached at all.
            SettingsError: there may not be so many connections.
        """
        _allow_files(self.plan.connections)
        self._opening = asyncio.ensure_future(self._open())
        try:
            await self._opening
            await self._send_all()
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
        finally:
            await self._close()

    def stop(self) -> None:
        """End the run now: nothing more is sent, and what is in flight is abandoned."""
        self._is_stopped = True
        self.pace.stop()
        if self._opening is not None:
            self._opening.cancel()
        for channel in self._channels:
            channel.abandon()

    async def connect(self, channel: Channel) -> None:
        """Open a connection for ``channel``.

        Raises:
            OSError: it cannot be opened.
        """
        host, port = self._address
        await asyncio.get_running_loop().create_connection(
            lambda: Connection(channel, self._new_reader()),
            host,
            port,
            ssl=self._tls,
            server_hostname=self.plan.target.host if self._tls else None,
        )

    def rest(self, channel: Channel, now: float) -> None:
        """Let ``channel`` wait until a request is due; the run is over when all wait and none will be."""
        self._resting.append(channel)
        self._set_alarm(now)
        self._end_if_over(now)

    def _new_reader(self) -> AnswerReader:
        if self.plan.request.method == "HEAD":
            return HeadAnswerReader()
        return AnswerReader() if self.show is None else BodyReader(SEARCHED)

    async def _open(self) -> None:
        await self._reach()
        gate = asyncio.Semaphore(OPENING)

        async def open_one(channel: Channel) -> None:
            async with gate:
                # If it fails now, it is tried again when its first request is due, and counted then.
                await channel.open()

        await asyncio.gather(*map(open_one, self._channels[1:]))

    async def _reach(self) -> None:
        """Open the first connection; the address that it was opened to serves all others."""
        target = self.plan.target
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except OSError:
            raise UnreachableError(
                f"cannot reach {target.url}: no address is known for {target.host}"
            ) from None
        errors = []
        for *_, address in found:
            self._address = (str(address[0]), int(address[1]))
            error = await self._channels[0].open()
            if error is None:
                return
            errors.append(error)
        raise UnreachableError(f"cannot reach {target.url}: {_explain(errors[-1])}")

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        start, cpu = self.now(), time.process_time()
        self.pace.start(start)
        if self.pace.next_due() is not None:
            self._alarm = open_alarm(loop, self._wake)
        ticking = loop.create_task(self._tick(start))
        for channel in self._channels:
            channel.proceed()
        try:
            end = await self._end
        finally:
            ticking.cancel()
        self.seconds = max(end - start, self.pace.span())
        self.cpu = time.process_time() - cpu

    async def _tick(self, start: float) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = self.now()
            for channel in self._channels:
                channel.expire(now)
            self._end_if_over(now)
            if self.watch is not None:
                self.watch(now - start)

    def _end_if_over(self, now: float) -> None:
        if len(self._resting) < len(self._channels) or not self.pace.is_over(now):
            return
        if self._end is not None and not self._end.done():
            self._end.set_result(now)

    def _wake(self) -> None:
        """Give what is due to channels that rest, the longest rested first, so that all stay in use."""
        self._alarm_due = None
        now = self.now()
        while self._resting and (due := self.take(now)) is not None:
            self._resting.popleft().begin(due, now)
        self._set_alarm(now)

    def _set_alarm(self, now: float) -> None:
        if self._alarm is None or not self._resting or self.pace.is_over(now):
            return
        due = self.pace.next_due()
        if due is not None and due != self._alarm_due:
            self._alarm_due = due
            self._alarm.set(due)

    async def _close(self) -> None:
        if self._alarm is not None:
            self._alarm.close()
        for channel in self._channels:
            channel.close()
        # The event loop closes sockets on its next turn.
        await asyncio.sleep(0)


def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _allow_files(connections: int) -> None:
    """Raise this process's limit on open files as far as the connections need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SettingsError(
            f"this system allows {hard} open files at once: give -c less than {hard - _SPARE_FILES}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _explain(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message
        return f"its certificate is not trusted ({reason}); name the authority's file in SSL_CERT_FILE"
    if isinstance(error, ssl.SSLError):
        return "it does not answer in TLS; should the URL begin with http?"
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{reason}; is a server listening there?"
