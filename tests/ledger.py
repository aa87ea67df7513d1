"""The ledger: what clients under load asked for, and what became of each request."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.peers import Browser


class Entry(NamedTuple):
    """One request.

    Attributes:
        name: what was asked: method and target.
        outcome: the status, or what went wrong.
        body: what came.
        seconds: how long it took.
        sent_at: when it was sent.
    """

    name: str
    outcome: str
    body: bytes
    seconds: float
    sent_at: float


class Ledger:
    """Clients that each send one request after the other on a connection of their own, and what they saw.

    Attributes:
        entries: the requests that have ended, in any way.
        refused: connections that nobody accepted; nothing was asked on them.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.entries: list[Entry] = []
        self.refused = 0
        self._address = address
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(
        self, count: int, ask: Callable[[int], tuple[str, str, bytes]], *, keep_alive: bool = True
    ) -> None:
        """Start clients.

        Args:
            count: how many.
            ask: returns method, target and body of a request, given its number.
            keep_alive: whether a client sends all its requests on one connection.
        """
        numbers = iter(range(1_000_000_000))
        for _ in range(count):
            thread = threading.Thread(target=self._run, args=(numbers, ask, keep_alive))
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let each client finish its request."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def outcomes(self) -> Counter[str]:
        """Return how many requests had which outcome."""
        return Counter(entry.outcome for entry in list(self.entries))

    def _run(
        self, numbers: Iterator[int], ask: Callable[[int], tuple[str, str, bytes]], keep_alive: bool
    ) -> None:
        browser: Browser | None = None
        while not self._is_over.is_set():
            if browser is None:
                try:
                    browser = Browser(self._address)
                except ConnectionRefusedError:
                    self.refused += 1
                    break
            with self._lock:
                method, target, body = ask(next(numbers))
            if not self._ask(browser, method, target, body) or not keep_alive:
                browser.close()
                browser = None
        if browser is not None:
            browser.close()

    def _ask(self, browser: Browser, method: str, target: str, body: bytes) -> bool:
        """Send a request and note what became of it; returns whether the connection is still of use."""
        began = time.monotonic()
        content, stays = b"", False
        try:
            reply = browser.ask(method, target, body).read()
            outcome, content = str(reply.status), reply.body
            stays = reply.headers["Connection"] != "close"
        except (OSError, http.client.HTTPException) as error:
            outcome = repr(error)
        seconds = time.monotonic() - began
        self.entries.append(Entry(f"{method} {target}", outcome, content, seconds, began))
        return stays


@contextmanager
def a_ledger(address: tuple[str, int]) -> Iterator[Ledger]:
    """Keep a ledger; all clients have ended when this is left."""
    ledger = Ledger(address)
    try:
        yield ledger
    finally:
        ledger.stop()
