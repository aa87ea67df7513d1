"""A supervisor in this process, with children that are real; pools show the rest of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from worker.child import STDERR, STDOUT, Process
from worker.supervision import Supervisor


class Owner:
    """Keeps what it is told, and stops when the last process has ended."""

    def __init__(self, *entries: Callable[[], int]) -> None:
        self.entries = entries
        self.events: list[tuple[object, ...]] = []
        self.supervisor = Supervisor(self)

    def run(self) -> int:
        return self.supervisor.run()

    def on_begin(self) -> None:
        for number, entry in enumerate(self.entries):
            self.supervisor.start(f"child-{number}", entry)

    def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None:
        self.events += [(process.label, stream, line) for line in lines]

    def on_report(self, process: Process) -> None:
        self.events.append((process.label, process.is_ready, process.failure))

    def on_ended(self, process: Process, code: int) -> None:
        self.events.append((process.label, code))
        if not self.supervisor.processes:
            self.supervisor.stop()

    def on_renew(self) -> None:
        self.events.append(("renew",))

    def on_stop(self) -> None:
        self.events.append(("stop",))


def speak() -> int:
    os.write(STDOUT, b"out\nrest")
    os.write(STDERR, b"err\n")
    os.write(int(os.environ["LRWP_READY_FD"]), b"+")
    return 3


def test_what_a_child_wrote_comes_before_its_end() -> None:
    owner = Owner(speak)
    assert owner.run() == 0
    assert set(owner.events[:-2]) == {
        ("child-0", STDOUT, b"out"),
        ("child-0", STDOUT, b"rest"),
        ("child-0", STDERR, b"err"),
        ("child-0", True, ""),
    }
    assert owner.events[-2:] == [("child-0", 3), ("stop",)]


@pytest.mark.parametrize(
    ("leaving", "code"), [(SystemExit(4), 4), (SystemExit(), 0), (SystemExit("a sentence"), 1)]
)
def test_a_child_may_end_as_programs_do(leaving: SystemExit, code: int) -> None:
    def leave() -> int:
        raise leaving

    owner = Owner(leave)
    owner.run()
    assert owner.events[0] == ("child-0", code)


def test_a_child_has_none_of_its_siblings_files() -> None:
    def list_files() -> int:
        print(len(os.listdir("/proc/self/fd")))
        return 0

    owner = Owner(list_files, list_files, list_files)
    owner.run()
    counts = {event[2] for event in owner.events if event[1:2] == (STDOUT,)}
    assert len(counts) == 1


def test_timers_run_in_their_order() -> None:
    class Timed(Owner):
        def on_begin(self) -> None:
            self.supervisor.after(0.02, self.supervisor.stop)
            self.supervisor.after(0.01, lambda: self.events.append((2,)))
            self.supervisor.after(0.0, lambda: self.events.append((1,)))

    owner = Timed()
    assert owner.run() == 0
    assert owner.events == [(1,), (2,), ("stop",)]


def test_a_child_that_does_not_leave_in_time_is_killed_and_the_way_out_has_failed() -> None:
    class Impatient(Owner):
        def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None:
            self.supervisor.stop()
            self.supervisor.terminate(process, 0.01)

    def stay() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("here")
        signal.pause()
        return 0

    owner = Impatient(stay)
    assert owner.run() == 1
    assert owner.events == [("stop",), ("child-0", -signal.SIGKILL)]


def test_signals_are_as_before_when_it_is_over() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    files = os.listdir("/proc/self/fd")
    Owner(lambda: 0).run()
    assert [signal.getsignal(number) for number in numbers] == before
    assert os.listdir("/proc/self/fd") == files
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_system_without_room_for_another_process_is_an_error_that_leaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    class Refused(Owner):
        def on_begin(self) -> None:
            files = os.listdir("/proc/self/fd")
            with pytest.raises(BlockingIOError):
                self.supervisor.start("child", lambda: 0)
            assert os.listdir("/proc/self/fd") == files
            self.supervisor.stop()

    monkeypatch.setattr(os, "fork", fork)
    assert Refused().run() == 0
