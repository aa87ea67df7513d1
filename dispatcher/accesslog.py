"""The access log: a line for each answer, in a standard format with LRWP's own figures at the end.

``common`` and ``combined`` are the formats that log analysers read; after them stand the application, the
worker, and the seconds waited and served. ``json`` has the same, one object a line. Lines are collected and
written together, a few times a second. A log that cannot be written, or that nobody reads, loses lines, and
serving goes on.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from dispatcher.answer import error_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.exchange import Exchange
    from dispatcher.framing import BadRequest
    from dispatcher.settings import AccessLogFormat

log = structlog.get_logger()

# As browsers and proxies write them; to look for them in any case at all would take three times as long.
_REFERER: Final = re.compile(rb"\r\n[Rr]eferer:[ \t]*([^\r]*)")
_USER_AGENT: Final = re.compile(rb"\r\n[Uu]ser-[Aa]gent:[ \t]*([^\r]*)")
_UNSAFE: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_UNSAFE_OR_SPACE: Final = re.compile(r"[^\x21\x23-\x5b\x5d-\x7e]")


class Paper(Protocol):
    """What lines are written on."""

    def write(self, text: str, /) -> object:
        """Write text; OSError if that is not possible, BlockingIOError if it is not possible yet."""

    def flush(self) -> None:
        """Keep nothing back."""


class AccessLog:
    """Formats answers and writes them to a file.

    Attributes:
        stamp: the time as the log writes it, renewed every second.
    """

    def __init__(self, style: AccessLogFormat, file: Paper) -> None:
        self._lines: list[str] = []
        self._file = file
        self._is_failing = False
        self._dropped = 0  # lines that the file did not take in time
        self._is_combined = style == "combined"
        self._format: Callable[[Exchange, int, int, float], str] = self._plain
        self._format_refusal: Callable[[str, BadRequest, int], str] = self._plain_refusal
        if style == "json":
            self._format, self._format_refusal = self._json, self._json_refusal
        self.stamp = ""

    def note(self, exchange: Exchange, status: int, sent: int, now: float) -> None:
        """Add a line for an answer of ``sent`` body bytes."""
        self._lines.append(self._format(exchange, status, sent, now))

    def note_refusal(self, peer: str, error: BadRequest) -> None:
        """Add a line for a request that was refused before it became an exchange."""
        sent = 0 if error.line.startswith(b"HEAD ") else len(error_page(error.status, str(error))[1])
        self._lines.append(self._format_refusal(peer, error, sent))

    def flush(self) -> None:
        """Write what has been collected; if that is not possible, it is lost, and serving goes on.

        That lines are lost because nobody reads them is said only when somebody reads again: it may well be
        the same pipe that the warning goes to.
        """
        lines, self._lines = self._lines, []
        try:
            if lines:
                self._file.write("".join(lines))
            self._file.flush()
        except BlockingIOError:
            self._dropped += len(lines)
        except OSError as error:
            if not self._is_failing:
                log.error("the access log cannot be written; its lines are lost", reason=error.strerror)
            self._is_failing = True
        else:
            self._is_failing = False
            if self._dropped and lines:
                log.warning("the access log goes on; it was not read in time", lost=self._dropped)
                self._dropped = 0

    # ── common and combined ──────────────────────────────────────────────────────────────────────

    def _plain(self, exchange: Exchange, status: int, sent: int, now: float) -> str:
        request = f"{exchange.method} {_escape(exchange.target)} HTTP/1.{exchange.minor}"
        rest = ""
        if self._is_combined:
            head = exchange.head
            rest = _remembered_client(head) if len(head) <= _MEMO_HEAD else _client(head)
        application, worker, waited, served = _figures(exchange, now)
        return (
            f'{_address(exchange.peer)} - - [{self.stamp}] "{request}" {status} {sent}{rest} '
            f"{_word(application)} {_word(worker)} {waited:.4f} {served:.4f}\n"
        )

    def _plain_refusal(self, peer: str, error: BadRequest, sent: int) -> str:
        rest = ' "-" "-" - - 0.0000 0.0000' if self._is_combined else " - - 0.0000 0.0000"
        request = _escape(error.line) or "-"
        return f'{_address(peer)} - - [{self.stamp}] "{request}" {error.status} {sent}{rest}\n'

    # ── json ─────────────────────────────────────────────────────────────────────────────────────

    def _json(self, exchange: Exchange, status: int, sent: int, now: float) -> str:
        head = b"\r\n" + exchange.head
        application, worker, waited, served = _figures(exchange, now)
        return _object(
            time=self.stamp,
            client=exchange.peer,
            host=exchange.host,
            method=exchange.method,
            target=exchange.target.decode("latin-1"),
            version=f"1.{exchange.minor}",
            status=status,
            bytes=sent,
            referer=_find(_REFERER, head).decode("latin-1"),
            agent=_find(_USER_AGENT, head).decode("latin-1"),
            application=application,
            worker=worker,
            attempt=exchange.attempt,
            waited=round(waited, 6),
            served=round(served, 6),
        )

    def _json_refusal(self, peer: str, error: BadRequest, sent: int) -> str:
        line = error.line.decode("latin-1")
        return _object(
            time=self.stamp, client=peer, line=line, status=error.status, bytes=sent, reason=str(error)
        )


def _object(**fields: Any) -> str:
    """Return a line with a JSON object; everything beyond printable ASCII is escaped in it."""
    return json.dumps(fields).replace("\x7f", "\\u007f") + "\n"


def _figures(exchange: Exchange, now: float) -> tuple[str, str, float, float]:
    """Application, worker, seconds waited and seconds served; ``-`` where no worker was involved."""
    if exchange.attempt:
        return exchange.application, exchange.worker, exchange.waited, now - exchange.assigned
    return exchange.application, "-", now - exchange.arrived, 0.0


def _client(head: bytes) -> str:
    """Return what the combined format says of a client: where it comes from, and what it is."""
    head = b"\r\n" + head
    return f' "{_escape(_find(_REFERER, head))}" "{_escape(_find(_USER_AGENT, head))}"'


_MEMO_HEAD: Final = 1024
"""Longest header block in bytes that is remembered: it takes 1.6 of the 3.3 µs of a line to search one."""

_remembered_client: Final = lru_cache(maxsize=1024)(_client)


def _address(peer: str) -> str:
    """Return a client's address without its port, as log analysers expect it."""
    return peer.rpartition(":")[0].strip("[]")


def _find(pattern: re.Pattern[bytes], head: bytes) -> bytes:
    match = pattern.search(head)
    return match[1] if match else b"-"


def _escape(value: bytes) -> str:
    r"""Write what could end or forge a line as ``\xHH``, quotes and backslashes too."""
    text = value.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _UNSAFE.sub(_as_hex, text)


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    r"""Write a name, which a worker chose, as one word."""
    return _UNSAFE_OR_SPACE.sub(_as_hex, text.encode("utf-8").decode("latin-1"))


def _as_hex(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"
