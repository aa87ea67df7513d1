"""Pools of real processes that run fake workers."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import pytest

from tests.programs import Program, lives, running, wait_until_gone
from worker.backoff import Backoff
from worker.pool import HUNG, RECYCLE, SETTLED, Place, Pool, name_processes, seconds_to_restart
from worker.settings import WorkerSettings

PRELUDE = """
import os, signal, sys, threading
from pathlib import Path
from protocol.errors import LrwpError
from worker.backoff import Backoff
from worker.pool import Pool, RECYCLE
from worker.settings import WorkerSettings

def ready():
    os.write(int(os.environ["LRWP_READY_FD"]), b"1")

def serve(label, last_words="drained"):
    "Be ready, and drain when told to."
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ready()
    print(label, "serves as", os.getpid())
    signal.sigwait({signal.SIGTERM})
    print(label, last_words)
    return 0

def is_first(label):
    "Whether this is the first process of its place."
    try:
        Path(label).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""

Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(
            run: str,
            *,
            settings: str = "processes=2",
            pool: str = "",
            terminal: bool = False,
            **environ: str,
        ) -> Program:
            source = f"""{PRELUDE}\n{textwrap.dedent(run)}
settings = WorkerSettings(target="shop.main:app", {settings})
sys.exit(Pool(settings, run, backoff=lambda: Backoff(0.05, 0.2), {pool}).run())
"""
            program: AbstractContextManager[Program] = running(
                ["-c", source], cwd=tmp_path, environ=environ, terminal=terminal
            )
            return stack.enter_context(program)

        yield start


def pid_of(program: Program, label: str) -> int:
    return int(program.wait_for(rf"{label} serves as (\d+)")[1])


SERVE = """
def run(settings, label):
    return serve(label)
"""


# Decisions, without a process


def test_a_process_that_ended_with_0_is_never_replaced() -> None:
    assert seconds_to_restart(0, 0.1, Backoff()) is None


def test_a_process_that_served_its_number_of_requests_is_replaced_at_once() -> None:
    backoff = Backoff()
    assert (seconds_to_restart(RECYCLE, 0.1, backoff), backoff.failures) == (0.0, 0)


def test_a_process_in_which_a_request_hung_is_replaced_at_once() -> None:
    assert seconds_to_restart(HUNG, 0.1, Backoff()) == 0.0


def test_a_process_that_lived_for_a_while_is_replaced_at_once() -> None:
    backoff = Backoff()
    backoff.next()
    assert (seconds_to_restart(-signal.SIGKILL, SETTLED, backoff), backoff.failures) == (0.0, 0)


def test_early_deaths_wait_longer_each_time() -> None:
    backoff = Backoff(1.0, 30.0, draw=lambda _, bound: bound)
    waits = [seconds_to_restart(1, SETTLED - 0.01, backoff) for _ in range(7)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"processes": 2}, ["main-1", "main-2"]),
        ({"processes": 2, "name": ("shop",)}, ["shop-1", "shop-2"]),
        ({"processes": 3, "label": ("ONE", "TWO", "THREE")}, ["ONE", "TWO", "THREE"]),
        ({"processes": 3, "label": ("ONE",)}, ["ONE", "main-2", "main-3"]),
        ({}, ["main-1"]),
    ],
)
def test_processes_are_called_what_they_were_told_or_after_the_application(
    settings: dict[str, object], labels: list[str]
) -> None:
    assert name_processes(WorkerSettings(target="shop.main:app", **settings)) == labels  # type: ignore[arg-type]


def test_a_place_says_what_is_in_it() -> None:
    place = Place("ONE", Backoff())
    place.is_retired = True
    assert repr(place) == "<Place ONE, retired>"


# Output


def test_each_line_comes_under_the_label_of_its_process(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            print("out of", label)
            print("err of", label, file=sys.stderr)
            sys.stdout.buffer.write(b"no line end")
            return 0
        """,
        settings='processes=2, label=("ONE", "THREE")',
    )
    assert program.wait() == 0
    assert sorted(program.output.splitlines()) == [
        "ONE   | err of ONE",
        "ONE   | no line end",
        "ONE   | out of ONE",
        "THREE | err of THREE",
        "THREE | no line end",
        "THREE | out of THREE",
    ]


def test_a_process_knows_its_label_its_settings_and_its_variables_before_it_begins(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            print(label, os.environ["LRWP_LABEL"], os.environ["COLOUR"], settings.processes, settings.label)
            return 0
        """,
        settings='processes=1, label=("ONE",), env=(("COLOUR", "blue"),)',
    )
    assert program.wait() == 0
    assert program.output == "ONE | ONE ONE blue None ('ONE',)\n"


