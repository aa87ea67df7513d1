from __future__ import annotations

import tracemalloc
from io import BytesIO

import pytest

from worker.errors import HttpError
from worker.form_data import FormLimits, Sent, read_fields, read_form

FORM = "application/x-www-form-urlencoded"


def status_of(body: bytes, content_type: str = FORM, length: int | None = None, **limits: int) -> int:
    with pytest.raises(HttpError) as caught:
        read_form(Sent(content_type, length, BytesIO(body)), FormLimits(**limits))
    return caught.value.status


def test_an_encoded_form_has_fields_and_no_files():
    sent = read_form(Sent(f"{FORM}; charset=utf-8", 10, BytesIO(b"a=1&b=%C3%A9&a=2")), FormLimits())
    assert sent.fields.getlist("a") == ["1", "2"]
    assert sent.fields["b"] == "é"
    assert len(sent.files) == 0
    sent.release()


@pytest.mark.parametrize("length", [None, 0])
def test_what_has_no_body_is_an_empty_form(length):
    sent = read_form(Sent("", length, BytesIO()), FormLimits())
    assert len(sent.fields) == len(sent.files) == 0


def test_what_is_no_form_is_refused():
    assert status_of(b"{}", "application/json", 2) == 415
    assert status_of(b"a=1", "", 3) == 415
    assert status_of(b"", "multipart/mixed; boundary=b", 0) == 415


def test_an_encoded_form_has_no_more_than_it_may():
    assert status_of(b"a=" + b"x" * 99, text=100) == 413
    assert status_of(b"", length=10**10) == 413
    assert status_of(b"&".join(b"f%d=" % n for n in range(10_000))) == 400
    sent = Sent(FORM, None, BytesIO(b"a=1&" * 999 + b"a=1"))
    assert len(read_form(sent, FormLimits()).fields.getlist("a")) == 1000


@pytest.mark.parametrize("pattern", [b"%", b"%ab", b"%zz", b"%c3%a9xy", b"\xff", b"+"])
def test_a_form_made_to_be_expensive_is_not(pattern):
    """A form of 4 MiB of % once took 750 MiB to be read."""
    body = BytesIO(pattern * (1024**2 // len(pattern)))
    tracemalloc.start()
    try:
        read_form(Sent(FORM, None, body), FormLimits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * 1024**2


def test_long_values_are_read_like_short_ones():
    body = b"a=" + b"x%41%" * 100_000 + b"&b=%C3%A9" + b"%E2%98%83" * 50_000
    fields = read_fields(body)
    assert fields["a"] == "xA%" * 100_000
    assert fields["b"] == "\xe9" + "\N{SNOWMAN}" * 50_000


def test_bytes_and_escapes_make_characters_together():
    assert read_fields(b"a=\xc3%A9%e2\x98%83")["a"] == "\xe9\N{SNOWMAN}"


def test_what_is_not_text_becomes_text():
    assert dict(read_fields(b"a=%FF&\xff=1&%zz")) == {"a": "\ufffd", "\ufffd": "1", "%zz": ""}
