"""Links over TLS: with whom a worker speaks, and that it reads and writes as over a plain socket."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from protocol.addresses import Address
from protocol.errors import SettingsError
from tests.bench.measure import free_ports
from tests.tools import needed
from tests.waiting import until
from tests.worker.dispatchers import PATIENCE, FakeDispatcher, FakeLink
from tests.worker.test_serving import LARGE, a_worker, echo, let_go
from worker import links
from worker.dialling import Dialling, DistrustError
from worker.links import UnreachableError
from worker.tls import TlsSocket, Trust

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Authority, Pair


def server_context(pair: Pair, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class SecureDispatcher(FakeDispatcher):
    """A dispatcher that speaks TLS."""

    def __init__(self, context: ssl.SSLContext, name: str = "localhost") -> None:
        super().__init__()
        self.context = context
        self.address = Address("tls", name, self.address.port)

    def accept_plain(self) -> socket.socket:
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE)
        return sock

    def accept(self) -> FakeLink:
        return FakeLink(self.context.wrap_socket(self.accept_plain(), server_side=True))


@pytest.fixture
def dispatcher(localhost: Pair) -> Iterator[SecureDispatcher]:
    with SecureDispatcher(server_context(localhost)) as dispatcher:
        yield dispatcher


@pytest.fixture
def trust(authority: Authority) -> Trust:
    return Trust(authority.file)


def finish(dialling: Dialling) -> TlsSocket:
    """Go on until it leads to a connection."""
    while True:
        poll = select.poll()
        poll.register(dialling, dialling.events)
        assert poll.poll(10_000)
        if (sock := dialling.finish()) is not None:
            assert isinstance(sock, TlsSocket)
            return sock


@contextmanager
def meanwhile(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Do some work in another thread; the list has its result in the end."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    try:
        yield results
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Line:
    """The two ends of a connection."""

    def __init__(self, dispatcher: SecureDispatcher, trust: Trust) -> None:
        with meanwhile(dispatcher.accept) as accepted:
            self.here = finish(Dialling(dispatcher.address, trust))
        self.there: ssl.SSLSocket = accepted[0].socket

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture
def line(dispatcher: SecureDispatcher, trust: Trust) -> Iterator[Line]:
    line = Line(dispatcher, trust)
    yield line
    line.close()


# ── Sockets ──────────────────────────────────────────────────────────────────────────────────────


def test_what_is_sent_arrives(line: Line) -> None:
    line.here.sendall(b"hello")
    assert line.there.recv(10) == b"hello"
    line.there.sendall(b"hello yourself")
    assert line.here.recv(100) == b"hello yourself"
    assert repr(line.here) == "<TlsSocket to localhost, TLSv1.3>"


def test_what_is_for_tls_alone_is_not_waited_behind(line: Line) -> None:
    """A server's tickets come with its first words: they are readable, and yet there is nothing to read."""
    assert select.select([line.here], [], [], PATIENCE)[0]
    with pytest.raises(BlockingIOError):
        line.here.recv(100, socket.MSG_DONTWAIT)
    assert not select.select([line.here], [], [], 0)[0]


