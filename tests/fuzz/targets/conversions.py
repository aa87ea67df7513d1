"""What people type into forms."""

from __future__ import annotations

from datetime import date
from enum import Enum

from tests.fuzz.target import Target
from worker.forms.conversions import (
    Choice,
    Conversion,
    Date,
    EnumChoice,
    Integer,
    ListOf,
    Nullable,
    Text,
    YesOrNo,
)


class Colour(Enum):
    """Something to choose from."""

    RED = 1
    LIGHT_BLUE = 2


CONVERSIONS: tuple[Conversion, ...] = (
    Text(),
    Text(10, 2),
    Text(least=0),
    Integer(),
    Integer(-5, 100),
    Date(),
    Date(date(2000, 1, 1), date(2030, 1, 1)),
    YesOrNo(),
    Choice(["a", "b"]),
    Choice({1: "one", 2: "two"}),
    EnumChoice(Colour),
    Nullable(Integer()),
    Nullable(Text()),
    ListOf(Integer(), 1, 3),
    ListOf(Date()),
    ListOf(Choice(["a", "b"])),
)


class NotASentenceError(Exception):
    """Somebody is told something that ends without a full stop."""


def read(data: bytes) -> None:
    for conversion in CONVERSIONS:
        try:
            conversion.read(text_of(data))
        except ValueError as error:
            if str(error)[-1] != ".":
                raise NotASentenceError from error


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def is_read_back_as_it_was_written(data: bytes) -> None:
    for conversion in CONVERSIONS:
        try:
            value = conversion.read(text_of(data))
        except ValueError:
            continue
        assert conversion.read(conversion.write(value)) == value


TARGET = Target(
    read=read,
    laws=(is_read_back_as_it_was_written,),
    seeds=(
        *(
            b"",
            b"12",
            b"-5",
            b"+007",
            b"2024-02-29",
            b"0001-01-01",
            b"yes",
            b"a",
            b"1",
            b"RED",
            b"  ",
            b"a\nb\n",
            b"1\n\n 2",
        ),
        *(b"2023-02-29", b"9" * 18, b"9" * 19, "caf\xe9 \N{SNOWMAN}".encode(), b"2024-02-29\r\n2024-03-01"),
    ),
    words=(
        b"-|+|0|9999|-02-30|\n|\r\n| |\t|\x00|\xc2\xa0|\xd9\xa1|\xc2\xb2|\xe2\x80\xa8|\x1c|1e5|1_0|0x1|W01"
        b"|LIGHT_BLUE"
    ).split(b"|"),
    each=120,
    fixed=60_000,
)
