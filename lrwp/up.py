"""``lrwp up``: a dispatcher and its pools on one machine, from one configuration.

Each is a program of its own, the same that ``lrwp dispatcher`` and ``lrwp worker -n`` run; we start them,
show what they write, and start again what dies. They go in the order that loses nothing: the dispatcher
first, because what it has accepted is answered by workers that still live, and then the pools.
"""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lrwp.admin import AdminError, ask
from lrwp.configuration import Configuration, within_reach
from lrwp.flags import write_flags
from protocol.errors import LrwpError, SettingsError
from worker.backoff import Backoff
from worker.child import READY_FD, STDOUT, Process, describe_end
from worker.output import Output
from worker.pool import SETTLED, name_processes, seconds_to_restart
from worker.supervision import Supervisor

if TYPE_CHECKING:
    from protocol.addresses import Address
    from worker.settings import WorkerSettings

_LOOK: Final = 0.05
"""Seconds between two looks at whether the dispatcher answers, while it starts."""

_MARGIN: Final = 5.0
"""Seconds that a program gets beyond its own time to drain, before we take it for hung and kill it."""

_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""Foreground colours of terminals (ECMA-48 SGR) that can be read on black and on white."""


class RunningError(LrwpError):
    """Another dispatcher runs at the admin address already."""


class Member:
    """One of the programs.

    Attributes:
        label: the dispatcher, or a pool's name.
        labels: what the processes of a pool put in front of their lines.
        entry: becomes the program, in a child.
        drain_timeout: seconds that it gives itself to drain.
        backoff: what it has seen of early deaths.
        process: the process that it is; None while there is none.
        is_retired: whether it has done what it was there for.
    """

    __slots__ = ("backoff", "drain_timeout", "entry", "is_retired", "label", "labels", "process")

    def __init__(
        self, label: str, labels: list[str], entry: Callable[[], int], drain_timeout: float, backoff: Backoff
    ) -> None:
        self.label = label
        self.labels = labels
        self.entry = entry
        self.drain_timeout = drain_timeout
        self.backoff = backoff
        self.process: Process | None = None
        self.is_retired = False

    def __repr__(self) -> str:
        return f"<Member {self.label}, {self.process}>"


class Up:
    """Supervises a dispatcher and its pools.

    Args:
        config: the file that the configuration was read from; the dispatcher reads it again.
        configuration: what stands in it.
        opens: whether to open a browser at the site once all is ready.
        browse: opens a browser, and returns whether there is one.
        backoff: makes the back-off of a program.
    """

    def __init__(
        self,
        config: Path,
        configuration: Configuration,
        *,
        opens: bool = False,
        browse: Callable[[str], bool] = webbrowser.open,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._check(configuration)
        if opens:
            _check_openable(configuration.dispatcher.http)
        self._configuration = configuration
        self._dispatcher = Member(
            "dispatcher",
            [],
            partial(_become, ["dispatcher", "-c", str(config)], {}),
            configuration.limits.drain_timeout,
            backoff(),
        )
        self._pools = [_pool(name, each, backoff()) for name, each in configuration.pools.items()]
        labels = [label for member in self._members for label in (member.label, *member.labels)]
        self._output = Output(labels, _painter(labels))
        self._supervisor = Supervisor(self)
        self._was_live = False
        self._was_announced = False
        self._opens = opens
        self._browse = browse
        self._browser: Process | None = None

    @property
    def _members(self) -> list[Member]:
        return [self._dispatcher, *self._pools]

    def _check(self, configuration: Configuration) -> None:
        """Refuse what cannot work on one machine.

        Raises:
            SettingsError: the pools could not know where the dispatcher is.
        """
        for name, address in (
            ("admin", configuration.dispatcher.admin),
            ("link", configuration.dispatcher.link[0]),
        ):
            if address.kind != "unix" and address.port == 0:
                raise SettingsError(
                    f"{name} = {address} lets the system choose a port, which we could not know"
                )

    def run(self) -> int:
        """Run until told to stop; returns the exit code.

        Raises:
            RunningError: somebody did ``lrwp up`` before.
        """
        admin = self._configuration.dispatcher.admin
        if _is_live(admin):
            raise RunningError(
                f"a dispatcher is running at {admin} already: stop it, or give this one other addresses"
            )
        return self._supervisor.run()

    # Starting and restarting

    def on_begin(self) -> None:
        """Start the dispatcher; the pools follow when it answers."""
        self._start(self._dispatcher)
        self._supervisor.after(_LOOK, self._look_for_dispatcher)

    def _start(self, member: Member) -> None:
        if member.process or self._supervisor.is_stopping:
            return
        try:
            member.process = self._supervisor.start(member.label, member.entry, leads_group=True)
        except OSError as error:
            self._output.say(f"{member.label} cannot be started now: {error.strerror}")
            self._supervisor.after(member.backoff.next(), partial(self._start, member))

    def _look_for_dispatcher(self) -> None:
        if self._supervisor.is_stopping:
            return
        if not _is_live(self._configuration.dispatcher.admin):
            self._supervisor.after(_LOOK, self._look_for_dispatcher)
            return
        self._was_live = True
        for pool in self._pools:
            self._start(pool)
        self._announce()

    def on_report(self, process: Process) -> None:  # noqa: ARG002 - it does not matter which
        """A pool has all its processes ready."""
        self._announce()

    @property
    def _site(self) -> str:
        settings = self._configuration.dispatcher
        return _url(settings.http, "http" if settings.tls_certificate is None else "https")

    def _announce(self) -> None:
        """Tell once that all is there."""
        is_ready = all(pool.is_retired or (pool.process and pool.process.is_ready) for pool in self._pools)
        if is_ready and self._was_live and not self._was_announced:
            self._was_announced = True
            admin = _url(self._configuration.dispatcher.admin)
            self._output.tell(f"LRWP is ready: {self._site}  (admin {admin}status) — Ctrl-C stops it")

            if self._opens:
                self._open(self._site)

    def _open(self, url: str) -> None:
        """Open a browser, in a process of its own: one that runs in a terminal would hold us up."""
        self._opens = False
        try:
            self._browser = self._supervisor.start(
                "browser", lambda: 0 if self._browse(url) else 1, leads_group=True
            )
        except OSError as error:
            self._output.say(f"no browser can be started now, open {url} yourself: {error.strerror}")

    def on_ended(self, process: Process, code: int) -> None:
        """A program is gone: start it again, or go on with leaving."""
        if process is self._browser:
            self._browser = None
            if code and not self._supervisor.is_stopping:
                self._output.say(f"no browser was found: open {self._site} yourself")
            return
        member = next(each for each in self._members if each.process is process)
        member.process = None
        if self._supervisor.is_stopping:
            self._on_left(member, process, code)
        elif member is self._dispatcher and (code == 0 or self._is_false_start(process, code)):
            self._supervisor.stop(code)
        else:
            self._restart(member, process, code)

    def _is_false_start(self, process: Process, code: int) -> bool:
        """Whether the dispatcher cannot run at all; it has said why."""
        is_first = self._dispatcher.backoff.failures == 0
        return not self._was_live or (is_first and code > 0 and self._supervisor.age(process) < SETTLED)

    def _restart(self, member: Member, process: Process, code: int) -> None:
        seconds = seconds_to_restart(code, self._supervisor.age(process), member.backoff)
        if seconds is None:
            member.is_retired = True
            self._announce()
            return
        when = f"trying again in {seconds:.1f} s" if seconds else "starting it again"
        self._output.say(f"{member.label} {describe_end(code)}; {when}")
        self._supervisor.after(seconds, partial(self._start, member))

    def on_renew(self) -> None:
        """Have the dispatcher read secrets and certificates again, and each pool replace its processes."""
        if self._was_live and self._dispatcher.process:
            self._dispatcher.process.send(signal.SIGHUP)
        for pool in self._pools:
            if pool.process:
                pool.process.send(signal.SIGHUP)

    # Leaving

    def on_stop(self) -> None:
        """Have the dispatcher drain; the pools are needed until it has."""
        if self._browser:
            self._browser.send(signal.SIGKILL)
        if not self._terminate(self._dispatcher):
            self._stop_pools()

    def _stop_pools(self) -> None:
        for pool in self._pools:
            self._terminate(pool)

    def _terminate(self, member: Member) -> bool:
        if member.process is None:
            return False
        self._supervisor.terminate(member.process, member.drain_timeout + _MARGIN)
        return True

    def _on_left(self, member: Member, process: Process, code: int) -> None:
        # A program that still starts has no handler for SIGTERM, and dies of it as it should.
        if code not in {0, -signal.SIGTERM}:
            late = " because it did not drain in time" if process.is_overdue else ""
            self._output.say(f"{member.label} {describe_end(code)}{late}")
            self._supervisor.fail()
        if member is self._dispatcher:
            self._stop_pools()

    # Output

    def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None:
        """Show what a program wrote, each line under the label of the process that it came from."""
        labels = next((each.labels for each in self._members if each.process is process), [])
        split = [_split(line, process.label, labels) for line in lines]
        for label, group in groupby(split, key=lambda pair: pair[0]):
            self._output.write(label, stream, [line for _, line in group])


def _split(line: bytes, own: str, labels: list[str]) -> tuple[str, bytes]:
    """Return the label of a program's line, and the line; a pool has put its processes' labels in front."""
    label, bar, rest = line.partition(b" | ")
    name = label.decode(errors="replace").rstrip()
    return (name, rest) if bar and name in labels else (own, line)


def _pool(name: str, settings: WorkerSettings, backoff: Backoff) -> Member:
    settings = replace(settings, processes=settings.processes or 1)
    labels = name_processes(replace(settings, name=(name,)))
    environ = dict(settings.env)
    if settings.database:  # a command line is there for all to read, and the URL may hold a password
        environ.setdefault("LRWP_WORKER_DATABASE", settings.database)
        settings = replace(settings, database="")
    arguments = ["worker", settings.target, *write_flags(replace(settings, label=tuple(labels)))]
    return Member(name, labels, partial(_become, arguments, environ), settings.drain_timeout, backoff)


def _become(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Become another ``lrwp``: this runs in a child."""
    os.set_inheritable(int(os.environ[READY_FD]), True)
    command = [sys.executable, "-P", "-m", "lrwp", *arguments]
    os.execve(sys.executable, command, {**os.environ, **environ})  # noqa: S606 - a shell has no part in this


