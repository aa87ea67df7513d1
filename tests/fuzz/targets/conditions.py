"""Conditions, ranges and codings that a client asks for."""

from __future__ import annotations

from typing import Any

from werkzeug.http import parse_date, parse_range_header

from protocol.conditions import (
    Decision,
    Representation,
    choose_coding,
    decide,
    read_date,
    read_range,
    write_date,
)
from tests.fuzz.target import Target

NOW = 1_700_000_000.0
SIZES = (0, 1, 10, 10**6)
FILE = Representation('"6553f100-a"', 784111777, 10)
NAMELESS = Representation("", None, 10)
CODINGS = ("br", "gzip")


def fields_of(data: bytes) -> dict[str, str]:
    """Return the fields of an input of lines; of two with one name the last."""
    lines = [line.partition(":") for line in data.decode("latin-1").split("\r\n")]
    return {name.strip().lower(): value.strip(" \t") for name, _, value in lines}


def read(data: bytes) -> None:
    fields = fields_of(data)
    for method in ("GET", "HEAD", "PUT"):
        for representation in (FILE, NAMELESS):
            decide(method, fields, representation, NOW)
    choose_coding(fields.get("accept-encoding", ""), CODINGS)
    for value in fields.values():
        read_range(value, 10)
        read_date(value, NOW)
        choose_coding(value, CODINGS)


def answers_with_a_part_of_what_there_is(data: bytes) -> None:
    fields = fields_of(data)
    for size in SIZES:
        for representation in (FILE._replace(size=size), NAMELESS._replace(size=size)):
            whole = Decision(200, range(size))
            for method in ("GET", "HEAD"):
                status, part = decide(method, fields, representation, NOW)
                if status == 206:
                    assert method == "GET"
                    assert 0 <= part.start < part.stop <= size
                else:
                    assert (status, part) == whole or (status in {304, 412, 416} and not part)
            bare = {name: value for name, value in fields.items() if not name.startswith("if-")}
            bare.pop("range", None)
            assert decide("GET", bare, representation, NOW) == whole


def werkzeug_reads_the_same_range(data: bytes) -> None:
    """Where it reads one: it knows no last part that is longer than the whole (RFC 9110 §14.1.2)."""
    for value in fields_of(data).values():
        for size in SIZES:
            part = read_range(value, size)
            other: Any = parse_range_header(value)
            theirs = other and other.range_for_length(size)
            if part and theirs:
                assert theirs == (part.start, part.stop)


def werkzeug_reads_the_same_date(data: bytes) -> None:
    """Where it reads one, but for leap seconds, and years of two digits, which it finds in 0094 as well."""
    for value in fields_of(data).values():
        seconds = read_date(value, NOW)
        if seconds is None:
            continue
        assert read_date(write_date(seconds), NOW) == seconds
        other = parse_date(value)
        if other and "-" not in value and " 00" not in value and ":60" not in value:
            assert other.timestamp() == seconds


def chooses_a_coding_that_is_welcome(data: bytes) -> None:
    for value in fields_of(data).values():
        coding = choose_coding(value, CODINGS)
        assert coding is None or coding in CODINGS
        listed = {element.strip().lower() for element in value.split(",")}
        if coding and "*" not in value:
            assert any(element.removeprefix("x-").startswith(coding) for element in listed)
        if {"br", "gzip"} <= listed:
            assert coding


TARGET = Target(
    read=read,
    laws=(
        answers_with_a_part_of_what_there_is,
        werkzeug_reads_the_same_range,
        werkzeug_reads_the_same_date,
        chooses_a_coding_that_is_welcome,
    ),
    seeds=(
        b'If-None-Match: "a", W/"6553f100-a"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n',
        b'If-Match: *\r\nRange: bytes=2-5\r\nIf-Range: "6553f100-a"\r\n',
        b"Range: bytes=-3\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        b"If-Unmodified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\nRange: bytes = 3-\r\n",
        b"If-Modified-Since: Sun Nov  6 08:49:60 1994\r\nAccept-Encoding: gzip;q=0.5, br;q=0.500, *;q=0\r\n",
        b"Accept-Encoding: x-gzip, identity;q=1\r\nRange: bytes=0-0, 5-\r\n",
        b"X: Tue, 29 Feb 2000 23:59:59 GMT\r\nY: bytes=9-999999999999999999",
        b"X: Mon, 01 Jan 0001 00:00:00 GMT\r\nY: Friday, 31-Dec-99 23:59:60 GMT",
    ),
    words=(
        b"If-None-Match: |If-Match: |If-Modified-Since: |If-Unmodified-Since: |If-Range: |Range: "
        b'|Accept-Encoding: |\r\n|"6553f100-a"|W/"|W/|"|*|, |bytes=|bytes|-|0-|-0|10-|9-9|5-2'
        b"|999999999999999999|gzip|br|;q=|; q=0|q=1.000|identity|Sun, 06 Nov 1994 08:49:37 GMT| GMT|29 Feb "
        b"|0000|24:00:00|99|9999|Sunday, 06-Nov-94 |Sun Nov  6 "
    ).split(b"|"),
    each=120,
    fixed=100_000,
)
