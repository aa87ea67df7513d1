from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.settings import ApplicationSettings, DispatcherSettings, Limits
from lrwp.cli import main
from protocol.errors import LrwpError, SettingsError
from tests.programs import running
from worker.pool import RECYCLE
from worker.settings import WorkerSettings


class Result:
    """What a command left behind."""

    def __init__(self, code: Any, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


Lrwp = Callable[..., Result]


@pytest.fixture
def lrwp(capsys: pytest.CaptureFixture[str]) -> Lrwp:
    """Runs the command line in this process."""

    def lrwp(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as leaving:
            main([*arguments])
        return Result(leaving.value.code, *capsys.readouterr())

    return lrwp


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Puts a module in the place of another, with a ``run`` that keeps what it is called with."""

    def stand_in(module: str, result: int | BaseException = 0) -> list[Any]:
        calls: list[Any] = []

        def run(*arguments: Any) -> int:
            calls.append(arguments)
            if isinstance(result, BaseException):
                raise result
            return result

        fake = types.ModuleType(module)
        fake.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module, fake)
        return calls

    return stand_in


# Help


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(lrwp: Lrwp, arguments: list[str]) -> None:
    result = lrwp(*arguments)
    assert (result.code, result.err) == (0, "")
    for command in ("up", "restart", "dispatcher", "worker", "load", "status"):
        assert f"\n  {command} " in result.out


@pytest.mark.parametrize("command", ["up", "restart", "dispatcher", "worker", "load", "status"])
def test_each_command_has_help(lrwp: Lrwp, command: str) -> None:
    result = lrwp(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: lrwp {command}")


def test_help_shows_flags_with_their_defaults(lrwp: Lrwp) -> None:
    text = " ".join(lrwp("worker", "-h").out.split())
    assert "--dispatcher ADDRESS" in text
    assert "[default: 127.0.0.1:8081]" in text
    assert "-n, --processes N" in text


def test_the_version_is_that_of_the_distribution(lrwp: Lrwp) -> None:
    result = lrwp("--version")
    assert (result.code, result.out.split()[0]) == (0, "lrwp")


def test_help_comes_without_what_only_commands_need() -> None:
    source = "import sys, lrwp.cli; print(*sorted(sys.modules))"
    with running(["-P", "-c", source]) as program:
        assert program.wait() == 0
    loaded = set(program.output.split())
    assert "lrwp.configuration" in loaded
    assert not loaded & {"rich.console", "uvloop", "httptools", "lrwp.up", "lrwp.load", "dispatcher.server"}


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["worker", "shop:app", "--thread", "3"], ["No such option", "--threads", "lrwp worker --help"]),
        (["dispatchr"], ["No such command", "dispatcher"]),
        (["worker"], ["lrwp worker needs a target"]),
        (["worker", "shop:app", "--threads", "x"], ['--threads must be a whole number, not "x"']),
        (["worker", "shop:app", "-n", "0"], ["--processes must be at least 1, not 0"]),
        (["worker", "shop:app", "--kind", "php"], ['--kind must be app or wsgi, not "php"']),
        (["worker", "shop:app", "--label", "a", "--label", "b"], ["lrwp worker has 2 labels for 1 process"]),
        (["dispatcher", "--http", "80"], ["--http: '80' is not an address: write host:port"]),
        (["dispatcher", "-c", "none.toml"], ["there is no configuration file none.toml"]),
        (["status", "80"], ["'80' is not an address"]),
        (["up", "none.toml"], ["there is no configuration file none.toml"]),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    lrwp: Lrwp, arguments: list[str], words: list[str]
) -> None:
    result = lrwp(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("lrwp: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


def test_up_without_a_configuration_says_what_to_name(
    lrwp: Lrwp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = lrwp("up")
    assert result.code == 2
    assert (
        result.err
        == "lrwp: there is no configs/demo.toml in this folder: name your configuration, lrwp up CONFIG\n"
    )


# What commands are given


def test_the_dispatcher_gets_what_flags_and_file_say(
    lrwp: Lrwp, stand_in: Callable[..., list[Any]], tmp_path: Path
) -> None:
    calls = stand_in("dispatcher.server", 0)
    config = tmp_path / "site.toml"
    config.write_text('[dispatcher]\ndocroot = "www"\n[limits]\nqueue = 3\n[applications.shop]\nhost = "a"\n')
    config.chmod(0o600)
    result = lrwp(
        "dispatcher",
        "-c",
        str(config),
        "--http",
        "unix:///run/http",
        "--link",
        "[::1]:1",
        "--link",
        "[::1]:2",
    )
    assert (result.code, result.err) == (0, "")
    [(settings, limits, applications, *_)] = calls
    assert isinstance(settings, DispatcherSettings)
    assert (str(settings.http), *map(str, settings.link)) == ("unix:///run/http", "[::1]:1", "[::1]:2")
    assert settings.docroot == tmp_path / "www"
    assert limits == Limits(queue=3)
    assert applications == {"shop": ApplicationSettings(host="a")}


def test_the_dispatcher_warns_of_a_file_that_everybody_can_change(
    lrwp: Lrwp, stand_in: Callable[..., list[Any]], tmp_path: Path
) -> None:
    stand_in("dispatcher.server", 0)
    config = tmp_path / "site.toml"
    config.touch()
    config.chmod(0o666)
    result = lrwp("dispatcher", "-c", str(config))
    assert result.code == 0
    assert result.err.startswith("lrwp: everybody on this machine can change")


def test_a_worker_gets_its_settings_and_label(lrwp: Lrwp, stand_in: Callable[..., list[Any]]) -> None:
    calls = stand_in("worker.process", 0)
    assert lrwp("worker", "shop:app", "--path", "/a", "--path", "/b", "--label", "ONE").code == 0
    [(settings, label)] = calls
    assert settings == WorkerSettings(target="shop:app", path=("/a", "/b"), label=("ONE",))
    assert label == "ONE"


def test_a_worker_without_a_label_has_none(lrwp: Lrwp, stand_in: Callable[..., list[Any]]) -> None:
    calls = stand_in("worker.process", 0)
    lrwp("worker", "shop:app")
    assert calls[0][1] is None


def test_a_worker_alone_that_served_its_requests_is_done(
    lrwp: Lrwp, stand_in: Callable[..., list[Any]]
) -> None:
    stand_in("worker.process", RECYCLE)
    assert lrwp("worker", "shop:app").code == 0


@pytest.mark.parametrize("target", ["shown_site:app", "shown_site:hello"])
def test_the_routes_of_an_app_are_shown(
    lrwp: Lrwp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    (tmp_path / "shown_site.py").write_text(
        """
from worker import Application
app = Application("site")
@app.get("/page/{name}")
def show(request, name): ...
@app.post("/page/{name}")
def save(request, name): ...
def hello(request): ...
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shown_site", raising=False)
    result = lrwp("worker", target, "--routes")
    shown = {
        "shown_site:app": (
            "METHOD  PATH          NAME  HANDLER\n"
            "GET     /page/{name}  show  show() in shown_site\n"
            "POST    /page/{name}  save  save() in shown_site\n"
        ),
        "shown_site:hello": (
            "METHOD  PATH  NAME        HANDLER\n*       /*    shown_site  hello() in shown_site\n"
        ),
    }
    assert (result.code, result.out, result.err) == (0, shown[target], "")


def test_only_an_app_has_routes_to_be_shown(lrwp: Lrwp) -> None:
    result = lrwp("worker", "site:app", "--kind", "wsgi", "--routes")
    assert (result.code, result.out) == (2, "")
    assert result.err == "lrwp: --routes shows the routes of an app; nobody knows those of a wsgi\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (LrwpError("the port is taken"), 1, "lrwp: the port is taken\n"),
        (SettingsError("give a secret"), 2, "lrwp: give a secret\n"),
        (KeyboardInterrupt(), 1, ""),
    ],
)
def test_an_error_of_a_command_is_one_sentence(
    lrwp: Lrwp, stand_in: Callable[..., list[Any]], error: BaseException, code: int, text: str
) -> None:
    stand_in("dispatcher.server", error)
    result = lrwp("dispatcher")
    assert (result.code, result.err) == (code, text)


