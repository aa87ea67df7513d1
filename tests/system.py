"""The whole system: dispatchers and workers as processes, started by the ``lrwp`` command."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers import Browser
from tests.programs import Program, running
from tests.waiting import until

LRWP = ("-P", "-m", "lrwp")
"""What runs the command line: Python's own search path, without the folder that the test runs in."""


class Dispatcher:
    """A dispatcher's process.

    Attributes:
        program: the process.
        http: where clients connect.
        link: where workers connect, as it is given to ``--dispatcher``.
        admin: where questions are asked.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        found = program.wait_for(r"info serving http=(\S+):(\d+) link=(\S+) admin=(\S+)")
        self.http = (found[1].strip("[]"), int(found[2]))
        self.link = found[3]
        self.admin = found[4]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.program.process.pid

    def browser(self) -> Browser:
        """Return a client that has connected."""
        return Browser(self.http)

    def get(self, target: str) -> bytes:
        """Return the body of an answer that must be a 200."""
        with self.browser() as browser:
            reply = browser.get(target)
        assert reply.status == 200, reply
        return reply.body

    def status(self) -> dict[str, Any]:
        """Return what /status says."""
        with urllib.request.urlopen(f"http://{self.admin}/status", timeout=10) as answer:
            status: dict[str, Any] = json.load(answer)
        return status

    def wait_for_links(self, count: int) -> None:
        """Wait until so many workers' links are registered."""
        until(lambda: len(self.status()["links"]) == count)

    def drain(self) -> int:
        """Send TERM and return the exit code."""
        self.program.send(signal.SIGTERM)
        return self.program.wait()


@contextmanager
def a_dispatcher(folder: Path, *flags: str, limits: str = "", more: str = "") -> Iterator[Dispatcher]:
    """Run a dispatcher on ports that the system chooses, without an access log.

    Args:
        folder: where it runs.
        flags: further flags; they win over the usual ones.
        limits: lines of the ``[limits]`` section.
        more: further sections.
    """
    config = folder / "dispatcher.toml"
    config.write_text(f"[limits]\n{limits}\n{more}\n")
    usual = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log-format", "off"]
    if "--link" not in flags:
        usual += ["--link", "127.0.0.1:0"]
    with running([*LRWP, "dispatcher", "-c", str(config), *usual, *flags], cwd=folder) as program:
        yield Dispatcher(program)


@contextmanager
def a_worker(folder: Path, target: str, *flags: str, to: str) -> Iterator[Program]:
    """Run a worker that serves ``target`` to the dispatcher with the link address ``to``."""
    with running([*LRWP, "worker", target, "--dispatcher", to, *flags], cwd=folder) as program:
        yield program
