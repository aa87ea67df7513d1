"""Overload: a dispatcher's process is driven to each of its bounds, and its memory held against the figure.

The figures are those of docs/deployment.md, computed in the same way from the settings of each test.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.peers import Browser, Peer
from tests.system import Dispatcher, a_dispatcher
from tests.waiting import until

KIB = 1024
MIB = 1024 * KIB

UPLOAD = b"POST /pages HTTP/1.1\r\nHost: site\r\nContent-Length: %d\r\n\r\n"

SLACK = 12 * MIB
"""What a dispatcher needs beside what it is asked to keep: what the allocator does not give back, mostly."""


def resident(pid: int) -> int:
    """Return the memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def at_most(bound: int, dispatcher: Dispatcher) -> Iterator[None]:
    """Look at the memory of a dispatcher all the time; it must not grow by more than ``bound`` bytes."""
    base = highest = resident(dispatcher.pid)
    is_over = threading.Event()

    def look() -> None:
        nonlocal highest
        while not is_over.wait(0.005):
            highest = max(highest, resident(dispatcher.pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    grown = highest - base
    assert grown < bound + SLACK, f"it grew by {grown / MIB:.1f} MiB, and {bound / MIB:.1f} are stated"


@contextmanager
def a_crowd(dispatcher: Dispatcher, count: int) -> Iterator[list[socket.socket]]:
    """Connect many clients."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(dispatcher.http, timeout=10)) for _ in range(count)
        ]


def link_of(dispatcher: Dispatcher) -> tuple[str, int]:
    host, _, port = dispatcher.link.rpartition(":")
    return host, int(port)


def bodies(dispatcher: Dispatcher) -> tuple[int, int]:
    """Return how many bytes wait in memory and in files."""
    found = dispatcher.status()["bodies"]
    return found["memory"], found["disk"]


def open_files(dispatcher: Dispatcher) -> int:
    return len(os.listdir(f"/proc/{dispatcher.pid}/fd"))


def is_served(dispatcher: Dispatcher) -> bool:
    """Whether another client is served as if nothing were the matter."""
    with dispatcher.browser() as browser:
        return browser.get("/nothing").status == 404


def waiting(dispatcher: Dispatcher) -> int:
    return sum(each["waiting"] for each in dispatcher.status()["applications"])


# Clients that are slow


def test_heads_that_do_not_end_take_as_much_as_a_head_may_be_long(tmp_path: Path) -> None:
    count, head = 600, 32 * KIB
    with a_dispatcher(tmp_path) as dispatcher, a_crowd(dispatcher, count) as crowd:
        with at_most(count * head * 9 // 8, dispatcher):  # a bytearray that grows is an eighth too large
            for client in crowd:
                client.sendall(b"GET / HTTP/1.1\r\nHost: site\r\nX: " + b"x" * (head - 100))
            until(lambda: bodies(dispatcher)[0] >= count * (head - 100))
            assert is_served(dispatcher)
        for client in crowd:
            client.close()
        until(lambda: bodies(dispatcher) == (0, 0))


def test_bodies_that_do_not_end_take_the_memory_for_bodies_and_then_files(tmp_path: Path) -> None:
    count, body = 300, 200 * KIB
    limits = 'memory = "16MiB"\nbody_memory = "256KiB"'
    with a_dispatcher(tmp_path, limits=limits) as dispatcher, a_crowd(dispatcher, count) as crowd:
        with at_most(16 * MIB * 2, dispatcher):  # the allocator leaves holes where bodies have grown
            for client in crowd:
                client.sendall(UPLOAD % (body + 1) + bytes(body))
            until(lambda: sum(bodies(dispatcher)) == count * body)
            memory, _ = bodies(dispatcher)
            assert 16 * MIB - body < memory <= 16 * MIB
            assert is_served(dispatcher)
        for client in crowd:
            client.close()
        until(lambda: bodies(dispatcher) == (0, 0))
        until(lambda: open_files(dispatcher) < 50)


def test_answers_that_nobody_reads_take_the_memory_for_bodies_and_then_files(tmp_path: Path) -> None:
    count, body = 100, 4 * MIB
    limits = 'memory = "8MiB"\nbody_memory = "256KiB"'
    with (
        a_dispatcher(tmp_path, limits=limits) as dispatcher,
        Peer(link_of(dispatcher)) as peer,
        ExitStack() as stack,
    ):
        peer.register()
        before = open_files(dispatcher)
        with at_most(8 * MIB + count * (64 + 256) * KIB, dispatcher):
            for _ in range(count):
                client = stack.enter_context(a_small_client(dispatcher))
                client.sendall(b"GET /pages HTTP/1.1\r\nHost: site\r\n\r\n")
                exchange = peer.expect_request().exchange
                peer.say("response", exchange, 200, b"Content-Length: %d\r\n" % body, b"", False)
                for number in range(32):
                    peer.say("body", exchange, bytes(128 * KIB), number == 31)
            until(lambda: dispatcher.status()["links"][0]["state"] == "idle")
            assert sum(bodies(dispatcher)) > count * MIB // 2  # the system takes some for the clients
            assert bodies(dispatcher)[0] <= 8 * MIB
            assert is_served(dispatcher)
        stack.close()
        until(lambda: bodies(dispatcher) == (0, 0))
        until(lambda: open_files(dispatcher) <= before)


def a_small_client(dispatcher: Dispatcher) -> socket.socket:
    """Return a client whose system takes little on its behalf."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(dispatcher.http)
    return client


def test_requests_that_are_sent_ahead_take_the_memory_for_bodies_and_no_more(tmp_path: Path) -> None:
    count = 200
    ahead = (b"GET /pages HTTP/1.1\r\nHost: site\r\n\r\n" * 10_000)[: 300 * KIB]
    limits = 'memory = "4MiB"'
    more = "[applications.pages]"
    with (
        a_dispatcher(tmp_path, limits=limits, more=more) as dispatcher,
        a_crowd(dispatcher, count) as crowd,
    ):
        with at_most(4 * MIB, dispatcher):
            for client in crowd:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.send(ahead)
            until(lambda: waiting(dispatcher) == count)
            assert is_served(dispatcher)
        for client in crowd:
            client.close()
        until(lambda: bodies(dispatcher) == (0, 0))


# Too many requests


def test_a_full_queue_takes_what_its_requests_are_long_and_turns_others_away(tmp_path: Path) -> None:
    count, head = 400, 30 * KIB
    more = "[applications.pages]\n[applications.shop]"
    with (
        a_dispatcher(tmp_path, limits=f"queue = {count}\nqueue_all = {count + 1}", more=more) as dispatcher,
        a_crowd(dispatcher, count) as crowd,
    ):
        with at_most(count * (head + 8 * KIB), dispatcher):
            for client in crowd:
                client.sendall(b"GET /pages HTTP/1.1\r\nHost: site\r\nX: " + b"x" * head + b"\r\n\r\n")
            until(lambda: waiting(dispatcher) == count)
            with dispatcher.browser() as browser, dispatcher.browser() as other:
                assert browser.get("/pages").status == 503
                other.ask("GET", "/shop")
                until(lambda: waiting(dispatcher) == count + 1)
                reply = browser.get("/shop")
                assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
                assert is_served(dispatcher)
        for client in crowd:
            client.close()
        until(lambda: waiting(dispatcher) == 0)


def test_connections_beyond_the_bound_are_told_so_and_leave_nothing_behind(tmp_path: Path) -> None:
    with a_dispatcher(tmp_path, limits="connections = 50") as dispatcher, a_crowd(dispatcher, 50):
        until(lambda: dispatcher.status()["http"]["connections"] == 50)
        before = open_files(dispatcher)
        with at_most(0, dispatcher):
            for _ in range(10):
                with ExitStack() as stack:
                    surplus = [stack.enter_context(dispatcher.browser()) for _ in range(50)]
                    for browser in surplus:
                        reply = browser.begin()
                        assert (reply.status, reply.headers["Connection"]) == (503, "close")
                        assert reply.headers["Retry-After"] == "5"
                        reply.close()
        until(lambda: dispatcher.status()["http"]["connections"] == 50)
        until(lambda: open_files(dispatcher) <= before)


def processor_seconds(pid: int) -> float:
    """Return how much of the processors a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_when_descriptors_run_out_who_is_connected_is_served_and_nobody_is_missed_afterwards(
    tmp_path: Path,
) -> None:
    with a_dispatcher(tmp_path) as dispatcher, dispatcher.browser() as browser:
        assert browser.get("/nothing").status == 404
        before = resource.prlimit(dispatcher.pid, resource.RLIMIT_NOFILE)
        few = open_files(dispatcher) + 5
        resource.prlimit(dispatcher.pid, resource.RLIMIT_NOFILE, (few, before[1]))
        with a_crowd(dispatcher, 50):
            until(lambda: open_files(dispatcher) == few)
            used, began = processor_seconds(dispatcher.pid), time.monotonic()
            until(lambda: time.monotonic() - began > 0.5)
            used = processor_seconds(dispatcher.pid) - used
            assert used < 0.2, f"{used} s of 0.5 s"
            assert browser.get("/nothing").status == 404
            browser.socket.sendall(UPLOAD % (2 * MIB) + bytes(300 * KIB))
            assert browser.read().status == 503
        resource.prlimit(dispatcher.pid, resource.RLIMIT_NOFILE, before)
        until(lambda: open_files(dispatcher) < few)
        assert is_served(dispatcher)


# No room on disk


def refused_uploads(dispatcher: Dispatcher, size: int) -> None:
    """Have uploads refused for want of room, one after the other, while other requests are served."""
    before = open_files(dispatcher)
    for _ in range(5):
        with dispatcher.browser() as browser:
            browser.socket.sendall(UPLOAD % size)
            with contextlib.suppress(OSError):  # it is answered before all of it is sent
                for _ in range(size // MIB):
                    browser.socket.sendall(bytes(MIB))
            reply = browser.read()
            assert (reply.status, reply.headers["Retry-After"]) == (507, "5")
        assert is_served(dispatcher)
    until(lambda: bodies(dispatcher) == (0, 0))
    until(lambda: open_files(dispatcher) <= before)


def test_an_upload_that_the_disk_does_not_hold_is_a_507_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    with a_dispatcher(tmp_path) as dispatcher, at_most(MIB, dispatcher):
        resource.prlimit(dispatcher.pid, resource.RLIMIT_FSIZE, (MIB, MIB))
        refused_uploads(dispatcher, 8 * MIB)


def test_so_is_one_that_the_bound_on_files_does_not_hold(tmp_path: Path) -> None:
    with a_dispatcher(tmp_path, limits='disk = "4MiB"') as dispatcher, at_most(MIB, dispatcher):
        refused_uploads(dispatcher, 8 * MIB)


def test_where_room_for_answers_becomes_scarce_workers_wait_and_no_answer_is_cut(
    tmp_path: Path,
) -> None:
    size, count = 16 * MIB, 3
    limits = 'disk = "8MiB"\nmemory = 0'
    with (
        a_dispatcher(tmp_path, limits=limits) as dispatcher,
        ExitStack() as stack,
    ):
        peers = [
            stack.enter_context(Peer(link_of(dispatcher), instance=f"peer {number}")).register()
            for number in range(count)
        ]
        browsers = [stack.enter_context(dispatcher.browser()) for _ in peers]
        threads = []
        for peer, browser in zip(peers, browsers, strict=True):
            browser.ask("GET", "/pages")
            thread = threading.Thread(target=give, args=(peer, size))
            thread.start()
            threads.append(thread)
        until(lambda: bodies(dispatcher)[1] > 6 * MIB)
        assert [read_slowly(browser) for browser in browsers] == [size] * count
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        until(lambda: bodies(dispatcher) == (0, 0))


def give(peer: Peer, size: int) -> None:
    """Answer the next request as fast as the dispatcher takes it."""
    exchange = peer.expect_request().exchange
    peer.say("response", exchange, 200, b"Content-Length: %d\r\n" % size, b"", False)
    for offset in range(0, size, 128 * KIB):
        peer.say("body", exchange, bytes(128 * KIB), offset + 128 * KIB == size)


def read_slowly(browser: Browser) -> int:
    """Return how many bytes came."""
    response = browser.begin()
    return sum(len(piece) for piece in iter(lambda: response.read(256 * KIB), b""))
