from __future__ import annotations

import contextlib
from itertools import pairwise

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.chunks import LINE, TRAILERS, ChunkedBody
from dispatcher.framing import BadRequest

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def refusal(*segments: bytes, limit: int = 1000) -> int:
    body = ChunkedBody(limit)
    for segment in segments[:-1]:
        body.feed(segment)
    with pytest.raises(BadRequest) as caught:
        body.feed(segments[-1])
    return caught.value.status


def test_a_body_comes_out_in_pieces_and_what_follows_is_left():
    body = ChunkedBody(1000)
    assert body.is_untouched
    assert body.feed(b"3\r\nabc\r\n2;x=y\r\nd") == ([b"abc", b"d"], b"")
    assert not body.is_untouched
    assert body.feed(b"e\r\n0\r\n") == ([b"e"], b"")
    assert not body.is_complete
    assert body.feed(b"X: y\r\n\r\nGET /") == ([], b"GET /")
    assert body.is_complete


def test_a_part_of_a_line_is_something_too():
    body = ChunkedBody(1000)
    assert body.feed(b"5") == ([], b"")
    assert not body.is_untouched


def test_a_body_over_its_limit_is_refused_when_its_size_is_said():
    assert refusal(b"3e9\r\n") == 413
    assert refusal(b"1\r\na\r\n", b"3e8\r\n") == 413
    assert ChunkedBody(1000).feed(b"3e8\r\nx") == ([b"x"], b"")


def test_lines_and_trailers_are_bounded():
    longest = b"5;" + b"a" * (LINE - 2)
    assert ChunkedBody(9).feed(longest + b"\r\nhello") == ([b"hello"], b"")
    assert refusal(longest + b"a\r\n") == 400
    assert refusal(longest + b"a") == 400
    assert refusal(b"5;", *[b"a"] * (LINE - 1)) == 400
    body = ChunkedBody(9)
    assert [body.feed(bytes([byte])) for byte in longest + b"\r\nh"][-1] == ([b"h"], b"")
    trailer = b"X: " + b"y" * 197 + b"\r\n"
    assert refusal(b"0\r\n", *[trailer] * (TRAILERS // 200 + 1)) == 400
    ChunkedBody(9).feed(b"0\r\n" + trailer * (TRAILERS // 200))


def test_a_line_that_no_crlf_can_make_right_is_refused_before_it_ends():
    assert refusal(b"5\n") == 400
    assert refusal(b"5\rx") == 400
    assert refusal(b"1\r\naX") == 400


class Oracle:
    """What llhttp makes of a chunked body."""

    def __init__(self) -> None:
        self.body = b""
        self.is_complete = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_complete = True


parts = st.sampled_from(
    [
        *(
            b"5",
            b"0",
            b"a",
            b"A",
            b"00",
            b"g",
            b"-1",
            b"+1",
            b"0x5",
            b"fffffffffffffffff",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
        ),
        *(
            b";",
            b";a",
            b";a=b",
            b';a="b\\""',
            b"=",
            b"\x00",
            b"hello",
            b"helloworld",
            b"X: y\r\n",
            b"X : y\r\n",
        ),
        *(b"5\r\nhello\r\n", b"a;b\r\nhelloworld\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"),
    ]
)


@given(st.lists(parts, max_size=8).map(b"".join), st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=500)
def test_what_is_accepted_llhttp_reads_in_the_same_way_however_it_is_cut(data, cuts):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    body, pieces, rest = ChunkedBody(1000), [], b""
    try:
        for begin, end in pairwise(edges):
            if body.is_complete:
                rest += data[begin:end]
                continue
            more, rest = body.feed(data[begin:end])
            pieces += more
    except BadRequest:
        return
    if not body.is_complete:
        return
    oracle = Oracle()
    used = len(data) - len(rest)
    with contextlib.suppress(httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(oracle).feed_data(HEAD + data[:used])
    assert (oracle.body, oracle.is_complete) == (b"".join(pieces), True)


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=8), st.integers(1, 40))
def test_what_is_encoded_comes_out_as_it_was(content, sizes, step):
    encoded, at = b"", 0
    for size in [*sizes, 300]:
        if piece := content[at : at + size]:
            encoded += b"%x\r\n%b\r\n" % (len(piece), piece)
            at += size
    encoded += b"0\r\n\r\nrest"
    body, decoded, left = ChunkedBody(1000), b"", b""
    for begin in range(0, len(encoded), step):
        pieces, left = body.feed(encoded[begin : begin + step])
        decoded += b"".join(pieces)
        if body.is_complete:
            left += encoded[begin + step :]
            break
    assert (decoded, left) == (content, b"rest")
