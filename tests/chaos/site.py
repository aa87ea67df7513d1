"""The site: a dispatcher, its workers, their database and the load, in a folder of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

from tests.bench.measure import free_ports
from tests.chaos.ledger import Account, count_words
from tests.chaos.load import Load
from tests.chaos.program import LRWP, Program, running
from tests.chaos.up import CONFIG, Kept
from tests.chaos.vitals import Vitals, look
from tests.services import Postgresql
from tests.system import Dispatcher
from tests.waiting import until

if TYPE_CHECKING:
    from tests.chaos.entry import Entry

TARGET: Final = "tests.chaos.application:app"

START: Final = 20.0
"""Seconds for workers to start, on a machine that does other things as well."""


class Site:
    """What a fault is done to.

    Attributes:
        folder: where everything is.
        temporary: where the dispatcher's temporary files are.
        is_full: whether there is time for the long version of a fault.
        load: the clients.
        dispatcher: the dispatcher.
        pools: the pools, in the order in which they were started.
        hits: how often the fault has struck something that may have held a request.
        broken: the promises that the fault itself has found broken.
        remarks: what else there is to say of it.
        program: what runs the command line.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, is_full: bool) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.is_full = is_full
        self.load: Load
        self.dispatcher: Dispatcher
        self.pools: list[Program] = []
        self.hits = 0
        self.broken: list[str] = []
        self.remarks: list[str] = []
        self.program: tuple[str, ...] = LRWP
        self._stack = stack
        self._server: Program
        self._programs: list[Program] = []
        self._database = f"sqlite:///{folder / 'done.db'}"
        self._wait = 5.0
        self._config = folder / "dispatcher.toml"
        (folder / "go").mkdir()
        self.temporary.mkdir()

    # ── Starting ─────────────────────────────────────────────────────────────────────────────────

    def start_dispatcher(
        self, *flags: str, link: str = "127.0.0.1:0", limits: str = "", before: Sequence[str] = ()
    ) -> None:
        """Start the dispatcher.

        Args:
            flags: flags beside the usual ones.
            link: where workers connect.
            limits: lines of its ``[limits]``.
            before: a command that runs the command which follows it.
        """
        # A dispatcher that knows the application has requests wait for workers that are still on their way.
        self._config.write_text(f"[limits]\n{limits}\n[applications.chaos]\n")
        self._start_dispatcher("127.0.0.1:0", link, *flags, before=before)

    def restart_dispatcher(self) -> None:
        """Start a dispatcher at the addresses of one that has ended."""
        host, port = self.dispatcher.http
        self._start_dispatcher(f"{host}:{port}", self.dispatcher.link)

    def _start_dispatcher(self, http: str, link: str, *flags: str, before: Sequence[str] = ()) -> None:
        usual = ["-c", str(self._config), "--admin", "127.0.0.1:0", "--access-log-format", "off"]
        where = ["--http", http, "--link", link]
        program = self._run([*before, *self.program, "dispatcher", *usual, *where, *flags], "dispatcher")
        self._server = program
        self.dispatcher = Dispatcher(program)  # type: ignore[arg-type]  # it has what that one needs

    def start_up(self, processes: int, limits: str = "") -> Kept:
        """Start ``lrwp up``, with a dispatcher and one pool; returns the dispatcher."""
        http, admin = free_ports(2)
        config = CONFIG.format(
            http=http, admin=admin, folder=self.folder, limits=limits, target=TARGET, processes=processes
        )
        (self.folder / "up.toml").write_text(config)
        self._server = self._run([*self.program, "up", "up.toml"], "up")
        self._server.wait_for("LRWP is ready")
        self.dispatcher = kept = Kept(self._server, self.folder, http, admin)
        return kept

    def start_pool(self, processes: int, *flags: str, before: Sequence[str] = ()) -> Program:
        """Start a pool; the flags and ``before`` are as for the dispatcher."""
        arguments = [TARGET, "--dispatcher", self.dispatcher.link, "-n", str(processes), *flags]
        pool = self._run([*before, *self.program, "worker", *arguments], f"pool-{len(self.pools) + 1}")
        self.pools.append(pool)
        return pool

    def _run(self, command: Sequence[str], name: str) -> Program:
        environ = {
            "TMPDIR": str(self.temporary),
            "XDG_RUNTIME_DIR": str(self.folder),
            "CHAOS_FOLDER": str(self.folder),
            "CHAOS_DATABASE": self._database,
            "CHAOS_WAIT": str(self._wait),
        }
        log = self.folder / f"{name}-{len(self._programs)}.log"
        program = self._stack.enter_context(running(command, log, cwd=self.folder, environ=environ))
        self._programs.append(program)
        return program

    def start_load(self, posts: int) -> None:
        """Get the clients ready."""
        self.load = self._stack.enter_context(Load(self.dispatcher.http, posts=posts))

    def use_database(self, url: str = "", *, wait: float = 5.0) -> None:
        """Have workers that are started from now on use another database, or wait for less long."""
        self._database = url or self._database
        self._wait = wait

    def start_postgresql(self) -> Postgresql:
        """Start a PostgreSQL server, and have workers use it that are started from now on."""
        folder = Path(tempfile.mkdtemp(prefix="lrwp-chaos-pg-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = Postgresql(folder)
        self._stack.callback(server.stop)
        server.start()
        self.use_database(server.new_database())
        return server

    def enter(self, context: Any) -> Any:
        """Enter a context that is left when the site is."""
        return self._stack.enter_context(context)

    # ── What faults do ───────────────────────────────────────────────────────────────────────────

    def expect(self, is_kept: bool, promise: str) -> None:
        """Note a promise that the fault has found broken."""
        if not is_kept:
            self.broken.append(promise)

    def expect_soon(self, condition: Any, promise: str, patience: float) -> bool:
        """Wait for what is promised, note it if it does not come, and return whether it did."""
        try:
            until(condition, patience)
        except AssertionError:
            self.broken.append(promise)
            return False
        return True

    def hold(self, kind: str, method: str, target: str) -> tuple[Entry, int]:
        """Send a request that is held by its handler; returns it and its worker's process id, once begun."""
        entry = self.load.ask(kind, method, target, b"held" if method == "POST" else b"")
        return entry, until(lambda: self.worker_of(entry))

    def let_go(self, entry: Entry) -> None:
        """Let the handler of a request go on."""
        (self.folder / "go" / str(entry.id)).touch()

    def worker_of(self, entry: Entry) -> int:
        """Return the process id of the worker that has begun a request last, 0 if none has."""
        begun = [line.split()[2] for line in self._journal() if line.startswith(f"begun {entry.id} ")]
        return int(begun[-1]) if begun else 0

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a worker that may hold a request."""
        self.hits += 1
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def workers(self) -> list[int]:
        """Return the process ids of the workers, longest registered first."""
        return list(self._ages())

    def oldest_worker(self, age: float = 0.0) -> int:
        """Return the process id of the worker that has been registered longest, and at least for so long."""
        until(lambda: max(self._ages().values(), default=-1.0) >= age)
        return self.workers()[0]

    def _ages(self) -> dict[int, float]:
        """Return for how many seconds workers have been registered, by process id, the oldest first."""
        links = sorted(self.dispatcher.status()["links"], key=lambda link: -link["since"])
        return {int(link["instance"].split(":")[1]): link["since"] for link in links}

    def wait_for_links(self, count: int, patience: float = START) -> None:
        """Wait until so many links are registered."""
        deadline = time.monotonic() + patience
        while (found := len(self.dispatcher.status()["links"])) != count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{count} links are there within {patience:g} s: there are {found}")
            time.sleep(0.005)

    def is_idle(self) -> bool:
        """Whether no worker has anything to do."""
        return all(link["state"] == "idle" for link in self.dispatcher.status()["links"])

    def waiting(self) -> int:
        """Return how many requests wait for a worker."""
        return sum(int(each["waiting"]) for each in self.dispatcher.status()["applications"])

    def has_noted(self, word: str, entry: Entry) -> bool:
        """Whether a handler has noted this word about a request."""
        return count_words(self._journal(), word)[entry.id] > 0

    # ── What was found ───────────────────────────────────────────────────────────────────────────

    def vitals(self) -> Vitals:
        """Return the dispatcher's vital signs, as they are when our question is forgotten."""
        workers = len(self.dispatcher.status()["links"])
        sights = []
        for _ in range(5):
            sights.append(look(self.dispatcher.pid, self.temporary, workers))
            time.sleep(0.004)
        return min(sights, key=lambda sight: sight.files)

    def account(self) -> Account:
        """Return what clients saw, what was begun and what was done."""
        begun = count_words(self._journal(), "begun")
        return Account(list(self.load.entries), begun, Counter(self._rows()), self.hits)

    def _journal(self) -> list[str]:
        file = self.folder / "journal"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [line for line in lines if line.endswith("\n")]

    def _rows(self) -> Iterator[int]:
        if self._database.startswith("sqlite"):
            connection: Any = sqlite3.connect(self._database.removeprefix("sqlite:///"))
        else:
            connection = psycopg.connect(self._database)
        try:
            for (number,) in connection.execute("SELECT id FROM done").fetchall():
                yield int(number)
        finally:
            connection.close()

    def last_words(self) -> list[str]:
        """Return the end of what each program has written."""
        return [f"log of {each.name}: {each.output[-1500:]}" for each in self._programs]

    def stop(self) -> list[str]:
        """Stop all as an administrator would, and return what was wrong with that, or in the logs."""
        broken = []
        for program in [self._server, *self.pools]:
            if program.process.poll() is None:
                program.send(signal.SIGTERM)
                code = program.wait(20)
                if code:
                    broken.append(f"who is told to stop drains and exits with 0: {program.name} with {code}")
        for program in self._programs:
            if found := re.search(r"^.*Traceback(?:.*\n){0,30}", program.output, re.MULTILINE):
                broken.append(f"no traceback in a log: there is\n{found[0]}")
        return broken


@contextmanager
def a_site(*, is_full: bool) -> Iterator[Site]:
    """Make a folder for a site; nothing of either is left."""
    folder = Path(tempfile.mkdtemp(prefix="lrwp-chaos-"))
    try:
        with ExitStack() as stack:
            yield Site(folder, stack, is_full=is_full)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
