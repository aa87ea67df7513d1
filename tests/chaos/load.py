"""Constant load: clients that send a request whenever one is due, however the last ones fared.

So the load does not ease while the system is slow, and the time that a request waited for a free connection
counts as well: what is measured is what people would have seen. The clients live in a thread with an event
loop of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

import httptools
import uvloop

from tests.chaos.entry import CLOSED, CUT, FOREIGN, LEFT, REFUSED, SILENT, TWICE, Entry
from tests.waiting import until

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE: Final = 40.0
"""Seconds that a client waits: longer than any bound in a dispatcher, so a request that nobody answers is one
that was forgotten."""

IDLE: Final = 64
"""Connections that are kept for the next requests, and used in turn: at a hundred requests a second none is
ever idle for the second after which a dispatcher that leaves closes it."""

ITEM: Final = "/chaos/item"
"""What the constant load asks for."""

BODY: Final = b"x" * 64
"""What the constant load posts."""

LONGEST_PAGE: Final = 4096
"""Bytes of an answer that are looked at."""


class Client(asyncio.Protocol):
    """One connection, with one request at a time on its way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._last: Entry | None = None
        self.transport: asyncio.Transport
        self.entry: Entry | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives

    def ask(self, entry: Entry, request: bytes) -> None:
        """Send a request, and be busy until it is answered."""
        self.entry = self._last = entry
        self._body = b""
        if self.transport.is_closing():  # the server was faster
            self._end(CLOSED)
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"malformed: {error}")
            self.transport.abort()

    def on_message_begin(self) -> None:
        if self.entry is None and self._last is not None:
            self._last.outcome = TWICE

    def on_headers_complete(self) -> None:
        if self.entry is not None and self._parser.get_status_code() != 100:
            self.entry.has_begun = True

    def on_body(self, data: bytes) -> None:
        if len(self._body) < LONGEST_PAGE:
            self._body += data

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.entry is None or status == 100:
            return
        outcome = str(status)
        if status == 200 and self._body != str(self.entry.id).encode():
            outcome = FOREIGN
        if outcome != "200":
            self.entry.reason = _reason(self._body.decode(errors="replace"))
        self._end(outcome)
        if self._parser.should_keep_alive():
            self._load.take_back(self)
        else:
            self.transport.close()

    def eof_received(self) -> None:
        """End with the server; what is not there by now will not come."""
        self._load.withdraw(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.forget(self)
        if self.entry is not None:
            self._end(CUT if self.entry.has_begun else CLOSED)

    def leave(self, outcome: str) -> None:
        """End the connection before its answer has come."""
        self._end(outcome)
        self.transport.abort()

    def _end(self, outcome: str) -> None:
        entry, self.entry = self.entry, None
        if entry is not None:
            entry.end(outcome, time.monotonic())
            self._load.waiting.pop(entry, None)


class Load:
    """The clients, and what they saw.

    Args:
        address: where to connect.
        posts: the share of POSTs in the constant load, in hundredths.
        patience: seconds that a client waits for its answer.

    Attributes:
        entries: all requests, in the order in which they were due.
        waiting: the connections of those whose outcome is not known.
    """

    def __init__(self, address: tuple[str, int], *, posts: int = 50, patience: float = PATIENCE) -> None:
        self.entries: list[Entry] = []
        self.waiting: dict[Entry, Client | None] = {}
        self._address = address
        self._posts = posts
        self._patience = patience
        self._numbers = itertools.count(1)
        self._free: deque[Client] = deque()
        self._clients: set[Client] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pacing: asyncio.Task[None] | None = None
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        self._sweeping: Future[None] = asyncio.run_coroutine_threadsafe(self._sweep(), self._loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()
        self._sweeping.cancel()
        self._run(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # ── What tests say ───────────────────────────────────────────────────────────────────────────

    def start(self, rate: float) -> None:
        """Send so many requests a second from now on."""
        self._run(self._set_pace(self._pace(rate)))

    def saturate(self, clients: int) -> None:
        """Have so many requests on their way at any time from now on: as many as the system can answer."""
        self._run(self._set_pace(self._crowd(clients)))

    def pause(self) -> None:
        """Send nothing more."""
        self._run(self._set_pace(None))

    def rest(self) -> None:
        """Send nothing more, wait for all outcomes, and close all connections."""
        self.pause()
        until(lambda: not self.waiting, self._patience + 5)
        self._run(self._drop())

    def more(self, count: int, *, patience: float = 30.0) -> None:
        """Wait until so many more requests have ended."""
        wanted = self._count_ended() + count
        until(lambda: self._count_ended() >= wanted, patience)

    def _count_ended(self) -> int:
        return len(self.entries) - len(self.waiting)

    def note(self, kind: str, method: str) -> Entry:
        """Return the entry of a request that is sent by other means; the sender says how it ended."""
        entry = Entry(next(self._numbers), kind, method, time.monotonic())
        self.entries.append(entry)
        return entry

    def ask(self, kind: str, method: str, target: str, body: bytes = b"") -> Entry:
        """Send one request beside the constant load."""
        entry = self.note(kind, method)
        self.waiting[entry] = None
        self._loop.call_soon_threadsafe(self._send, entry, target, body, False)
        return entry

    def wait_for(self, *entries: Entry, patience: float = 30.0) -> None:
        """Wait until the outcome of these requests is known."""
        until(lambda: all(entry.outcome for entry in entries), patience)

    def wait_for_head(self, *entries: Entry) -> None:
        """Wait until the answers to these requests have begun."""
        until(lambda: all(entry.has_begun for entry in entries))

    def leave(self, entry: Entry, *, reset: bool = False) -> None:
        """Close the connection of a request, or reset it as a system does for a program that has died."""

        def leave() -> None:
            client = self.waiting.get(entry)
            if client is not None and reset:
                client.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            if client is not None:
                client.leave(LEFT)

        self._loop.call_soon_threadsafe(leave)
        self.wait_for(entry)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    # ── In the loop ──────────────────────────────────────────────────────────────────────────────

    async def _set_pace(self, pace: Coroutine[Any, Any, None] | None) -> None:
        if self._pacing is not None:
            self._pacing.cancel()
            await asyncio.wait([self._pacing])
        self._pacing = self._loop.create_task(pace) if pace else None

    async def _pace(self, rate: float) -> None:
        due = time.monotonic()
        while True:
            while due <= time.monotonic():
                self._send_item(due)
                due += 1 / rate
            await asyncio.sleep(due - time.monotonic())

    async def _crowd(self, clients: int) -> None:
        while True:
            while len(self.waiting) < clients:
                self._send_item(time.monotonic())
            await asyncio.sleep(0.001)

    def _send_item(self, due: float) -> None:
        """Send a request of the constant load."""
        number = next(self._numbers)
        method = "POST" if number * self._posts % 100 < self._posts else "GET"
        entry = Entry(number, method, method, due)
        self.entries.append(entry)
        self.waiting[entry] = None
        self._send(entry, ITEM, BODY if method == "POST" else b"", True)

    def _send(self, entry: Entry, target: str, body: bytes, keep: bool) -> None:
        length = f"Content-Length: {len(body)}\r\n" if entry.method == "POST" else ""
        close = "" if keep else "Connection: close\r\n"
        head = f"{entry.method} {target} HTTP/1.1\r\nHost: site\r\nX-Id: {entry.id}\r\n{length}{close}\r\n"
        request = head.encode() + body
        if keep and self._free:
            client = self._free.popleft()
            self.waiting[entry] = client
            client.ask(entry, request)
            return
        task = self._loop.create_task(self._connect(entry, request))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, entry: Entry, request: bytes) -> None:
        try:
            _, client = await self._loop.create_connection(lambda: Client(self), *self._address)
        except OSError as error:
            is_refused = isinstance(error, ConnectionRefusedError)
            entry.end(REFUSED if is_refused else f"unreachable: {error}", time.monotonic())
            self.waiting.pop(entry, None)
            return
        self._clients.add(client)
        self.waiting[entry] = client
        client.ask(entry, request)

    def take_back(self, client: Client) -> None:
        """Keep a connection for the next request, unless there are enough."""
        if len(self._free) < IDLE:
            self._free.append(client)
        else:
            client.transport.close()

    def forget(self, client: Client) -> None:
        """Forget a connection that has ended."""
        self._clients.discard(client)
        self.withdraw(client)

    def withdraw(self, client: Client) -> None:
        """Send no further request on a connection."""
        if client in self._free:
            self._free.remove(client)

    async def _sweep(self) -> None:
        """Give up those who have waited for too long."""
        while True:
            await asyncio.sleep(0.2)
            overdue = time.monotonic() - self._patience
            for entry, client in list(self.waiting.items()):
                if entry.due < overdue and client is not None:
                    client.leave(SILENT)

    async def _drop(self) -> None:
        """Close all connections."""
        for client in list(self._clients):
            client.transport.abort()
        for task in list(self._connecting):
            task.cancel()
        while self._clients or self._connecting:
            await asyncio.sleep(0.005)


def _reason(page: str) -> str:
    """Return the sentence of an error page, or the first line of what is no page."""
    sentence = re.search(r"<p>(.*?)</p>", page)
    return sentence[1] if sentence else page.strip().partition("\n")[0][:100]