def test_the_exit_code_of_a_command_is_ours(lrwp: Lrwp, stand_in: Callable[..., list[Any]]) -> None:
    stand_in("dispatcher.server", 1)
    assert lrwp("dispatcher").code == 1


# As a program


def test_it_runs_as_a_module_in_a_folder_with_files_of_our_names(tmp_path: Path) -> None:
    for name in ("worker.py", "lrwp.py", "dispatcher.py", "typing.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong file')")
    with running(["-P", "-m", "lrwp", "--version"], cwd=tmp_path) as program:
        assert program.wait() == 0
    assert program.output.startswith("lrwp ")


def test_a_pool_is_started_with_n(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import nothing_of_this_name")
    with running(["-P", "-m", "lrwp", "worker", "shop:app", "-n", "2"], cwd=tmp_path) as program:
        assert program.wait() == 1
    assert program.output == (
        f"lrwp: shop imports nothing_of_this_name, which is not installed ({tmp_path}/shop.py:1)\n"
    )


def test_output_that_nobody_reads_is_no_reason_for_a_traceback(tmp_path: Path) -> None:
    source = """if True:
        import os
        from lrwp.cli import main
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        main(["--help"])
    """
    with running(["-P", "-c", source], cwd=tmp_path) as program:
        assert program.wait() == 1
    assert program.output == ""
