"""Templates in a folder, in a mapping and inline."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import jinja2
from jinja2.loaders import split_template_path

from worker.templates.environment import Environment, Source
from worker.templates.errors import TemplateError, explained, place_of
from worker.templates.rendered import Rendered

_PIECES: Final = 128
"""How many of Jinja's pieces, one for each text and value, are sent as one. Pages of 1 to 700 KB took as long
to write and encode as a whole with anything from 32 to 2048, and a fifth longer with 1."""


class Template:
    """A template.

    Args:
        source: its text. What extends, includes or imports others is made by :meth:`Templates.inline`.

    Raises:
        TemplateError: the text is malformed.
    """

    __slots__ = ("_environment", "_load")

    def __init__(self, source: str) -> None:
        self._environment = _environment_of_one()
        compiled = _compile(self._environment, source, _place_of_caller())
        self._load: Callable[[], jinja2.Template] = lambda: compiled

    @classmethod
    def _loaded_by(cls, environment: Environment, load: Callable[[], jinja2.Template]) -> Self:
        template = cls.__new__(cls)
        template._environment = environment
        template._load = load
        return template

    def __repr__(self) -> str:
        return f"<Template {self._load().name}>"

    def pieces(self, /, **context: Any) -> Rendered:
        """Return the page that the template makes of ``context``, in pieces.

        Raises:
            TemplateError: the template is malformed, or uses what is not there.
        """
        rendered = Rendered(self.stream(**context))
        return rendered or Rendered([""])  # a list without any text would be sent as JSON

    def stream(self, /, **context: Any) -> Iterator[str]:
        """Yield the page piece by piece while it is made: for what is long, or waits for its data.

        Raises:
            TemplateError: the template is malformed, or uses what is not there.
        """
        try:
            pieces = self._load().generate(context)
            while batch := [*islice(pieces, _PIECES)]:
                yield "".join(batch)
        except jinja2.TemplateError as error:
            raise explained(error, self._environment.names) from error
        except Exception as error:
            # The program's own error keeps its type, which those above may wait for.
            error.add_note(f"It came up in {place_of(error, self._environment.names)}.")
            raise


class Templates:
    """Templates that may extend, include and import each other by name.

    Args:
        source: a folder, relative to the one of the module that calls this; or templates by name.
        filters: further filters by name.
        values: what every template may use, by name.
        reloads: whether to look, at every use, if the file was changed since it was read. Unless it is given,
            ``Templates.reloads`` says so for all: False, until development mode sets it.

    Raises:
        TemplateError: there is no such folder.
    """

    reloads = False

    def __init__(
        self,
        source: str | Path | Mapping[str, str],
        *,
        filters: Mapping[str, Callable[..., Any]] | None = None,
        values: Mapping[str, Any] | None = None,
        reloads: bool | None = None,
    ) -> None:
        if isinstance(source, Mapping):
            self._where = "among these templates"
            self._sources = source
            self._environment = Environment(self._read_mapping)
        else:
            self._folder = _folder_of_caller() / source
            self._where = f"in {self._folder}"
            self._environment = Environment(self._read_file)
            if not self._folder.is_dir():
                raise TemplateError(f"there is no folder {self._folder}: put the templates there")
        self._environment.filters.update(filters or {})
        self._environment.globals.update(values or {})
        if reloads is not None:
            self.reloads = reloads

    def __repr__(self) -> str:
        return f"<Templates {self._where}>"

    def __getitem__(self, name: str) -> Template:
        """Return the template of this name.

        Raises:
            TemplateError: there is none, or its text is malformed.
        """
        try:
            self._load(name)
        except jinja2.TemplateError as error:
            raise explained(error, self._environment.names) from error
        return Template._loaded_by(self._environment, lambda: self._load(name))

    def inline(self, source: str) -> Template:
        """Return a template with this text, which may extend, include and import those that are here.

        Raises:
            TemplateError: the text is malformed.
        """
        compiled = _compile(self._environment, source, _place_of_caller())

        def load() -> jinja2.Template:
            self._environment.auto_reload = self.reloads
            return compiled

        return Template._loaded_by(self._environment, load)

    def _load(self, name: str) -> jinja2.Template:
        self._environment.auto_reload = self.reloads
        return self._environment.get_template(name)

    def _read_mapping(self, name: str) -> Source:
        try:
            source = self._sources[name]
        except KeyError:
            raise self._not_found(name) from None
        return source, self._environment.add_unfiled(source, name), lambda: True

    def _read_file(self, name: str) -> Source:
        try:
            path = self._folder.joinpath(*split_template_path(name))
            stamp = _stamp(path)  # before it is read: what changes meanwhile is seen the next time
            source = path.read_text(encoding="utf-8")
        except (OSError, jinja2.TemplateNotFound):
            raise self._not_found(name) from None
        except UnicodeDecodeError:
            raise jinja2.TemplateError(f"the template {name!r} is not UTF-8: save it as UTF-8") from None
        self._environment.names[str(path)] = name
        return source, str(path), lambda: _stamp(path) == stamp

    def _not_found(self, name: str) -> jinja2.TemplateNotFound:
        return jinja2.TemplateNotFound(name, f"there is no template {name!r} {self._where}")


@cache
def _environment_of_one() -> Environment:
    """Return what all templates share that know of no others."""
    return Environment()


def _compile(environment: Environment, source: str, place: str) -> jinja2.Template:
    try:
        return environment.compile_unfiled(source, f"the template at {place}")
    except jinja2.TemplateError as error:
        raise explained(error, environment.names) from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file does, None for no file; its time alone stands still for some ms."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _folder_of_caller() -> Path:
    """Return the folder of the module that called our caller; the current one where there is no file."""
    return Path(sys._getframe(2).f_globals.get("__file__", "./-")).resolve().parent


def _place_of_caller() -> str:
    """Return the place in the program that called our caller, as ``app.py:12``."""
    frame = sys._getframe(2)
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
