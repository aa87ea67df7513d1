"""Servlets: a class for a thing with an address, an instance for each request, a method for each method.

::

    @app.servlet("/entry/{id:int}")
    class Entry(Servlet):
        id: int

        def get(self):
            return show(self.db, self.id)

        def post(self):
            save(self.db, self.id, self.request.form)
            return redirect(self.request.url_for("Entry", id=self.id))

Services: the same for a folder, with a method for each method and last part of the path.

::

    @app.service("/task/{id:int}/")
    class Task(Servlet):
        def get(self): ...           # GET /task/7/, the folder itself
        def get_history(self): ...   # GET /task/7/history
        def post_finish(self): ...   # POST /task/7/finish

Any class will do that can be called with the request, and with the parameters as keywords; a dataclass, say.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from worker.errors import RouteError
from worker.handlers import check_handler, describe, requires

if TYPE_CHECKING:
    from worker.handlers import Handler
    from worker.patterns import Pattern
    from worker.request import Request

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""The methods of HTTP that a class may have a method for, in lower case."""


class Servlet:
    """A base for servlets and services: keeps the request, and each parameter under its own name.

    A field of the query is optional where the class has an attribute of its name.

    Attributes:
        request: the request that this instance was made for.
    """

    def __init__(self, request: Request, **parameters: Any) -> None:
        self.request = request
        self.__dict__.update(parameters)

    @property
    def session(self) -> Any:
        """The browser's session."""
        return self.request.session

    @property
    def db(self) -> Any:
        """This worker thread's own connection to the database."""
        return self.request.db


def servlet_handlers(cls: type) -> Iterator[tuple[str, Handler]]:
    """Yield the methods of HTTP that a servlet answers, and what answers them."""
    for method in METHODS:
        if callable(getattr(cls, method.lower(), None)):
            yield method, _handler_of(cls, method.lower())


def service_handlers(cls: type) -> Iterator[tuple[str, str, Handler]]:
    """Yield what a service answers: the method, the last part of the path, and what answers them.

    The last part is empty for the folder itself.
    """
    for name in dir(cls):
        verb, _, part = name.partition("_")
        method = verb.upper()
        if method in METHODS and verb.islower() and name != f"{verb}_" and callable(getattr(cls, name)):
            yield method, part, _handler_of(cls, name)


def check_class(cls: type, pattern: Pattern) -> frozenset[str]:
    """Return which fields of the query a class has no default for.

    Raises:
        RouteError: it cannot be called for a request, or has something else by the name of a parameter.
    """
    if not inspect.isclass(cls):
        raise RouteError(f"{describe(cls)} for {pattern.text} is not a class")
    fields = [field.name for field in pattern.query]
    check_handler(cls, pattern.text, names=[*pattern.names, *fields])
    for name in (*pattern.names, *fields):
        if callable(getattr(cls, name, None)):
            raise RouteError(
                f"{pattern.text} cannot have a parameter {name}: {cls.__name__} has {name}() already"
            )
    takes_any = issubclass(cls, Servlet) and "__init__" not in cls.__dict__
    return frozenset(
        name for name in fields if (not hasattr(cls, name) if takes_any else requires(cls, name))
    )


def _handler_of(cls: type, name: str) -> Handler:
    """Return the handler that makes an instance and calls its method of this name."""
    method = getattr(cls, name)
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise RouteError(f"{describe(method)} is async: a handler is a plain function, as its worker blocks")

    def handler(request: Request, **parameters: Any) -> Any:
        return getattr(cls(request, **parameters), name)()

    handler.__qualname__ = f"{cls.__qualname__}.{name}"
    handler.__module__ = cls.__module__
    return handler
