"""``lrwp up``: a dispatcher and its pools on one machine, from one configuration.

Each is a program of its own, the same that ``lrwp dispatcher`` and ``lrwp worker -n`` run; we start them,
show what they write, and start again what dies. They go in the order that loses nothing: the dispatcher
first, because what it has accepted is answered by workers that still live, and then the pools.

The sockets that the dispatcher listens on are ours: who connects while it is started again waits for it.
"""

from __future__ import annotations

import os
import signal
import sys
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lrwp.admin import AdminError, ask
from lrwp.configuration import Configuration, suggest, within_reach
from lrwp.control import ControlError, Desk, Visitor
from lrwp.flags import write_flags
from lrwp.listening import Listening
from lrwp.member import Member
from lrwp.passing import keep_open, pass_on
from lrwp.restart import MARGIN, Restart
from protocol.errors import LrwpError, SettingsError
from worker.backoff import Backoff
from worker.child import READY_FD, STDERR, STDOUT, Process, describe_end
from worker.output import Output
from worker.pool import SETTLED, name_processes, seconds_to_restart
from worker.supervision import Supervisor

if TYPE_CHECKING:
    from protocol.addresses import Address
    from worker.settings import WorkerSettings

DISPATCHER: Final = "dispatcher"
"""What the dispatcher is called, so that no pool can be."""

