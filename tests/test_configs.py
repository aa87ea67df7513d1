"""The files of ``configs/``: they are read, their targets load, and what they say to other programs works."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
from configparser import ConfigParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from dispatcher.settings import DispatcherSettings, Limits
from dispatcher.sockets import BACKLOG, bind
from lrwp.cli import app
from lrwp.configuration import read_configuration, read_worker
from lrwp.flags import read_flags
from protocol.addresses import Address, read_address
from tests.bench.measure import free_ports
from tests.dispatcher.test_passed import PASS
from tests.peers import Browser
from tests.programs import running
from tests.tools import needed
from tests.waiting import until
from worker.loading import load
from worker.settings import WorkerSettings

ROOT: Final = Path(__file__).parents[1]
CONFIGS: Final = ROOT / "configs"
NGINX: Final = CONFIGS / "nginx" / "lrwp.conf"
UNITS: Final = sorted((CONFIGS / "systemd").glob("*.service"))
LRWP: Final = ["-P", "-m", "lrwp"]


def name_of(path: Path) -> str:
    return path.name


def become(command: list[str]) -> list[str]:
    """Return arguments with which Python becomes another program."""
    return ["-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])", *command]


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


# ── TOML ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.toml")), ids=name_of)
def test_a_configuration_is_read_without_a_warning(file: Path) -> None:
    configuration = read_configuration(file, {})
    assert configuration.warnings == ()
    if (docroot := configuration.dispatcher.docroot) is not None:
        assert docroot.is_dir()


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.toml")), ids=name_of)
def test_its_targets_load_from_the_folder_that_lrwp_up_is_called_in(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)
    configuration = read_configuration(file, {})
    for name, pool in configuration.pools.items():
        _, application = load(pool.target, pool.kind)
        assert application in configuration.applications or not configuration.applications, name


def test_the_demo_names_the_default_addresses() -> None:
    demo, default = read_configuration(CONFIGS / "demo.toml", {}).dispatcher, DispatcherSettings()
    assert (demo.http, demo.link, demo.admin) == (default.http, default.link, default.admin)


# ── systemd ──────────────────────────────────────────────────────────────────────────────────────


class Unit(ConfigParser):
    """A unit, in which keys are case-sensitive and % stands for itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
        self.read_string(path.read_text())

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def example(unit: Path) -> dict[str, str]:
    """Return the variables that the comments of a unit show as an example."""
    return dict(re.findall(r"^#   ([A-Z]+)=(.*)$", unit.read_text(), re.MULTILINE))


def command_of(unit: Path) -> list[str]:
    """Return the words of the command that a unit starts, with the example's variables in it."""
    command = Unit(unit)["Service"]["ExecStart"]
    return shlex.split(re.sub(r"\$([A-Z]+)", lambda match: example(unit)[match[1]], command))


def parameters_of(command: list[str]) -> dict[str, Any]:
    """Let the command line read a command of its own, and return what it found."""
    program, name, *arguments = command
    assert program == "/opt/lrwp/bin/lrwp"
    group = typer.main.get_command(app)
    _, found, _ = group.resolve_command(None, [name])
    params = found.make_context(name, arguments).params
    # What was not said is None or (), and what may be said several times is to be a list, as typer makes it.
    return {name: list(each) if isinstance(each, tuple) else each for name, each in params.items() if each}


@pytest.mark.parametrize("path", UNITS, ids=name_of)
def test_a_unit_is_complete_and_leaves_time_to_drain(path: Path) -> None:
    unit = Unit(path)
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    assert service["User"] == "lrwp"
    assert service["Restart"] == "on-failure"
    assert int(service["TimeoutStopSec"]) > max(
        Limits().drain_timeout, WorkerSettings(target="x").drain_timeout
    )
    assert service.get("KillSignal", "SIGTERM") == "SIGTERM"


def test_the_dispatcher_s_unit_starts_a_dispatcher_with_the_configuration_beside_it() -> None:
    parameters = parameters_of(command_of(CONFIGS / "systemd" / "lrwp-dispatcher.service"))
    config = parameters.pop("config")
    assert str(config) == f"/etc/lrwp/{(CONFIGS / 'systemd' / 'lrwp.toml').name}"
    assert read_flags(DispatcherSettings, parameters) == {}


def test_the_worker_s_unit_starts_a_pool_that_dials_that_dispatcher() -> None:
    unit = CONFIGS / "systemd" / "lrwp-worker@.service"
    settings = read_worker({}, read_flags(WorkerSettings, parameters_of(command_of(unit))))
    assert (settings.target, settings.kind, settings.path) == ("shop.wsgi:application", "wsgi", ("/",))
    assert settings.processes == 4  # the number in OPTIONS wins over the one before it
    assert settings.dispatcher == read_configuration(CONFIGS / "systemd" / "lrwp.toml", {}).dispatcher.link
    service = Unit(unit)["Service"]
    assert service["WorkingDirectory"] == "/srv/%i"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["KillMode"] == "mixed"


