"""Requests handled without an application: what a guard or a wrapper for sessions is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from protocol.heads import write_head
from worker.exchange import Exchange
from worker.request import Request
from worker.response import Response


def request_of(
    handler: Callable[..., Any],
    method: str = "GET",
    cookies: Mapping[str, str] | None = None,
    scheme: str = "http",
) -> Request:
    """Return a request that has come to ``handler``."""
    pairs = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    head = write_head([("Cookie", pairs)] if pairs else [])
    request = Request(Exchange("test", "/", method, b"/", head, scheme, "127.0.0.1:5", 1, BytesIO()))
    request.call = SimpleNamespace(handler=handler)  # type: ignore[assignment]  # all that a guard asks of a call
    return request


def respond(request: Request) -> Response:
    """Call the handler that the request has come to."""
    result = request.call.handler(request)
    return result if isinstance(result, Response) else Response(result)


def body_of(response: Response) -> bytes:
    """Return the body of a response, read to its end and closed."""
    body = response.answer().body
    return body if isinstance(body, bytes) else b"".join(body)
