"""Prefaces: what a proxy says in front of a connection, before the first byte of its client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dispatcher.proxy_protocol import ProxyHeaderError, read_proxy_header

if TYPE_CHECKING:
    from dispatcher.bursts import Burst
    from dispatcher.http import HttpConnection


class Preface(asyncio.Protocol):
    """Reads the header of the PROXY protocol, and has the connection go on as if there had been none.

    Who is no trusted proxy is cut off: it could pass for anybody. How long a proxy may take is the
    connection's own deadline.

    Args:
        connection: the client's connection.
        onward: what is to get the bytes that follow.
        refusals: where connections that are cut off are written down.
    """

    __slots__ = ("_connection", "_data", "_onward", "_refusals", "_transport")

    def __init__(self, connection: HttpConnection, onward: asyncio.Protocol, refusals: Burst) -> None:
        self._connection = connection
        self._onward = onward
        self._refusals = refusals
        self._transport: asyncio.Transport
        self._data = b""

    def __repr__(self) -> str:
        return f"<Preface {self._connection!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let those in who are trusted."""
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than it gives
        self._onward.connection_made(transport)
        if not self._connection.is_believed:
            self._refuse("it is not one of trusted_proxies")

    def data_received(self, data: bytes) -> None:
        """Take in a piece of the header; what follows it goes on."""
        self._data += data
        try:
            header = read_proxy_header(self._data)
        except ProxyHeaderError as error:
            self._refuse(str(error))
            return
        if header is None or self._transport.is_closing():
            return
        rest = self._data[header.length :]
        self._transport.set_protocol(self._onward)
        self._connection.introduce(header)
        if rest:
            self._onward.data_received(rest)

    def eof_received(self) -> bool:
        """End a connection that ends before it has begun; those who only look whether we live do so."""
        self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._onward.connection_lost(exc)

    def _refuse(self, reason: str) -> None:
        self._refusals.note(peer=self._connection.peer, reason=reason)
        self._transport.abort()
