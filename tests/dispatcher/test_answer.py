from __future__ import annotations

import pytest

from dispatcher import answer
from protocol.heads import ResponseHead

LENGTH = b"Content-Length: 7\r\n"
NO_LENGTH = b"Content-Length: 0\r\n"


@pytest.mark.parametrize(
    ("status", "method", "minor", "length", "whole", "field", "body"),
    [
        (200, "GET", 1, 7, None, LENGTH, 7),
        (200, "GET", 1, 7, 3, LENGTH, 7),
        (200, "GET", 1, None, 7, LENGTH, 7),
        (200, "GET", 1, None, 0, NO_LENGTH, 0),
        (200, "GET", 1, None, None, answer.CHUNKED, None),
        (200, "GET", 0, None, None, b"", None),
        (200, "GET", 0, 7, None, LENGTH, 7),
        (200, "HEAD", 1, 7, None, LENGTH, 0),
        (200, "HEAD", 1, 7, 0, LENGTH, 0),
        (200, "HEAD", 1, 0, 0, NO_LENGTH, 0),
        (200, "HEAD", 1, None, 7, LENGTH, 0),
        (200, "HEAD", 1, None, 0, b"", 0),
        (200, "HEAD", 0, None, None, b"", 0),
        (204, "GET", 1, 7, 7, b"", 0),
        (304, "GET", 1, 7, None, b"", 0),
        (304, "HEAD", 1, 7, 0, b"", 0),
        (205, "POST", 1, None, 0, NO_LENGTH, 0),
    ],
)
def test_a_client_learns_where_a_body_ends(status, method, minor, length, whole, field, body):
    assert answer.frame(status, method, minor, length, whole) == (field, body)


def test_a_chunk_says_its_size_and_an_empty_one_is_none_but_the_last():
    assert answer.chunk(b"hello world!!!!!", False) == b"10\r\nhello world!!!!!\r\n"
    assert answer.chunk(b"", False) == b""
    assert answer.chunk(b"", True) == b"0\r\n\r\n"
    assert answer.chunk(b"a", True) == b"1\r\na\r\n0\r\n\r\n"


def test_a_head_is_put_together_and_has_one_date():
    head = ResponseHead(b"X: y\r\n", None, False, False)
    written = answer.write_head(200, head, LENGTH, b"Date: now\r\n", answer.CLOSE)
    assert (
        written == b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 7\r\nDate: now\r\nConnection: close\r\n\r\n"
    )
    head = ResponseHead(b"Date: then\r\n", None, True, False)
    assert (
        answer.write_head(404, head, b"", b"Date: now\r\n", b"")
        == b"HTTP/1.1 404 Not Found\r\nDate: then\r\n\r\n"
    )


def test_a_status_without_a_name_has_an_empty_phrase():
    assert answer.status_line(299) == b"HTTP/1.1 299 \r\n"


def test_an_error_page_says_what_is_the_matter():
    fields, page = answer.error_page(503, "Come back later.")
    assert fields == b"Content-Type: text/html; charset=utf-8\r\n"
    assert b"<b>503</b> Service Unavailable" in page
    assert b"Come back later." in page


def test_a_refusal_is_whole_and_to_head_has_no_body():
    refusal = answer.write_refusal(400, "No.", "GET", b"Date: now\r\n")
    head, _, body = refusal.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert b"Content-Length: %d" % len(body) in head
    to_head = answer.write_refusal(400, "No.", "HEAD", b"Date: now\r\n")
    assert to_head == head + b"\r\n\r\n"
