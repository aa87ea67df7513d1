"""Calls: a handler together with what it is called with, once the routers have found it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from worker.errors import ContentError, HttpError, MissingFieldError
from worker.handlers import describe
from worker.response import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.handlers import Handler
    from worker.patterns import Pattern
    from worker.request import Request
    from worker.router import Router


class Call(Protocol):
    """What a request has come to."""

    @property
    def handler(self) -> Handler:
        """What is called."""

    def answer(self, request: Request) -> Response:
        """Call it, and return the response that its result stands for."""


def perform(request: Request) -> Response:
    """Answer with the call that the request has come to: what a database's guard stands around."""
    return request.call.answer(request)


class Route(NamedTuple):
    """What answers one method of a path.

    Attributes:
        method: the method.
        pattern: the path.
        name: what :meth:`worker.request.Request.url_for` knows it by.
        handler: what is called, with the parameters of the path and the fields of the query as keywords.
        required: which of those fields there must be.
    """

    method: str
    pattern: Pattern
    name: str
    handler: Handler
    required: frozenset[str]

    def answer(self, request: Request) -> Response:
        """Call the handler with what the address says.

        Raises:
            HttpError: 400, a field is missing or cannot be read.
        """
        return response_of(self.handler(request, **request.arguments), self.handler)

    def read_query(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields of the query that the handler is given.

        Raises:
            HttpError: 400, a field is missing or cannot be read.
        """
        values = {}
        for name, kind in self.pattern.query:
            if name in query:
                values[name] = kind.read(query[name])
                if values[name] is None:
                    raise HttpError(400, f"The field {name} of the address must be {kind.meaning}.")
            elif name in self.required:
                raise MissingFieldError(name)
        return values


class Mount(NamedTuple):
    """What answers at a path and everything below.

    Attributes:
        pattern: the path.
        name: what stands before the names of the routes below.
        target: a router; or a handler, which is called with the request.
        router: the target, if it is a router.
    """

    pattern: Pattern
    name: str
    target: Router | Handler
    router: Router | None

    @property
    def handler(self) -> Handler:
        """The target, if it is none."""
        return self.target  # type: ignore[return-value]  # routers are entered, they are never called

    def answer(self, request: Request) -> Response:
        """Call the handler."""
        return response_of(self.handler(request), self.handler)


class ErrorCall(NamedTuple):
    """What answers an error."""

    handler: Handler
    error: Exception

    def answer(self, request: Request) -> Response:
        """Call the handler with the error; a plain result of it gets the error's status."""
        error = self.error
        status = error.status if isinstance(error, HttpError) else 500
        response = response_of(self.handler(request, error), self.handler, status)
        if isinstance(error, HttpError) and response.status == status:
            for name, value in error.headers:  # a 405 must say what is allowed, whoever makes its page
                if not response.has_header(name):
                    response.headers.append((name, value))
        return response


def response_of(result: Any, handler: Handler, status: int = 200) -> Response:
    """Return the response that a handler's result stands for; ``status`` is for plain results.

    A stream is begun: what its generator raises before the first piece is raised here, as it would be by a
    handler that is a plain function.

    Raises:
        ContentError: it is nothing that can be sent.
    """
    if result is None:
        raise ContentError(f"{describe(handler)} returned None: return Response() if it is to have no body")
    try:
        response = result if isinstance(result, Response) else Response(result, status)
        if response.is_answer:
            raise ContentError("a Response answers one request: make a new one for each")
        response.begin()
    except ContentError as error:
        raise ContentError(f"{describe(handler)} returned what cannot be sent: {error}") from error
    return response
