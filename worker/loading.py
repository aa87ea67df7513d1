"""Find what a worker is to run: ``module:attribute``, looked up from the current folder first.

``module`` alone stands for its attribute ``app`` or ``application``; ``module:attribute.attribute`` goes on
from one to the next, and ``module:create()`` calls what it finds. Whatever is wrong with the target, the
sentence says where to look.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import LrwpError
from worker.application import Application
from worker.calls import Mount
from worker.handlers import describe
from worker.patterns import read_pattern
from worker.route_table import Row

if TYPE_CHECKING:
    from worker.request import Request
    from worker.response import Response
    from worker.settings import Kind

DEFAULTS: Final = ("app", "application")
"""The attributes that a target without one stands for."""

_TARGET: Final = re.compile(r"(?P<module>\w+(?:\.\w+)*)(?::(?P<attribute>\w+(?:\.\w+)*)(?P<call>\(\))?)?")


_ROOT: Final = read_pattern("/")


class LoadError(LrwpError):
    """A target that cannot be run; the sentence says why."""


class HandlerApplication(Application):
    """An application that is one handler, called for every method and path."""

    def __init__(self, name: str, handler: Callable[[Request], Any]) -> None:
        super().__init__(name)
        self._call = Mount(_ROOT, name, handler, None)

    def table(self) -> list[Row]:
        """Return the one row that there is."""
        return [Row("*", "/*", self.name, describe(self._call.handler))]

    def dispatch(self, request: Request) -> Response:
        """Have the handler answer, whatever the request asks for."""
        request.call = self._call
        return request.perform(request)


def load(target: str, kind: Kind) -> tuple[Any, str]:
    """Return what ``target`` names, and the name under which it registers unless it is given one.

    For the kind ``app`` that is an :class:`Application`, for ``wsgi`` a WSGI callable.

    Raises:
        LoadError: there is no such thing, it cannot be loaded, or it is not of this kind.
    """
    match = _TARGET.fullmatch(target)
    if match is None or match["module"].endswith(".py"):
        raise LoadError(f'"{target}" is not a target: {_advise(target)}')
    module = _import(match["module"])
    found = _find(module, match["attribute"])
    if match["call"]:
        found = _call(found, target)
    name = match["module"].rpartition(".")[2]
    if kind == "wsgi":
        return _check_wsgi(found, target), name
    application = _check_application(found, target, name)
    return application, application.name


def _advise(target: str) -> str:
    """Say how to write what somebody probably meant."""
    path, _, attribute = target.partition(":")
    module = path.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
    if module != path and re.fullmatch(r"\w+(?:\.\w+)*", module):
        return f"write {module}:{attribute or DEFAULTS[0]}, with dots between folders and without .py"
    return "write module:attribute, as in shop.main:app"


def _import(name: str) -> ModuleType:
    folder = os.getcwd()
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    _check_not_shadowed(name, Path(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise LoadError(_describe_absence(name, error.name, Path(folder))) from None
        raise LoadError(f"{name} imports {error.name}, which is not installed{_place(error)}") from None
    except SyntaxError as error:
        where = f" ({error.filename}:{error.lineno})"
        raise LoadError(f"{name} cannot be loaded: {type(error).__name__}: {error.msg}{where}") from None
    except SystemExit as error:
        raise LoadError(f"{name} ended Python while it was loaded{_place(error)}") from None
    except Exception as error:
        raise LoadError(f"{name} cannot be loaded: {_describe(error)}{_place(error)}") from error


def _check_not_shadowed(name: str, folder: Path) -> None:
    """Refuse a file of the user's whose name belongs to a module that is loaded already."""
    root = name.partition(".")[0]
    loaded = sys.modules.get(root)
    theirs = [path for path in (folder / f"{root}.py", folder / root) if path.exists()]
    if not theirs or loaded is None:
        return
    file = getattr(loaded, "__file__", None)
    if file is None or not Path(file).resolve().is_relative_to(folder.resolve()):
        raise LoadError(f"{theirs[0]} cannot be loaded, because LRWP uses another module {root}: rename it")


