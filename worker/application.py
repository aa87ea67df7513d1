"""The Application: handlers by method and path, what runs at its start and end, and the way of a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from protocol import limits
from protocol.errors import LrwpError
from worker.error_page import error_page
from worker.errors import ContentError, HttpError, RouteError, StartError
from worker.request import Request
from worker.response import Response, redirect
from worker.router import Handler, Router, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.exchange import Answer, Exchange
    from worker.router import Route

HandlerT = TypeVar("HandlerT", bound=Handler)
HookT = TypeVar("HookT", bound="Callable[[], object]")
Wrapper = Callable[[Callable[[Request], Response]], Callable[[Request], Response]]
WrapperT = TypeVar("WrapperT", bound=Wrapper)


class Database(Protocol):
    """What :meth:`Application.use` keeps for the threads of a worker."""

    def open(self) -> None:
        """Open what one worker thread needs; called in it, before what on_start registered."""

    def close(self) -> None:
        """Close what :meth:`open` opened in this thread; called after what on_stop registered."""

    def guard(self, handler: Callable[[Request], Response], /) -> Callable[[Request], Response]:
        """Return ``handler`` with ``request.db`` set, and with a watch over what it leaves open."""


class Application:
    """An application: a name that workers register for, and the handlers that answer below its path.

    Paths of routes are relative to the path that the application is registered for. What is registered as
    ``/`` answers there with and without a / at the end.

    Args:
        name: 1 to 200 printable characters; the application is served at ``/name`` unless a flag says
            otherwise.

    Attributes:
        retired: whether this worker answers what it has in hand and then leaves for good.
    """

    def __init__(self, name: str) -> None:
        if not (1 <= len(name) <= limits.NAME and name.isprintable()):
            raise RouteError(f"an application's name must be 1 to {limits.NAME} printable characters")
        self.name = name
        self.retired = False
        self._router = Router()
        self._on_start: list[Callable[[], object]] = []
        self._on_stop: list[Callable[[], object]] = []
        self._wrappers: list[Wrapper] = []
        self._database: Database | None = None
        self._chain: Callable[[Request], Response] | None = None

    def __repr__(self) -> str:
        return f"<Application {self.name}{', retired' * self.retired}>"

    def route(self, path: str, *, methods: Iterable[str]) -> Callable[[HandlerT], HandlerT]:
        """Register a handler for several methods of a path.

        The handler is called with the request, and with the path's parameters as keywords. HEAD is answered
        from GET, and OPTIONS by itself, unless handlers of their own are registered.

        Raises:
            RouteError: the path, a method or the handler cannot be used, or is registered already.
        """

        def register(handler: HandlerT) -> HandlerT:
            for method in methods:
                if not method.isupper():
                    raise RouteError(f"{method!r} is not a method for {path}: write it in upper case, as GET")
                _check_handler(handler, self._router.add(method, path, handler), path)
            return handler

        return register

    def get(self, path: str) -> Callable[[HandlerT], HandlerT]:
        """Register a handler for GET, and so for HEAD."""
        return self.route(path, methods=["GET"])

    def post(self, path: str) -> Callable[[HandlerT], HandlerT]:
        """Register a handler for POST."""
        return self.route(path, methods=["POST"])

    def put(self, path: str) -> Callable[[HandlerT], HandlerT]:
        """Register a handler for PUT."""
        return self.route(path, methods=["PUT"])

    def patch(self, path: str) -> Callable[[HandlerT], HandlerT]:
        """Register a handler for PATCH."""
        return self.route(path, methods=["PATCH"])

    def delete(self, path: str) -> Callable[[HandlerT], HandlerT]:
        """Register a handler for DELETE."""
        return self.route(path, methods=["DELETE"])

    def on_start(self, hook: HookT) -> HookT:
        """Register what is called once in each worker thread, before its first request."""
        self._on_start.append(hook)
        return hook

    def on_stop(self, hook: HookT) -> HookT:
        """Register what is called once in each worker thread that has started, after its last request."""
        self._on_stop.append(hook)
        return hook

    def wrap(self, wrapper: WrapperT) -> WrapperT:
        """Put ``wrapper`` around everything that answers here; the first that is put is the outermost.

        It is given a handler, Request → Response, and returns another. What it does before and after it calls
        the one that it was given is before and after every request. An HttpError from within has become its
        page before a wrapper sees it.
        """
        self._wrappers.append(wrapper)
        self._chain = None
        return wrapper

    def use(self, database: Database | None) -> None:
        """Have each worker thread open ``database``, and its guard stand right around the handlers.

        It takes the place of the one that was used before; None of none.
        """
        self._database = database
        self._chain = None

    def start(self) -> None:
        """Open the database and run what was registered with on_start, in that order; the worker calls it.

        Raises:
            StartError: one of them failed; those after it were not called, and the database is closed.
        """
        if self._database is not None:
            self._database.open()
        try:
            self._run_start()
        except BaseException:
            if self._database is not None:
                self._database.close()
            raise

    def _run_start(self) -> None:
        for hook in self._on_start:
            try:
                hook()
            except LrwpError:
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise StartError(
                    f"{self.name} cannot start: {describe(hook)} failed with {reason}"
                ) from error

    def stop(self) -> None:
        """Run what was registered with on_stop, the last first, and close the database; the worker calls it.

        All of them run, even if one fails; its exception is raised at the end.
        """
        with ExitStack() as stack:
            if self._database is not None:
                stack.callback(self._database.close)
            for hook in self._on_stop:
                stack.callback(hook)

    def retire(self) -> None:
        """Have this worker take no further requests: it answers what it has in hand, and its process ends."""
        self.retired = True

    def handle(self, exchange: Exchange) -> Answer:
        """Answer one request; what a handler raises other than HttpError is the caller's to log."""
        request = Request(exchange)
        chain = self._chain or self._build_chain()
        try:
            return chain(request).answer(request.method)
        except HttpError as error:  # a stream had not come to its first piece
            return error_page(error.status, error.sentence, error.headers).answer(request.method)

    def _build_chain(self) -> Callable[[Request], Response]:
        """Return what answers: handlers, the guard around them, and the wrappers around that."""
        chain = self._respond if self._database is None else self._database.guard(self._respond)
        chain = _with_error_pages(chain)
        for wrapper in reversed(self._wrappers):
            chain = _with_error_pages(wrapper(chain))
        self._chain = chain
        return chain

    def _respond(self, request: Request) -> Response:
        match = self._router.find(request.segments)
        if not request.is_normal:
            return redirect(request.normal_target, 308)
        if match is None:
            raise HttpError(404)
        method = request.method
        route = match.routes.get(method) or (match.routes.get("GET") if method == "HEAD" else None)
        if route is not None:
            result = route.handler(request, **dict(zip(route.names, match.values, strict=True)))
            return result if isinstance(result, Response) else _response_of(result, route.handler)
        allow = [("Allow", _allowed(match.routes))]
        if method == "OPTIONS":
            return Response(status=204, headers=allow)
        raise HttpError(405, headers=allow)


def _with_error_pages(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return handler(request)
        except HttpError as error:
            return error_page(error.status, error.sentence, error.headers)

    return answer


def _response_of(result: Any, handler: Handler) -> Response:
    """Return the response that a handler's plain result stands for."""
    if result is None:
        raise ContentError(f"{describe(handler)} returned None: return Response() if it is to have no body")
    try:
        return Response(result)
    except ContentError as error:
        raise ContentError(f"{describe(handler)} returned what cannot be sent: {error}") from error


def _allowed(routes: Mapping[str, Route]) -> str:
    """Return what Allow says of a path with these routes (RFC 9110 §10.2.1)."""
    return ", ".join(sorted({*routes, "OPTIONS", *(["HEAD"] if "GET" in routes else [])}))


def _check_handler(handler: Handler, route: Route, path: str) -> None:
    """Refuse at the start what would fail at the first request."""
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise RouteError(f"{describe(handler)} is async: a handler is a plain function, as its worker blocks")
    try:
        inspect.signature(handler).bind(None, **dict.fromkeys(route.names))
    except TypeError as error:
        raise RouteError(f"{describe(handler)} cannot be called for {path}: {error}") from None
    except ValueError:
        return  # a callable without a signature, as some of C's are: nothing to compare with
