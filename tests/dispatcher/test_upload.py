from __future__ import annotations

import os

import pytest

from dispatcher.framing import CHUNKED, BadRequest, RequestHead
from dispatcher.settings import Limits
from dispatcher.storage import Storage
from dispatcher.upload import Upload
from protocol.settings import Size

LIMITS = Limits(body=Size(100), body_memory=Size(10))


def an_upload(length: int) -> Upload:
    head = RequestHead("POST", b"/", "/", "a", b"Host: a\r\n", length, 1, True, False)
    return Upload(head, LIMITS, Storage(LIMITS))


def test_a_body_ends_where_its_length_says():
    upload = an_upload(5)
    assert upload.is_untouched
    assert upload.feed(b"") is None
    assert upload.feed(b"he") is None
    assert not upload.is_untouched
    assert upload.feed(b"lloGET") == b"GET"
    assert upload.finish() == (b"Host: a\r\n", b"hello", None)


def test_a_chunked_body_ends_with_its_last_chunk_and_then_has_a_length():
    upload = an_upload(CHUNKED)
    assert upload.feed(b"5\r\nhel") is None
    assert upload.feed(b"lo\r\n0\r\n\r\nGET") == b"GET"
    assert upload.finish() == (b"Host: a\r\nContent-Length: 5\r\n", b"hello", None)


def test_a_body_of_any_framing_may_be_empty():
    upload = an_upload(CHUNKED)
    assert upload.feed(b"0\r\n\r\n") == b""
    assert upload.finish() == (b"Host: a\r\nContent-Length: 0\r\n", b"", None)


def test_what_does_not_fit_into_memory_is_in_a_file():
    upload = an_upload(26)
    for letter in b"abcdefghijklmnopqrstuvwxyz":
        rest = upload.feed(bytes([letter]))
    assert rest == b""
    block, content, spool = upload.finish()
    assert (block, content, spool.length) == (b"Host: a\r\n", b"", 26)
    assert spool.read(0, 99) == b"abcdefghijklmnopqrstuvwxyz"
    spool.close()


def test_a_body_over_the_limit_is_refused():
    with pytest.raises(BadRequest, match="too long"):
        an_upload(CHUNKED).feed(b"65\r\n")


def test_a_body_that_is_given_up_leaves_nothing():
    before = os.listdir("/proc/self/fd")
    upload = an_upload(26)
    upload.feed(b"abcdefghijklm")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    upload.close()
    assert os.listdir("/proc/self/fd") == before