def _check_openable(http: Address) -> None:
    """Refuse to open a browser where it is not one person who tries something out.

    Raises:
        SettingsError: others can reach the site, or a browser cannot.
    """
    if http.kind == "unix" or http.port == 0:
        raise SettingsError(f"no browser can be told to open http = {http}: name 127.0.0.1 and a port")
    if not http.is_private:
        raise SettingsError(
            f"--open is for one person at this machine, and http = {http} lets others in:"
            f" make it 127.0.0.1:{http.port}, or leave out --open"
        )


def _is_live(admin: Address) -> bool:
    try:
        ask(admin, "/live", timeout=1.0)
    except AdminError:
        return False
    return True


def _url(address: Address, scheme: str = "http") -> str:
    """Return what to type into a browser on this machine."""
    if address.kind == "unix":
        return str(address)
    return f"{scheme}://{replace(within_reach(address), kind='tcp')}/"


def _painter(labels: list[str]) -> Callable[[str, str], str] | None:
    """Return what gives each label a colour of its own, or None where no terminal would show it."""
    if os.environ.get("NO_COLOR") or not (os.isatty(STDOUT) and os.isatty(2)):
        return None
    colours = {label: _COLOURS[number % len(_COLOURS)] for number, label in enumerate(labels)}
    return lambda label, prefix: f"\x1b[{colours[label]}m{prefix}\x1b[0m"
