"""What a client's connection serves: the dispatcher's front, or its admin pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dispatcher.exchange import Exchange
    from dispatcher.framing import BadRequest
    from dispatcher.http import HttpConnection
    from dispatcher.settings import Limits
    from dispatcher.storage import Storage


class Site(Protocol):
    """Where requests go.

    Attributes:
        limits: what one client may use.
        storage: what all of them may use together.
    """

    limits: Limits
    storage: Storage

    @property
    def date(self) -> bytes:
        """The Date field with its CRLF, renewed every second."""

    @property
    def closing(self) -> bool:
        """Whether connections are to end with their next answer."""

    def now(self) -> float:
        """Return the time in seconds of a monotonic clock."""

    def admit(self, connection: HttpConnection) -> bool:
        """Take a new connection in, or say that there are too many."""

    def handle(self, exchange: Exchange) -> None:
        """Answer an exchange, now or later."""

    def abandon(self, exchange: Exchange) -> None:
        """Forget an exchange whose client has left."""

    def finished(self, exchange: Exchange, status: int, sent: int) -> None:
        """Note that an answer of ``sent`` body bytes has been given."""

    def refused(self, peer: str, error: BadRequest) -> None:
        """Note that what a client sent was refused before it became an exchange."""

    def gone(self, connection: HttpConnection) -> None:
        """Forget a connection."""
