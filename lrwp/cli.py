"""The ``lrwp`` command: up, restart, dispatcher, worker, load, status.

Exit codes: 0 done, 1 failed, 2 wrong usage; every error is one sentence on standard error.
"""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that `lrwp --help` answers at once

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from dispatcher.settings import DispatcherSettings
from lrwp.configuration import Configuration, read_configuration, read_worker
from lrwp.flags import flags_of, read_flags
from protocol.errors import AddressError, LrwpError, SettingsError
from worker.settings import WorkerSettings

DEMO: Final = Path("configs/demo.toml")
"""What ``lrwp up`` runs when it is not told anything else."""


class Commands(TyperGroup):
    """The commands; ``load`` is imported when it is typed, not when it is listed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and its arguments."""
        if args and args[0] == "load":
            from lrwp.load import command

            self.commands["load"] = _as_command(command, "load")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed; Ctrl-C ends it without a word, and it has not done its work."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return 1


def _as_command(function: Callable[..., Any], name: str) -> Any:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(function)
    return typer.main.get_command(alone)


# Plain help: rich's boxes take `lrwp --help` from 0.06 to 0.15 s and eat the brackets of [pools.NAME].
app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def lrwp(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
) -> None:
    """Long-running web processes: a dispatcher queues requests and hands them to warm workers."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"lrwp {version_of('lrwp')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def up(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The TOML file that names the dispatcher and its pools.")
    ] = DEMO,
    opens: Annotated[
        bool, typer.Option("--open", help="Open a browser at the site once it is ready.")
    ] = False,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Run all pools in development mode: see lrwp worker --help."),
    ] = False,
) -> int:
    """Run a dispatcher and its pools, supervised, on this machine."""
    from lrwp.up import Up

    if config == DEMO and not config.exists():
        raise SettingsError(f"there is no {DEMO} in this folder: name your configuration, lrwp up CONFIG")
    configuration = read_configuration(config, os.environ)
    if reload:
        pools = {name: replace(pool, reload=True) for name, pool in configuration.pools.items()}
        configuration = replace(configuration, pools=pools)
    return Up(config, configuration, opens=opens).run()


@app.command()
def restart(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Pools, or dispatcher; all pools if none is named.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", metavar="CONFIG", help="The TOML file that lrwp up has been given."),
    ] = None,
) -> int:
    """Replace the workers of a running lrwp up, or its dispatcher."""
    from lrwp.control import ask

    ask(read_configuration(config, os.environ).dispatcher.admin, names or [], typer.echo)
    return 0


@app.command()
@flags_of(DispatcherSettings)
def dispatcher(
    config: Annotated[
        Path | None, typer.Option("-c", "--config", metavar="CONFIG", help="A TOML file.")
    ] = None,
    **flags: Any,
) -> int:
    """Run a dispatcher: HTTP in front, links to workers behind."""
    over = {"dispatcher": read_flags(DispatcherSettings, flags)}
    configuration = _warned(read_configuration(config, os.environ, over))
    from contextlib import closing

    from dispatcher.passed import take_passed
    from dispatcher.scribe import Scribe
    from dispatcher.server import run
    from lrwp.log import configure_log
    from worker.child import tell_ready

    passed = take_passed(os.environ)
    with closing(Scribe(2)) as scribe:  # who does not read the log must not hold up the clients
        configure_log(scribe)
        return run(
            configuration.dispatcher, configuration.limits, configuration.applications, passed, tell_ready
        )


@app.command()
@flags_of(WorkerSettings)
def worker(
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="What to run, as module:attribute.", show_default=False),
    ] = None,
    routes: Annotated[
        bool, typer.Option("--routes", help="Show what answers which paths of an app, and leave.")
    ] = False,
    **flags: Any,
) -> int:
    """Run a worker, or with -n a pool of them, for one application."""
    settings = read_worker(os.environ, read_flags(WorkerSettings, {"target": target, **flags}))
    if routes:
        return _show_routes(settings)
    from lrwp.log import configure_log
    from worker.process import run

    configure_log()
    # Somebody who does not import the application must be there to replace the process that does.
    if settings.processes is None and not settings.reload:
        return _run_alone(run, settings)
    from worker.pool import Pool

    return Pool(settings, run).run()


def _show_routes(settings: WorkerSettings) -> int:
    from worker.loading import load
    from worker.route_table import write_table

    if settings.kind != "app":
        raise SettingsError(f"--routes shows the routes of an app; nobody knows those of a {settings.kind}")
    application, _ = load(settings.target, settings.kind)
    typer.echo(write_table(application.table()), nl=False)
    return 0


def _run_alone(run: Callable[[WorkerSettings, str | None], int], settings: WorkerSettings) -> int:
    from worker.pool import HUNG, RECYCLE

    os.environ.update(settings.env)
    code = run(settings, settings.label[0] if settings.label else None)
    if code == HUNG:
        # Python would wait for threads of the application, and what hangs may be one of them.
        os._exit(1)
    return 0 if code == RECYCLE else code


@app.command()
def load() -> None:
    """Measure a server: send requests, count and time the answers."""


@app.command()
def status(
    admin: Annotated[
        str | None,
        typer.Argument(
            metavar="ADMIN_URL", help="Where the dispatcher's admin listens. [default: http://127.0.0.1:8082]"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what the dispatcher says, as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew each second, until Ctrl-C.")] = False,
) -> int:
    """Show what a dispatcher does: applications, queues, links."""
    from lrwp import status as tables
    from lrwp.admin import read_admin_url

    address = read_admin_url(admin) if admin else read_configuration(None, os.environ).dispatcher.admin
    return tables.watch(address) if watch and not json else tables.show(address, as_json=json)


def _warned(configuration: Configuration) -> Configuration:
    for warning in configuration.warnings:
        typer.echo(f"lrwp: {warning}", err=True)
    return configuration


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command that ``arguments`` name, those of the process if none are given, and exit."""
    for stream in (sys.stdout, sys.stderr):
        # Who pipes our output into a file or a supervisor wants to read a line when it is written.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper at this point
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="lrwp", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(2, error.format_message(), getattr(error, "ctx", None))
    except (SettingsError, AddressError) as error:
        return _fail(2, str(error))
    except LrwpError as error:
        return _fail(1, str(error))
    except BrokenPipeError:
        # Nobody reads our output any more; without this, Python would complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 1
    return code or 0


def _fail(code: int, sentence: str, context: Any = None) -> int:
    hint = f" ({context.command_path} --help)" if context else ""
    typer.echo(f"lrwp: {sentence}{hint}", err=True)
    return code
