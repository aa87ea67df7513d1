"""The Application: a router with a name that workers register for, and what runs at its start and end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from protocol import limits
from protocol.errors import LrwpError
from worker.calls import perform
from worker.content import HeldPieces, close_source
from worker.error_answers import answer_error
from worker.errors import NotProvidedError, RouteError, StartError
from worker.handlers import describe
from worker.place import Place
from worker.request import Request
from worker.response import redirect
from worker.router import Router

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

    from worker.exchange import Answer, Exchange
    from worker.form_data import FormLimits
    from worker.handlers import Responder
    from worker.response import Response

HookT = TypeVar("HookT", bound="Callable[[], object]")


class Database(Protocol):
    """What :meth:`Application.use` keeps for the threads of a worker."""

    @property
    def url(self) -> URL:
        """Its URL, with the password if there is one."""

    @property
    def connection(self) -> Connection:
        """The connection of this thread, between :meth:`open` and :meth:`close`."""

    def exclusively(self) -> AbstractContextManager[Connection]:
        """Begin a transaction that only one process has at a time, to make the tables in."""

    def open(self) -> None:
        """Open what one worker thread needs; called in it, before what on_start registered."""

    def close(self) -> None:
        """Close what :meth:`open` opened in this thread; called after what on_stop registered."""

    def roll_back(self) -> bool:
        """Undo what this thread has left open, and return whether it had changed anything."""

    def guard(self, handler: Responder, /) -> Responder:
        """Return ``handler`` with ``request.db`` set, and with a watch over what it leaves open.

        It stands right around every handler of the application, those for errors too, and so sees what they
        raise; ``request.call.handler`` says which one it is.
        """


class Application(Router):
    """An application: a name that workers register for, and the handlers that answer below its path.

    Paths of routes are relative to the path that the application is registered for. What is registered as
    ``/`` answers there with and without a / at the end.

    Args:
        name: 1 to 200 printable characters; the application is served at ``/name`` unless a flag says
            otherwise.
        form_limits: how much a form may send, where a handler does not read it by limits of its own.

    Attributes:
        retired: whether this worker answers what it has in hand and then leaves for good.
    """

    is_mountable: ClassVar[bool] = False

    def __init__(self, name: str, *, form_limits: FormLimits = Request.form_limits) -> None:
        if not (1 <= len(name) <= limits.NAME and name.isprintable()):
            raise RouteError(f"an application's name must be 1 to {limits.NAME} printable characters")
        super().__init__()
        self.name = name
        self.retired = False
        self.form_limits = form_limits
        self._on_start: list[Callable[[], object]] = []
        self._on_stop: list[Callable[[], object]] = []
        self._database: Database | None = None
        self._perform: Responder = perform

    def __repr__(self) -> str:
        return f"<Application {self.name}{', retired' * self.retired}>"

    def on_start(self, hook: HookT) -> HookT:
        """Register what is called once in each worker thread, before its first request."""
        self._on_start.append(hook)
        return hook

    def on_stop(self, hook: HookT) -> HookT:
        """Register what is called once in each worker thread that has started, after its last request."""
        self._on_stop.append(hook)
        return hook

    def use(self, database: Database | None) -> None:
        """Have each worker thread open ``database``, and its guard stand right around the handlers.

        It takes the place of the one that was used before; None of none.
        """
        self._database = database
        self._perform = perform if database is None else database.guard(perform)

    @property
    def database(self) -> Database:
        """What :meth:`use` was given last.

        Raises:
            NotProvidedError: it was given none.
        """
        if self._database is None:
            raise NotProvidedError(f"{self.name} needs a database: start its worker with --database URL")
        return self._database

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
                reason = f"{type(error).__name__}: {error}".partition("\n")[0]
                raise StartError(
                    f"{self.name} cannot start: {describe(hook)} failed with {reason}"
                ) from error
            if self._database is not None and self._database.roll_back():
                raise StartError(
                    f"{self.name} cannot start: {describe(hook)} left changes uncommitted:"
                    " put them into `with app.database.exclusively() as db:`"
                )

    def stop(self) -> None:
        """Run what was registered with on_stop, the last first; close the wrappers, then the database.

        The worker calls it. Wrappers are closed if they have a ``close()``. All is done, even if a part of it
        fails; its exception is raised at the end.
        """
        with ExitStack() as stack:
            if self._database is not None:
                stack.callback(self._database.close)
            for wrapper in self.wrappers():
                stack.callback(close_source, wrapper)
            for hook in self._on_stop:
                stack.callback(hook)

    def retire(self) -> None:
        """Have this worker take no further requests: it answers what it has in hand, and its process ends."""
        self.retired = True

    def handle(self, exchange: Exchange) -> Answer:
        """Answer one request; what a handler raises that nobody answers is the caller's to log."""
        request = Request(exchange)
        request.place = Place(self, request.above, None)
        request.perform = self._perform
        request.form_limits = self.form_limits
        try:
            answer = self._answer(request)
        except BaseException:
            if request.has_files:
                request.release()
            raise
        if not request.has_files:
            return answer
        if isinstance(answer.body, bytes):
            request.release()
            return answer
        return answer._replace(body=HeldPieces(answer.body, request.release))

    def _answer(self, request: Request) -> Answer:
        try:
            return _sent(self.respond(request), request)
        except Exception as error:  # the response is not for this request, or cannot be sent
            response = answer_error(request, error)
            if response is None:
                raise
            return _sent(response, request)

    def dispatch(self, request: Request) -> Response:
        """Send on who asks for a path that is not normal; answer the others as every router does.

        Raises:
            HttpError: nothing answers, or the path is malformed.
        """
        request.segments  # noqa: B018 - a malformed path has no normal form
        if not request.is_normal:
            return redirect(request.normal_target, 308)
        return super().dispatch(request)


def _sent(response: Response, request: Request) -> Answer:
    """Return the answer that a response is to a request, and to no other."""
    response.is_answer = True
    return response.answer_to(request)
