"""What holds for a connection whatever bytes come, however they are cut into segments."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.http import HttpConnection
from dispatcher.settings import Limits
from protocol.settings import Size
from tests.dispatcher.fakes_http import FakeSite, Serving, body_of
from tests.dispatcher.test_http_strictness import HOST, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LIMITS = Limits(body_memory=Size(1000), body=Size(100_000))


class MemoryTransport(asyncio.Transport):
    """A client that takes everything at once, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.has_ended = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:  # type: ignore[override]  # we are written bytes
        assert not self.has_ended
        self.written += data

    def writelines(self, data: Iterable[bytes]) -> None:  # type: ignore[override]  # as above
        self.write(b"".join(data))

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.has_ended = True


async def converse(segments: Iterable[bytes]) -> tuple[bytes, list[tuple[object, ...]], list[int]]:
    """Return what a connection answers to ``segments``, what its site was asked, and what was refused."""
    site = FakeSite(LIMITS)
    transport = MemoryTransport()
    connection = HttpConnection(site)
    connection.connection_made(transport)
    asked: list[tuple[object, ...]] = []

    def note(exchange):
        asked.append((exchange.method, exchange.target, exchange.head, body_of(exchange)))
        exchange.client.respond_body(b"too early", False)
        FakeSite().handler(exchange)

    site.handler = note
    for segment in segments:
        connection.data_received(segment)
        while connection._intake and connection._exchange is None and "answering" in repr(connection):
            await asyncio.sleep(0)
    if not connection.eof_received():
        transport.close()
    for _ in range(50):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    refused = [site.refusals.get_nowait()[1].status for _ in range(site.refusals.qsize())]
    return bytes(transport.written), asked, refused


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def chunked(body: bytes, sizes: list[int]) -> bytes:
    encoded, at = b"", 0
    for size in sizes:
        if piece := body[at : at + size]:
            encoded += b"%x;n=%d\r\n%b\r\n" % (len(piece), size, piece)
            at += size
    if at < len(body):
        encoded += b"%X\r\n%b\r\n" % (len(body) - at, body[at:])
    return encoded + b"0\r\nX-Sum: 1\r\n\r\n"


PUT = b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NEVER = b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n"

tricky = st.integers(70, 230).map(lambda n: b"\r\n0\r\n\r\nGET / " * n)
bodies = st.one_of(st.binary(max_size=50), tricky)
gets = st.sampled_from(
    [
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET /b?c HTTP/1.1\r\nhost: a\r\nX: " + b"y" * 300 + b"\r\n\r\n",
        b"HEAD /d HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /e HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET http://b/f HTTP/1.2\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /g HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ]
)
sized = bodies.map(
    lambda body: b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
)
sizes = st.lists(st.integers(1, 400), max_size=5)
coded = st.builds(lambda body, sizes: PUT + chunked(body, sizes), bodies, sizes)
endings = st.sampled_from(
    [
        b"",
        b"\r\n",
        b"GET /z HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + NEVER,
        b"GET /z HTTP/1.0\r\n\r\n" + NEVER,
        b"GET /z HTTP/1.1\r\n\r\n" + NEVER,
        b"GET /z HTTP/1.1\nHost: a\n\n" + NEVER,
        b"GET /z HTTP/1.1\r\nHost",
        b"POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nshort",
        PUT + b"x\r\n" + NEVER,
        b"POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + NEVER,
    ]
)


@given(st.lists(gets | sized | coded, max_size=6), endings, st.lists(st.integers(0, 10_000), max_size=12))
def test_however_a_stream_is_cut_the_answers_are_the_same(
    requests: list[bytes], ending: bytes, cuts: list[int]
) -> None:
    stream = b"".join(requests) + ending
    whole, whole_asked, whole_refused = asyncio.run(converse([stream]))
    answers, asked, refused = asyncio.run(converse(cut(stream, cuts)))
    assert asked == whole_asked
    assert refused == whole_refused
    if (
        not refused
    ):  # the sentence of an error page may differ: a part of a head breaks rules in another order
        assert answers == whole
    assert len([a for a in asked if a[1] != b"/z"]) == len([r for r in requests if b"OPTIONS" not in r])
    assert not any(target == b"/never" for _, target, _, _ in asked)


@given(st.sampled_from([r.replace("{host}", HOST).encode("latin-1") for _, r, _ in TABLE if len(r) < 2000]))
def test_a_stream_of_single_bytes_is_answered_like_a_whole_one(stream: bytes) -> None:
    _, whole_asked, whole_refused = asyncio.run(converse([stream]))
    _, asked, refused = asyncio.run(converse([bytes([byte]) for byte in stream]))
    assert asked == whole_asked
    assert [status // 100 for status in refused] == [status // 100 for status in whole_refused]


fragments = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            *(
                b"GET ",
                b"POST ",
                b"/ ",
                b"* ",
                b"HTTP/1.1",
                b"HTTP/1.0",
                b"\r\n",
                b"\n",
                b"\r",
                b" ",
                b"\t",
                b":",
            ),
            *(
                b"Host: a\r\n",
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Expect: 100-continue\r\n",
            ),
            *(
                b"Connection: close\r\n",
                b"hello",
                b"5\r\nhello\r\n",
                b"0\r\n\r\n",
                b"\r\n\r\n",
                b"\x00",
                b"\xff",
            ),
            *(
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
            ),
        ]
    ),
)
nonsense = st.lists(st.lists(fragments, max_size=12).map(b"".join), max_size=6)


@given(nonsense)
@settings(max_examples=300)
def test_nonsense_is_answered_or_refused_and_never_more(segments: list[bytes]) -> None:
    answers, asked, refused = asyncio.run(converse([segment for segment in segments if segment]))
    assert len(refused) <= 1
    assert answers.count(b"HTTP/1.1 4") + answers.count(b"HTTP/1.1 5") <= 1
    assert all(b"\n" not in target and b"\r" not in target for _, target, _, _ in asked)  # type: ignore[operator]


@given(st.lists(gets | sized | coded, min_size=1, max_size=3).map(b"".join), st.data())
@settings(max_examples=300)
def test_so_is_a_request_with_a_byte_too_many_or_too_few_or_a_wrong_one(
    stream: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(stream) - 1))
    wrong = data.draw(st.binary(max_size=2) | st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b":", b"\x00"]))
    stream = stream[:at] + wrong + stream[at + data.draw(st.integers(0, 1)) :]
    _, asked, refused = asyncio.run(converse([stream]))
    assert len(refused) <= 1
    assert len(asked) <= 4


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving(FakeSite(LIMITS)) as serving:
        yield serving  # which fails at its end if anything was raised in there


@given(segments=nonsense)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_on_a_real_socket_too(serving: Serving, segments: list[bytes]) -> None:
    with serving.connect() as client:
        for segment in segments:
            client.send(segment)
        client.half_close()
        assert all(200 <= answer.status < 600 for answer in client.answers())
