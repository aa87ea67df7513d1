"""Handlers: what an application's author writes, what the toolkit makes of it, and what messages call it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from worker.errors import RouteError

if TYPE_CHECKING:
    from worker.request import Request
    from worker.response import Response

Handler = Callable[..., Any]
"""What authors write: it is called with the request, and returns what can be sent."""

Responder = Callable[["Request"], "Response"]
"""What wrappers are given and return: it is called with the request alone, and returns a Response always."""

Wrapper = Callable[[Responder], Responder]
"""What stands around a responder."""


def describe(handler: object) -> str:
    """Return what to call a handler in a message."""
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{name}() in {getattr(handler, '__module__', None)}"


def check_handler(handler: Handler, purpose: str, *arguments: object, names: Iterable[str] = ()) -> None:
    """Refuse at the start what would fail at the first request.

    Args:
        handler: what is going to be called.
        purpose: what for.
        arguments: stand for the arguments behind the request.
        names: the keywords that it is to be called with.

    Raises:
        RouteError: it cannot be called so, or is async.
    """
    if not callable(handler):
        raise RouteError(
            f"{handler!r:.100} for {purpose} cannot be called: name a function that takes a request"
        )
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise RouteError(f"{describe(handler)} is async: a handler is a plain function, as its worker blocks")
    signature = _signature(handler)
    if signature is None:
        return
    try:
        signature.bind(None, *arguments, **dict.fromkeys(names))
    except TypeError as error:
        raise RouteError(f"{describe(handler)} cannot be called for {purpose}: {error}") from None


def requires(handler: Handler, name: str) -> bool:
    """Whether the handler has no default for the parameter of this name."""
    signature = _signature(handler)
    parameter = signature.parameters.get(name) if signature else None
    return parameter is not None and parameter.default is parameter.empty


def _signature(handler: Handler) -> inspect.Signature | None:
    """Return how a handler is called; None if it does not say, as some callables of C's do not."""
    try:
        return inspect.signature(handler)
    except ValueError:
        return None
