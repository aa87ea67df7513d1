"""``lrwp up`` with its real dispatcher and pools, on Unix sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lrwp.admin import ask
from lrwp.configuration import read_configuration
from lrwp.up import Up
from protocol.addresses import Address
from protocol.errors import SettingsError
from tests.programs import Program, in_session, running, wait_until_gone

SHOP = """
import os, time
from worker import Application
app = Application("shop")
print("I am", os.getpid())

@app.get("/")
def show(request):
    return os.environ["LRWP_LABEL"]

@app.get("/slow")
def think(request):
    print("thinking")
    time.sleep(0.5)
    return "thought"

@app.get("/last")
def leave(request):
    app.retire()
    return "bye"
"""

POOL = '[pools.shop]\ntarget = "shop:app"\nprocesses = 2\nlabel = ["ONE", "TWO"]\n'
READY = r"^LRWP is ready: unix://\S+  \(admin unix://\S+status\) — Ctrl-C stops it$"

Start = Callable[..., Program]


class Site:
    """A folder with an application, and a configuration beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http = Address("unix", path=str(folder / "http"))
        self.config = folder / "configs" / "site.toml"
        (folder / "shop.py").write_text(SHOP)
        (folder / "configs" / "www").mkdir(parents=True)
        (folder / "configs" / "www" / "index.html").write_text("a file")

    def configure(self, more: str) -> Path:
        listeners = "".join(f'{name} = "unix://{self.folder}/{name}"\n' for name in ("http", "link", "admin"))
        self.config.write_text(f"[dispatcher]\n{listeners}docroot = 'www'\n{more}")
        self.config.chmod(0o600)
        return self.config

    def get(self, path: str) -> str:
        return ask(self.http, path).decode()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def start(site: Site) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(more: str = POOL, *flags: str, terminal: bool = False, **environ: str) -> Program:
            config = site.configure(more)
            arguments = ["-P", "-m", "lrwp", "up", *flags, str(config.relative_to(site.folder))]
            program = running(arguments, cwd=site.folder, environ=environ, terminal=terminal)
            return stack.enter_context(program)

        yield start


def pid_of(label: str, program: Program) -> int:
    """Return the process that says next who it is under this label."""
    return int(program.wait_for(rf"^{label} +\| I am (\d+)$")[1])


def program_of(name: bytes, program: Program) -> int:
    """Return the process that is this command of lrwp and no child of it."""
    for pid in in_session(program.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if name in command and os.getpgid(pid) == pid:
            return pid
    raise AssertionError(f"there is no {name!r}")


def test_a_site_comes_up_from_another_folder_s_configuration_and_leaves_nothing_behind(
    start: Start, site: Site
) -> None:
    program = start()
    program.wait_for(READY)
    assert site.get("/shop") in {"ONE", "TWO"}
    assert site.get("/index.html") == "a file"
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert in_session(program.process.pid) == []
    assert "Traceback" not in program.output


def test_the_url_of_a_database_is_used_and_is_on_no_command_line(start: Start, site: Site) -> None:
    program = start(f'{POOL}database = "sqlite:///pages.db"\n')
    program.wait_for(READY)
    assert (site.folder / "pages.db").exists()
    for pid in in_session(program.process.pid):
        assert b"sqlite" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_what_was_accepted_is_answered_before_all_leave(start: Start, site: Site) -> None:
    program = start()
    program.wait_for(READY)
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(site.get("/shop/slow")))
    client.start()
    program.wait_for("thinking")
    program.send(signal.SIGINT)
    assert program.wait() == 0
    client.join()
    assert answers == ["thought"]


def test_lines_have_aligned_labels_of_their_processes(start: Start, site: Site) -> None:
    program = start()
    pid_of("ONE", program)
    program.wait_for(READY)
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    lines = [line for line in program.output.splitlines() if not line.startswith("LRWP")]
    assert {line[:13] for line in lines} == {"dispatcher | ", "ONE        | ", "TWO        | "}


