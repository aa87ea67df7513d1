"""The Router: what answers which paths, and the way of a request from a path to its answer.

Five ways to register:

* ``mount("/blog", ...)``: another router, or any handler, answers at /blog and everything below;
* ``mount("/blog/", ...)``: the same for a folder, where who leaves out the slash is sent on;
* ``get("/page/{name}?{lang}")`` and the like: a function, with the parameters of the path and the fields of
  the query as keywords;
* ``servlet("/entry/{id:int}")``: a class, with a method for each method of HTTP;
* ``service("/task/{id:int}/")``: a class for a folder, with a method for each method and last part of a path.

What beats what is written in :mod:`worker.tree`, how paths are written in :mod:`worker.patterns`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from worker.calls import Mount, Route, response_of
from worker.error_answers import ErrorHandlers, answering_errors
from worker.errors import HttpError, RouteError
from worker.handlers import Handler, Responder, Wrapper, check_handler, describe, requires
from worker.names import Names
from worker.patterns import Parameter, read_pattern
from worker.place import Place
from worker.response import Response, redirect
from worker.route_table import Row
from worker.servlet import check_class, service_handlers, servlet_handlers
from worker.tree import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from worker.request import Request

HandlerT = TypeVar("HandlerT", bound=Handler)
ClassT = TypeVar("ClassT", bound=type)
WrapperT = TypeVar("WrapperT", bound=Wrapper)


class Router:
    """Paths with what answers them; a part of an application that can be mounted anywhere.

    Attributes:
        names: what its routes are known by.
        error_handlers: what answers errors.
        is_mountable: whether it may be mounted; an Application, which is to be started, may not.
    """

    is_mountable: ClassVar[bool] = True

    def __init__(self) -> None:
        self._root: Node[Route, Mount] = Node()
        self.names = Names()
        self.error_handlers = ErrorHandlers()
        self._wrappers: list[Wrapper] = []
        self._chain: Responder | None = None

    # ── Functions ────────────────────────────────────────────────────────────────────────────────

    def route(self, path: str, *, methods: Iterable[str], name: str = "") -> Callable[[HandlerT], HandlerT]:
        """Register a handler for several methods of a path.

        The handler is called with the request, and with the path's parameters and the query's fields as
        keywords. HEAD is answered from GET, and OPTIONS by itself, unless handlers of their own are there.

        Args:
            path: the path, as :mod:`worker.patterns` has it.
            methods: the methods, in upper case.
            name: what :meth:`worker.request.Request.url_for` is to know it by; the handler's own name if none
                is given.

        Raises:
            RouteError: the path, a method, the name or the handler cannot be used, or is registered already.
        """
        pattern = read_pattern(path)
        if isinstance(methods, str):
            raise RouteError(f"the methods for {path} must be a list, as in methods=[{methods!r}]")
        methods = [*methods]
        for method in methods:
            if not method.isupper():
                raise RouteError(f"{method!r} is not a method for {path}: write it in upper case, as GET")

        def register(handler: HandlerT) -> HandlerT:
            check_handler(handler, path, names=(*pattern.names, *(each.name for each in pattern.query)))
            required = frozenset(each.name for each in pattern.query if requires(handler, each.name))
            known_as = name or _name_of(handler)
            for method in methods:
                self._add(Route(method, pattern, known_as, handler, required))
            self.names.add(known_as, pattern, is_given=bool(name))
            return handler

        return register

    def get(self, path: str, *, name: str = "") -> Callable[[HandlerT], HandlerT]:
        """Register a handler for GET, and so for HEAD."""
        return self.route(path, methods=["GET"], name=name)

    def post(self, path: str, *, name: str = "") -> Callable[[HandlerT], HandlerT]:
        """Register a handler for POST."""
        return self.route(path, methods=["POST"], name=name)

    def put(self, path: str, *, name: str = "") -> Callable[[HandlerT], HandlerT]:
        """Register a handler for PUT."""
        return self.route(path, methods=["PUT"], name=name)

    def patch(self, path: str, *, name: str = "") -> Callable[[HandlerT], HandlerT]:
        """Register a handler for PATCH."""
        return self.route(path, methods=["PATCH"], name=name)

    def delete(self, path: str, *, name: str = "") -> Callable[[HandlerT], HandlerT]:
        """Register a handler for DELETE."""
        return self.route(path, methods=["DELETE"], name=name)

    # ── Classes ──────────────────────────────────────────────────────────────────────────────────

    def servlet(self, path: str, *, name: str = "") -> Callable[[ClassT], ClassT]:
        """Register a class that has a method ``get``, ``post`` and so on for each method that it answers.

        An instance is made for each request: the class is called with the request, and with the path's
        parameters and the query's fields as keywords; then the method, with nothing.

        Raises:
            RouteError: the path or the class cannot be used, or is registered already.
        """
        pattern = read_pattern(path)

        def register(cls: ClassT) -> ClassT:
            required = check_class(cls, pattern)
            handlers = [*servlet_handlers(cls)]
            if not handlers:
                raise RouteError(f"{cls.__name__} for {path} answers nothing: give it a method such as get()")
            for method, handler in handlers:
                self._add(Route(method, pattern, name or cls.__name__, handler, required))
            self.names.add(name or cls.__name__, pattern, is_given=bool(name))
            return cls

        return register

    def service(self, path: str, *, name: str = "") -> Callable[[ClassT], ClassT]:
        """Register a class for a folder, with a method for each method and last part of the path.

        With ``/task/{id}/``, ``POST /task/7/finish`` calls ``post_finish()``, and ``GET /task/7/`` calls
        ``get()``. Instances are made as for :meth:`servlet`. A route below the folder is known by the name of
        the class, a dot, and that part of the path: ``Task.finish``.

        Raises:
            RouteError: the path or the class cannot be used, or is registered already.
        """
        folder = read_pattern(path)
        if folder.segments[-1] != "":
            raise RouteError(f"the service {path} is a folder: write it with a / at the end of its path")

        def register(cls: ClassT) -> ClassT:
            required = check_class(cls, folder)
            handlers = [*service_handlers(cls)]
            if not handlers:
                raise RouteError(f"{cls.__name__} for {path} answers nothing: give it a method such as get()")
            for method, part, handler in handlers:
                known_as = f"{name or cls.__name__}{f'.{part}' * bool(part)}"
                pattern = folder.below(part)
                self._add(Route(method, pattern, known_as, handler, required))
                self.names.add(known_as, pattern, is_given=bool(name))
            return cls

        return register

    # ── Routers below, and what stands around ────────────────────────────────────────────────────

    def mount(self, path: str, target: Router | Handler, *, name: str = "") -> None:
        """Let ``target`` answer at ``path`` and everything below that no route of ours answers.

        To what is below, paths are relative: ``request.path`` begins where ``path`` ends. The parameters of
        ``path`` are in ``request.parameters``.

        Args:
            path: a path; with a / at its end it is a folder, and who leaves it out is sent on.
            target: another router, or any callable that takes a request and returns what handlers do.
            name: what stands before the names of its routes; the last literal of ``path`` if none is given.

        Raises:
            RouteError: the path, the target or the name cannot be used, or is mounted already.
        """
        pattern = read_pattern(path)
        if pattern.query:
            raise RouteError(f"the mount {path} has fields of a query: give them to the routes below")
        router = None
        if not isinstance(target, Router):
            check_handler(target, f"the mount {path}")
        elif target.is_mountable:
            router = target
        else:
            raise RouteError(f"{target!r} cannot be mounted at {path}: mount a Router, which needs no start")
        is_folder = pattern.segments[-1] == ""
        segments = pattern.segments[:-1] if is_folder else pattern.segments
        mount = Mount(pattern, name or _name_of_path(segments), target, router)
        node = self._root.reach(segments)
        if node.mount is not None:
            raise RouteError(f"{path} is mounted already: remove one of the two")
        self.names.add_mount(mount)
        node.mount, node.is_folder = mount, is_folder

    def wrap(self, wrapper: WrapperT) -> WrapperT:
        """Put ``wrapper`` around everything that answers here; the first that is put is the outermost.

        It is given a callable, Request → Response, and returns another, which may return what handlers do.
        What it does before and after it calls the one that it was given is before and after every request.
        What was raised within has become an answer before a wrapper sees it, unless it is an error that
        nobody has an answer to. It has no ``request.db``, which is there while a handler runs.
        """
        self._wrappers.append(wrapper)
        self._chain = None
        return wrapper

    def on_error(self, what: int | type[Exception]) -> Callable[[HandlerT], HandlerT]:
        """Register a handler that answers an error; it is called with the request and the error.

        What it returns has the error's status, 500 for an exception that is no HttpError, unless it is a
        Response, which says its own. Of several handlers that of the nearest router answers, and there that
        of the nearest class, where a status counts as the class HttpError. ``500`` also stands for all
        exceptions that nobody else answers: they are logged, while those with a handler of their own are not.

        Args:
            what: a status, 400 to 599; or a class of exceptions.

        Raises:
            RouteError: there is no such error, it is answered already, or the handler cannot be used.
        """

        def register(handler: HandlerT) -> HandlerT:
            self.error_handlers.add(what, handler)
            return handler

        return register

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────

    def respond(self, request: Request) -> Response:
        """Answer a request that has come to this router.

        Raises:
            Exception: whatever was raised and nobody has an answer to.
        """
        return (self._chain or self._build_chain())(request)

    def _build_chain(self) -> Responder:
        chain = answering_errors(self.dispatch)
        for wrapper in reversed(self._wrappers):
            chain = answering_errors(_responding(wrapper(chain)))
        self._chain = chain
        return chain

    def dispatch(self, request: Request) -> Response:
        """Find what answers a request, and have it answer.

        Raises:
            HttpError: 404 or 405, nothing does.
        """
        match = self._root.find(request.segments)
        if match is None:
            raise HttpError(404)
        routes, mount, values, depth = match
        if mount is not None:
            return _enter(request, mount, values, depth)
        if not routes:
            return redirect(request.target_of_folder, 308)
        method = request.method
        route = routes.get(method) or (routes.get("GET") if method == "HEAD" else None)
        if route is not None:
            _prepare(request, route, values)
            return request.perform(request)
        allow = [("Allow", _allowed(routes))]
        if method == "OPTIONS":
            return Response(status=204, headers=allow)
        raise HttpError(405, headers=allow)

    # ── What is known ────────────────────────────────────────────────────────────────────────────

    def table(self) -> list[Row]:
        """Return what answers which paths, in the order in which it would be found."""
        return [*self._rows()]

    def wrappers(self) -> Iterator[Wrapper]:
        """Yield what was put around this router, and around those that are mounted in it."""
        yield from self._wrappers
        for each in self._root.visit():
            if isinstance(each, Mount) and each.router is not None:
                yield from each.router.wrappers()

    def _rows(self) -> Iterator[Row]:
        for each in self._root.visit():
            if isinstance(each, Route):
                yield Row(each.method, each.pattern.text, each.name, describe(each.handler))
                continue
            above = each.pattern.text.removesuffix("/")
            if each.router is None:
                yield Row("*", f"{above}/*", each.name, describe(each.target))
                continue
            for row in each.router.table():
                name = f"{each.name}.{row.name}" if each.name and row.name else row.name
                yield row._replace(path=above + row.path, name=name)

    def _add(self, route: Route) -> None:
        routes = self._root.reach(route.pattern.segments).routes
        other = routes.get(route.method)
        if other is not None:
            raise RouteError(
                f"{route.method} {route.pattern.text} is answered by {describe(other.handler)} already:"
                " remove one of the two"
            )
        routes[route.method] = route


def _enter(request: Request, mount: Mount, values: Sequence[Any], depth: int) -> Response:
    """Answer with what is mounted, to which the path is relative from now on."""
    below = request.below(depth, dict(zip(mount.pattern.names, values, strict=True)))
    if mount.router is not None:
        below.place = Place(mount.router, below.above, request.place)
        return mount.router.respond(below)
    below.call = mount
    return below.perform(below)


def _responding(wrapped: Handler) -> Responder:
    """Return what a wrapper has made as a responder, whatever it returns."""

    def respond(request: Request) -> Response:
        result = wrapped(request)
        return result if isinstance(result, Response) else response_of(result, wrapped)

    return respond


def _prepare(request: Request, route: Route, values: Sequence[Any]) -> None:
    """Note what is to be called, and with what."""
    arguments = dict(zip(route.pattern.names, values, strict=True))
    request.parameters = {**request.parameters, **arguments} if request.parameters else arguments
    if route.pattern.query:
        arguments = {**arguments, **route.read_query(request.query)}
    request.arguments = arguments
    request.call = route


def _allowed(routes: Mapping[str, Route]) -> str:
    """Return what Allow says of a path with these routes (RFC 9110 §10.2.1)."""
    return ", ".join(sorted({*routes, "OPTIONS", *(["HEAD"] if "GET" in routes else [])}))


def _name_of(handler: Handler) -> str:
    name = getattr(handler, "__name__", "")
    return name if name.isidentifier() else ""  # that of a lambda is not


def _name_of_path(segments: Sequence[str | Parameter]) -> str:
    """Return the last literal of a mount's path, by which its routes are known."""
    return next((segment for segment in reversed(segments) if isinstance(segment, str)), "")