def _describe_absence(name: str, missing: str, folder: Path) -> str:
    if missing != name:
        return f"there is no module {name}: {missing} was not found{_suggest_module(missing, folder)}"
    parent, _, last = name.rpartition(".")
    inside = folder.joinpath(*parent.split(".")) if parent else folder
    where = f"in {folder} or among the installed packages"
    return (
        f"there is no module {name} {where}{_suggest(last, _modules_of(inside), f'{parent}.' * bool(parent))}"
    )


def _suggest_module(name: str, folder: Path) -> str:
    return _suggest(name, _modules_of(folder))


def _modules_of(folder: Path) -> list[str]:
    """Return the names that can be imported from ``folder``."""
    if not folder.is_dir():
        return []
    entries = [path for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()]
    return [path.stem for path in entries if path.stem.isidentifier()]


def _suggest(word: str, known: list[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _find(module: ModuleType, attribute: str | None) -> Any:
    if attribute is None:
        for default in DEFAULTS:
            if hasattr(module, default):
                return getattr(module, default)
        raise LoadError(
            f"{module.__name__} has neither app nor application: write {module.__name__}:ATTRIBUTE"
        )
    found: Any = module
    owner = module.__name__
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            public = [each for each in dir(found) if not each.startswith("_")]
            raise LoadError(f"{owner} has no attribute {name}{_suggest(name, public)}") from None
        owner = name
    return found


def _call(factory: Any, target: str) -> Any:
    _check_callable(factory, target.removesuffix("()"))
    try:
        return factory()
    except LrwpError:
        raise
    except Exception as error:
        raise LoadError(f"{target} failed: {_describe(error)}{_place(error)}") from error


def _check_callable(found: Any, target: str) -> None:
    if not callable(found):
        kind = "a module" if isinstance(found, ModuleType) else f"of type {type(found).__name__}"
        raise LoadError(f"{target} is {kind} and cannot be called: name an application or a function")


def _check_wsgi(found: Any, target: str) -> Any:
    if isinstance(found, Application):
        raise LoadError(f"{target} is an Application, not a WSGI application: leave out --kind wsgi")
    _check_callable(found, target)
    return found


def _check_application(found: Any, target: str, name: str) -> Application:
    if isinstance(found, Application):
        return found
    _check_callable(found, target)
    if inspect.isclass(found):
        raise LoadError(f"{target} is a class: name an instance of it, or a function that takes a request")
    if inspect.iscoroutinefunction(found):
        raise LoadError(f"{target} is async: a handler is a plain function, as its worker blocks")
    required = _count_required(found)
    if required == 2:
        raise LoadError(f"{target} takes two arguments, as WSGI applications do: add --kind wsgi")
    if required not in {0, 1, None}:
        raise LoadError(f"{target} takes {required} arguments: a handler takes one, the request")
    return HandlerApplication(name, found)


def _count_required(found: Any) -> int | None:
    """Return how many arguments a callable must be given by position; None if it does not say."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(1 for each in parameters if each.kind in positional and each.default is each.empty)


def _describe(error: Exception) -> str:
    if isinstance(error, LrwpError):  # its sentence says what to do
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _place(error: BaseException) -> str:
    """Say in which line of the user's it happened: the last one from the current folder, or else the last."""
    frames = _frames(error.__traceback__)
    if not frames:
        return ""
    folder = os.getcwd()
    own = [frame for frame in frames if _is_own(frame.filename, folder)]
    frame = (own or frames)[-1]
    return f" ({frame.filename}:{frame.lineno})"


def _is_own(file: str, folder: str) -> bool:
    """Whether somebody who works in ``folder`` wrote the file; a virtualenv may stand there too."""
    return file.startswith(f"{folder}{os.sep}") and "site-packages" not in file


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Return the frames of a traceback without ours and those of the import machinery."""
    frames = traceback.extract_tb(trace)
    return [
        frame
        for frame in frames
        if frame.filename not in {__file__, importlib.__file__} and not frame.filename.startswith("<frozen ")
    ]
