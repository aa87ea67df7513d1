"""One request in a worker's hands, and the answer to it, as the link carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class BodyStream(Protocol):
    """A request's body as it is read: a subset of what binary files do."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, b"" at the end; all that is left if ``size`` is negative."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line with its line end, at most ``size`` bytes of it."""


class Exchange(NamedTuple):
    """A request as it came over the link.

    Attributes:
        application: the name of the application that it is for.
        prefix: the registered path that it was found under, ``/`` for a whole host.
        method: the method, in upper case.
        target: path and query as the client wrote them, still percent-encoded.
        head: the header block; :func:`protocol.heads.read_request_head` reads it.
        scheme: ``http`` or ``https``.
        client: the client's address as ``ip:port``, ``[ip]:port`` or ``unix:``.
        attempt: 1 at first; more if a worker was given it before, and refused it, was lost, or let it wait.
        body: the body, to be read once.
    """

    application: str
    prefix: str
    method: str
    target: bytes
    head: bytes
    scheme: str
    client: str
    attempt: int
    body: BodyStream


class Answer(NamedTuple):
    """What goes back over the link.

    Attributes:
        status: 200 to 999, never a 1xx.
        head: the header block, from :func:`protocol.heads.write_head`.
        body: the whole body, or its pieces; pieces with a ``close()`` have it called in every case.
    """

    status: int
    head: bytes
    body: bytes | Iterable[bytes]


if TYPE_CHECKING:
    Handle = Callable[[Exchange], Answer]
    """What a worker runs for each exchange; an exception of it is answered 500 by the worker."""
