"""The systems that are compared: how each is started, and what was chosen for it and why.

Each gets two processes that run the application, what its own documentation recommends for pages that take
less than a millisecond, and one access log, written to a file.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from tests.bench.errors import BenchError
from tests.bench.software import (
    PROJECT,
    RIVALS,
    find_program,
    program_version,
    provide_program,
    provide_rivals,
    rival_version,
)

APPLICATION: Final = "tests.bench.site:application"

Command = list[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system runs.

    Attributes:
        folder: a folder of its own, for sockets, logs and configuration.
        port: the port of 127.0.0.1 where it serves.
        admin_port: a second free port, for a system that needs one.
        logs: whether it writes an access log.
    """

    folder: Path
    port: int
    admin_port: int
    logs: bool

    @property
    def http(self) -> str:
        """Where it serves, as ``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def access_log(self) -> str:
        """The file of its access log."""
        return str(self.folder / "access.log")


class System(ABC):
    """A system to be measured.

    Attributes:
        name: what it is called on the command line.
        title: what it is called in the tables.
        note: what was chosen for it, in a sentence or two.
        log: the file in its folder that receives the access log.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    note: ClassVar[str]
    log: ClassVar[str] = "access.log"

    @abstractmethod
    def provide(self) -> None:
        """See to it that it is installed.

        Raises:
            BenchError: it is not and could not be.
        """

    @abstractmethod
    def version(self) -> str:
        """Return its version, with its name."""

    @abstractmethod
    def commands(self, place: Place) -> list[Command]:
        """Return the commands that start it, in order; they run in the root of the repository."""

    def files(self, place: Place) -> dict[str, str]:
        """Return the configuration files that it needs in its folder, by name."""
        return {}


class Lrwp(System):
    """This project."""

    name = "lrwp"
    title = "LRWP, 2 workers"
    note = "One dispatcher process and two worker processes of one thread, joined by a Unix socket."

    def provide(self) -> None:
        if importlib.util.find_spec("lrwp.cli") is None or not (PROJECT / self._program()).exists():
            raise BenchError(
                "lrwp is missing: install it with `pip install -e .` into the Python that runs this"
            )

    def version(self) -> str:
        return f"LRWP {importlib.metadata.version('lrwp')}"

    def commands(self, place: Place) -> list[Command]:
        program, link = self._program(), f"unix://{place.folder}/link.sock"
        dispatcher = [program, "dispatcher", "--http", place.http, "--link", link]
        dispatcher += ["--admin", f"127.0.0.1:{place.admin_port}"]
        dispatcher += ["--access-log", place.access_log] if place.logs else ["--access-log-format", "off"]
        worker = [program, "worker", APPLICATION, "--kind", "wsgi", "--name", "site", "--path", "/"]
        return [dispatcher, [*worker, "--dispatcher", link, "-n", "2"]]

    @staticmethod
    def _program() -> str:
        program = Path(sys.prefix) / "bin/lrwp"
        return str(program.relative_to(PROJECT) if program.is_relative_to(PROJECT) else program)


class Rival(System):
    """A server from PyPI.

    Attributes:
        distribution: what it is called there.
    """

    distribution: ClassVar[str]

    def provide(self) -> None:
        provide_rivals()

    def version(self) -> str:
        return f"{self.distribution} {rival_version(self.distribution)}"


class Gunicorn(Rival):
    """The server that most Python sites run."""

    name = "gunicorn"
    title = "gunicorn, 2 workers of 4 threads"
    note = (
        "As `pip install gunicorn` gives it, with threads because its default workers close every connection."
    )
    distribution = "gunicorn"

    def commands(self, place: Place) -> list[Command]:
        command = [str(RIVALS / "bin/gunicorn"), "--bind", place.http, "--worker-class", "gthread"]
        command += ["--workers", "2", "--threads", "4", "--no-control-socket"]
        command += ["--access-logfile", place.access_log] if place.logs else []
        return [[*command, APPLICATION]]


class UwsgiRouter(Rival):
    """uWSGI with nothing in front of it but its own HTTP router."""

    name = "uwsgi"
    title = "uWSGI with its HTTP router, 2 processes"
    note = "`--http-keepalive`, or the router closes every connection; one router process, its default."
    distribution = "pyuwsgi"

    def commands(self, place: Place) -> list[Command]:
        command = [*uwsgi_command(), "--http", place.http, "--http-keepalive"]
        command += ["--logto", place.access_log] if place.logs else ["--disable-logging"]
        return [command]


class NginxUwsgi(Rival):
    """uWSGI behind nginx, over a Unix socket."""

    name = "nginx"
    title = "nginx → uWSGI, 2 processes"
    note = "Two nginx workers; nginx writes the access log, uWSGI behind it none."
    distribution = "pyuwsgi"

    def provide(self) -> None:
        provide_program("nginx")
        super().provide()

    def version(self) -> str:
        return f"nginx {program_version(find_program('nginx') or 'nginx', '-v')}, {super().version()}"

    def commands(self, place: Place) -> list[Command]:
        folder = str(place.folder)
        uwsgi = [*uwsgi_command(), "--socket", f"{folder}/uwsgi.sock", "--disable-logging"]
        nginx = find_program("nginx") or "nginx"
        return [uwsgi, [nginx, "-p", folder, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]]

    def files(self, place: Place) -> dict[str, str]:
        folder = place.folder
        temporary = "\n".join(
            f"    {kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Started by root, nginx would run its workers as another user, who may not enter our folder.
        user = "user root;\n" if os.geteuid() == 0 else ""
        return {
            "nginx.conf": f"""\
{user}daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log {f"{place.access_log} combined" if place.logs else "off"};
{temporary}
    sendfile on;
    tcp_nopush on;
    server {{
        listen {place.http};
        location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{folder}/uwsgi.sock;
        }}
    }}
}}
"""
        }


class Granian(Rival):
    """The fastest Python server that we know: HTTP in Rust, in the same process as the application."""

    name = "granian"
    title = "Granian WSGI, 2 workers"
    note = (
        "`--blocking-threads 1`: its documentation says that very few are faster when answers take a "
        "millisecond or less."
    )
    distribution = "granian"
    log = "output.log"  # it has no option for a file: what it prints is redirected to one

    def commands(self, place: Place) -> list[Command]:
        command = [str(RIVALS / "bin/granian"), "--interface", "wsgi", "--http", "1", "--no-ws"]
        command += [
            "--host",
            "127.0.0.1",
            "--port",
            str(place.port),
            "--workers",
            "2",
            "--blocking-threads",
            "1",
        ]
        command += ["--access-log"] if place.logs else []
        return [[*command, APPLICATION]]


def uwsgi_command() -> Command:
    """Return what every uWSGI command starts with."""
    command = [str(RIVALS / "bin/pyuwsgi"), "--master", "--processes", "2", "--die-on-term", "--need-app"]
    return [*command, "--single-interpreter", "--pythonpath", ".", "--module", APPLICATION]


SYSTEMS: Final[tuple[System, ...]] = (Lrwp(), Gunicorn(), UwsgiRouter(), NginxUwsgi(), Granian())
"""In the order in which they are measured and shown."""
