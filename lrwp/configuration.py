"""The configuration: a TOML file, over it the environment, over that the flags.

::

    [dispatcher]            DispatcherSettings     LRWP_DISPATCHER_HTTP=127.0.0.1:80
    [limits]                Limits                 LRWP_LIMITS_QUEUE=500
    [applications.NAME]     ApplicationSettings
    [pools.NAME]            WorkerSettings         LRWP_WORKER_THREADS=4, for all pools

A layer is what one of these sources says: values by key, already read. The upper one wins, key by key.
"""

from __future__ import annotations

import difflib
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dispatcher.settings import ApplicationSettings, DispatcherSettings, Limits
from lrwp.schema import schema
from protocol import limits
from protocol.errors import SettingsError
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from protocol.addresses import Address

Layer = Mapping[str, Any]
SettingsT = TypeVar("SettingsT")

SECTIONS: Final[dict[str, type]] = {
    "dispatcher": DispatcherSettings,
    "limits": Limits,
    "applications": ApplicationSettings,
    "pools": WorkerSettings,
}
"""The sections of the file and the class of each."""

_SECRET_NAME: Final = re.compile("PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH", re.IGNORECASE)
"""What the names of variables have in them that hold secrets."""

NAMED: Final = frozenset({"applications", "pools"})
"""The sections that have a section for each NAME."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that ``lrwp up`` needs to know.

    Attributes:
        dispatcher: where the dispatcher listens.
        limits: what clients and applications may use.
        applications: what is known of applications before their workers come, by name.
        pools: which workers to run, by the pool's name.
        warnings: sentences about what works but should not stay so.
    """

    dispatcher: DispatcherSettings
    limits: Limits
    applications: dict[str, ApplicationSettings]
    pools: dict[str, WorkerSettings]
    warnings: tuple[str, ...] = ()


def read_configuration(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Layer] | None = None
) -> Configuration:
    """Return the configuration of a dispatcher and its pools.

    Args:
        path: the TOML file; None for none.
        environ: the environment variables.
        flags: what flags say, as a layer for each section.

    Raises:
        SettingsError: a file, key, variable or flag cannot be used; the sentence says where it stands.
    """
    file = _read_file(path) if path else {}

    def layers(section: str) -> tuple[Layer, ...]:
        return file.get(section, {}), read_environment(section, environ), (flags or {}).get(section, {})

    dispatcher = _build(DispatcherSettings, *layers("dispatcher"))
    applications = {
        name: _build(ApplicationSettings, layer) for name, layer in file.get("applications", {}).items()
    }
    over = read_environment("worker", environ)
    pools = {
        name: _build_worker(
            f"{path}: [pools.{name}]",
            {
                "dispatcher": (within_reach(dispatcher.link[0]),),
                "secret_file": _secret_of({"name": (name,), **layer, **over}, dispatcher, applications),
            },
            layer,
            over,
        )
        for name, layer in file.get("pools", {}).items()
    }
    return Configuration(
        dispatcher,
        _build(Limits, *layers("limits")),
        applications,
        pools,
        tuple(_warn(path, pools)),
    )


def read_worker(environ: Mapping[str, str], flags: Layer) -> WorkerSettings:
    """Return the settings of ``lrwp worker``, which has no file.

    Raises:
        SettingsError: a variable or a flag cannot be used.
    """
    return _build_worker("lrwp worker", read_environment("worker", environ), flags)


def _build(cls: type[SettingsT], *layers: Layer) -> SettingsT:
    return cls(**{key: value for layer in layers for key, value in layer.items()})


def _secret_of(
    pool: Layer, dispatcher: DispatcherSettings, applications: Mapping[str, ApplicationSettings]
) -> Path | None:
    """Return the secret file that opens the applications of a pool, as far as their names are known."""
    known = [applications[name].secret_file for name in pool["name"] if name in applications]
    return next(filter(None, known), dispatcher.secret_file)