def test_a_reader_that_went_away_does_not_end_the_pool(start: Start, tmp_path: Path) -> None:
    program = start(
        """
        def run(settings, label):
            print("hello")
            signal.sigwait({signal.SIGUSR1})
            print("nobody reads this")
            Path("wrote").touch()
            return 0
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        """,
        settings="processes=1",
    )
    program.wait_for("hello")
    program.stop_reading()
    os.killpg(program.process.pid, signal.SIGUSR1)
    assert program.wait() == 0
    assert (tmp_path / "wrote").exists()


# Ends and restarts


def test_a_pool_whose_processes_have_all_done_their_work_is_done(start: Start) -> None:
    program = start("def run(settings, label): return 0", settings="processes=3")
    assert program.wait() == 0
    assert program.output == ""


def test_a_killed_process_is_replaced(start: Start) -> None:
    program = start(SERVE)
    first = pid_of(program, "main-1")
    os.kill(first, signal.SIGKILL)
    program.wait_for(r"^lrwp: main-1 was killed by SIGKILL; trying again in 0.\d s$")
    assert pid_of(program, "main-1") != first


def test_an_exception_in_a_process_is_shown_and_the_process_replaced(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            if is_first(label):
                raise ZeroDivisionError("a bug")
            return serve(label)
        """
    )
    program.wait_for(r"main-1 \| ZeroDivisionError: a bug")
    program.wait_for("^lrwp: main-1 ended with exit code 1; trying again in")
    program.wait_for("main-1 serves")


def test_a_process_that_served_its_requests_is_replaced_without_a_word(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            return RECYCLE if is_first(label) else serve(label)
        """,
        settings="processes=1",
    )
    program.wait_for("serves")
    assert "lrwp:" not in program.output


def test_a_pool_that_cannot_start_at_all_says_why_once_and_gives_up(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            raise LrwpError("there is no module named shop")
        """,
        settings="processes=3",
    )
    assert program.wait() == 1
    assert program.output == "lrwp: there is no module named shop\n"


def test_a_process_that_cannot_start_is_tried_again_when_others_can(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            if label == "main-2" and is_first(label):
                raise LrwpError("the database is busy")
            return serve(label)
        """
    )
    program.wait_for_all(
        "main-1 serves",
        "^lrwp: main-2 could not go on: the database is busy; (starting it again|trying again)",
        "main-2 serves",
    )


# Signs of life

PROMISE = """
def run(settings, label):
    ready()
    print(label, "serves as", os.getpid())
    for _ in range(3):
        os.write(int(os.environ["LRWP_SIGNS_FD"]), b"~0.3\\n")
        threading.Event().wait(0.2)
    print("falls silent")
    threading.Event().wait()
"""


def test_a_process_that_breaks_its_promise_is_killed_and_replaced_at_once(start: Start) -> None:
    program = start(PROMISE, settings="processes=1")
    first = pid_of(program, "main-1")
    program.wait_for("falls silent")
    program.wait_for("^lrwp: main-1 gives no sign of life any more and is killed$")
    program.wait_for("^lrwp: main-1 was killed by SIGABRT; starting it again$")
    assert pid_of(program, "main-1") != first


def test_a_process_that_was_stopped_for_a_moment_lives_on(start: Start) -> None:
    program = start(PROMISE.replace("range(3)", "range(99)"), settings="processes=1")
    worker = pid_of(program, "main-1")
    os.kill(worker, signal.SIGSTOP)
    with pytest.raises(AssertionError, match="did not come"):
        program.wait_for("lrwp:", patience=0.5)
    os.kill(worker, signal.SIGCONT)
    with pytest.raises(AssertionError, match="did not come"):
        program.wait_for("lrwp:", patience=1.0)


# Leaving


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pool_that_is_told_to_stop_lets_its_processes_finish(start: Start, number: signal.Signals) -> None:
    program = start(SERVE)
    program.wait_for_all("main-1 serves", "main-2 serves")
    program.send(number)
    assert program.wait() == 0
    assert sorted(program.output.splitlines()[-2:]) == ["main-1 | main-1 drained", "main-2 | main-2 drained"]


