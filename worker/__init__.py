"""The worker: a long-running web process, and the toolkit that applications import.

What is exported here is imported when it is first asked for (PEP 562): the command line reads the settings of
workers without the toolkit, and an application pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from worker.application import Application
    from worker.csrf import check_csrf, csrf_field, csrf_protect
    from worker.database import Database
    from worker.errors import HttpError
    from worker.event_stream import Event, events
    from worker.files import file_response
    from worker.form_data import FormLimits
    from worker.forms import Form, Formlet
    from worker.request import Request
    from worker.response import Response, not_modified, redirect
    from worker.router import Router
    from worker.servlet import Servlet
    from worker.sessions import Sessions
    from worker.static_folder import StaticFolder
    from worker.templates import Template, Templates

_MODULES: Final = {
    "Application": "application",
    "Database": "database",
    "Event": "event_stream",
    "Form": "forms",
    "FormLimits": "form_data",
    "Formlet": "forms",
    "HttpError": "errors",
    "Request": "request",
    "Response": "response",
    "Router": "router",
    "Servlet": "servlet",
    "Sessions": "sessions",
    "StaticFolder": "static_folder",
    "Template": "templates",
    "Templates": "templates",
    "check_csrf": "csrf",
    "csrf_field": "csrf",
    "csrf_protect": "csrf",
    "events": "event_stream",
    "file_response": "files",
    "not_modified": "response",
    "redirect": "response",
}

__all__ = [
    "Application",
    "Database",
    "Event",
    "Form",
    "FormLimits",
    "Formlet",
    "HttpError",
    "Request",
    "Response",
    "Router",
    "Servlet",
    "Sessions",
    "StaticFolder",
    "Template",
    "Templates",
    "check_csrf",
    "csrf_field",
    "csrf_protect",
    "events",
    "file_response",
    "not_modified",
    "redirect",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
