"""Queries and forms that are sent like them: ``application/x-www-form-urlencoded``."""

from __future__ import annotations

import re

from tests.fuzz.target import Target, outcome, ways_to_cut
from worker.body import LinkBody
from worker.errors import HttpError
from worker.fields import Fields
from worker.form_data import URLENCODED, FormLimits, Sent, read_fields, read_form

LIMITS = FormLimits(text=2000, fields=20)
"""Small ones, so that short inputs reach them."""

ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def read(data: bytes) -> Fields:
    return read_fields(data)


def pairs_of(fields: Fields) -> list[tuple[str, list[str]]]:
    return [(name, fields.getlist(name)) for name in fields]


def the_url_standard_reads_the_same(data: bytes) -> None:
    """URL Standard §5.1, step by step."""
    fields = outcome(read, data, refusals=(HttpError,))
    if isinstance(fields, Fields):
        expected: dict[str, list[str]] = {}
        for part in filter(None, data.split(b"&")):
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            expected.setdefault(decoded(name), []).append(decoded(value))
        assert pairs_of(fields) == [*expected.items()]


def decoded(data: bytes) -> str:
    return ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data).decode("utf-8", "replace")


def sent(pieces: list[bytes], length: int | None) -> Fields | type[HttpError]:
    """Return the fields of a form whose body comes like this."""
    body = LinkBody(lambda: None)
    for piece in pieces:
        body.add(piece, False)
    body.add(b"", True)
    try:
        return read_form(Sent(URLENCODED, length, body), LIMITS).fields
    except HttpError:
        return HttpError


def is_the_same_as_a_body_however_it_comes(data: bytes) -> None:
    whole = sent([data], len(data))
    for pieces in ways_to_cut(data):
        found = sent(pieces, None)
        if isinstance(whole, Fields) and isinstance(found, Fields):
            assert pairs_of(found) == pairs_of(whole) == pairs_of(read_fields(data))
        else:
            assert found == whole
            assert len(data) > LIMITS.text or data.count(b"&") >= LIMITS.fields


TARGET = Target(
    read=read,
    refusals=(HttpError,),
    laws=(the_url_standard_reads_the_same, is_the_same_as_a_body_however_it_comes),
    seeds=(
        b"a=1&b=2&a=3&c&=d&&e=",
        b"name=J%C3%BCrgen+M%c3%bcller&x=%ff%zz%&y=%E2%98",
        "n\xe4me=w\xe4rt&\u2603=%E2%98%83".encode(),
        b"a=" + b"x" * 2000,
        b"&".join(b"f%d=%d" % (number, number) for number in range(21)),
        b"a;b=c;d=e==f&g=%26%3D%2B%00",
    ),
    words=(
        b"&|=|&&|+|%|%2|%26|%3d|%00|%0a|%C3|%A9|\xc3|\xa9|\xed\xa0\x80|%ed%a0%80|\xef\xbb\xbf|;|a=b&"
        b"|\xf0\x9f|%98%80|\x00"
    ).split(b"|"),
    each=120,  # of short escapes, until they are a slice
    fixed=300_000,
)