def _build_worker(subject: str, *layers: Layer) -> WorkerSettings:
    merged = {key: value for layer in layers for key, value in layer.items()}
    for setting in schema(WorkerSettings).values():
        if setting.default is MISSING and setting.name not in merged:
            raise SettingsError(f"{subject} needs a {setting.name}. {setting.help}")
    settings = WorkerSettings(**merged)
    processes = settings.processes or 1
    if len(settings.label) > processes:
        raise SettingsError(
            f"{subject} has {len(settings.label)} labels for {processes} process{'es' * (processes > 1)}"
        )
    return settings


def within_reach(address: Address) -> Address:
    """Return the address at which somebody on this machine reaches a listener on ``address``."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host)
    return replace(address, host=loopback) if loopback else address


def read_environment(section: str, environ: Mapping[str, str]) -> Layer:
    """Return what the variables ``LRWP_<SECTION>_<KEY>`` say; several values have commas between them.

    An empty variable counts as none, because that is what Compose makes of one that is not set. Names that
    are no settings are left alone: Kubernetes sets LRWP_DISPATCHER_PORT and more for a service of that name.

    Raises:
        SettingsError: a value cannot be used.
    """
    cls = WorkerSettings if section == "worker" else SECTIONS[section]
    layer = {}
    for name, setting in schema(cls).items():
        variable = f"LRWP_{section}_{name}".upper()
        if text := environ.get(variable):
            texts = [text] if setting.shape == "one" else [part.strip() for part in text.split(",")]
            layer[name] = setting.read_texts(texts, variable)
    return layer


def _read_file(path: Path) -> dict[str, dict[str, Any]]:
    """Return the file's sections with their values read; named sections hold one layer for each name."""
    sections: dict[str, dict[str, Any]] = {}
    for name, table in _parse(path).items():
        if not isinstance(table, dict):
            raise SettingsError(
                f"{path}: {name} stands outside of a section; put it below one of {_listed()}"
            )
        if name not in SECTIONS:
            raise SettingsError(f"{path}: there is no section [{name}]{suggest(name, SECTIONS, '[{}]')}")
        if name in NAMED:
            sections[name] = {key: _read_named(path, name, key, value) for key, value in table.items()}
        else:
            sections[name] = _read_section(path, SECTIONS[name], table, name)
    return sections


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no configuration file {path}") from None
    except OSError as error:
        raise SettingsError(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path} is not TOML: it is nested too deeply") from None


def _listed() -> str:
    return ", ".join(f"[{name}.NAME]" if name in NAMED else f"[{name}]" for name in SECTIONS)


def _read_named(path: Path, section: str, name: str, table: object) -> Layer:
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: {name} in [{section}] must be a section of its own, [{section}.NAME]")
    if not (name.isprintable() and 1 <= len(name) <= limits.NAME):
        raise SettingsError(f"{path}: a name in [{section}] must be 1 to {limits.NAME} printable characters")
    return _read_section(path, SECTIONS[section], table, f"{section}.{name}")


def _read_section(path: Path, cls: type, table: dict[str, object], name: str) -> dict[str, Any]:
    settings = schema(cls)
    layer = {}
    for key, value in table.items():
        if key not in settings:
            raise SettingsError(f"{path}: [{name}] has no key {key}{suggest(key, settings)}")
        read = settings[key].read(value, f"{path}: [{name}] {key}")
        layer[key] = path.parent / read if isinstance(read, Path) else read
    return layer


def suggest(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return ``; did you mean …?`` with the known word that is nearest, or else ``; …`` with all of them."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {form.format(near[0])}?"
    return f"; there are {', '.join(map(form.format, known))}"


def _warn(path: Path | None, pools: Mapping[str, WorkerSettings]) -> Iterable[str]:
    """Yield warnings about who else may read or write the file."""
    if path is None:
        return
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield f"everybody on this machine can change {path}, which names programs to run: chmod o-w {path}"
    if mode & stat.S_IROTH and any(_has_secret(pool) for pool in pools.values()):
        yield f"everybody on this machine can read {path}, which has a password: chmod o-r {path}"


def _has_secret(pool: WorkerSettings) -> bool:
    """Whether a pool is given what is none of everybody's business, as far as names and URLs tell."""
    return _has_password(pool.database) or any(
        _SECRET_NAME.search(name) or _has_password(value) for name, value in pool.env
    )


def _has_password(url: str) -> bool:
    return ":" in url.partition("://")[2].rpartition("@")[0]