def test_the_variables_of_a_pool_and_of_the_environment_arrive(start: Start, site: Site) -> None:
    (site.folder / "shop.py").write_text(
        "import os\nfrom worker import Application\napp = Application(os.environ['SHOP_NAME'])\n"
        "app.get('/')(lambda request: str(os.environ.get('LRWP_LABEL')))"
    )
    program = start(
        '[pools.till]\ntarget = "shop"\nenv = { SHOP_NAME = "kiosk" }\n', LRWP_WORKER_PATH="/a,/b"
    )
    program.wait_for(READY)
    assert (site.get("/a"), site.get("/b")) == ("till-1", "till-1")


def test_a_killed_worker_is_replaced(start: Start, site: Site) -> None:
    program = start()
    first = pid_of("ONE", program)
    program.wait_for(READY)
    os.kill(first, signal.SIGKILL)
    program.wait_for(r"^shop       \| lrwp: ONE was killed by SIGKILL; (starting it|trying) again")
    assert pid_of("ONE", program) != first
    program.wait_for(r"link joined .*link=ONE")


@pytest.mark.parametrize(("member", "command"), [("dispatcher", b"dispatcher"), ("shop", b"worker")])
def test_a_killed_program_is_replaced_and_the_others_find_it_again(
    start: Start, site: Site, member: str, command: bytes
) -> None:
    program = start()
    program.wait_for(READY)
    os.kill(program_of(command, program), signal.SIGKILL)
    program.wait_for(rf"^lrwp: {member} was killed by SIGKILL; (starting it|trying) again")
    program.wait_for_all(r"link joined .*link=ONE", r"link joined .*link=TWO")
    assert site.get("/shop") in {"ONE", "TWO"}
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_hangup_replaces_the_workers_and_has_secrets_read_again(start: Start, site: Site) -> None:
    secret = site.folder / "secret"
    secret.write_text("sixteen characters\n")
    secret.chmod(0o600)
    program = start(f'secret_file = "../secret"\n{POOL}')
    program.wait_for(READY)
    secret.write_text("characters sixteen\nsixteen characters\n")
    program.send(signal.SIGHUP)
    program.wait_for_all(
        r"^dispatcher +\| \S+ info secrets read again$",
        r"^ONE +\| I am \d+$",
        r"^TWO +\| I am \d+$",
        r"^shop +\| lrwp: all processes have been replaced",
    )
    assert site.get("/shop") in {"ONE", "TWO"}


def test_a_pool_that_cannot_load_says_why_and_the_others_serve(start: Start, site: Site) -> None:
    program = start(POOL + '[pools.broken]\ntarget = "shopp:app"\nprocesses = 2\n')
    program.wait_for_all(
        r"^broken     \| lrwp: there is no module shopp in .*; did you mean shop\?$",
        r"^lrwp: broken ended with exit code 1; trying again in",
        r"link joined .*link=ONE",
    )
    assert site.get("/shop") in {"ONE", "TWO"}
    assert "LRWP is ready" not in program.output


def test_a_pool_that_has_done_its_work_is_not_started_again(start: Start, site: Site) -> None:
    program = start('[pools.shop]\ntarget = "shop:app"\n')
    worker = pid_of("shop-1", program)
    program.wait_for(READY)
    assert site.get("/shop/last") == "bye"
    wait_until_gone(worker)
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert "again" not in program.output


def test_a_dispatcher_that_cannot_start_is_told_once_and_ends_it_all(start: Start, site: Site) -> None:
    (site.folder / "http").mkdir()
    program = start()
    assert program.wait() == 1
    assert len(re.findall("cannot listen on", program.output)) == 1
    assert in_session(program.process.pid) == []


def test_a_dispatcher_that_was_told_to_stop_takes_all_with_it(start: Start) -> None:
    program = start()
    program.wait_for(READY)
    os.kill(program_of(b"dispatcher", program), signal.SIGTERM)
    assert program.wait() == 0
    assert in_session(program.process.pid) == []


def test_a_second_one_is_refused(start: Start) -> None:
    start().wait_for(READY)
    second = start()
    assert second.wait() == 1
    assert re.fullmatch(
        r"lrwp: a dispatcher is running at unix://\S+/admin already:"
        r" stop it, or give this one other addresses\n",
        second.output,
    )