def test_ctrl_c_reaches_the_processes_by_way_of_the_pool_alone(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            signal.signal(signal.SIGINT, lambda *_: os.write(1, b"interrupted\\n"))
            return serve(label)
        """
    )
    program.wait_for_all("main-1 serves", "main-2 serves")
    os.killpg(program.process.pid, signal.SIGINT)
    assert program.wait() == 0
    assert program.output.count("drained") == 2
    assert "interrupted" not in program.output


STUBBORN = """
def run(settings, label):
    signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"I am busy\\n"))
    ready()
    print(label, "serves as", os.getpid())
    threading.Event().wait()
"""


def test_a_second_interrupt_kills(start: Start) -> None:
    program = start(STUBBORN, settings="processes=1")
    worker = pid_of(program, "main-1")
    program.send(signal.SIGINT)
    program.wait_for("busy")
    while program.process.poll() is None:  # one that comes soon after the first counts as the same
        program.send(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            program.process.wait(0.1)
    assert program.wait() == 1
    assert not lives(worker)


def test_a_process_that_does_not_finish_in_time_is_killed(start: Start) -> None:
    program = start(STUBBORN, settings="processes=1, drain_timeout=0.2")
    program.wait_for("serves")
    program.send(signal.SIGTERM)
    assert program.wait() == 1
    assert "lrwp: main-1 had not finished after 0.2 s and was killed" in program.output


def test_a_pool_whose_process_fails_on_its_way_out_has_failed(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            serve(label)
            raise ZeroDivisionError("while it drained")
        """,
        settings="processes=1",
    )
    program.wait_for("serves")
    program.send(signal.SIGTERM)
    assert program.wait() == 1
    assert "lrwp: main-1 ended with exit code 1\n" in program.output


def test_a_process_that_still_loads_leaves_at_once(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            print("loading")
            threading.Event().wait()
        """,
        settings="processes=1",
    )
    program.wait_for("loading")
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_the_processes_of_a_killed_pool_drain_and_leave(start: Start) -> None:
    program = start(SERVE)
    worker = pid_of(program, "main-1")
    program.send(signal.SIGKILL)
    wait_until_gone(worker)


# Renewing


def test_hangup_replaces_the_processes_one_after_another(start: Start) -> None:
    program = start(SERVE)
    program.wait_for_all("main-1 serves", "main-2 serves")
    program.send(signal.SIGHUP)
    program.wait_for("^lrwp: replacing the processes one after another")
    program.wait_for("main-1 drained(.|\n)*main-2 drained(.|\n)*^lrwp: all processes have been replaced$")
    assert program.output.count("serves as") == 4


def test_hangup_of_a_terminal_that_is_gone_stops(start: Start) -> None:
    program = start(SERVE, settings="processes=1", terminal=True)
    worker = pid_of(program, "main-1")
    program.stop_reading()
    program.send(signal.SIGHUP)
    assert program.wait() == 0
    assert not lives(worker)


def test_old_processes_stay_when_a_new_one_cannot_start(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            if is_first(label):
                return serve(label)
            raise LrwpError("line 3 is not Python")
        """
    )
    program.wait_for_all("main-1 serves", "main-2 serves")
    program.send(signal.SIGHUP)
    program.wait_for(
        "^lrwp: the new main-1 could not go on: line 3 is not Python; the old processes stay as they are"
    )
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert program.output.count("drained") == 2


def test_old_processes_stay_when_a_new_one_is_not_ready_in_time(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            if is_first(label):
                return serve(label)
            print("the new one hangs")
            threading.Event().wait()
        """,
        settings="processes=1",
        pool="ready_timeout=0.3",
    )
    program.wait_for("serves")
    program.send(signal.SIGHUP)
    program.wait_for("the new one hangs")
    program.wait_for("^lrwp: the new main-1 was not ready within 0.3 s; the old processes stay as they are")
    program.send(signal.SIGTERM)
    program.wait_for("drained")
    assert program.wait() == 0


def test_a_process_that_dies_while_its_heir_starts_is_followed_by_it(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            if not is_first(label):
                os.kill(int(Path("old").read_text()), signal.SIGKILL)
                return serve(label, "the heir drained")
            Path("old").write_text(str(os.getpid()))
            return serve(label)
        """,
        settings="processes=1",
    )
    program.wait_for("serves")
    program.send(signal.SIGHUP)
    program.wait_for_all("serves", "all processes have been replaced")
    program.send(signal.SIGTERM)
    program.wait_for("the heir drained")
    assert program.wait() == 0