def test_new_keys_are_taken_up_in_both_directions(authority: Authority, localhost: Pair) -> None:
    (port,) = free_ports(1)
    command = ["s_server", "-accept", f"127.0.0.1:{port}", "-cert", *localhost[:1], "-key", *localhost[1:]]
    with subprocess.Popen(
        [needed("openssl"), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        wait_for_line(server.stdout, b"ACCEPT")
        here = finish(Dialling(Address("tls", "127.0.0.1", port), Trust(authority.file)))
        here.sendall(b"before\n")
        wait_for_line(server.stdout, b"before")
        with suppress(BlockingIOError):
            here.recv(1, socket.MSG_DONTWAIT)  # tickets
        server.stdin.write(b"K\n")  # have new keys, and want them from us
        server.stdin.flush()
        assert select.select([here], [], [], PATIENCE)[0]
        with pytest.raises(BlockingIOError):
            here.recv(1, socket.MSG_DONTWAIT)
        server.stdin.write(b"hello\n")
        server.stdin.flush()
        assert here.recv(6) == b"hello\n"
        here.sendall(b"after\n")
        wait_for_line(server.stdout, b"after")
        here.close()
        server.kill()


def wait_for_line(stream: IO[bytes], text: bytes) -> None:
    for line in stream:
        if text in line:
            return
    raise AssertionError(f"{text!r} did not come")


@pytest.mark.parametrize("flags", [0, socket.MSG_DONTWAIT])
def test_nothing_is_held_back_where_poll_does_not_see_it(line: Line, flags: int) -> None:
    got = b""
    with meanwhile(lambda: line.there.sendall(LARGE)):
        while len(got) < len(LARGE):
            assert select.select([line.here], [], [], PATIENCE)[0]
            try:
                got += line.here.recv(1000, flags)
            except BlockingIOError:
                assert flags
    assert got == LARGE


def test_sending_waits_until_the_other_side_reads(line: Line) -> None:
    def read() -> bytes:
        got = b""
        while len(got) < 8 * len(LARGE):
            got += line.there.recv(65536)
        return got

    with meanwhile(read) as results:
        line.here.sendall(8 * LARGE)
    assert results == [8 * LARGE]


@pytest.mark.parametrize("is_said", [True, False])
def test_the_end_is_the_end_whether_tls_says_so_or_not(line: Line, is_said: bool) -> None:
    line.there.sendall(b"last")
    if is_said:
        line.there.settimeout(0)
        with pytest.raises((ssl.SSLWantReadError, BlockingIOError)):
            line.there.unwrap()
    line.there.close()
    assert line.here.recv(100) == b"last"
    assert line.here.recv(100) == b""


def test_sending_to_nobody_is_an_error(line: Line) -> None:
    line.there.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        until(lambda: line.here.sendall(LARGE))


def test_what_is_not_tls_ends_the_connection_with_a_sentence(line: Line) -> None:
    plain = socket.socket(fileno=line.there.detach())
    plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(DistrustError) as caught:
        line.here.recv(100)
    assert caught.value.strerror == "TLS does not come about: decryption failed or bad record mac"
    plain.close()


# ── Whom we trust ────────────────────────────────────────────────────────────────────────────────


def distrust(dispatcher: SecureDispatcher, trust: Trust) -> str:
    """Return why hands are not shaken."""

    def accept() -> None:
        with dispatcher.accept_plain() as plain, pytest.raises(OSError):  # noqa: PT011 - however it ends
            dispatcher.context.wrap_socket(plain, server_side=True).recv(1)

    with meanwhile(accept), pytest.raises(DistrustError) as caught:
        finish(Dialling(dispatcher.address, trust))
    return str(caught.value.strerror)


def test_a_certificate_of_an_unknown_ca_is_not_trusted(
    dispatcher: SecureDispatcher, other_authority: Authority
) -> None:
    assert distrust(dispatcher, Trust(other_authority.file)) == (
        f"its certificate is not signed by a CA in {other_authority.file}"
    )
    assert distrust(dispatcher, Trust()) == (
        "its certificate is not signed by a CA that this system knows: give --ca-file"
    )
    assert repr(Trust()) == "<Trust in the CAs of this system>"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_certificate_for_another_name_is_not_trusted(authority: Authority, trust: Trust, name: str) -> None:
    pair = authority.issue("DNS:dispatcher.example.org", "IP:192.0.2.1")
    with SecureDispatcher(server_context(pair), name) as dispatcher:
        assert distrust(dispatcher, trust) == f"its certificate is not for {name}"


def test_a_certificate_that_has_expired_is_not_trusted(authority: Authority, trust: Trust) -> None:
    with SecureDispatcher(server_context(authority.issue("DNS:localhost", days=-1))) as dispatcher:
        assert distrust(dispatcher, trust) == "its certificate has expired"


def test_a_certificate_for_an_address_is_trusted_at_that_address(localhost: Pair, trust: Trust) -> None:
    with SecureDispatcher(server_context(localhost), "127.0.0.1") as dispatcher:
        Line(dispatcher, trust).close()


def test_a_dispatcher_that_does_not_speak_tls_is_told_apart(trust: Trust) -> None:
    with FakeDispatcher() as plain:
        dialling = Dialling(Address("tls", "127.0.0.1", plain.address.port), trust)

        def answer() -> None:
            with plain.accept() as link:
                link.socket.sendall(b"\0\0\0\5hello")
                link.socket.recv(65536)

        with meanwhile(answer), pytest.raises(DistrustError, match="it does not speak TLS: is it meant"):
            finish(dialling)


def test_a_dispatcher_that_closes_instead_is_gone(dispatcher: SecureDispatcher, trust: Trust) -> None:
    dialling = Dialling(dispatcher.address, trust)
    with meanwhile(lambda: dispatcher.accept_plain().close()), pytest.raises(ConnectionResetError):
        finish(dialling)


def test_a_dispatcher_that_wants_a_certificate_gets_ours(authority: Authority, localhost: Pair) -> None:
    trust = Trust(authority.file, *authority.issue())
    with SecureDispatcher(server_context(localhost, authority.file)) as dispatcher:
        line = Line(dispatcher, trust)
        line.here.sendall(b"hello")
        assert line.there.recv(5) == b"hello"
        line.close()


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        ("none", "it wants a certificate of us: give --certificate and --key"),
        ("foreign", "it does not know the CA that has signed our certificate"),
        ("expired", "our certificate has expired"),
    ],
)
def test_a_dispatcher_that_does_not_trust_us_says_why(
    authority: Authority, other_authority: Authority, localhost: Pair, shown: str, sentence: str
) -> None:
    pair = {
        "none": (None, None),
        "foreign": other_authority.issue(),
        "expired": authority.issue(days=-1),
    }[shown]
    trust = Trust(authority.file, *pair)
    with SecureDispatcher(server_context(localhost, authority.file)) as dispatcher:

        def accept() -> None:
            with dispatcher.accept_plain() as plain, pytest.raises(ssl.SSLError):
                dispatcher.context.wrap_socket(plain, server_side=True)

        with meanwhile(accept):
            here = finish(Dialling(dispatcher.address, trust))
            with pytest.raises(DistrustError) as caught:
                here.recv(1)
            here.close()
    assert caught.value.strerror == sentence


