"""Answers: bytes from a server in, the end of each answer out; no I/O.

llhttp does the parsing, with one callback only, which keeps it as cheap as looking up the whole head in a
cache: 0.4 µs for a small answer. Two things cannot be had from it and are done here: a body that ends with
its connection, and the answer to HEAD, which has none.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from protocol.errors import LrwpError

HEAD: Final = 64 * 1024
"""Longest head of an answer in bytes: four times what browsers accept in practice."""

_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9][0-9]")
"""A 1xx: another head follows. Only 101 is final (RFC 9110 §15.2.2)."""

_LENGTH: Final = re.compile(rb"\n(?:content-length:|transfer-encoding:[^\r]*chunked[ \t]*\r)", re.IGNORECASE)
"""A field that says where the body ends (RFC 9112 §6.3)."""


class MalformedError(LrwpError):
    """What a server sent is not an HTTP/1 answer, or is more than one."""


class AnswerReader:
    """Reads the answers that come over one connection, one after another.

    After an error, or after an answer that ``keeps`` is False for, it is not used again.

    Attributes:
        status: of the answer that was completed last.
        keeps: whether the connection can be used for another request after it.
        has_begun: whether bytes of an answer that is not complete yet have come.
    """

    __slots__ = (
        "_complete",
        "_feed",
        "_head",
        "_in_body",
        "_parser",
        "_surplus",
        "has_begun",
        "keeps",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        self.keeps = True
        self.has_begun = False
        self._complete = False
        self._surplus = False
        self._head = bytearray()
        self._in_body = False
        self._renew()

    def _renew(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data

    def feed(self, data: bytes) -> bool:
        """Return whether ``data`` completes the answer.

        Raises:
            MalformedError: it is not HTTP, or something follows the answer that nobody asked for.
        """
        self._complete = False
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._switch_protocols()
        except httptools.HttpParserError as error:
            raise MalformedError(f"the answer is not HTTP/1: {error}") from error
        if not self._complete:
            self._begin(data)
            return False
        if self._surplus:
            raise MalformedError("more bytes follow the answer than its head announces")
        if self.has_begun:
            self._forget()
        return True

    def finish(self) -> bool:
        """Return whether the end of the connection completes the answer, as its head names no other end."""
        if not self._in_body or _LENGTH.search(self._head):
            return False
        self.status = self._parser.get_status_code()
        self.keeps = False
        return True

    def take_body(self) -> bytes:
        """Return what was kept of the body that has ended: nothing."""
        return b""

    def on_message_complete(self) -> None:
        """Take note of the end of an answer; called by llhttp."""
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            return
        self._surplus = self._complete
        self._complete = True
        self.status = status
        self.keeps = self._parser.should_keep_alive()

    def _switch_protocols(self) -> None:
        # Nobody here speaks what follows a 101: it is the answer, and the end of the connection.
        self.status = self._parser.get_status_code()
        self.keeps = False
        self._complete = True

    def _begin(self, data: bytes) -> None:
        """Keep the head of an answer that did not come in one piece, for :meth:`finish`."""
        self.has_begun = True
        if self._in_body:
            return
        head = self._head
        head += data
        while (end := head.find(b"\r\n\r\n")) >= 0:
            if not _INTERIM.match(head):
                del head[end + 4 :]
                self._in_body = True
                break
            del head[: end + 4]
        if len(head) > HEAD:
            raise MalformedError(f"the head of the answer is longer than {HEAD} bytes")

    def _forget(self) -> None:
        self.has_begun = False
        self._in_body = False
        self._head.clear()


class BodyReader(AnswerReader):
    """Reads answers and keeps the beginning of each body.

    Attributes:
        limit: how many bytes of a body are kept.
    """

    __slots__ = ("_pieces", "_size", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        super().__init__()

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body; called by llhttp."""
        if self._size < self.limit:
            self._pieces.append(piece)
            self._size += len(piece)

    def take_body(self) -> bytes:
        """Return what was kept of the body that has ended, and forget it."""
        body = b"".join(self._pieces)[: self.limit]
        self._pieces.clear()
        self._size = 0
        return body


class HeadAnswerReader(AnswerReader):
    """Reads the answers to HEAD, which end with their heads whatever length these announce (RFC 9110 §9.3.2).

    llhttp cannot be told that the request was a HEAD, so each answer has a parser of its own.
    """

    __slots__ = ("_connection",)

    def __init__(self) -> None:
        self._connection = b""
        super().__init__()

    def feed(self, data: bytes) -> bool:
        """Return whether ``data`` completes the answer.

        Raises:
            MalformedError: it is not HTTP, or a body follows.
        """
        complete = super().feed(data)
        if complete:
            self._connection = b""
            self._renew()
        return complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take note of Connection; called by llhttp."""
        if name.lower() == b"connection":
            self._connection += b"," + value.lower()

    def on_headers_complete(self) -> None:
        """Take note of the end of an answer; called by llhttp."""
        super().on_message_complete()
        # llhttp expects an answer without a length to end with its connection; after HEAD it does not.
        options = {option.strip() for option in self._connection.split(b",")}
        is_new = self._parser.get_http_version() == "1.1"
        self.keeps = b"close" not in options and (is_new or b"keep-alive" in options)

    def on_body(self, piece: bytes) -> None:  # noqa: ARG002 - llhttp passes it
        """Take note of a body where none may be; called by llhttp."""
        self._surplus = True

    def on_message_complete(self) -> None:
        """Do nothing: the answer has ended with its head."""
