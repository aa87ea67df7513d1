import asyncio
import ctypes
import time
from collections.abc import Callable

import pytest

from lrwp.load.alarm import LoopAlarm, TimerAlarm, open_alarm
from tests.lrwp.load.servers import play

Kind = type[TimerAlarm] | type[LoopAlarm]

both = pytest.mark.parametrize("kind", [TimerAlarm, LoopAlarm])


def ringing(kind: Kind, moments: Callable[[float], list[float]]) -> tuple[float, list[float]]:
    """Set an alarm for ``moments`` one after the other; return the start and when it went off."""

    async def scenario() -> tuple[float, list[float]]:
        rung = asyncio.Event()
        own = kind(asyncio.get_running_loop(), rung.set)
        start, times = time.perf_counter(), []
        for moment in moments(start):
            own.set(moment)
            await asyncio.wait_for(rung.wait(), 5)
            rung.clear()
            times.append(time.perf_counter())
        own.close()
        return start, times

    return play(scenario())


@both
def test_an_alarm_goes_off_at_its_moment(kind: Kind) -> None:
    start, times = ringing(kind, lambda start: [start + 0.02, start + 0.03])
    # uvloop's timers, in whole milliseconds, may go off up to one too soon.
    assert times[0] >= start + 0.019
    assert times[1] >= start + 0.029


@both
def test_an_alarm_for_a_moment_that_is_past_goes_off_at_once(kind: Kind) -> None:
    start, times = ringing(kind, lambda start: [start - 10])
    assert times[0] - start < 1


@both
def test_an_alarm_that_is_set_again_goes_off_once(kind: Kind) -> None:
    async def scenario() -> list[float]:
        done = asyncio.Event()
        rings = []

        def ring() -> None:
            rings.append(time.perf_counter())
            if rings[-1] >= later:
                done.set()

        own = kind(asyncio.get_running_loop(), ring)
        later = time.perf_counter() + 0.03
        own.set(later - 0.02)
        own.set(later + 0.001)
        await asyncio.wait_for(done.wait(), 5)
        own.close()
        return rings

    assert len(play(scenario())) == 1


@both
def test_an_alarm_that_is_closed_does_not_go_off(kind: Kind) -> None:
    async def scenario() -> list[str]:
        rings: list[str] = []
        loop = asyncio.get_running_loop()
        own = kind(loop, lambda: rings.append("closed"))
        own.set(time.perf_counter() + 0.005)
        own.close()
        done = asyncio.Event()
        other = LoopAlarm(loop, done.set)
        other.set(time.perf_counter() + 0.01)
        await asyncio.wait_for(done.wait(), 5)
        return rings

    assert play(scenario()) == []


def test_an_alarm_that_was_set_anew_before_the_loop_came_to_it_does_not_go_off() -> None:
    async def scenario() -> list[str]:
        rings: list[str] = []
        own = TimerAlarm(asyncio.get_running_loop(), lambda: rings.append("too soon"))
        own.set(time.perf_counter() + 60)
        own._read()
        own.close()
        return rings

    assert play(scenario()) == []


def test_a_system_without_timerfd_uses_the_timers_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """The C library of such a system."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

    async def scenario() -> type:
        own = open_alarm(asyncio.get_running_loop(), lambda: None)
        own.close()
        return type(own)

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert play(scenario()) is LoopAlarm


def test_a_system_that_refuses_a_timerfd_uses_the_timers_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """The C library where no file descriptor is left."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def timerfd_create(self, *_: object) -> int:
            return -1

        timerfd_settime = timerfd_create

    async def scenario() -> type:
        own = open_alarm(asyncio.get_running_loop(), lambda: None)
        own.close()
        return type(own)

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert play(scenario()) is LoopAlarm
