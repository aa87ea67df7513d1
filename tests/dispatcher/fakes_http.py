"""A site that does as it is told, a server around it on a real socket, and a client that checks it all."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import socket
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import uvloop

from dispatcher.http import HttpConnection
from dispatcher.settings import Limits
from dispatcher.storage import Storage
from protocol.heads import ResponseHead, read_response_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.exchange import Exchange
    from dispatcher.framing import BadRequest

PATIENCE = 10
"""Seconds after which a test that waits has failed."""

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
PLAIN = ResponseHead(b"Content-Type: text/plain\r\n", None, False, False)


def a_head(*lines: str) -> ResponseHead:
    """Return a worker's head as the link reads it."""
    return read_response_head(b"".join(line.encode("latin-1") + b"\r\n" for line in lines))


def body_of(exchange: Exchange) -> bytes:
    """Return the whole body of a request."""
    if exchange.body is None:
        return exchange.content
    return b"".join(exchange.body.read(at, 65536) for at in range(0, exchange.body.length, 65536))


def echo(exchange: Exchange) -> None:
    """Answer with what the request was."""
    body = b"%b %b " % (exchange.method.encode(), exchange.target) + body_of(exchange)
    exchange.client.respond(200, PLAIN, body, True)


def later(_: Exchange) -> None:
    """Leave the exchange to the test."""


class FakeSite:
    """A site whose clock stands still, and that writes down what it is told."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.storage = Storage(self.limits)
        self.date = DATE
        self.closing = False
        self.time = 1000.0
        self.connections: set[HttpConnection] = set()
        self.most_connections = 1_000_000
        self.handler: Callable[[Exchange], None] = echo
        self.asked: queue.Queue[Exchange] = queue.Queue()
        self.abandoned: queue.Queue[Exchange] = queue.Queue()
        self.ended: queue.Queue[tuple[Exchange, int, int]] = queue.Queue()
        self.refusals: queue.Queue[tuple[str, BadRequest]] = queue.Queue()
        self.left: queue.Queue[HttpConnection] = queue.Queue()

    def now(self) -> float:
        return self.time

    def admit(self, connection: HttpConnection) -> bool:
        self.connections.add(connection)
        return len(self.connections) <= self.most_connections

    def handle(self, exchange: Exchange) -> None:
        self.asked.put(exchange)
        self.handler(exchange)

    def abandon(self, exchange: Exchange) -> None:
        self.abandoned.put(exchange)

    def finished(self, exchange: Exchange, status: int, sent: int) -> None:
        self.ended.put((exchange, status, sent))

    def refused(self, peer: str, error: BadRequest) -> None:
        self.refusals.put((peer, error))

    def gone(self, connection: HttpConnection) -> None:
        self.connections.discard(connection)
        self.left.put(connection)


class Serving:
    """A site on a listening socket, in a thread of its own; nothing may go wrong in there unnoticed."""

    def __init__(
        self,
        site: FakeSite,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        connection: Callable[[], asyncio.Protocol] | None = None,
    ) -> None:
        self.site = site
        self._connection = connection or (lambda: HttpConnection(site))
        self.loop = loop or uvloop.new_event_loop()
        self.failures: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run)
        self._started: Future[tuple[str, int]] = Future()
        self._stopping: asyncio.Event
        self.address = ("", 0)

    def __enter__(self) -> Self:
        self._thread.start()
        self.address = self._started.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self.failures == []
        assert self.site.connections == set()

    def _run(self) -> None:
        self.loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        server = await self.loop.create_server(self._connection, "127.0.0.1", 0)
        self._started.set_result(server.sockets[0].getsockname())
        await self._stopping.wait()
        server.close()
        for connection in list(self.site.connections):
            connection.abort()
        while self.site.connections:
            await asyncio.sleep(0)

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function`` where the server runs, and return what it returns."""
        result: Future[Any] = Future()

        def call() -> None:
            try:
                result.set_result(function(*args))
            except BaseException as error:
                result.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return result.result(PATIENCE)

    def introduce(self, sock: socket.socket) -> None:
        """Serve a client whose connection is made."""
        self.do(lambda: self.loop.create_task(self.loop.connect_accepted_socket(self._connection, sock)))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds where the server runs."""
        end = time.monotonic() + PATIENCE
        while not self.do(condition):
            assert time.monotonic() < end

    def pass_time(self, seconds: float) -> None:
        """Let the site's clock go on, and do what is due."""
        self.do(self._pass_time, seconds)

    def _pass_time(self, seconds: float) -> None:
        self.site.time += seconds
        for connection in [c for c in self.site.connections if c.deadline <= self.site.time]:
            connection.overdue(self.site.time)

    def respond(self, exchange: Exchange, body: bytes, last: bool = True, head: ResponseHead = PLAIN) -> None:
        """Let a worker begin its answer."""
        self.do(exchange.client.respond, 200, head, body, last)

    def next_exchange(self) -> Exchange:
        return self.site.asked.get(timeout=PATIENCE)

    def connect(self, receive_buffer: int = 0) -> Client:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        sock.connect(self.address)
        return Client(sock)

    def ask(self, raw: bytes) -> Answer:
        """Send ``raw`` on a connection of its own and return the first answer."""
        with self.connect() as client:
            client.send(raw)
            return client.answer()


