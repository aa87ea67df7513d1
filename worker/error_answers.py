"""Errors become answers: by the handlers that were registered for them, or by our own page."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from worker.calls import ErrorCall
from worker.error_page import error_page
from worker.errors import HttpError, RouteError
from worker.handlers import check_handler, describe

if TYPE_CHECKING:
    from worker.handlers import Handler, Responder
    from worker.request import Request
    from worker.response import Response


class ErrorHandlers:
    """The handlers for errors of one router.

    Attributes:
        leave_faults: whether handlers for whatever goes wrong, those for 500 and for Exception, are passed
            over. So it is in development mode, for all: who sees such a page there wants the traceback, which
            these pages hide. A handler for a class of its own is a part of what the application does, and so
            is one for 500 where HttpError(500) was raised on purpose.
    """

    leave_faults: ClassVar = False

    def __init__(self) -> None:
        self._handlers: dict[int | type[Exception], Handler] = {}

    def add(self, what: int | type[Exception], handler: Handler) -> None:
        """Register a handler for a status or for a class of exceptions.

        Raises:
            RouteError: there is no such error, it is answered already, or the handler cannot be used.
        """
        if not (400 <= what <= 599 if isinstance(what, int) else issubclass(what, Exception)):
            raise RouteError(f"{what} is no error: name a status from 400 to 599, or a class of exceptions")
        label = what if isinstance(what, int) else what.__name__
        check_handler(handler, f"the error {label}", None)
        if what in self._handlers:
            other = describe(self._handlers[what])
            raise RouteError(f"the error {label} is answered by {other} already: remove one of the two")
        self._handlers[what] = handler

    def find(self, error: Exception) -> Handler | None:
        """Return the handler for an error, that of the nearest class; None if there is none.

        A status counts as the class HttpError. Handlers of larger classes are for what went wrong, not for
        answers that were raised.
        """
        if not self._handlers:
            return None
        for cls in type(error).__mro__:
            if cls is Exception and self.leave_faults:
                return None
            if cls is HttpError and isinstance(error, HttpError):
                return self._handlers.get(error.status) or self._handlers.get(HttpError)
            if cls in self._handlers:
                return self._handlers[cls]
        return None


def answering_errors(responder: Responder) -> Responder:
    """Return a responder that does the same, and answers what is raised if anybody has an answer to it."""

    def respond(request: Request) -> Response:
        try:
            return responder(request)
        except Exception as error:
            response = answer_error(request, error)
            if response is None:
                raise
            return response

    return respond


def answer_error(request: Request, error: Exception) -> Response | None:
    """Return the answer to an error; None if it is the worker's to log and to answer."""
    is_answer = isinstance(error, HttpError)
    if not is_answer and _is_about_link(error):
        return None
    handler = _find(request, error)
    if handler is None and not is_answer and not ErrorHandlers.leave_faults:
        handler = _find(request, HttpError(500))
        if handler is not None:
            _log(request)
    if handler is not None:
        request.call = ErrorCall(handler, error)
        return request.perform(request)
    return error_page(error.status, error.sentence, error.headers) if isinstance(error, HttpError) else None


def _find(request: Request, error: Exception) -> Handler | None:
    """Return the handler of the nearest router that has one."""
    for place in request.places():
        handler = place.router.error_handlers.find(error)
        if handler is not None:
            return handler
    return None


def _is_about_link(error: Exception) -> bool:
    """Whether an error says that nobody waits for the answer: then there is nothing to be answered."""
    from worker.body import ClientLeftError  # noqa: PLC0415 - a test of an application needs no link
    from worker.link import LinkLostError  # noqa: PLC0415

    return isinstance(error, ClientLeftError | LinkLostError)


def _log(request: Request) -> None:
    import structlog  # noqa: PLC0415 - as above

    structlog.get_logger().exception(
        "application raised", application=request.exchange.application, method=request.method
    )
