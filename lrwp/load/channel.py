"""A channel: one request at a time, over a connection that is replaced when it has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from lrwp.load.answers import AnswerReader, MalformedError

if TYPE_CHECKING:
    from lrwp.load.run import Run

PAUSE: Final = 0.1
"""Seconds that a channel waits after it could open no connection: a server that is away fails a few requests,
not all of them within a moment."""


class Connection(asyncio.Protocol):
    """One TCP or TLS connection; what still comes from one that its channel has dropped is ignored."""

    __slots__ = ("_channel", "_feed", "_tally", "reader", "transport")

    transport: asyncio.WriteTransport

    def __init__(self, channel: Channel, reader: AnswerReader) -> None:
        self._channel = channel
        self._tally = channel.run.tally
        self.reader = reader
        self._feed = reader.feed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the channel; called by the event loop."""
        self.transport = transport  # type: ignore[assignment] # a stream's, so one that can be written to
        self._channel.attach(self)

    def data_received(self, data: bytes) -> None:
        """Read a piece of an answer; called by the event loop."""
        channel = self._channel
        if not channel.is_busy or channel.connection is not self:
            # Nobody asked: a 408, or another farewell before the server closes an idle connection.
            if channel.connection is self:
                channel.drop()
            return
        self._tally.received += len(data)
        try:
            is_complete = self._feed(data)
        except MalformedError:
            channel.fail("malformed")
            return
        if is_complete:
            channel.settle(self.reader)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the channel; called by the event loop."""
        if self._channel.connection is self:
            self._channel.lose(self.reader, was_closed=exc is None)


class Channel:
    """One of the run's channels.

    Attributes:
        run: the run that it belongs to.
        number: 1 for the first.
        is_busy: whether it has a request in flight.
        due: the moment that the latency of this request counts from.
        deadline: the moment at which the request in flight times out.
        connection: the connection that is open, if one is.
    """

    __slots__ = (
        "_has_opened",
        "_is_fresh",
        "_opening",
        "connection",
        "deadline",
        "due",
        "is_busy",
        "number",
        "run",
    )

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        self.is_busy = False
        self.due = 0.0
        self.deadline = 0.0
        self.connection: Connection | None = None
        self._has_opened = False
        self._is_fresh = False
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> OSError | None:
        """Open a connection and return None, or the error that prevented it."""
        timeout = self.run.plan.timeout
        try:
            async with asyncio.timeout(timeout):
                await self.run.connect(self)
        except TimeoutError:
            return TimeoutError(f"no connection within {timeout:g} s")
        except OSError as error:
            return error
        return None

    def attach(self, connection: Connection) -> None:
        """Use ``connection`` from now on; a request that has waited for it is sent."""
        self.connection = connection
        if self._has_opened:
            self.run.tally.reconnects += 1
        self._has_opened = True
        if self.is_busy:
            connection.transport.write(self.run.payload)

    def proceed(self) -> None:
        """Take the next request that is due, or rest."""
        now = self.run.now()
        due = self.run.take(now)
        if due is None:
            self.run.rest(self, now)
        else:
            self.begin(due, now)

    def begin(self, due: float, now: float) -> None:
        """Send the request that is due since ``due``, over a new connection if none is open."""
        self.is_busy = True
        self.due = due
        self.deadline = now + self.run.plan.timeout
        connection = self.connection
        if connection is None:
            self._begin_afresh()
            return
        self._is_fresh = False
        connection.transport.write(self.run.payload)

    def _begin_afresh(self) -> None:
        self._is_fresh = True
        self._opening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        error = await self.open()
        # A connection that opened and was lost at once has been dealt with already, maybe by opening another.
        if error is None or self._opening is not asyncio.current_task():
            return
        self._count("connect")
        asyncio.get_running_loop().call_later(PAUSE, self.proceed)

    def settle(self, reader: AnswerReader) -> None:
        """Count the answer that ``reader`` has completed, and go on with the next request."""
        run = self.run
        now = run.now()
        run.tally.answer(reader.status, now - self.due)
        if run.show is not None:
            run.show(self.number, reader.take_body())
        if not reader.keeps:
            self.drop()
        due = run.take(now)
        if due is None:
            self.is_busy = False
            run.rest(self, now)
        else:
            self.begin(due, now)

    def fail(self, kind: str) -> None:
        """Count the request in flight as one without an answer, and go on over a new connection."""
        self._count(kind)
        self.proceed()

    def _count(self, kind: str) -> None:
        self.run.tally.errors[kind] += 1
        self.is_busy = False
        self.drop()

    def lose(self, reader: AnswerReader, *, was_closed: bool) -> None:
        """Go on after the connection has ended: closed by the server, or reset."""
        self.connection = None
        if not self.is_busy:
            return
        if was_closed and reader.finish():
            self.settle(reader)
        elif reader.has_begun:
            self.fail("truncated")
        elif not self._is_fresh and self.run.is_safe:
            # The server closed an idle connection while our request was on its way to it (RFC 9112 §9.5).
            self._begin_afresh()
        else:
            self.fail("reset")

    def expire(self, now: float) -> None:
        """Fail the request in flight if its time is over; :meth:`open` has a timeout of its own."""
        if self.is_busy and self.connection is not None and now >= self.deadline:
            self.fail("timeout")

    def abandon(self) -> None:
        """Give up the request in flight, if there is one."""
        if not self.is_busy:
            return
        self.run.tally.abandoned += 1
        self.is_busy = False
        self.close()
        self.proceed()

    def drop(self) -> None:
        """End the connection; nothing that it still brings is looked at."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.transport.abort()

    def close(self) -> None:
        """End the connection, or the attempt to open one."""
        self.drop()
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
