"""Small servers that behave and misbehave, and a run against one of them.

A behaviour is a coroutine function that is given the streams of one connection.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from lrwp.load.pacing import ClosedPace, Pace
from lrwp.load.run import Plan, Run
from lrwp.load.target import read_url, write_request

Result = TypeVar("Result")

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CERTIFICATE = Path(__file__).with_name("localhost.pem")

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<h1>Process 1</h1>\n"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return the head of the next request; a body with a Content-Length is skipped."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head


def answering(*answers: bytes) -> Behaviour:
    """Answer each request with all of ``answers``, one write for each, and keep the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for answer in answers:
                writer.write(answer)
                await writer.drain()

    return behave


def closing(answer: bytes) -> Behaviour:
    """Answer one request, and close the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    return behave


async def never_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read until the client has had enough."""
    await reader.read()


@asynccontextmanager
async def serving(behave: Behaviour, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on a free port of the loopback interface; gives the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left, as it may
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@contextmanager
def serving_in_thread(behave: Behaviour) -> Iterator[str]:
    """Serve while the test's own thread runs a whole command; gives the URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    site = serving(behave)
    try:
        yield asyncio.run_coroutine_threadsafe(site.__aenter__(), loop).result(5)
        asyncio.run_coroutine_threadsafe(site.__aexit__(None, None, None), loop).result(5)
    finally:
        asyncio.run_coroutine_threadsafe(_leave(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _leave() -> None:
    """Let what still serves a connection come to its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def plan_for(url: str, *, connections: int = 4, method: str = "GET", timeout: float = 5.0) -> Plan:
    """Return a plan that asks for ``url``."""
    target = read_url(url)
    return Plan(target, write_request(target, method, (), None), connections, timeout)


def load(
    behave: Behaviour,
    *,
    requests: int = 20,
    connections: int = 4,
    method: str = "GET",
    timeout: float = 5.0,
    pace: Pace | None = None,
    show: Callable[[int, bytes], None] | None = None,
) -> Run:
    """Return a run against a server that behaves like this, when it is over."""

    async def scenario() -> Run:
        async with serving(behave) as url:
            plan = plan_for(url, connections=connections, method=method, timeout=timeout)
            run = Run(plan, pace or ClosedPace(requests=requests), show=show)
            await run.run()
            return run

    return play(scenario())


def play(scenario: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``scenario`` returns, on an event loop like that of the command."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)
