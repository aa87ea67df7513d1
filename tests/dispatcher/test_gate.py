"""The gate: how many strangers it lets in, how it slows down those who are refused, and what it tells."""

from __future__ import annotations

import pytest

from dispatcher import gate as g
from dispatcher.gate import ADDRESSES, OTHERS, PATIENT, QUIET, REPORT, UNIX, Gate, Report, Verdict, address_of


@pytest.fixture
def gate() -> Gate:
    return Gate()


# Strangers


def test_an_address_has_room_for_so_many_strangers_and_others_have_theirs(gate: Gate) -> None:
    assert all(gate.enter("192.0.2.1") for _ in range(g.STRANGERS_PER_ADDRESS))
    assert not gate.enter("192.0.2.1")
    assert gate.enter("192.0.2.2")
    assert (gate.strangers, gate.turned_away) == (g.STRANGERS_PER_ADDRESS + 2, 1)


def test_who_is_turned_away_or_registers_makes_room(gate: Gate) -> None:
    for _ in range(g.STRANGERS_PER_ADDRESS + 1):
        gate.enter("192.0.2.1")
    gate.leave("192.0.2.1")
    assert not gate.enter("192.0.2.1")
    for _ in range(2):
        gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1")


def test_there_is_room_for_so_many_strangers_in_all(gate: Gate) -> None:
    assert all(gate.enter(f"192.0.2.{number % 200}") for number in range(g.STRANGERS))
    assert not gate.enter("198.51.100.1")
    gate.leave("198.51.100.1")
    gate.leave("192.0.2.7")
    assert gate.enter("198.51.100.1")


def test_a_unix_socket_is_no_address_and_has_the_room_of_all(gate: Gate) -> None:
    assert all(gate.enter(UNIX) for _ in range(g.STRANGERS))
    assert not gate.enter(UNIX)


def test_nothing_is_kept_of_strangers_who_have_left(gate: Gate) -> None:
    for number in range(10):
        gate.enter(f"192.0.2.{number}")
        gate.leave(f"192.0.2.{number}")
    assert gate.strangers == 0
    assert gate._by_address == {}


# Refusals


def test_a_few_refusals_are_answered_at_once_and_then_slower_and_slower(gate: Gate) -> None:
    delays = [gate.refuse("192.0.2.1", 0.0).delay for _ in range(PATIENT + 7)]
    assert delays == [0.0] * PATIENT + [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_delay_is_bounded_however_often_somebody_tries(gate: Gate) -> None:
    for _ in range(5000):
        verdict = gate.refuse("192.0.2.1", 0.0)
    assert verdict.delay == g.LONGEST_DELAY
    assert gate.refused == 5000


def test_others_are_not_slowed_down(gate: Gate) -> None:
    for _ in range(50):
        gate.refuse("192.0.2.1", 0.0)
    assert gate.refuse("192.0.2.2", 0.0) == Verdict(0.0, True)


def test_who_is_quiet_for_long_has_a_clean_slate(gate: Gate) -> None:
    for _ in range(50):
        gate.refuse("192.0.2.1", 0.0)
    list(gate.report(QUIET))
    assert gate.refuse("192.0.2.1", QUIET).delay == g.LONGEST_DELAY
    list(gate.report(2 * QUIET + 0.1))
    assert gate.recent() == {}
    assert gate.refuse("192.0.2.1", 2 * QUIET + 0.1) == Verdict(0.0, True)


def test_of_a_burst_the_log_tells_the_first_and_then_how_many_more(gate: Gate) -> None:
    news = [gate.refuse("192.0.2.1", number / 100).is_news for number in range(1000)]
    assert news == [True] + [False] * 999
    assert list(gate.report(REPORT - 0.1)) == []
    reports = list(gate.report(REPORT + 1))
    assert reports == [Report("192.0.2.1", 999, REPORT + 1)]
    assert str(reports[0]) == "999 more refusals from 192.0.2.1 in the last 11 s"
    assert list(gate.report(REPORT + 2)) == []
    gate.refuse("192.0.2.1", 12.0)
    (report,) = gate.report(30.0)
    assert str(report) == "1 more refusal from 192.0.2.1 in the last 19 s"
    assert gate.recent() == {"192.0.2.1": 1001}


def test_a_crowd_of_addresses_is_counted_together(gate: Gate) -> None:
    verdicts = [gate.refuse(f"192.0.{number >> 8}.{number & 255}", 0.0) for number in range(10_000)]
    assert sum(verdict.is_news for verdict in verdicts) == ADDRESSES + 1
    assert list(gate.report(REPORT)) == [Report(OTHERS, 10_000 - ADDRESSES - 1, REPORT)]
    assert len(gate.recent()) == ADDRESSES + 1
    assert verdicts[-1].delay == g.LONGEST_DELAY


# Addresses


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(host: str, address: str) -> None:
    assert address_of(host) == address


def test_a_gate_says_what_it_has_seen(gate: Gate) -> None:
    gate.enter(UNIX)
    gate.refuse(UNIX, 0.0)
    assert repr(gate) == "<Gate, 1 strangers, 1 refused>"
