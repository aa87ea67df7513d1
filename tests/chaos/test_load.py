"""The clients: each outcome is called what it is, and the load does not ease when nobody answers."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest

from tests.chaos.entry import CLOSED, CUT, FOREIGN, LEFT, REFUSED, SILENT, TWICE
from tests.chaos.load import Load
from tests.waiting import until

Answer = Callable[[socket.socket, str], object]


@contextmanager
def a_server(answer: Answer) -> Iterator[tuple[str, int]]:
    """Answer each connection's first request, whose id is given, in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    threads = []

    def serve(sock: socket.socket) -> None:
        with sock, suppress(ConnectionError):
            while match := re.search(rb"X-Id: (\d+)", sock.recv(65536)):
                answer(sock, match[1].decode())

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join(5)
        listener.close()
        for thread in threads:
            thread.join(5)


WHOLE = "HTTP/1.1 200 OK\nContent-Length: {length}\n\n{id}"
"""An answer as it should be."""


def say(*words: str, ends: bool = True) -> Answer:
    """Return what sends these words, and then ends the connection."""

    def answer(sock: socket.socket, number: str) -> None:
        for word in words:
            text = word.replace("{id}", number).replace("{length}", str(len(number)))
            sock.sendall(text.replace("\n", "\r\n").encode())
        if ends:
            sock.shutdown(socket.SHUT_RDWR)

    return answer


@pytest.mark.parametrize(
    ("words", "outcome", "reason"),
    [
        ([WHOLE], "200", ""),
        (["HTTP/1.1 100 Continue\n\n", WHOLE], "200", ""),
        (["HTTP/1.1 200 OK\nContent-Length: 1\n\n?"], FOREIGN, "?"),
        (["HTTP/1.1 503 No\nContent-Length: 21\n\n<h1>503</h1><p>No</p>"], "503", "No"),
        (["HTTP/1.1 503 No\nContent-Length: 21\n\n<h1>503</h1>"], CUT, ""),
        (["HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nx\n"], CUT, ""),
        (["HTTP/1.1 200 OK\nContent-"], CLOSED, ""),
        ([], CLOSED, ""),
    ],
)
def test_an_outcome_is_called_what_it_is(words: list[str], outcome: str, reason: str) -> None:
    with a_server(say(*words)) as address, Load(address) as load:
        entry = load.ask("GET", "GET", "/")
        load.wait_for(entry)
    assert (entry.outcome, entry.reason) == (outcome, reason)


def test_what_comes_behind_an_answer_is_noticed() -> None:
    is_over = threading.Event()

    def answer(sock: socket.socket, number: str) -> None:
        say(WHOLE, ends=False)(sock, number)
        is_over.wait(10)
        say(WHOLE)(sock, number)

    with a_server(answer) as address, Load(address) as load:
        load.start(100)
        load.more(1)
        load.pause()
        entry = load.entries[0]
        assert entry.outcome == "200"
        is_over.set()
        until(lambda: entry.outcome == TWICE)


def test_an_answer_that_is_none_is_malformed() -> None:
    with a_server(say("220 smtp ready\n")) as address, Load(address) as load:
        entry = load.ask("GET", "GET", "/")
        load.wait_for(entry)
    assert entry.outcome.startswith("malformed: ")


def test_a_connection_that_nobody_accepts_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with Load(address) as load:
        entry = load.ask("GET", "GET", "/")
        load.wait_for(entry)
    assert entry.outcome == REFUSED


def test_who_is_not_answered_gives_up_in_the_end() -> None:
    is_over = threading.Event()
    with a_server(lambda sock, number: is_over.wait(10)) as address, Load(address, patience=0.1) as load:
        entry = load.ask("GET", "GET", "/")
        load.wait_for(entry)
        is_over.set()
    assert entry.outcome == SILENT
    assert entry.seconds >= 0.1


@pytest.mark.parametrize("reset", [False, True])
def test_who_leaves_has_left_in_the_way_that_was_asked_for(reset: bool) -> None:
    asked = threading.Event()
    seen: list[bytes | str] = []

    def wait(sock: socket.socket, number: str) -> None:
        asked.set()
        try:
            seen.append(sock.recv(1))
        except ConnectionResetError:
            seen.append("reset")

    with a_server(wait) as address, Load(address) as load:
        entry = load.ask("GET", "GET", "/")
        assert asked.wait(10)
        load.leave(entry, reset=reset)
        until(lambda: seen)
    assert entry.outcome == LEFT
    assert seen == (["reset"] if reset else [b""])


def test_the_load_is_constant_of_gets_and_posts_and_ends_when_it_is_told_to() -> None:
    with a_server(say(WHOLE, ends=False)) as address, Load(address, posts=25) as load:
        began = time.monotonic()
        load.start(400)
        load.more(100)
        took = time.monotonic() - began
        load.rest()
        count = len(load.entries)
        assert {entry.outcome for entry in load.entries} == {"200"}
        assert 0.2 < took < 2
        assert len({entry.id for entry in load.entries}) == count
        posts = sum(entry.method == "POST" for entry in load.entries)
        assert abs(posts - count / 4) <= 1
        load.start(400)
        load.more(10)
    assert len(load.entries) >= count + 10


def test_the_load_does_not_ease_when_nobody_answers() -> None:
    is_over = threading.Event()
    with a_server(lambda sock, number: is_over.wait(10)) as address, Load(address, patience=5) as load:
        load.start(200)
        until(lambda: len(load.waiting) >= 40)
        load.pause()
        dues = [entry.due for entry in load.entries]
        is_over.set()
    steps = [later - earlier for earlier, later in pairwise(dues)]
    assert steps == pytest.approx([1 / 200] * len(steps))


def test_so_many_requests_are_on_their_way_at_any_time() -> None:
    is_over = threading.Event()
    with a_server(lambda sock, number: is_over.wait(10)) as address, Load(address) as load:
        load.saturate(8)
        until(lambda: len(load.waiting) == 8)
        load.pause()
        assert len(load.entries) == 8
        is_over.set()
