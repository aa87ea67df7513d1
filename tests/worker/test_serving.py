"""A thread of a worker at work, and the link that it works on, opposite a dispatcher that a test plays."""

from __future__ import annotations

import socket
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from protocol import limits
from protocol.errors import HeaderError, RejectedError
from protocol.frames import encode_frame
from protocol.link import State
from protocol.registration import Claim, Registration, prove
from tests.waiting import until
from tests.worker.dispatchers import FakeDispatcher, FakeLink
from worker import links
from worker.body import ClientLeftError
from worker.errors import ContentError
from worker.exchange import Answer, Exchange
from worker.link import LinkLostError
from worker.links import UnreachableError
from worker.serving import Serving

PAGES = Registration("worker", (Claim("pages", "", "/pages"),), labels=(("label", "ONE"),))
SECRET = b"sixteen bytes or more"
LARGE = bytes(range(256)) * 4096
"""A megabyte."""


class Worker:
    """A serving in a thread of its own.

    Attributes:
        serving: what is tested.
        error: what its run() raised.
    """

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.serving.run()
        except BaseException as error:
            self.error = error

    def ended(self) -> BaseException | None:
        """Wait for its end, and return what it raised."""
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.error


def echo(exchange: Exchange) -> Answer:
    """Answer with the body of the request."""
    return Answer(200, b"X-Method: %b\r\n" % exchange.method.encode(), exchange.body.read())


@contextmanager
def a_worker(
    handle: Callable[[Exchange], Answer],
    *dispatchers: FakeDispatcher,
    registration: Registration = PAGES,
    **options: object,
) -> Iterator[Worker]:
    """Run a worker that is drained in the end; what it raised fails the test unless the test has looked."""
    addresses = [dispatcher.address for dispatcher in dispatchers]
    worker = Worker(Serving(handle, registration, addresses, **options))  # type: ignore[arg-type]  # as they come
    try:
        yield worker
    finally:
        worker.serving.drain()
        for dispatcher in dispatchers:
            dispatcher.close()


@pytest.fixture
def dispatcher() -> Iterator[FakeDispatcher]:
    with FakeDispatcher() as dispatcher:
        yield dispatcher


def let_go(worker: Worker, *links: FakeLink) -> None:
    """Have a worker drain and end without an error."""
    worker.serving.drain()
    for link in links:
        link.expect("draining")
        link.socket.close()
    assert worker.ended() is None


# Registration


