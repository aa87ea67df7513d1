"""Chunked bodies of requests, without I/O."""

from __future__ import annotations

import re
from typing import Final, Literal

from dispatcher.framing import BadRequest

LINE: Final = 256
"""Longest line of a chunk in bytes, size and extensions together (CVE-2023-39326 is about longer ones)."""

TRAILERS: Final = 8 * 1024
"""Most bytes of trailer fields after a chunked body; they are read and dropped."""

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'

# RFC 9112 §7.1.1, for sizes of 64 bits. Each part is possessive, so that no line is read twice.
_VALUE: Final = rb"(?:[ \t]*+=[ \t]*+(?:%b|%b))" % (_TOKEN, _QUOTED)
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*+;[ \t]*+%b%b?+)*+" % (_TOKEN, _VALUE))
_FIELD: Final = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % _TOKEN)


class ChunkedBody:
    """Decodes a chunked body (RFC 9112 §7.1), strictly: hexadecimal sizes, CRLF everywhere, bounded lines.

    Args:
        limit: the most bytes that the body may have.
    """

    __slots__ = ("_buffer", "_left", "_limit", "_stage", "_total", "_trailers")

    def __init__(self, limit: int) -> None:
        self._buffer = b""
        self._left = 0
        self._limit = limit
        self._stage: Literal["size", "data", "gap", "trailer", "end"] = "size"
        self._total = 0
        self._trailers = 0

    @property
    def is_untouched(self) -> bool:
        """Whether nothing has come."""
        return self._stage == "size" and not self._total and not self._buffer

    @property
    def is_complete(self) -> bool:
        """Whether the last chunk and its trailers have come."""
        return self._stage == "end"

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the pieces of the body in ``data``, and what follows the body's end.

        Raises:
            BadRequest: a chunk is malformed, or the body is over its limit.
        """
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        pieces: list[bytes] = []
        offset = 0
        while offset < len(data) and self._stage != "end":
            if self._stage == "data":
                piece = data[offset : offset + self._left]
                pieces.append(piece)
                offset += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._stage = "gap"
                continue
            end = data.find(b"\r\n", offset, offset + LINE + 2)
            if end < 0:
                self._buffer = data[offset:]
                self._check_beginning(data[offset : offset + LINE + 2])
                return pieces, b""
            self._read_line(data[offset:end])
            offset = end + 2
        return pieces, data[offset:]

    def _check_beginning(self, line: bytes) -> None:
        """Refuse a line that is too long, or that no CRLF can make right any more."""
        if len(line) - line.endswith(b"\r") > LINE or b"\n" in line or b"\r" in line[:-1]:
            raise _malformed()
        if self._stage == "gap" and line != b"\r":
            raise _malformed()

    def _read_line(self, line: bytes) -> None:
        if self._stage == "gap":
            if line:  # the chunk is longer than its size
                raise _malformed()
            self._stage = "size"
        elif self._stage == "size":
            self._read_size(line)
        elif not line:
            self._stage = "end"
        else:
            self._trailers += len(line)
            if self._trailers > TRAILERS or not _FIELD.fullmatch(line):
                raise BadRequest(400, "A trailer of the request's body is malformed or too long.")

    def _read_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise _malformed()
        self._left = int(match[1], 16)
        self._total += self._left
        if self._total > self._limit:
            raise BadRequest(413, "The request's body is too long.")
        self._stage = "data" if self._left else "trailer"


def _malformed() -> BadRequest:
    return BadRequest(400, "A chunk of the request's body is malformed.")
