"""The image and the services, tried without Docker.

What the Dockerfile copies is built and installed into a folder, in its own order; then the services' own
commands and healthchecks run from there, with loopback addresses and temporary files in the place of theirs.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from dispatcher.settings import Limits
from lrwp.admin import ask
from lrwp.schema import schema
from protocol.addresses import Address
from tests.bench.measure import free_ports
from tests.programs import Program, running
from worker.settings import WorkerSettings

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]


class Instruction(NamedTuple):
    """An instruction of the Dockerfile and its arguments, on one line."""

    name: str
    arguments: str


def instructions() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Instruction(*line.split(" ", 1)) for line in lines if line]


def arguments_of(name: str) -> list[str]:
    """Return the arguments of each instruction with this name, in their order."""
    return [each.arguments for each in instructions() if each.name == name]


# ── What stands there ────────────────────────────────────────────────────────────────────────────


def test_the_image_is_made_of_a_version_that_is_named() -> None:
    assert all(":" in image and not image.endswith(":latest") for image in arguments_of("FROM"))
    assert {service["image"] for service in SERVICES.values()} == {f"lrwp:{PROJECT['version']}"}


def test_the_image_runs_as_an_ordinary_user_and_has_nothing_written_as_root_after_that() -> None:
    names = [each.name for each in instructions()]
    (user,) = arguments_of("USER")
    uid, gid = user.split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])
    assert f"--uid {uid}" in " ".join(arguments_of("RUN"))
    assert f"chown {uid} secret" in (ROOT / "docker-compose.yml").read_text()


def test_all_that_is_installed_is_pinned() -> None:
    lock = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.strip()]
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", line) for line in lock)
    pinned = {re.split(r"[\[=]", line)[0].strip() for line in lock}
    needed = {re.split(r"[\[<>=~ ]", each)[0].lower() for each in PROJECT["dependencies"]}
    assert needed | {"setuptools"} <= pinned  # setuptools builds what is installed last
    for command in arguments_of("RUN"):
        if "pip install" in command:
            assert "--no-deps" in command


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_little_and_is_given_time_to_drain(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert not {"privileged", "cap_add", "user", "network_mode", "pid"} & service.keys()
    drain = max(schema(cls)["drain_timeout"].default for cls in (Limits, WorkerSettings))
    assert int(service["stop_grace_period"].removesuffix("s")) > drain
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_workers_wait_for_the_dispatcher_and_only_this_machine_can_ask_it() -> None:
    assert SERVICES["lrtest"]["depends_on"] == {"dispatcher": {"condition": "service_healthy"}}
    assert SERVICES["dispatcher"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in SERVICES["lrtest"]


def test_both_sides_have_the_secret_which_git_ignores() -> None:
    assert COMPOSE["secrets"] == {"link_secret": {"file": "./secret"}}
    for service in SERVICES.values():
        assert service["secrets"] == ["link_secret"]
        assert "--secret-file=/run/secrets/link_secret" in service["command"]
    assert "/secret" in (ROOT / ".gitignore").read_text().splitlines()


# ── What it does ─────────────────────────────────────────────────────────────────────────────────


class Image:
    """What `docker build` would make, as a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root
        self.packages = root / "packages"
        for name, arguments in instructions():
            if name == "WORKDIR":
                self.folder = root / arguments.lstrip("/")
                self.folder.mkdir(parents=True, exist_ok=True)
            elif name == "COPY":
                self._copy(*shlex.split(arguments))
            elif name == "RUN" and arguments.startswith("pip install") and arguments.endswith(" ."):
                self._install(shlex.split(arguments))

    def _copy(self, *names: str) -> None:
        *sources, target = names
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, self.folder / target, ignore=ignored)
            else:
                shutil.copy(path, self.folder / target)

    def _install(self, command: list[str]) -> None:
        """Run the very command, but into a folder; the packages of the lock file are those of the tests."""
        quiet = ["-q", "--disable-pip-version-check", f"--target={self.packages}"]
        subprocess.run([sys.executable, "-m", *command, *quiet], cwd=self.folder, check=True)

    def environ(self) -> dict[str, str]:
        """Return the variables that let programs be found there first."""
        path = f"{self.packages / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "PYTHONPATH": str(self.packages), "PYTHONSAFEPATH": "1"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in a container."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environ()},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