def test_a_worker_registers_with_what_it_is(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.accept() as link:
        version, instance, applications, window, labels, nonce, proof = link.expect("register")
        assert (version, instance, applications) == (3, "worker", (("pages", "", "/pages"),))
        assert (window, labels, len(nonce), proof) == (8, {"label": "ONE"}, limits.NONCE, b"")
        link.say("registered", 10_000)
        let_go(worker, link)


def test_a_worker_that_knows_the_secret_proves_it(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher, secret=SECRET) as worker, dispatcher.accept() as link:
        nonce = link.expect("register")[5]
        link.say("challenge", bytes(32))
        fields = link.expect("register")
        assert fields[5:] == (nonce, prove(SECRET, bytes(32), nonce, "worker", PAGES.applications))
        link.say("registered", 10_000)
        let_go(worker, link)


def test_a_worker_without_the_secret_says_what_to_do(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.accept() as link:
        link.expect("register")
        link.say("challenge", bytes(32))
        error = worker.ended()
    assert isinstance(error, RejectedError)
    assert str(error) == "the dispatcher asks for a secret: give --secret-file"


@pytest.mark.parametrize("code", ["version", "proof", "registration"])
def test_a_worker_that_is_rejected_gives_up_with_the_dispatchers_sentence(
    dispatcher: FakeDispatcher, code: str
) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.accept() as link:
        link.expect("register")
        link.say("rejected", code, "a sentence")
        error = worker.ended()
    assert isinstance(error, RejectedError)
    assert (error.code, str(error)) == (code, "a sentence")


def test_a_worker_tries_again_at_a_dispatcher_that_is_leaving(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker:
        with dispatcher.accept() as link:
            link.expect("register")
            link.say("rejected", "draining", "this dispatcher is stopping")
        with dispatcher.registered() as link:
            let_go(worker, link)


def test_a_worker_that_was_accepted_once_tries_again_when_it_is_rejected(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker:
        dispatcher.registered().socket.close()
        with dispatcher.accept() as link:
            link.expect("register")
            link.say("rejected", "registration", "a sentence")
        with dispatcher.registered() as link:
            let_go(worker, link)


def test_a_worker_whose_place_another_link_has_taken_gives_up_and_says_why(
    dispatcher: FakeDispatcher,
) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as link:
        link.say("rejected", "fenced", "a sentence")
        error = worker.ended()
    assert isinstance(error, RejectedError)
    assert (error.code, str(error)) == ("fenced", "a sentence")


def test_a_worker_may_be_fenced_before_it_has_heard_that_it_was_registered(
    dispatcher: FakeDispatcher,
) -> None:
    with (
        FakeDispatcher() as other,
        a_worker(echo, dispatcher, other) as worker,
        dispatcher.accept() as link,
        other.registered() as kept,
    ):
        link.expect("register")
        link.say("rejected", "fenced", "a sentence")
        link.expect_end()
        kept.request("POST", body=b"still here")
        assert kept.expect_response().body == b"still here"
        let_go(worker, kept)


def test_a_worker_hears_that_it_is_fenced_while_it_reads_a_body(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as link:
        link.request("POST", body=b"half", last=False)
        link.say("rejected", "fenced", "a sentence")
        error = worker.ended()
    assert (type(error), str(error)) == (RejectedError, "a sentence")


def test_a_worker_that_is_fenced_at_one_dispatcher_goes_on_serving_the_others(
    dispatcher: FakeDispatcher,
) -> None:
    with (
        FakeDispatcher() as other,
        a_worker(echo, dispatcher, other) as worker,
        dispatcher.registered() as link,
        other.registered() as kept,
        capture_logs() as log,
    ):
        link.say("rejected", "fenced", "a sentence")
        link.expect_end()
        kept.request("POST", body=b"still here")
        assert kept.expect_response().body == b"still here"
        let_go(worker, kept)
    assert [entry["event"] for entry in log if entry["log_level"] == "warning"] == ["link given up"]


def test_a_worker_that_is_fenced_while_it_leaves_has_left(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as link:
        worker.serving.drain()
        link.expect("draining")
        link.say("rejected", "fenced", "a sentence")
        assert worker.ended() is None


def test_who_started_a_worker_is_told_once_that_it_is_registered(dispatcher: FakeDispatcher) -> None:
    told: list[None] = []
    with (
        FakeDispatcher() as other,
        a_worker(echo, dispatcher, other, on_registered=lambda: told.append(None)) as worker,
    ):
        first, second = dispatcher.registered(), other.registered()
        first.socket.close()
        with dispatcher.registered() as first, second:
            first.request()
            first.expect_response()
            assert told == [None]
            let_go(worker, first, second)


# Nobody there


def test_a_worker_that_reaches_nobody_gives_up_after_a_while(dispatcher: FakeDispatcher) -> None:
    dispatcher.close()
    with a_worker(echo, dispatcher, patience=0.3) as worker:
        began = time.monotonic()
        error = worker.ended()
    assert isinstance(error, UnreachableError)
    assert str(error) == (
        f"cannot register with the dispatcher at {dispatcher.address}: Connection refused; "
        "start it with `lrwp dispatcher`, or name another with --dispatcher"
    )
    assert time.monotonic() - began < 2


def test_a_worker_waits_for_a_dispatcher_that_starts_a_little_later() -> None:
    with FakeDispatcher() as late:
        address = late.address
    late = FakeDispatcher.__new__(FakeDispatcher)
    late.address = address
    with a_worker_for(address) as worker:
        until(lambda: worker.serving._links._dispatchers[0].backoff.failures > 0)
        listener = socket.create_server((address.host, address.port))
        listener.settimeout(10)
        with listener:
            sock, _ = listener.accept()
        with FakeLink(sock).register() as link:
            let_go(worker, link)


@contextmanager
def a_worker_for(address: object) -> Iterator[Worker]:
    worker = Worker(Serving(echo, PAGES, [address]))  # type: ignore[list-item]  # an address
    try:
        yield worker
    finally:
        worker.serving.drain()


def test_a_port_where_something_else_listens_is_told_apart(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher, patience=0.2) as worker:
        while worker.thread.is_alive():
            try:
                link = dispatcher.accept()
            except OSError:
                break
            with link:
                link.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                link.socket.recv(1000)
                dispatcher._listener.settimeout(1)
        error = worker.ended()
    assert isinstance(error, UnreachableError)
    assert "the dispatcher broke the protocol: a frame of 1213486160 bytes is over the limit" in str(error)


def test_a_dispatcher_that_accepts_and_says_nothing_is_given_up(
    dispatcher: FakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "REGISTRATION_TIME", 0.05)
    with a_worker(echo, dispatcher, patience=0.2) as worker:
        error = worker.ended()
    assert isinstance(error, UnreachableError)
    assert "the dispatcher has been silent for too long" in str(error)


def test_a_host_that_does_not_answer_does_not_keep_a_worker_from_the_others(
    dispatcher: FakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A backlog that is full: the system drops what comes, as a host does that is gone.
    with FakeDispatcher() as deaf:
        deaf._listener.listen(0)
        where = (deaf.address.host, deaf.address.port)
        with (
            socket.create_connection(where),
            a_worker(echo, deaf, dispatcher) as worker,
            dispatcher.registered() as link,
        ):
            for number in range(3):
                link.request("POST", body=b"%d" % number)
                assert link.expect_response().body == b"%d" % number
            let_go(worker, link)


# Requests and answers


def test_a_request_reaches_the_handler_as_it_came(dispatcher: FakeDispatcher) -> None:
    seen: list[Exchange] = []

    def handle(exchange: Exchange) -> Answer:
        seen.append(exchange)
        return echo(exchange)

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        link.request("POST", b"/pages/a%20b?c", b"text")
        assert link.expect_response() == (200, b"X-Method: POST\r\n", b"text")
        (exchange,) = seen
        assert exchange[:8] == (
            "pages", "/pages", "POST", b"/pages/a%20b?c", b"Host: site\r\n", "http", "127.0.0.1:5", 1,
        )  # fmt: skip
        let_go(worker, link)


@pytest.mark.parametrize(
    ("target", "prefix"),
    [
        (b"/", "/"),
        (b"/shop", "/shop"),
        (b"/shopping", "/"),
        (b"/shop/cart/x?y", "/shop/cart"),
        (b"/caf%C3%A9/menu", "/café"),
        ("/caf\xe9/menu".encode("latin-1"), "/café"),
    ],
)
def test_a_handler_hears_under_which_path_it_was_found(
    dispatcher: FakeDispatcher, target: bytes, prefix: str
) -> None:
    paths = ("/", "/shop", "/shop/cart", "/café")
    registration = Registration("worker", tuple(Claim("pages", "", path) for path in paths))

    def handle(exchange: Exchange) -> Answer:
        return Answer(200, b"", exchange.prefix.encode())

    with a_worker(handle, dispatcher, registration=registration) as worker, dispatcher.registered() as link:
        link.request(target=target)
        assert link.expect_response().body == prefix.encode()
        let_go(worker, link)


def test_a_request_for_an_application_that_is_not_served_ends_the_link(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker:
        with dispatcher.registered() as link:
            link.request(application="shop")
            link.expect_end()
        with dispatcher.registered() as link:
            let_go(worker, link)


def test_a_large_answer_goes_in_pieces_with_its_length(dispatcher: FakeDispatcher) -> None:
    with a_worker(lambda _: Answer(200, b"", LARGE), dispatcher) as worker, dispatcher.registered() as link:
        link.request()
        _, status, head, piece, last = link.expect("response")
        assert (status, head, len(piece), last) == (200, b"Content-Length: 1048576\r\n", limits.PIECE, False)
        sizes = []
        while not last:
            _, piece, last = link.expect("body")
            sizes.append(len(piece))
        assert sizes == [limits.PIECE] * 7 + [0]
        let_go(worker, link)


def test_a_length_that_the_application_has_set_is_not_set_again(dispatcher: FakeDispatcher) -> None:
    head = b"X: y\r\ncontent-length: 1048576\r\n"
    with a_worker(lambda _: Answer(200, head, LARGE), dispatcher) as worker, dispatcher.registered() as link:
        link.request()
        assert link.expect_response() == (200, head, LARGE)
        let_go(worker, link)


@pytest.mark.parametrize("size", [0, 1, limits.PIECE])
def test_a_small_answer_is_one_message(dispatcher: FakeDispatcher, size: int) -> None:
    with (
        a_worker(lambda _: Answer(200, b"", bytes(size)), dispatcher) as worker,
        dispatcher.registered() as link,
    ):
        link.request()
        assert link.expect("response")[3:] == (bytes(size), True)
        let_go(worker, link)


# Bodies of requests


def send_large(link: FakeLink) -> int:
    """Send a request with a body of a megabyte in pieces; returns the id of its exchange."""
    exchange = link.request("POST", last=False)
    for offset in range(0, len(LARGE), limits.PIECE):
        piece = LARGE[offset : offset + limits.PIECE]
        link.say("body", exchange, piece, offset + limits.PIECE >= len(LARGE))
    return exchange


@pytest.mark.parametrize(
    "read",
    [
        lambda body: body.read(),
        lambda body: b"".join(iter(lambda: body.read(10_000), b"")),
        lambda body: b"".join(iter(body.readline, b"")),
        lambda body: body.read(1) + body.readline() + body.read(),
    ],
    ids=["at once", "in parts", "by line", "mixed"],
)
def test_a_body_in_pieces_can_be_read_in_every_way(
    dispatcher: FakeDispatcher, read: Callable[[object], bytes]
) -> None:
    def handle(exchange: Exchange) -> Answer:
        return Answer(200, b"", b"%d %r" % (len(data := read(exchange.body)), data == LARGE))

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        send_large(link)
        assert link.expect_response().body == b"1048576 True"
        let_go(worker, link)


@pytest.mark.parametrize("size", [0, 1, 200_000])
def test_a_body_need_not_be_read_to_its_end(dispatcher: FakeDispatcher, size: int) -> None:
    def handle(exchange: Exchange) -> Answer:
        return Answer(200, b"", exchange.body.read(size) if exchange.method == "POST" else b"next")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        exchange = link.request("POST", last=False)
        for offset in range(0, len(LARGE), limits.PIECE):
            if not link.end.is_sending(exchange):
                break
            link.say("body", exchange, LARGE[offset : offset + limits.PIECE], False)
        assert link.expect_response().body == LARGE[:size]
        link.request("GET")
        assert link.expect_response().body == b"next"
        assert not worker.serving._waiting
        let_go(worker, link)


# Handlers that fail


class TroubleError(Exception):
    """What a handler raises."""


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        TroubleError("secret words"),
        SystemExit("secret words"),
        ContentError("secret"),
        CancelledError("secret words"),
        KeyboardInterrupt("secret words"),
        GeneratorExit("secret words"),
    ],
)
def test_what_a_handler_raises_is_a_500_for_the_client_and_a_traceback_in_the_log(
    dispatcher: FakeDispatcher, error: BaseException, reads: bool
) -> None:
    def handle(exchange: Exchange) -> Answer:
        if exchange.method == "GET":
            return Answer(200, b"", b"next")
        if reads:
            exchange.body.read()
        raise error

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link, capture_logs() as log:
        send_large(link)
        response = link.expect_response()
        assert (response.status, b"secret" in response.body, b"Traceback" in response.body) == (
            500,
            False,
            False,
        )
        link.request()
        assert link.expect_response().body == b"next"
        let_go(worker, link)
    (entry,) = [entry for entry in log if entry["log_level"] == "error"]
    assert (entry["event"], entry["exc_info"], entry["path"]) == ("application raised", True, "/pages")


def test_an_unusable_header_is_a_502(dispatcher: FakeDispatcher) -> None:
    def handle(exchange: Exchange) -> Answer:
        raise HeaderError("the value of X is not text")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link, capture_logs() as log:
        link.request()
        assert link.expect_response().status == 502
        let_go(worker, link)
    assert ("unusable answer", "the value of X is not text") in [(e["event"], e.get("reason")) for e in log]


def test_the_page_of_an_error_has_no_body_for_head(dispatcher: FakeDispatcher) -> None:
    def handle(exchange: Exchange) -> Answer:
        raise TroubleError

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        link.request("HEAD")
        response = link.expect_response()
        assert (response.status, response.body) == (500, b"")
        let_go(worker, link)


# Streams


class Stream:
    """An answer's body in pieces, which notes that it was closed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed.set()


def test_a_stream_goes_out_piece_by_piece(dispatcher: FakeDispatcher) -> None:
    go_on = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"one"
        assert go_on.wait(10)
        yield b""
        yield b"two"
        yield LARGE

    stream = Stream(pieces())
    with a_worker(lambda _: Answer(200, b"", stream), dispatcher) as worker, dispatcher.registered() as link:
        exchange = link.request()
        assert link.expect("response") == (link.end.held[exchange], 200, b"", b"one", False)
        assert link.is_quiet()
        go_on.set()
        received = []
        last = False
        while not last:
            _, piece, last = link.expect("body")
            received.append(piece)
        assert b"".join(received) == b"two" + LARGE
        assert max(map(len, received)) == limits.PIECE
        assert stream.closed.wait(10)
        let_go(worker, link)


def test_an_empty_stream_is_an_empty_answer(dispatcher: FakeDispatcher) -> None:
    stream = Stream(iter([b"", b""]))
    with (
        a_worker(lambda _: Answer(204, b"X: y\r\n", stream), dispatcher) as worker,
        dispatcher.registered() as link,
    ):
        link.request()
        assert link.expect("response")[1:] == (204, b"X: y\r\n", b"", True)
        assert stream.closed.wait(10)
        let_go(worker, link)


def test_a_stream_is_closed_when_its_client_has_left(dispatcher: FakeDispatcher) -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            yield b"and on"

    stream = Stream(pieces())

    def handle(exchange: Exchange) -> Answer:
        return Answer(200, b"", stream if exchange.method == "GET" else b"next")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        exchange = link.request()
        link.expect("response")
        link.say("cancel", exchange)
        while not link.heard or link.heard[0].name == "body":
            link.heard.clear()
            link.end.receive(link.socket.recv(65536))
        assert link.expect("discarded") == (0,)
        assert stream.closed.is_set()
        link.request("POST")
        assert link.expect_response().body == b"next"
        let_go(worker, link)


def test_a_large_answer_stops_when_its_client_has_left(dispatcher: FakeDispatcher) -> None:
    huge = bytes(100_000_000)
    with a_worker(lambda _: Answer(200, b"", huge), dispatcher) as worker, dispatcher.registered() as link:
        exchange = link.request()
        link.expect("response")
        link.say("cancel", exchange)
        received = 0
        while not link.heard or link.heard[0].name == "body":
            link.heard.clear()
            data = link.socket.recv(1 << 20)
            received += len(data)
            link.end.receive(data)
        assert link.expect("discarded") == (0,)
        assert received < len(huge) / 2
        let_go(worker, link)


def test_a_stream_that_fails_before_its_first_piece_is_a_500(dispatcher: FakeDispatcher) -> None:
    def pieces() -> Iterator[bytes]:
        raise TroubleError
        yield b""

    stream = Stream(pieces())
    with a_worker(lambda _: Answer(200, b"", stream), dispatcher) as worker, dispatcher.registered() as link:
        link.request()
        assert link.expect_response().status == 500
        assert stream.closed.wait(10)
        let_go(worker, link)


@pytest.mark.parametrize(
    "error", [TroubleError(), ContentError("a piece is not text"), SystemExit(), CancelledError()]
)
def test_a_stream_that_breaks_off_ends_the_link_after_giving_back_what_else_it_held(
    dispatcher: FakeDispatcher, error: BaseException
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise error

    stream = Stream(pieces())

    def handle(exchange: Exchange) -> Answer:
        return Answer(200, b"", stream if exchange.method == "GET" else b"next")

    with a_worker(handle, dispatcher) as worker, capture_logs() as log:
        with dispatcher.registered() as link:
            frames = [link.frame()[1], link.frame("HEAD")[1], link.frame("HEAD")[1]]
            link.socket.sendall(b"".join(frames))
            assert link.expect("response")[3:] == (b"half", False)
            assert (link.expect("refused"), link.expect("refused")) == ((1,), (2,))
            link.expect_end()
        with dispatcher.registered() as link:
            link.request("POST")
            assert link.expect_response().body == b"next"
            let_go(worker, link)
    assert stream.closed.is_set()
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["application raised"]


def test_a_stream_whose_close_fails_is_an_answer_all_the_same(dispatcher: FakeDispatcher) -> None:
    class Grumpy(Stream):
        def close(self) -> None:
            raise TroubleError

    with (
        a_worker(lambda _: Answer(200, b"", Grumpy(iter([b"all"]))), dispatcher) as worker,
        dispatcher.registered() as link,
        capture_logs() as log,
    ):
        link.request()
        assert link.expect_response().body == b"all"
        let_go(worker, link)
    assert "application raised when its answer was closed" in [entry["event"] for entry in log]


# Clients that leave


def test_a_request_that_is_cancelled_before_it_is_begun_never_runs(dispatcher: FakeDispatcher) -> None:
    seen: list[bytes] = []

    def handle(exchange: Exchange) -> Answer:
        seen.append(exchange.target)
        return Answer(200, b"", b"")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        (_, first), (second, frame) = link.frame(target=b"/pages/1"), link.frame(target=b"/pages/2")
        link.socket.sendall(first + frame + link.end.cancel(second))
        link.expect_response()
        assert link.expect("discarded") == (1,)
        assert seen == [b"/pages/1"]
        let_go(worker, link)


def test_what_is_taken_back_from_behind_a_slow_request_never_runs(dispatcher: FakeDispatcher) -> None:
    is_cancelled = threading.Event()
    seen: list[bytes] = []

    def handle(exchange: Exchange) -> Answer:
        seen.append(exchange.target)
        if exchange.target == b"/pages/slow":
            assert is_cancelled.wait(10)
            until(lambda: time.monotonic() - began > 0.02)
        return Answer(200, b"", b"")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        began = time.monotonic()
        (_, slow), (behind, frame) = link.frame(target=b"/pages/slow"), link.frame(target=b"/pages/behind")
        link.socket.sendall(slow + frame)
        until(lambda: seen)
        link.say("cancel", behind)
        is_cancelled.set()
        link.expect_response()
        assert link.expect("discarded") == (1,)
        assert seen == [b"/pages/slow"]
        let_go(worker, link)


def test_a_handler_whose_client_leaves_while_it_reads_does_not_see_half_a_body_as_whole(
    dispatcher: FakeDispatcher,
) -> None:
    outcome: list[object] = []
    has_begun = threading.Event()

    def handle(exchange: Exchange) -> Answer:
        if exchange.method == "GET":
            return Answer(200, b"", b"next")
        has_begun.set()
        try:
            outcome.append(exchange.body.read())
        except ClientLeftError as error:
            outcome.append(type(error))
            raise
        raise AssertionError("the body was not whole")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link, capture_logs() as log:
        exchange = link.request("POST", last=False)
        link.say("body", exchange, b"half", False)
        assert has_begun.wait(10)
        link.say("cancel", exchange)
        assert link.expect("discarded") == (0,)
        link.request()
        assert link.expect_response().body == b"next"
        let_go(worker, link)
    assert outcome == [ClientLeftError]
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == []


def test_a_stream_whose_client_leaves_while_it_reads_the_body_is_settled(dispatcher: FakeDispatcher) -> None:
    def handle(exchange: Exchange) -> Answer:
        if exchange.method == "GET":
            return Answer(200, b"", b"next")
        return Answer(200, b"", iter(lambda: exchange.body.read(4), b""))

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        exchange = link.request("POST", last=False)
        link.say("body", exchange, b"half", False)
        assert link.expect("response")[3:] == (b"half", False)
        link.say("cancel", exchange)
        assert link.expect("discarded") == (0,)
        link.request()
        assert link.expect_response().body == b"next"
        let_go(worker, link)


# Links that are lost


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("last_words", [b"", b"\x00\x00\x00\x01\xc1"], ids=["end", "garbage"])
def test_a_link_that_is_lost_while_a_body_is_read_is_dialled_anew(
    dispatcher: FakeDispatcher, last_words: bytes, swallows: bool
) -> None:
    def handle(exchange: Exchange) -> Answer:
        try:
            return echo(exchange)
        except LinkLostError:
            if not swallows:
                raise
            return Answer(200, b"", b"I make do")

    with a_worker(handle, dispatcher) as worker, capture_logs() as log:
        with dispatcher.registered() as link:
            link.request("POST", last=False)
            link.socket.sendall(last_words)
            if last_words:
                link.expect_end()
        with dispatcher.registered() as link:
            link.request("POST", body=b"alive")
            assert link.expect_response().body == b"alive"
            let_go(worker, link)
    assert [entry["event"] for entry in log if entry["log_level"] in {"error", "warning"}] == ["link lost"]


def test_a_dispatcher_that_breaks_the_rules_is_dialled_anew(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, capture_logs() as log:
        with dispatcher.registered() as link:
            link.socket.sendall(encode_frame((99,)))
            link.expect_end()
        with dispatcher.registered() as link:
            let_go(worker, link)
    (entry,) = [entry for entry in log if entry["event"] == "link lost"]
    assert entry["reason"] == "the dispatcher broke the protocol: unknown message type 99"


def test_a_link_that_is_lost_under_an_answer_is_dialled_anew(dispatcher: FakeDispatcher) -> None:
    with a_worker(lambda _: Answer(200, b"", bytes(50_000_000)), dispatcher) as worker:
        with dispatcher.registered() as link:
            link.request()
            link.expect("response")
        with dispatcher.registered() as link:
            let_go(worker, link)


def test_what_came_over_a_lost_link_is_not_run(dispatcher: FakeDispatcher) -> None:
    seen: list[bytes] = []
    is_gone = threading.Event()

    def handle(exchange: Exchange) -> Answer:
        seen.append(exchange.target)
        assert is_gone.wait(10)
        return Answer(200, b"", bytes(10_000_000))

    with a_worker(handle, dispatcher) as worker:
        link = dispatcher.registered()
        (_, first), (_, second) = link.frame(target=b"/pages/1"), link.frame(target=b"/pages/2")
        link.socket.sendall(first + second)
        until(lambda: seen)
        link.socket.close()
        is_gone.set()
        with dispatcher.registered() as link:
            let_go(worker, link)
    assert seen == [b"/pages/1"]


# Heartbeats


def test_a_ping_is_answered(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as link:
        for _ in range(3):
            link.say("ping")
            link.expect("pong")
        let_go(worker, link)


def test_a_dispatcher_that_misses_three_heartbeats_is_dialled_anew(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, capture_logs() as log:
        with dispatcher.registered(heartbeat=20) as link:
            link.expect_end()
        with dispatcher.registered() as link:
            let_go(worker, link)
    assert [e["reason"] for e in log if e["event"] == "link lost"] == [
        "the dispatcher has been silent for too long"
    ]


def test_a_dispatcher_that_pings_is_not_given_up(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered(heartbeat=100) as link:
        began = time.monotonic()
        while time.monotonic() - began < 0.4:
            link.say("ping")
            link.expect("pong")
        let_go(worker, link)


def test_a_dispatcher_is_not_taken_for_silent_because_a_handler_took_long(dispatcher: FakeDispatcher) -> None:
    def handle(exchange: Exchange) -> Answer:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.4)
        return Answer(200, b"", b"done")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered(heartbeat=100) as link:
        link.request()
        assert link.expect_response().body == b"done"
        link.say("ping")
        link.expect("pong")
        let_go(worker, link)


def test_another_dispatcher_is_not_taken_for_silent_while_a_handler_kept_us_from_listening(
    dispatcher: FakeDispatcher,
) -> None:
    def handle(exchange: Exchange) -> Answer:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.4)
        return Answer(200, b"", b"done")

    with (
        FakeDispatcher() as other,
        a_worker(handle, dispatcher, other) as worker,
        dispatcher.registered(heartbeat=10_000) as busy,
        other.registered(heartbeat=100) as pinging,
    ):
        busy.request()
        for _ in range(3):
            pinging.say("ping")
        assert busy.expect_response().body == b"done"
        for _ in range(3):
            pinging.expect("pong")
        let_go(worker, busy, pinging)


# Several dispatchers


def test_one_worker_serves_two_dispatchers_and_one_of_them_may_come_and_go(
    dispatcher: FakeDispatcher,
) -> None:
    with FakeDispatcher() as other, a_worker(echo, dispatcher, other) as worker:
        first, second = dispatcher.registered(), other.registered()
        for link in (first, second, first):
            link.request("POST", body=b"text")
            assert link.expect_response().body == b"text"
        first.socket.close()
        second.request("POST", body=b"still here")
        assert second.expect_response().body == b"still here"
        first = dispatcher.registered()
        first.request("POST", body=b"back")
        assert first.expect_response().body == b"back"
        with first, second:
            let_go(worker, first, second)


def test_a_dispatcher_that_is_named_twice_is_dialled_once(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher, dispatcher) as worker, dispatcher.registered() as link:
        link.request("POST", body=b"text")
        assert link.expect_response().body == b"text"
        assert len(worker.serving._links._dispatchers) == 1
        let_go(worker, link)


# Leaving


def test_a_worker_that_drains_says_so_and_goes_when_the_dispatcher_lets_it(
    dispatcher: FakeDispatcher,
) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as link:
        worker.serving.drain()
        link.expect("draining")
        assert worker.thread.is_alive()
        link.socket.close()
        assert worker.ended() is None


def test_a_worker_that_drains_finishes_what_it_has_and_refuses_what_crossed(
    dispatcher: FakeDispatcher,
) -> None:
    go_on = threading.Event()

    def handle(exchange: Exchange) -> Answer:
        assert go_on.wait(10)
        return echo(exchange)

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        link.request("POST", body=b"in hand")
        until(lambda: worker.serving._links._ready)
        worker.serving.drain()
        go_on.set()
        assert link.expect_response().body == b"in hand"
        link.expect("draining")
        link.end.state = link.end.state.SERVING  # as if the goodbye were still on its way
        link.socket.sendall(encode_frame((19, 2, "pages", "POST", b"/pages", b"", "http", "", 1, b"", False)))
        link.end.held[2] = 2
        assert link.expect("refused") == (2,)
        link.socket.close()
        assert worker.ended() is None


def test_a_worker_that_drains_answers_what_came_with_its_acceptance(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.accept() as link:
        link.expect("register")
        worker.serving.drain()
        until(lambda: worker.serving._links._is_leaving)
        registered = link.end.registered(10_000)
        link.socket.sendall(registered + link.frame("POST", body=b"at the last moment")[1])
        assert link.expect_response().body == b"at the last moment"
        let_go(worker, link)


def test_a_worker_drains_though_more_requests_come_all_the_time(dispatcher: FakeDispatcher) -> None:
    def handle(exchange: Exchange) -> Answer:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 0.002)
        return Answer(200, b"", b"")

    with a_worker(handle, dispatcher) as worker, dispatcher.registered() as link:
        for _ in range(8):
            link.request()
        for answered in range(500):
            if answered == 50:
                worker.serving.drain()
            while not link.heard:
                link.end.receive(link.socket.recv(65536))
            if link.end.state is State.DRAINING:
                break
            link.expect("response")
            link.request()
        assert answered < 100
        link.socket.close()
        assert worker.ended() is None


def test_a_worker_serves_a_dispatcher_that_leaves_and_its_successor(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as old:
        old.say("drain")
        old.say("drain")
        with dispatcher.registered() as new:
            for link in (old, new, old):
                link.request()
                assert link.expect_response().status == 200
            old.socket.close()
            new.request()
            assert new.expect_response().status == 200
            assert new.is_quiet()
            let_go(worker, new)


def test_a_worker_that_leaves_says_goodbye_to_both(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as old:
        old.say("drain")
        with dispatcher.registered() as new:
            worker.serving.drain()
            for link in (old, new):
                link.expect("draining")
                link.socket.close()
        assert worker.ended() is None


def test_a_successor_that_is_not_there_yet_is_dialled_again(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as old:
        old.say("drain")
        with dispatcher.accept() as early:
            early.expect("register")
            early.say("rejected", "draining", "this dispatcher is stopping")
        old.request()
        assert old.expect_response().status == 200
        with dispatcher.registered() as new:
            old.socket.close()
            let_go(worker, new)


def test_a_worker_that_drains_does_not_wait_long_for_who_has_not_accepted_it(
    dispatcher: FakeDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "FAREWELL", 0.05)
    with (
        FakeDispatcher() as silent,
        a_worker(echo, dispatcher, silent) as worker,
        dispatcher.registered() as link,
        silent.accept() as unregistered,
    ):
        unregistered.expect("register")
        worker.serving.drain()
        unregistered.expect_end()
        let_go(worker, link)


def test_a_worker_that_drains_dials_nobody(dispatcher: FakeDispatcher) -> None:
    with FakeDispatcher() as gone, a_worker(echo, dispatcher, gone) as worker:
        lost = gone.registered()
        gone.close()
        with dispatcher.registered() as link:
            worker.serving.drain()
            link.expect("draining")
            lost.expect("draining")
            lost.socket.close()
            used = time.process_time()
            began = time.monotonic()
            while time.monotonic() - began < 0.2:
                link.say("ping")
                link.expect("pong")
                threading.Event().wait(0.05)
            assert time.process_time() - used < 0.1
            link.socket.close()
            assert worker.ended() is None


def test_a_worker_that_has_answered_enough_drains(dispatcher: FakeDispatcher) -> None:
    with (
        a_worker(echo, dispatcher, is_finished=lambda answered: answered == 2) as worker,
        dispatcher.registered() as link,
    ):
        for _ in range(2):
            link.request()
            link.expect_response()
        link.expect("draining")
        link.socket.close()
        assert worker.ended() is None
        assert worker.serving.answered == 2


def test_a_serving_that_has_ended_may_be_drained_again(dispatcher: FakeDispatcher) -> None:
    with a_worker(echo, dispatcher) as worker, dispatcher.registered() as link:
        let_go(worker, link)
        worker.serving.drain()


def test_what_a_dispatcher_sent_before_it_closed_the_link_is_not_begun(dispatcher: FakeDispatcher) -> None:
    """A worker that was stopped, or busy for another, finds it there: it was answered long ago."""
    begun: list[bytes] = []
    go_on = threading.Event()

    def handle(exchange: Exchange) -> Answer:
        begun.append(exchange.target)
        go_on.wait(10)
        return echo(exchange)

    with a_worker(handle, dispatcher) as worker:
        with dispatcher.registered() as link:
            link.request(target=b"/pages/first")
            until(lambda: bool(begun))
            link.request(target=b"/pages/late", method="POST")
            link.socket.close()
            go_on.set()
        with dispatcher.registered() as link:
            let_go(worker, link)
    assert begun == [b"/pages/first"]
