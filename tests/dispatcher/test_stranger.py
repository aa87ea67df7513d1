"""Strangers at a link port: too many of them, those who try again and again, and those who talk nonsense."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from dispatcher import gate
from dispatcher.gate import LONGEST_DELAY, PATIENT, REPORT
from dispatcher.keyring import Keyring
from dispatcher.stranger import CLOSING_TIME, REGISTRATION_TIME, Stranger
from protocol import limits, messages
from protocol.frames import encode_frame
from tests.dispatcher.house import House, a_house
from tests.dispatcher.test_links import GARBAGE, serves

if TYPE_CHECKING:
    from tests.peers import Peer

SECRET = b"sixteen bytes or more"


@pytest.fixture
def house() -> Iterator[House]:
    with a_house(keyring=Keyring((SECRET,))) as house:
        yield house


def be_refused(house: House, times: int) -> None:
    """Have workers with a wrong secret come one after another."""
    for _ in range(times):
        with house.peer() as peer:
            try_wrong_secret(house, peer)
            peer.expect("rejected")
            peer.expect_end()


def try_wrong_secret(house: House, peer: Peer) -> None:
    """Prove a wrong secret, and wait until the dispatcher has seen it."""
    before = house.front.gate.refused
    peer.say("register", peer.registration, peer.nonce)
    proof = peer.prove(b"a wrong secret!!", *peer.expect("challenge"))
    peer.say("register", peer.registration, peer.nonce, proof)
    house.until(lambda: house.front.gate.refused > before)


# Too many


def test_one_stranger_too_many_is_turned_away_at_once_and_the_next_may_come_when_one_has_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "STRANGERS_PER_ADDRESS", 3)
    with house.peer(instance="known") as known, ExitStack() as stack:
        known.register(SECRET)
        crowd = [stack.enter_context(house.peer()) for _ in range(3)]
        house.until(lambda: house.front.gate.strangers == 3)
        with capture_logs() as log, house.peer() as late:
            late.expect_end()
            house.until(lambda: house.front.gate.strangers == 3)
        assert [(entry["event"], entry["reason"]) for entry in log] == [
            ("link turned away", "too many are not registered yet")
        ]
        assert house.front.gate.turned_away == 1
        assert serves(house, known)
        crowd[0].socket.close()
        house.until(lambda: house.front.gate.strangers == 2)
        with house.peer(instance="next") as following:
            following.register(SECRET)


def test_who_has_registered_is_no_stranger(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "STRANGERS", 1)
    with ExitStack() as stack:
        for number in range(4):
            peer = stack.enter_context(house.peer(instance=f"worker {number}"))
            peer.register(SECRET)
            assert house.do(lambda: house.front.gate.strangers) == 0
    house.until(lambda: not house.front.links)
    assert house.front.gate.strangers == 0
    assert house.front.gate._by_address == {}


def test_strangers_who_say_nothing_go_when_their_time_is_up(house: House) -> None:
    with house.peer() as one, house.peer() as other:
        other.socket.sendall(bytes(3))
        house.until(lambda: house.front.gate.strangers == 2)
        house.pass_time(REGISTRATION_TIME + 0.1)
        one.expect_end()
        other.expect_end()
        house.until(lambda: house.front.gate.strangers == 0)


# Again and again


def test_refusals_are_answered_slower_after_several_and_told_of_once(house: House) -> None:
    with capture_logs() as log:
        be_refused(house, PATIENT)
        with house.peer() as peer:
            try_wrong_secret(house, peer)
            house.pass_time(0.24)
            assert peer.is_quiet()
            house.pass_time(0.01)
            assert peer.expect("rejected")[0] == "proof"
            peer.expect_end()
        house.pass_time(REPORT)
    warnings = [entry["event"] for entry in log if entry["log_level"] == "warning"]
    assert warnings == ["worker rejected", f"{PATIENT} more refusals from 127.0.0.1 in the last 10 s"]
    assert house.front.gate.recent() == {"127.0.0.1": PATIENT + 1}


def test_who_knows_the_secret_does_not_wait_for_those_who_do_not(house: House) -> None:
    be_refused(house, PATIENT)
    with house.peer(instance="wrong") as wrong, house.peer(instance="right") as right:
        try_wrong_secret(house, wrong)
        assert serves(house, right.register(SECRET))
        assert wrong.is_quiet()


def test_who_waits_for_a_refusal_is_not_read_from(house: House) -> None:
    be_refused(house, PATIENT)
    with house.peer() as peer:
        try_wrong_secret(house, peer)
        peer.socket.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while sent < 100_000_000:
                sent += peer.socket.send(bytes(65536))
        assert sent < 100_000_000
        (connection,) = house.do(lambda: list(house.front.links))
        assert len(connection._end._reader._buffer) == 0
        peer.socket.settimeout(10)
        house.pass_time(LONGEST_DELAY)
        house.until(lambda: not house.front.links)
    assert house.front.gate.refused == PATIENT + 1


def test_who_talks_nonsense_again_and_again_waits_too_and_keeps_its_place_meanwhile(house: House) -> None:
    for _ in range(PATIENT):
        with house.peer() as peer:
            peer.socket.sendall(GARBAGE)
            peer.expect_end()
    with house.peer() as peer:
        peer.socket.sendall(GARBAGE)
        house.until(lambda: house.front.gate.refused == PATIENT + 1)
        assert peer.is_quiet()
        assert house.front.gate.strangers == 1
        house.pass_time(LONGEST_DELAY)
        peer.expect_end()


def test_a_worker_that_is_sent_on_by_a_leaving_dispatcher_is_not_refused(house: House) -> None:
    house.do(lambda: house.front.leave(house.time))
    for _ in range(PATIENT + 2):
        with house.peer() as peer:
            peer.say("register", peer.registration, peer.nonce)
            peer.say("register", peer.registration, peer.nonce, peer.prove(SECRET, *peer.expect("challenge")))
            assert peer.expect("rejected")[0] == "draining"
    assert house.front.gate.refused == 0


def test_an_old_proof_is_worth_nothing_on_a_new_link(house: House) -> None:
    with house.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        proof = peer.prove(SECRET, *peer.expect("challenge"))
        peer.say("register", peer.registration, peer.nonce, proof)
        peer.expect("registered")
    with house.peer() as thief:
        thief.say("register", thief.registration, thief.nonce)
        thief.expect("challenge")
        thief.say("register", thief.registration, thief.nonce, proof)
        assert thief.expect("rejected")[0] == "proof"
        thief.expect_end()


def test_a_stranger_that_does_not_take_the_last_word_does_not_stay(house: House) -> None:
    with house.peer() as peer:
        peer.say("register", peer.registration, peer.nonce)
        peer.expect("challenge")
        (connection,) = house.do(lambda: list(house.front.links))
        house.do(lambda: connection._transport.write(bytes(50_000_000)))
        proof = peer.prove(b"a wrong secret!!", bytes(32))
        peer.say("register", peer.registration, peer.nonce, proof)
        house.until(connection._transport.is_closing)
        house.pass_time(CLOSING_TIME)
        assert house.front.links == {connection}
        house.pass_time(0.1)
        house.until(lambda: not house.front.links)


def test_a_stranger_has_a_name(house: House) -> None:
    with house.peer() as peer:
        (connection,) = house.until(lambda: list(house.front.links))
        host, port = peer.socket.getsockname()
        assert repr(connection._stranger) == f"<Stranger {host}:{port}>"


# Nonsense


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def nonsense(seed: int) -> bytes:
    """Return random bytes of every kind that a reader might stumble over: raw, framed, cut, and deep."""
    chance = random.Random(seed)
    data = chance.randbytes(chance.randrange(1, 2000))
    kind = chance.randrange(5)
    if kind == 0:
        return data
    if kind == 1:
        return b"\0" + data
    if kind == 2:
        return struct.pack(">I", len(data)) + data
    if kind == 3:
        return struct.pack(">I", limits.REGISTRATION_FRAME) + data * 40
    return struct.pack(">I", 40_000) + b"\xdc\xff\xff" * 10_000 + data * 10


def test_nonsense_gets_refusals_and_nothing_else_in_flat_memory_and_few_lines(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LONGEST_DELAY", 0.0)  # the time of this house stands still
    with house.peer(instance="good") as good, capture_logs() as log:
        good.register(SECRET)
        before = 0
        for number in range(600):
            with socket.create_connection(house.link, 10) as sock:
                with suppress(OSError):  # it may be dropped in the middle
                    sock.sendall(nonsense(number))
                    sock.shutdown(socket.SHUT_WR)
                with suppress(ConnectionResetError):  # the dialects of 1997 are told why
                    assert len(b"".join(iter(partial(sock.recv, 1000), b""))) < 200
            if number == 100:
                before = resident()
        house.until(lambda: house.front.gate.strangers == 0)
        assert resident() - before < 2_000_000
        assert house.do(lambda: len(house.front.broker.links)) == 1
        assert serves(house, good)
        house.pass_time(REPORT)
        assert house.front.gate.refused > 300
    warnings = [entry["event"] for entry in log if entry["log_level"] == "warning"]
    assert len(warnings) == 2, warnings


# Odd ones


def test_who_is_refused_is_refused_once_whatever_came_behind(house: House) -> None:
    with house.peer() as peer, capture_logs() as log:
        future = encode_frame((messages.REGISTER, 4))
        peer.socket.sendall(future + b"\x00\xff\xff\xff")  # the length of a frame that is too long
        peer.end.register(peer.registration, peer.nonce)
        assert peer.expect("rejected")[0] == "version"
        peer.expect_end()
        house.until(lambda: not house.front.links)
    assert house.front.gate.refused == 1
    assert [entry["event"] for entry in log] == ["worker rejected"]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_worker_s_nonce_has_its_length(house: House, length: int) -> None:
    with house.peer() as peer:
        peer.nonce = bytes(length)
        peer.say("register", peer.registration, peer.nonce)
        peer.say("register", peer.registration, peer.nonce, peer.prove(SECRET, *peer.expect("challenge")))
        assert peer.expect("rejected")[0] == "proof"


class NearTransport(asyncio.Transport):
    """The transport of a connection over a Unix socket."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ""}.get(name, default)


def test_who_comes_through_a_unix_socket_has_no_address() -> None:
    one = gate.Gate()
    near = Stranger(one, NearTransport(), 0.0)
    assert (near.peer, one._by_address) == ("unix:", {gate.UNIX: 1})
    near.leave()
    near.leave()
    assert one.strangers == 0