_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""Foreground colours of terminals (ECMA-48 SGR) that can be read on black and on white."""


class RunningError(LrwpError):
    """Another dispatcher runs at the admin address already."""


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
        self._listening: Listening
        self._dispatcher = Member(
            DISPATCHER,
            [],
            partial(self._become_dispatcher, config),
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
        self._desk: Desk | None = None
        self._restarting: Restart | None = None

    @property
    def _members(self) -> list[Member]:
        return [self._dispatcher, *self._pools]

    def _check(self, configuration: Configuration) -> None:
        """Refuse what cannot work on one machine.

        Raises:
            SettingsError: the pools could not know where the dispatcher is, or one is called like it.
        """
        if DISPATCHER in configuration.pools:
            raise SettingsError(
                f"[pools.{DISPATCHER}] needs another name: that is what the dispatcher is called"
            )
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
            ListenError: an address cannot be listened on.
        """
        admin = self._configuration.dispatcher.admin
        if _is_live(admin):
            raise RunningError(
                f"a dispatcher is running at {admin} already: stop it, or give this one other addresses"
            )
        with closing(Listening(self._configuration.dispatcher)) as self._listening:
            return self._supervisor.run()

    # Starting and restarting

    def on_begin(self) -> None:
        """Start the dispatcher; the pools follow when it is ready."""
        try:
            self._desk = Desk(self._configuration.dispatcher.admin, self._supervisor, self._on_request)
        except ControlError as error:
            self._output.say(str(error))
        self._start(self._dispatcher)

    def _start(self, member: Member) -> None:
        if member.process or self._supervisor.is_stopping:
            return
        try:
            member.process = self._supervisor.start(member.label, member.entry, leads_group=True)
        except OSError as error:
            self._output.say(f"{member.label} cannot be started now: {error.strerror}")
            self._supervisor.after(member.backoff.next(), partial(self._start, member))

    def _become_dispatcher(self, config: Path) -> int:
        """Become a dispatcher that has our sockets: this runs in a child."""
        files = self._listening.files
        os.environ[READY_FD] = str(keep_open(int(os.environ[READY_FD]), len(files)))
        return _become(["dispatcher", "-c", str(config)], pass_on(files))

    def on_report(self, process: Process) -> None:
        """The dispatcher serves, a pool has all its processes ready, or says how their replacing goes."""
        if process.is_ready and process is self._dispatcher.process and not self._was_live:
            self._was_live = True
            for pool in self._pools:
                self._start(pool)
        if self._restarting:
            self._restarting.on_report(process)
        process.news.clear()
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
                "browser", partial(self._be_browser, url), leads_group=True
            )
        except OSError as error:
            self._output.say(f"no browser can be started now, open {url} yourself: {error.strerror}")

    def _be_browser(self, url: str) -> int:
        self._listening.disown()
        return 0 if self._browse(url) else 1

    def on_ended(self, process: Process, code: int) -> None:
        """A program is gone: start it again, or go on with leaving."""
        if process is self._browser:
            self._browser = None
            if code and not self._supervisor.is_stopping:
                self._output.say(f"no browser was found: open {self._site} yourself")
            return
        member = next((each for each in self._members if each.process is process), None)
        if member is not None:
            member.process = None
        if self._supervisor.is_stopping:
            self._on_left(process, code)
        elif (self._restarting and self._restarting.on_ended(process, code)) or member is None:
            return
        elif member is self._dispatcher and (code == 0 or self._is_false_start(process, code)):
            self._supervisor.stop(code)
        else:
            self._replace(member, process, code)

    def _is_false_start(self, process: Process, code: int) -> bool:
        """Whether the dispatcher cannot run at all; it has said why."""
        is_first = self._dispatcher.backoff.failures == 0
        return not self._was_live or (is_first and code > 0 and self._supervisor.age(process) < SETTLED)

    def _replace(self, member: Member, process: Process, code: int) -> None:
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

    def _on_request(self, visitor: Visitor, names: list[str]) -> None:
        """Somebody wants programs restarted: one such wish at a time."""
        assert self._desk is not None  # noqa: S101 - it is where the visitor is
        by_name = {member.label: member for member in self._members}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            self._desk.end(visitor, 1, f"there is no {unknown[0]}{suggest(unknown[0], by_name)}")
        elif self._restarting:
            self._desk.end(visitor, 1, f"{self._restarting} is being restarted already: try again after that")
        else:
            members = [by_name[name] for name in dict.fromkeys(names)] or self._pools
            self._restarting = Restart(
                members, self._supervisor, self._start, visitor.say, partial(self._on_restarted, visitor)
            )
            self._restarting.begin()

    def _on_restarted(self, visitor: Visitor, why: str) -> None:
        self._restarting = None
        if self._desk is not None:
            self._desk.end(visitor, 1 if why else 0, why)

    # Leaving

    def on_stop(self) -> None:
        """Have the dispatcher drain; the pools are needed until it has."""
        if self._restarting:
            self._restarting.give_up("all of it is being stopped")
        if self._desk is not None:
            self._desk.close()
        if self._browser:
            self._browser.send(signal.SIGKILL)
        self._listening.disown()
        for process in self._dispatchers:
            self._supervisor.terminate(process, self._dispatcher.drain_timeout + MARGIN)
        if not self._dispatchers:
            self._stop_pools()

    @property
    def _dispatchers(self) -> list[Process]:
        """The dispatchers that live: the one, and another that makes room for it or is to follow it."""
        return [each for each in self._supervisor.processes.values() if each.label == DISPATCHER]

    def _stop_pools(self) -> None:
        for pool in self._pools:
            if pool.process:
                self._supervisor.terminate(pool.process, pool.drain_timeout + MARGIN)

    def _on_left(self, process: Process, code: int) -> None:
        # A program that still starts has no handler for SIGTERM, and dies of it as it should.
        if code not in {0, -signal.SIGTERM}:
            late = " because it did not drain in time" if process.is_overdue else ""
            self._output.say(f"{process.label} {describe_end(code)}{late}")
            self._supervisor.fail()
        if process.label == DISPATCHER and not self._dispatchers:
            self._stop_pools()

    # Output

    def on_lines(self, process: Process, stream: int, lines: list[bytes]) -> None:
        """Show what a program wrote, each line under the label of the process that it came from."""
        if self._restarting and stream == STDERR:
            self._restarting.on_words(process, lines[-1])
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
