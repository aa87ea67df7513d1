"""Paths of applications: who serves a path, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from protocol import limits

if TYPE_CHECKING:
    from collections.abc import Iterator


def decode_path(target: bytes) -> str:
    """Return the path of a request's target as it is compared with the paths of applications.

    >>> decode_path(b"/caf%C3%A9?table=2")
    '/café'
    """
    return unquote(target.partition(b"?")[0].decode("latin-1"))


def prefixes(path: str) -> Iterator[str]:
    """Yield the paths that an application may be registered for to serve ``path``, longest first.

    Those that are too long to be registered are left out: they would make a target of 8 KiB of slashes cost
    milliseconds.

    >>> list(prefixes("/shop/cart/"))
    ['/shop/cart', '/shop', '/']
    """
    if len(path) > limits.PATH:
        path = path[: limits.PATH + 1].rpartition("/")[0]
    path = path.rstrip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield "/"


def split_path(path: str, prefix: str) -> tuple[str, str]:
    """Return ``path`` as the part that ``prefix`` covers and the rest, as CGI's SCRIPT_NAME and PATH_INFO.

    >>> split_path("/shop/cart", "/shop"), split_path("/cart", "/"), split_path("/shop", "/shop")
    (('/shop', '/cart'), ('', '/cart'), ('/shop', ''))
    """
    return ("", path) if prefix == "/" else (path[: len(prefix)], path[len(prefix) :])