def test_the_socket_is_in_the_folder_that_systemd_makes_for_the_dispatcher() -> None:
    (link,) = read_configuration(CONFIGS / "systemd" / "lrwp.toml", {}).dispatcher.link
    service = Unit(CONFIGS / "systemd" / "lrwp-dispatcher.service")["Service"]
    assert str(Path(link.path).parent) == f"/run/{service['RuntimeDirectory']}"


class SocketUnit(Unit):
    """A unit in which ListenStream stands several times."""

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        self.listens = re.findall(r"^ListenStream=(.*)$", text, re.MULTILINE)
        ConfigParser.__init__(self, interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
        self.read_string(re.sub(r"^ListenStream=.*\n", "", text, flags=re.MULTILINE))


SOCKET: Final = CONFIGS / "systemd" / "lrwp-dispatcher.socket"


def test_the_socket_unit_listens_where_the_dispatcher_expects_it() -> None:
    unit = SocketUnit(SOCKET)
    assert unit.sections() == ["Unit", "Socket", "Install"]
    settings = read_configuration(CONFIGS / "systemd" / "lrwp.toml", {}).dispatcher
    addresses = [read_address(f"unix://{text}" if text.startswith("/") else text) for text in unit.listens]
    assert addresses == [settings.http, *settings.link]
    assert (unit["Socket"]["SocketUser"], unit["Socket"]["SocketMode"]) == ("lrwp", "0600")
    assert "Accept" not in unit["Socket"]  # the dispatcher accepts
    assert int(unit["Socket"]["Backlog"]) == BACKLOG
    service = Unit(SOCKET.with_suffix(".service"))
    assert service["Unit"]["Requires"] == SOCKET.name
    assert SOCKET.name in service["Unit"]["After"].split()
    assert service["Service"]["RuntimeDirectoryPreserve"] == "yes"


def test_the_dispatcher_of_the_unit_serves_on_the_sockets_that_systemd_passes_to_it(tmp_path: Path) -> None:
    """The addresses are others: those of the unit may be taken on this machine, or not ours to have."""
    addresses = [Address("tcp", "127.0.0.1", 0), Address("unix", path=f"{tmp_path}/link.sock")]
    assert len(addresses) == len(SocketUnit(SOCKET).listens)
    command = command_of(SOCKET.with_suffix(".service"))[1:]
    command[command.index("/etc/lrwp/lrwp.toml")] = str(CONFIGS / "systemd" / "lrwp.toml")
    with ExitStack() as stack:
        sockets = [stack.enter_context(bind(address)) for address in addresses]
        for sock in sockets:
            sock.listen(BACKLOG)
        port = sockets[0].getsockname()[1]
        environ = {
            "LRWP_DISPATCHER_HTTP": f"127.0.0.1:{port}",
            "LRWP_DISPATCHER_LINK": str(addresses[1]),
            "LRWP_DISPATCHER_ADMIN": f"unix://{tmp_path}/admin.sock",
        }
        client = stack.enter_context(Browser(("127.0.0.1", port)))
        client.ask("GET", "/")
        files = [sock.fileno() for sock in sockets]
        passing = ["-P", "-c", PASS, str(len(files)), *map(str, files), *LRWP, *command]
        dispatcher = stack.enter_context(running(passing, cwd=tmp_path, environ=environ, files=files))
        assert client.read().status == 404
        dispatcher.send(signal.SIGTERM)
        assert dispatcher.wait() == 0
        assert (tmp_path / "link.sock").exists()


# ── nginx ────────────────────────────────────────────────────────────────────────────────────────

AROUND: Final = """\
pid {prefix}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include {prefix}/lrwp.conf;
}}
"""
"""What stands around the file in an nginx.conf."""


ECHO: Final = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("HTTP_HOST", "HTTP_X_FORWARDED_FOR", "wsgi.url_scheme", "REMOTE_PORT", "SERVER_PROTOCOL")
    yield " ".join(environ.get(name, "-") for name in names).encode() + b"\\n"
    yield environ["wsgi.input"].read()
"""


class Nginx:
    """Our file, for an nginx on free ports of this machine."""

    def __init__(self, prefix: Path) -> None:
        self.plain, self.tls, self.http = free_ports(3)
        self._prefix = prefix
        pem = str(ROOT / "tests" / "lrwp" / "load" / "localhost.pem")
        places = {
            "listen 80;": f"listen 127.0.0.1:{self.plain};",
            "listen 443 ": f"listen 127.0.0.1:{self.tls} ",
            "127.0.0.1:8080": f"127.0.0.1:{self.http}",
            "/etc/letsencrypt/live/example.org/fullchain.pem": pem,
            "/etc/letsencrypt/live/example.org/privkey.pem": pem,
        }
        text = NGINX.read_text()
        for there, here in places.items():
            assert there in text
            text = text.replace(there, here)
        (prefix / "lrwp.conf").write_text(text)
        (prefix / "nginx.conf").write_text(AROUND.format(prefix=prefix))

    def command(self, *flags: str) -> list[str]:
        """Return a command of nginx; it runs without a master process, and so without a second user."""
        plain = "daemon off; master_process off;"
        return [
            needed("nginx"),
            "-p",
            str(self._prefix),
            "-c",
            "nginx.conf",
            "-e",
            "stderr",
            "-g",
            plain,
            *flags,
        ]

    def curl(self, url: str, *flags: str) -> tuple[str, str]:
        """Return head and body of an answer, decoded."""
        names = [f"example.org:{port}:127.0.0.1" for port in (self.plain, self.tls)]
        resolve = [word for name in names for word in ("--resolve", name)]
        command = [needed("curl"), "-sSik", "--compressed", *resolve, *flags, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        head, _, body = done.stdout.partition("\n\n")  # text has no carriage returns
        return head, body


@pytest.fixture
def nginx(tmp_path: Path) -> Nginx:
    return Nginx(tmp_path)


def test_nginx_finds_nothing_wrong_with_its_file(nginx: Nginx) -> None:
    done = subprocess.run(nginx.command("-t"), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if "[" in line]
    # From 1.25.1 on nginx would rather read `http2 on;`, which Debian's does not know yet.
    assert [line for line in complaints if '"listen ... http2" directive is deprecated' not in line] == []


def test_nginx_passes_on_what_the_application_must_know_and_what_the_client_sends(
    nginx: Nginx, tmp_path: Path
) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    (link,) = free_ports(1)
    addresses = {
        "LRWP_DISPATCHER_HTTP": f"127.0.0.1:{nginx.http}",
        "LRWP_DISPATCHER_LINK": f"127.0.0.1:{link}",
        "LRWP_DISPATCHER_TRUSTED_PROXIES": "127.0.0.1",
        "LRWP_DISPATCHER_ADMIN": f"unix://{tmp_path}/admin",
        "LRWP_WORKER_DISPATCHER": f"127.0.0.1:{link}",
    }
    echo = ["worker", "echo", "--kind", "wsgi", "--path", "/"]
    with ExitStack() as stack:
        dispatcher = stack.enter_context(running([*LRWP, "dispatcher"], cwd=tmp_path, environ=addresses))
        dispatcher.wait_for(" serving ")
        stack.enter_context(running([*LRWP, *echo], cwd=tmp_path, environ=addresses)).wait_for(" registered ")
        server = stack.enter_context(running(become(nginx.command())))
        until(lambda: listens(nginx.tls))

        head, _ = nginx.curl(f"http://example.org:{nginx.plain}/a?b")
        assert head.startswith("HTTP/1.1 301 ")
        assert "\nLocation: https://example.org/a?b" in head

        (tmp_path / "upload").write_text("a letter\n" * 50_000)
        head, body = nginx.curl(
            f"https://example.org:{nginx.tls}/",
            *("--data-binary", f"@{tmp_path}/upload"),
            *("--header", "X-Forwarded-For: 192.0.2.1"),
        )
        assert head.startswith("HTTP/2 200")
        assert "\ncontent-encoding: gzip" in head
        first, _, rest = body.partition("\n")
        assert first == "example.org 127.0.0.1 https 0 HTTP/1.1"
        assert rest == "a letter\n" * 50_000
        server.send(signal.SIGTERM)
        assert server.wait() == 0


def test_nginx_gives_up_after_the_dispatcher_and_idle_connections_before_it() -> None:
    (seconds,) = re.findall(r"proxy_read_timeout ([0-9]+)s;", NGINX.read_text())
    limits = Limits()
    assert int(seconds) > limits.wait_timeout + 2 * limits.request_timeout
    assert "keepalive_timeout" not in NGINX.read_text()  # of an upstream: it is 60 s unless told otherwise
    assert limits.idle_timeout > 60


# ── The machine that tests run on ────────────────────────────────────────────────────────────────


def test_what_tests_need_beside_python_is_what_debian_is_asked_for() -> None:
    (listed,) = re.findall(r"^for each in (.*?); do", (ROOT / ".ci/debian").read_text(), re.MULTILINE)
    programs = {each.partition(":")[0] for each in listed.split()}
    texts = [path.read_text() for path in ROOT.glob("tests/**/*.py")]
    assert {name for text in texts for name in re.findall(r'needed\("([a-z-]+)"\)', text)} <= programs