def test_hangup_while_an_heir_starts_starts_another(start: Start, tmp_path: Path) -> None:
    program = start(
        """
        def run(settings, label):
            if is_first(label):
                return serve(label)
            if is_first("second"):
                print("the second hangs")
                threading.Event().wait()
            return serve(label)
        """,
        settings="processes=1",
    )
    first = pid_of(program, "main-1")
    program.send(signal.SIGHUP)
    program.wait_for("the second hangs")
    program.send(signal.SIGHUP)
    program.wait_for_all(
        f"main-1 serves as (?!{first}$)", "all processes have been replaced", "main-1 drained"
    )
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_a_process_that_retires_while_its_heir_starts_is_followed_by_nobody(start: Start) -> None:
    program = start(
        """
        def run(settings, label):
            if is_first(label):
                Path("old").write_text(str(os.getpid()))
                return serve(label, "has retired")
            os.kill(int(Path("old").read_text()), signal.SIGTERM)
            threading.Event().wait()
        """,
        settings="processes=1",
    )
    program.wait_for("serves")
    program.send(signal.SIGHUP)
    program.wait_for("has retired")
    assert program.wait() == 0
    assert program.output.count("serves") == 1


# Processes that have served for long enough

WORN = """
def wear_out(label):
    print(label, "is worn")
    os.write(int(os.environ["LRWP_SIGNS_FD"]), b"^\\n")

def run(settings, label):
    if is_first(label):
        threading.Timer(0.1, wear_out, [label]).start()
    return serve(label)
"""


def test_a_worn_process_serves_until_its_heir_is_ready(start: Start) -> None:
    program = start(WORN, settings="processes=1")
    first = pid_of(program, "main-1")
    program.wait_for("main-1 is worn")
    assert pid_of(program, "main-1") != first
    program.wait_for("main-1 drained")
    wait_until_gone(first)
    assert "lrwp:" not in program.output


def test_worn_processes_are_replaced_one_at_a_time(start: Start) -> None:
    program = start(
        WORN.replace("serve(label)", "linger(label)")
        + """
def linger(label):
    serve(label)
    if Path("somebody leaves").exists():
        print("two leave at a time")
    Path("somebody leaves").touch()
    threading.Event().wait(0.1)
    Path("somebody leaves").unlink()
    print(label, "has left")
    return 0
""",
        settings="processes=3",
    )
    program.wait_for_all("main-1 is worn", "main-2 is worn", "main-3 is worn")
    program.wait_for_all(*(f"main-{number} has left" for number in (1, 2, 3)))
    assert program.output.count("serves as") == 6
    assert "two leave" not in program.output


def test_a_worn_process_serves_on_where_no_heir_can_be_had_and_gets_one_later(
    start: Start, tmp_path: Path
) -> None:
    program = start(
        WORN.replace(
            "return serve(label)",
            """
    elif not Path("mended").exists():
        raise LrwpError("line 3 is not Python")
    return serve(label)""",
        ),
        settings="processes=1",
    )
    first = pid_of(program, "main-1")
    for _ in range(2):
        program.wait_for(
            r"^lrwp: the new main-1 could not go on: line 3 is not Python; the old one serves on, another try"
            r" follows in 0\.\d s$"
        )
    assert lives(first)
    (tmp_path / "mended").touch()
    program.wait_for_all("main-1 serves", "main-1 drained")
    wait_until_gone(first)


def test_hangup_while_worn_processes_are_replaced_replaces_all_others_too(start: Start) -> None:
    program = start(WORN.replace("0.1", "0.0"), settings="processes=2")
    program.wait_for_all("main-1 is worn", "main-2 is worn")
    program.send(signal.SIGHUP)
    program.wait_for("all processes have been replaced")
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_a_pool_tells_its_own_supervisor_how_the_replacing_goes(start: Start, tmp_path: Path) -> None:
    program = start(
        """
        def run(settings, label):
            if not is_first(label) and Path("broken").exists():
                raise LrwpError("line 3 is not Python")
            return serve(label)

        reader, writer = os.pipe()
        os.environ["LRWP_READY_FD"] = str(writer)

        def read():
            while line := os.read(reader, 4096):
                sys.stdout.write(f"told {line}\\n")
                sys.stdout.flush()

        threading.Thread(target=read, daemon=True).start()
        """
    )
    program.wait_for(r"told b'1'")
    program.send(signal.SIGHUP)
    told = ["begun", "replaced main-1", "replaced main-2", "done"]
    program.wait_for("(.|\n)*".join(f"> {news}" for news in told))
    (tmp_path / "broken").touch()
    program.send(signal.SIGHUP)
    program.wait_for("> failed the new main-1 could not go on: line 3 is not Python")


# Development mode

