"""The access log: a line for each answer, in a standard format with LRWP's own figures at the end.

``common`` and ``combined`` are the formats that log analysers read; after them stand the application, the
worker, and the seconds waited and served. ``json`` has the same, one object a line. Lines are collected and
written together, a few times a second.
"""

from __future__ import annotations

import json
import re
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.exchange import Exchange
    from dispatcher.settings import AccessLogFormat

_REFERER: Final = re.compile(rb"\r\n[Rr]eferer:[ \t]*([^\r]*)")
_USER_AGENT: Final = re.compile(rb"\r\n[Uu]ser-[Aa]gent:[ \t]*([^\r]*)")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class AccessLog:
    """Formats answers and writes them to a file.

    Attributes:
        stamp: the time as the log writes it, renewed every second.
    """

    def __init__(self, style: AccessLogFormat, file: IO[str]) -> None:
        self._lines: list[str] = []
        self._file = file
        self._format: Callable[[Exchange, int, int, float], str] = {
            "common": self._common,
            "combined": self._combined,
            "json": self._json,
        }[style]
        self.stamp = ""

    def note(self, exchange: Exchange, status: int, sent: int, now: float) -> None:
        """Add a line for an answer of ``sent`` body bytes."""
        self._lines.append(self._format(exchange, status, sent, now))

    def note_refusal(self, peer: str, status: int) -> None:
        """Add a line for a request that was refused before it could be read."""
        address = peer.rpartition(":")[0] or "unix"
        if self._format == self._json:
            self._lines.append(json.dumps({"time": self.stamp, "client": peer, "status": status}) + "\n")
        else:
            tail = ' "-" "-" - - 0 0' if self._format == self._combined else " - - 0 0"
            self._lines.append(f'{address} - - [{self.stamp}] "-" {status} 0{tail}\n')

    def flush(self) -> None:
        """Write what has been collected."""
        if self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            self._file.write(text)
            self._file.flush()

    def _common(self, exchange: Exchange, status: int, sent: int, now: float) -> str:
        return f"{self._request(exchange, status, sent)} {_figures(exchange, now)}\n"

    def _combined(self, exchange: Exchange, status: int, sent: int, now: float) -> str:
        head = b"\r\n" + exchange.head
        referer, agent = _field(_REFERER, head), _field(_USER_AGENT, head)
        return f'{self._request(exchange, status, sent)} "{referer}" "{agent}" {_figures(exchange, now)}\n'

    def _request(self, exchange: Exchange, status: int, sent: int) -> str:
        address = exchange.peer.rpartition(":")[0] or "unix"
        target = _escape(exchange.target)
        return f'{address} - - [{self.stamp}] "{exchange.method} {target} HTTP/1.1" {status} {sent}'

    def _json(self, exchange: Exchange, status: int, sent: int, now: float) -> str:
        head = b"\r\n" + exchange.head
        application, worker, waited, served = _timing(exchange, now)
        line = {
            "time": self.stamp,
            "client": exchange.peer,
            "host": exchange.host,
            "method": exchange.method,
            "target": exchange.target.decode("latin-1"),
            "status": status,
            "bytes": sent,
            "referer": _field(_REFERER, head),
            "agent": _field(_USER_AGENT, head),
            "application": application,
            "worker": worker,
            "attempt": exchange.attempt,
            "waited": round(waited, 6),
            "served": round(served, 6),
        }
        return json.dumps(line) + "\n"


def _figures(exchange: Exchange, now: float) -> str:
    application, worker, waited, served = _timing(exchange, now)
    return f"{application} {worker} {waited:.4f} {served:.4f}"


def _timing(exchange: Exchange, now: float) -> tuple[str, str, float, float]:
    """Application, worker, seconds waited and seconds served; ``-`` where no worker was involved."""
    if exchange.attempt:
        return exchange.application, exchange.worker, exchange.waited, now - exchange.assigned
    return exchange.application, "-", now - exchange.arrived, 0.0


def _field(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    return _escape(match[1]) if match else "-"


def _escape(value: bytes) -> str:
    r"""Write what could end or forge a line as ``\xHH``, quotes and backslashes too."""
    text = value.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
