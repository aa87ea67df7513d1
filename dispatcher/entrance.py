"""The entrance: what a client's connection goes through before its first request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatcher.answer import write_refusal
from dispatcher.bursts import Burst
from dispatcher.http import HttpConnection
from dispatcher.preface import Preface
from dispatcher.tls import TlsTransport

if TYPE_CHECKING:
    import asyncio

    from dispatcher.certificates import Certificate
    from dispatcher.proxies import Proxies
    from dispatcher.site import Site


class Entrance:
    """Makes the connections of a listener: plain ones, or what stands in front of them.

    Args:
        site: what they serve.
        proxies: whose word counts on where a request comes from.
        certificate: what TLS is spoken with; None for plain HTTP.
        proxy_protocol: whether each connection begins with a header of the PROXY protocol.
    """

    def __init__(
        self, site: Site, proxies: Proxies, certificate: Certificate | None, proxy_protocol: bool
    ) -> None:
        self._site = site
        self._proxies = proxies
        self._certificate = certificate
        self._proxy_protocol = proxy_protocol
        self._failures = Burst("handshake failed", site.now)
        self._refusals = Burst("connection refused", site.now)
        self._plain_answer = write_refusal(400, "This port speaks HTTPS only.", "GET", b"")

    def connection(self) -> asyncio.Protocol:
        """Return what serves a new connection."""
        certificate = self._certificate
        scheme = "http" if certificate is None else "https"
        steps = self._proxy_protocol + (certificate is not None)
        connection = HttpConnection(self._site, self._proxies, scheme, steps)
        onward: asyncio.Protocol = connection
        if certificate is not None:
            onward = TlsTransport(
                certificate.context, connection, self._failures, connection.proceed, self._plain_answer
            )
        return Preface(connection, onward, self._refusals) if self._proxy_protocol else onward
