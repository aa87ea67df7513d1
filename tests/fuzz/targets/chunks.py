"""A body in chunks, and what follows it."""

from __future__ import annotations

from dispatcher.chunks import ChunkedBody
from dispatcher.framing import BadRequest
from tests.fuzz.target import Target, ways_to_cut
from tests.fuzz.targets.http import PUT, Messages

MOST = 3000


def read(data: bytes) -> None:
    ChunkedBody(MOST).feed(data)


def collect(pieces: list[bytes]) -> tuple[bytes, bytes, bool] | type[BadRequest]:
    """Return the body, what follows it, and whether all of it has come."""
    chunks = ChunkedBody(MOST)
    body = rest = b""
    try:
        for piece in pieces:
            if chunks.is_complete:
                rest += piece
            else:
                found, rest = chunks.feed(piece)
                body += b"".join(found)
    except BadRequest:
        return BadRequest
    return body, rest, chunks.is_complete


def is_understood_the_same_however_it_is_cut(data: bytes) -> None:
    whole = collect([data])
    for pieces in ways_to_cut(data):
        assert collect(pieces) == whole


def is_no_longer_than_its_limit(data: bytes) -> None:
    found = collect([data])
    if type(found) is tuple:
        assert len(found[0]) <= MOST
        assert found[1] == b"" or (found[2] and data.endswith(found[1]))


def llhttp_finds_the_same_body(data: bytes) -> None:
    found = collect([data])
    if type(found) is not tuple or not found[2]:
        return
    messages = Messages()
    messages.feed(PUT + data[: len(data) - len(found[1])])
    if not messages.error:  # it knows no spaces around what extensions consist of
        assert [request[3] for request in messages.requests] == [found[0]]


TARGET = Target(
    read=read,
    refusals=(BadRequest,),
    laws=(
        is_understood_the_same_however_it_is_cut,
        is_no_longer_than_its_limit,
        llhttp_finds_the_same_body,
    ),
    seeds=(
        b"5\r\nhello\r\n0\r\n\r\nGET",
        b'A;a;b=c; d = "e\\"f"\r\n0123456789\r\n00\r\nX-Sum: 1\r\nY:\r\n\r\n',
        b"bb8\r\n" + b"x" * 3000 + b"\r\n0\r\n\r\n",
        b"0000000000000001\r\na\r\n0;" + b"x" * 250 + b"\r\n\r\n",
        b"1\r\n\r\r\n2\r\n\r\n\r\n0\r\n" + b"T: u\r\n" * 3 + b"\r\n",
    ),
    words=(
        b'0\r\n\r\n|0\r\n|5\r\nhello\r\n|\r\n|\r|\n|ffffffffffffffff|0x5|-1|+5|;a=b|="|\\"|"| ;|; | = '
        b"|T: u\r\n|: | "
    ).split(b"|"),
    each=8,
    fixed=60_000,
)