class Answer(NamedTuple):
    """An answer as a client reads it."""

    status: int
    fields: dict[str, str]
    body: bytes


class TruncatedError(Exception):
    """The connection ended before the answer did."""


_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) [\t\x20-\x7e]*\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x20-\x7e\x80-\xff]*)\r\n")


class Client:
    """A client on a raw socket, that checks the form of whatever it is answered."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.interim: list[int] = []
        self._data = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, raw: bytes) -> None:
        self.sock.sendall(raw)

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def _receive(self) -> bool:
        data = self.sock.recv(65536)
        self._data += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            if not self._receive():
                raise TruncatedError(bytes(self._data))
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def _take_line(self) -> bytes:
        while b"\r\n" not in self._data:
            if not self._receive():
                raise TruncatedError(bytes(self._data))
        return self._take(self._data.index(b"\r\n") + 2)

    def answer(self, method: str = "GET") -> Answer:
        """Read the next final answer; interim ones are kept in ``interim``."""
        while True:
            status, fields = self._take_head()
            if status >= 200:
                return Answer(status, fields, self._take_body(method, status, fields))
            self.interim.append(status)

    def hears_nothing_final_for(self, seconds: float) -> bool:
        """Return whether only interim answers come for that long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self._receive()
        self.sock.settimeout(PATIENCE)
        return self._data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"") == b""

    def answers(self) -> list[Answer]:
        """Read answers to GET until the connection ends, which must not be in the middle of one."""
        answers = []
        while self._data or self._receive():
            answers.append(self.answer())
        return answers

    def _take_head(self) -> tuple[int, dict[str, str]]:
        line = self._take_line()
        match = _STATUS_LINE.fullmatch(line)
        assert match, line
        fields: dict[str, str] = {}
        while (line := self._take_line()) != b"\r\n":
            field = _FIELD.fullmatch(line)
            assert field, line
            name = field[1].decode().lower()
            assert name not in fields, f"{name} came twice"
            fields[name] = field[2].decode("latin-1")
        return int(match[1]), fields

    def _take_body(self, method: str, status: int, fields: dict[str, str]) -> bytes:
        if status in {204, 304}:
            assert not {"content-length", "transfer-encoding"} & fields.keys()
            return b""
        if method == "HEAD":
            return b""
        if "transfer-encoding" in fields:
            assert fields["transfer-encoding"] == "chunked"
            assert "content-length" not in fields
            return self._take_chunks()
        if "content-length" in fields:
            return self._take(int(fields["content-length"]))
        assert fields["connection"] == "close"
        return self.rest()

    def _take_chunks(self) -> bytes:
        body = b""
        while size := int(self._take_line(), 16):
            body += self._take(size)
            assert self._take(2) == b"\r\n"
        assert self._take_line() == b"\r\n"
        return body

    def rest(self) -> bytes:
        """Read until the connection ends."""
        with contextlib.suppress(ConnectionResetError):
            while self._receive():
                pass
            return self._take(len(self._data))
        raise TruncatedError(bytes(self._data))
