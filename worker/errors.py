"""The exceptions of the toolkit; all are :class:`protocol.errors.LrwpError`.

::

    LrwpError
    ├── HttpError            an answer other than the one asked for: its status goes to the client
    │   ├── MissingFieldError  400: the request lacks a field that the handler reads
    │   ├── CsrfError          403: no page of ours sent this form
    │   ├── UnavailableError   503: the database is gone or locked at the moment
    │   ├── SessionBusyError   503: another request holds the session for too long
    │   └── SessionLostError   500: what was changed in the session could not be saved
    ├── InputError           what was typed cannot be saved: the form is shown again, with the sentence
    ├── ContentError         a handler's result that cannot be sent             ┐
    ├── WsgiError            a WSGI application broke the rules of PEP 3333     │ the programmer's mistakes:
    ├── NotProvidedError     a handler wants what its worker was not given      │ the log has them,
    ├── UncommittedError     a handler left changes to the database uncommitted │ the client gets a 500
    ├── SessionError         what a session cannot keep                         │
    ├── TemplateError        a template that is missing, malformed or misused   │
    ├── FormError            a form that cannot work as it was written          ┘
    ├── RouteError           a route that cannot be registered: the worker does not start
    └── StartError           what an application opens at its start cannot be opened
        ├── DatabaseError      its database
        └── StoreError         the store of its sessions
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from collections.abc import Iterable


class HttpError(LrwpError):
    """An answer other than the one asked for; a handler may raise it anywhere.

    Attributes:
        status: the HTTP status, 400 to 599.
        sentence: what the page says, as it stands; without one the page has a sentence of its own.
        headers: further fields of the answer.

    Raises:
        ContentError: the status is none of an error.
    """

    def __init__(self, status: int, sentence: str = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        if not 400 <= status <= 599:
            raise ContentError(f"{status} is no error: choose a status from 400 to 599, or return a Response")
        super().__init__(f"{status} {sentence or phrase(status)}")
        self.status = status
        self.sentence = sentence
        self.headers = tuple(headers)


class MissingFieldError(HttpError, KeyError):
    """A field that the handler reads and that the request does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(400, "The request lacks a field that this page needs.")
        self.name = name


class ContentError(LrwpError):
    """A handler's result that cannot be sent."""


class NotProvidedError(LrwpError):
    """A handler wants something that its worker or application was not given; the sentence says how to."""


class RouteError(LrwpError):
    """A route that cannot be registered; the sentence says which one and why."""


class StartError(LrwpError):
    """What an application opens at its start cannot be opened; the sentence says what and why."""


class WsgiError(LrwpError):
    """A WSGI application broke the rules of PEP 3333."""


def phrase(status: int) -> str:
    """Return HTTP's own words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