def test_a_second_interrupt_kills_all(start: Start, site: Site) -> None:
    (site.folder / "shop.py").write_text(
        "import signal, threading\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('stubborn')\nthreading.Event().wait()"
    )
    program = start('[pools.shop]\ntarget = "shop:app"\n')
    program.wait_for("stubborn")
    program.send(signal.SIGINT)
    program.wait_for("link|draining")
    while program.process.poll() is None:
        program.send(signal.SIGINT)
        threading.Event().wait(0.1)
    assert program.wait() == 1
    assert in_session(program.process.pid) == []


def test_all_leave_when_it_is_killed(start: Start) -> None:
    program = start()
    program.wait_for(READY)
    pids = in_session(program.process.pid)
    assert len(pids) == 5
    program.send(signal.SIGKILL)
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.parametrize(
    ("no_colour", "label"), [("", "\x1b[36mdispatcher |\x1b[0m "), ("1", "dispatcher | ")]
)
def test_labels_have_colours_on_a_terminal_that_wants_them(start: Start, no_colour: str, label: str) -> None:
    program = start("", terminal=True, NO_COLOR=no_colour)
    program.wait_for_all("LRWP is ready", re.escape(label))


def test_a_port_that_the_system_chooses_could_not_be_known(site: Site) -> None:
    site.config.write_text('[dispatcher]\nlink = "127.0.0.1:0"')
    with pytest.raises(SettingsError, match=r"link = 127\.0\.0\.1:0 lets the system choose a port"):
        Up(site.config, read_configuration(site.config, {}))


# Somebody works on it


def test_all_pools_reload(start: Start, site: Site) -> None:
    program = start(POOL, "--reload")
    program.wait_for(READY)
    (site.folder / "shop.py").write_text(SHOP.replace('return os.environ["LRWP_LABEL"]', 'return "new"'))
    program.wait_for_all(
        r"^shop +\| lrwp: shop\.py has changed: replacing the processes$",
        r"^shop +\| lrwp: all processes have been replaced",
    )
    assert site.get("/shop") == "new"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_browser_is_opened_once_all_is_ready(start: Start, site: Site, port: int) -> None:
    browser = site.folder / "browser"
    browser.write_text('#!/bin/sh\necho "opens $1"\n')
    browser.chmod(0o755)
    program = start(POOL, "--open", LRWP_DISPATCHER_HTTP=f"127.0.0.1:{port}", BROWSER=str(browser))
    program.wait_for(rf"^LRWP is ready: http://127\.0\.0\.1:{port}/ ")
    program.wait_for(rf"^browser +\| opens http://127\.0\.0\.1:{port}/$")
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert "no browser" not in program.output


def test_where_there_is_no_browser_the_site_runs_without(start: Start, port: int) -> None:
    program = start(
        POOL, "--open", LRWP_DISPATCHER_HTTP=f"127.0.0.1:{port}", BROWSER="false", PATH="/nowhere"
    )
    program.wait_for(rf"^lrwp: no browser was found: open http://127\.0\.0\.1:{port}/ yourself$")
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_a_browser_that_stays_in_the_terminal_holds_nothing_up(start: Start, site: Site, port: int) -> None:
    browser = site.folder / "browser"
    browser.write_text("#!/bin/sh\necho it stays\nsleep 60\n")
    browser.chmod(0o755)
    program = start(POOL, "--open", LRWP_DISPATCHER_HTTP=f"127.0.0.1:{port}", BROWSER=str(browser))
    program.wait_for("it stays")
    program.send(signal.SIGTERM)
    assert program.wait() == 0
    assert in_session(program.process.pid) == []


@pytest.mark.parametrize(
    ("http", "sentence"),
    [
        ("0.0.0.0:80", "lets others in: make it 127.0.0.1:80, or leave out --open"),
        ("192.0.2.1:80", "lets others in: make it 127.0.0.1:80, or leave out --open"),
        ("127.0.0.1:0", "no browser can be told to open http = 127.0.0.1:0"),
        ("unix:///run/http", "no browser can be told to open http = unix:///run/http"),
    ],
)
def test_a_browser_is_for_one_person_at_this_machine(site: Site, http: str, sentence: str) -> None:
    site.config.write_text(f'[dispatcher]\nhttp = "{http}"')
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        Up(site.config, read_configuration(site.config, {}), opens=True)