def test_files_that_cannot_be_used_are_named(
    authority: Authority, other_authority: Authority, localhost: Pair, tmp_path: Path
) -> None:
    text, missing = tmp_path / "text", tmp_path / "missing"
    text.write_text("hello")
    foreign = other_authority.issue().key
    cases: list[tuple[tuple[Path | None, ...], str]] = [
        ((missing,), f"cannot read the CA file {missing}: No such file or directory"),
        ((text,), f"the CA file {text} is not a certificate in PEM"),
        ((None, localhost.certificate), "a certificate and its key go together: give both, or neither"),
        ((None, missing, missing), f"cannot read the certificate {missing}: No such file or directory"),
        ((None, localhost.certificate, missing), f"cannot read the key {missing}: No such file or directory"),
        ((None, text, localhost.key), f"the certificate {text} and the key {localhost.key} must be in PEM"),
        (
            (None, localhost.certificate, foreign),
            f"the key {foreign} does not belong to the certificate {localhost.certificate}",
        ),
    ]
    for files, sentence in cases:
        with pytest.raises(SettingsError) as caught:
            Trust(*files)
        assert str(caught.value) == sentence


# ── Workers ──────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_serves_over_tls(dispatcher: SecureDispatcher, trust: Trust) -> None:
    with a_worker(echo, dispatcher, trust=trust) as worker, dispatcher.registered() as link:
        exchange = link.request("POST", last=False)
        with meanwhile(link.expect_response) as answers:
            for at in range(0, len(LARGE), 65536):
                link.say("body", exchange, LARGE[at : at + 65536], at + 65536 >= len(LARGE))
        assert answers[0].body == LARGE
        link.say("ping")
        link.expect("pong")
        let_go(worker, link)


def test_a_worker_is_woken_while_its_dispatcher_says_nothing(
    dispatcher: SecureDispatcher, trust: Trust
) -> None:
    with a_worker(echo, dispatcher, trust=trust) as worker, dispatcher.registered() as link:
        let_go(worker, link)


def test_a_worker_that_does_not_trust_a_dispatcher_says_so_once_and_tries_again(
    authority: Authority, trust: Trust, localhost: Pair
) -> None:
    expired = authority.issue("DNS:localhost", days=-1)
    with (
        SecureDispatcher(server_context(localhost)) as dispatcher,
        capture_logs() as log,
        a_worker(echo, dispatcher, trust=trust) as worker,
    ):
        with dispatcher.registered():
            dispatcher.context = server_context(expired)
        for _ in range(2):
            with dispatcher.accept_plain() as plain, pytest.raises(ssl.SSLError):
                dispatcher.context.wrap_socket(plain, server_side=True)
        dispatcher.context = server_context(localhost)
        with dispatcher.registered() as link:
            let_go(worker, link)
    complaints = [entry for entry in log if entry["event"] == "no trust"]
    assert [(entry["log_level"], entry["reason"]) for entry in complaints] == [
        ("warning", "its certificate has expired")
    ]


def test_a_worker_that_never_comes_to_trust_a_dispatcher_gives_up_with_the_reason(
    dispatcher: SecureDispatcher, other_authority: Authority
) -> None:
    with a_worker(echo, dispatcher, trust=Trust(other_authority.file), patience=0.1) as worker:
        dispatcher._listener.settimeout(0.5)
        while worker.thread.is_alive():
            try:
                plain = dispatcher.accept_plain()
            except TimeoutError:
                break
            with plain, pytest.raises(ssl.SSLError):
                dispatcher.context.wrap_socket(plain, server_side=True)
        error = worker.ended()
    assert isinstance(error, UnreachableError)
    assert str(error) == (
        f"cannot register with the dispatcher at {dispatcher.address}: its certificate is not signed by"
        f" a CA in {other_authority.file}"
    )


def test_a_handshake_that_does_not_end_keeps_a_worker_from_nothing(
    monkeypatch: pytest.MonkeyPatch, dispatcher: SecureDispatcher, trust: Trust, localhost: Pair
) -> None:
    monkeypatch.setattr(links, "CONNECT_TIME", 0.2)
    with (
        SecureDispatcher(server_context(localhost)) as mute,
        a_worker(echo, mute, dispatcher, trust=trust) as worker,
        dispatcher.registered() as link,
    ):
        with mute.accept_plain() as first:
            first.sendall(b"\x16\x03\x03")  # a beginning, which does not give it more time
            link.request("POST", body=b"meanwhile")
            assert link.expect_response().body == b"meanwhile"
            while first.recv(65536):
                pass
        mute.accept_plain().close()
        let_go(worker, link)
