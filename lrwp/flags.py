"""Command-line flags made from settings classes.

A command function says ``**flags`` and gets, from :func:`flags_of`, the signature that typer makes options
from. What typer hands over is text; the same :class:`lrwp.schema.Setting` that reads the file reads it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrwp.schema import Setting, schema
from lrwp.values import KINDS

if TYPE_CHECKING:
    from lrwp.configuration import Layer


def flags_of(cls: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that puts an option in the place of ``**flags`` for each flag of ``cls``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        signature = inspect.signature(function, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        options = [_option(setting) for setting in schema(cls).values() if setting.flags]
        command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]  # read by inspect
        return command

    return decorate


def _option(setting: Setting) -> inspect.Parameter:
    # The default is None, for "not said": only then do the environment and the file have a say.
    written = ", ".join(setting.write(setting.default))
    option = typer.Option(
        *setting.flags,
        help=f"{setting.help} [default: {written}]" if written else setting.help,
        metavar=setting.kind.metavar or None,
        show_default=False,
    )
    base: Any = bool if setting.kind is KINDS[bool] else str if setting.shape == "one" else list[str]
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[base | None, option],
    )


def read_flags(cls: type, given: Mapping[str, Any]) -> Layer:
    """Return as a layer what typer handed over for the flags of ``cls``.

    Raises:
        SettingsError: a flag's value cannot be used.
    """
    layer = {}
    for name, value in given.items():
        if value is None:
            continue
        setting = schema(cls)[name]
        texts = value if isinstance(value, list) else [str(value)]
        layer[name] = setting.read_texts(texts, setting.flags[-1] if setting.flags else name.upper())
    return layer


def write_flags(settings: Any) -> list[str]:
    """Return the flags of a command that has these settings, those with their default left out."""
    cls: type = type(settings)
    arguments = []
    for name, setting in schema(cls).items():
        value = getattr(settings, name)
        if not setting.flags or value == setting.default:
            continue
        if setting.kind is KINDS[bool]:
            arguments.append(setting.flags[-1])
        else:
            arguments += [f"{setting.flags[-1]}={text}" for text in setting.write(value)]
    return arguments
