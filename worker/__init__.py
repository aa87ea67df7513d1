"""The worker: a long-running web process, and the toolkit that applications import.

What is exported here is imported when it is first asked for (PEP 562): the command line reads the settings of
workers without the toolkit, and an application pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from worker.application import Application
    from worker.errors import HttpError
    from worker.request import Request
    from worker.response import Response, redirect
    from worker.router import Router
    from worker.servlet import Servlet

_MODULES: Final = {
    "Application": "application",
    "HttpError": "errors",
    "Request": "request",
    "Response": "response",
    "Router": "router",
    "Servlet": "servlet",
    "redirect": "response",
}

__all__ = ["Application", "HttpError", "Request", "Response", "Router", "Servlet", "redirect"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