class Composition:
    """What `docker compose up` would run, with addresses and paths of this machine."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.image = image
        self.http, self.link, self.admin = free_ports(3)
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(secrets.token_hex(32))
        self._places = {
            "0.0.0.0:8080": f"127.0.0.1:{self.http}",
            "0.0.0.0:8081": f"127.0.0.1:{self.link}",
            "dispatcher:8081": f"127.0.0.1:{self.link}",
            "127.0.0.1:8082": f"127.0.0.1:{self.admin}",
            ":1F91 ": f":{self.link:04X} ",
            "/run/secrets/link_secret": str(self.secret),
            "/opt/lrwp/": f"{image.root}/opt/lrwp/",
        }
        self._stack = ExitStack()

    def __enter__(self) -> Composition:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _here(self, text: str) -> str:
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def up(self, name: str) -> Program:
        """Run the command of a service."""
        arguments = [self._here(argument) for argument in SERVICES[name]["command"]]
        (entry,) = arguments_of("ENTRYPOINT")
        assert entry == '["lrwp"]'
        command = [str(self.image.packages / "bin" / "lrwp"), *arguments]
        return self._stack.enter_context(
            running(command, cwd=self.image.folder, environ=self.image.environ())
        )

    def is_healthy(self, name: str) -> bool:
        """Run the healthcheck of a service."""
        kind, *command = map(self._here, SERVICES[name]["healthcheck"]["test"])
        done = subprocess.run(
            ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command,
            cwd=self.image.folder,
            env={**os.environ, **self.image.environ()},
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode == 0

    def get(self, path: str) -> str:
        """Ask for a page."""
        return ask(Address("tcp", "127.0.0.1", self.http), path).decode()


@pytest.fixture
def composition(image: Image, tmp_path: Path) -> Iterator[Composition]:
    with Composition(image, tmp_path) as composition:
        yield composition


def test_what_the_dockerfile_copies_is_all_that_is_needed(image: Image) -> None:
    modules = [
        "apps.lrtest",
        "dispatcher.server",
        "lrwp.cli",
        "lrwp.load",
        "protocol.frames",
        "worker.process",
    ]
    imports = f"import sys, {', '.join(modules)}"
    places = f"print(*(sys.modules[name].__file__ for name in {modules}), sep='\\n')"
    done = image.run("-W", "error", "-c", f"{imports}; {places}")
    assert done.stderr == ""
    expected = [image.packages / Path(*name.split(".")) for name in modules]
    found = [Path(place) for place in done.stdout.splitlines()]
    assert [each.parent if each.stem == "__init__" else each.with_suffix("") for each in found] == expected


def test_the_image_shows_its_commands_when_it_is_given_none(image: Image) -> None:
    (command,) = arguments_of("CMD")
    assert command == '["--help"]'
    done = image.run(str(image.packages / "bin" / "lrwp"), "--help")
    assert done.returncode == 0
    assert "dispatcher" in done.stdout


def test_dispatcher_and_worker_serve_are_healthy_and_drain(composition: Composition) -> None:
    assert not composition.is_healthy("dispatcher")
    dispatcher = composition.up("dispatcher")
    dispatcher.wait_for(" serving ")
    assert composition.is_healthy("dispatcher")
    assert "Your dispatcher is running" in composition.get("/")

    assert not composition.is_healthy("lrtest")
    worker = composition.up("lrtest")
    worker.wait_for(" registered ")
    assert composition.is_healthy("lrtest")
    assert "<h1>" in composition.get("/lrtest")

    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert not composition.is_healthy("lrtest")
    dispatcher.send(signal.SIGTERM)
    assert dispatcher.wait() == 0
    assert not composition.is_healthy("dispatcher")


def test_a_worker_without_the_secret_is_not_let_in(composition: Composition) -> None:
    composition.up("dispatcher").wait_for(" serving ")
    composition.secret.write_text(secrets.token_hex(32))
    worker = composition.up("lrtest")
    worker.wait_for("^lrwp: .*the proof is wrong")
    assert worker.wait() == 1
    assert not composition.is_healthy("lrtest")