CODE = """
def run(settings, label):
    sys.path.insert(0, os.getcwd())
    try:
        import code1
    except Exception as error:
        raise LrwpError(f"{type(error).__name__}: {error}")
    print("this is", code1.VERSION)
    return serve(label)
"""
RELOADING = {"settings": "processes=2, reload=True", "pool": "look=0.02"}


def test_a_file_that_changes_replaces_the_processes(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code1.py").write_text("VERSION = 1")
    program = start(CODE, **RELOADING)
    program.wait_for_all("main-1 serves", "main-2 serves")
    (tmp_path / "code1.py").write_text("VERSION = 2.0")
    program.wait_for("^lrwp: code1.py has changed: replacing the processes$")
    program.wait_for_all("main-1 drained", "main-2 drained", "^lrwp: all processes have been replaced$")
    assert program.output.count("this is 2.0") == 2
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_broken_code_leaves_the_old_processes_and_the_next_change_is_tried(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "code1.py").write_text("VERSION = 1")
    program = start(CODE, settings="processes=1, reload=True", pool="look=0.02")
    program.wait_for("main-1 serves")
    (tmp_path / "code1.py").write_text("import other1")
    program.wait_for(
        "^lrwp: the new main-1 could not go on: ModuleNotFoundError: No module named 'other1';"
        " the old processes stay as they are"
    )
    (tmp_path / "other1.py").write_text("VERSION =")
    program.wait_for("^lrwp: other1.py has changed: ")
    program.wait_for("^lrwp: the new main-1 could not go on: SyntaxError")
    assert "drained" not in program.output
    (tmp_path / "code1.py").write_text("VERSION = 1 / 0")
    program.wait_for("^lrwp: the new main-1 could not go on: ZeroDivisionError")
    (tmp_path / "code1.py").write_text("VERSION = 1 / 1")  # as long, and perhaps within the same second
    program.wait_for_all("this is 1.0", "drained", "all processes have been replaced")


def test_code_that_is_broken_from_the_start_is_told_once_and_tried_when_it_changes(
    start: Start, tmp_path: Path
) -> None:
    program = start(CODE, **RELOADING)
    promise = "; a change of the code will be tried at once$"
    program.wait_for(f"^lrwp: ModuleNotFoundError: No module named 'code1'{promise}")
    (tmp_path / "code1.py").write_text("1 / 0")
    program.wait_for(f"^lrwp: ZeroDivisionError: division by zero{promise}")
    (tmp_path / "code1.py").write_text("VERSION = 'well'")
    program.wait_for_all("this is well", "main-1 serves", "main-2 serves")
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert program.output.count("a change of the code") == 2


def test_a_process_that_still_drains_does_not_hold_up_the_next_change(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code1.py").write_text("VERSION = 1")
    program = start(
        CODE.replace("return serve(label)", "serve(label)\n    threading.Event().wait(60)"),
        settings="processes=1, reload=True, drain_timeout=0.5",
        pool="look=0.02",
    )
    program.wait_for("main-1 serves")
    for version in ("2.0", "3.00"):
        (tmp_path / "code1.py").write_text(f"VERSION = '{version}'")
        program.wait_for_all(f"this is {version}", "main-1 drained")
    program.wait_for("main-1 had not finished after 0.5 s and was killed")


def test_without_development_mode_nothing_is_watched(start: Start, tmp_path: Path) -> None:
    (tmp_path / "code1.py").write_text("VERSION = 1")
    program = start(CODE, settings="processes=1", pool="look=0.02")
    program.wait_for("main-1 serves")
    (tmp_path / "code1.py").write_text("VERSION = 2.0")
    with pytest.raises(AssertionError, match="did not come"):
        program.wait_for("changed", patience=0.4)


def test_a_pool_under_another_supervisor_reports_when_all_its_processes_are_ready(start: Start) -> None:
    program = start(
        """
        reader, writer = os.pipe()
        os.environ["LRWP_READY_FD"] = str(writer)

        def run(settings, label):
            if label == "main-1":
                return serve(label)
            os.set_blocking(reader, False)
            try:
                os.read(reader, 1)
            except BlockingIOError:
                print("not yet")
            ready()
            os.set_blocking(reader, True)
            print("all are ready:", os.read(reader, 1))
            return 0
        """
    )
    program.wait_for("not yet")
    program.wait_for("all are ready: b'1'")


def test_a_pool_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.listdir("/proc/self/fd")
    settings = WorkerSettings(target="shop:app", processes=3)
    assert Pool(settings, lambda settings, label: 0).run() == 0
    assert os.listdir("/proc/self/fd") == before
