"""What one dispatcher notes, the next one knows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

from dispatcher.recollection import Recollection
from protocol.registration import Claim

PAGES = Claim("pages", "", "/pages")
SHOP = Claim("café", "shop.example", "/")


@pytest.fixture
def file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def test_the_next_one_knows_what_was_noted(file: int) -> None:
    for claim in (PAGES, SHOP, PAGES):
        Recollection(file).note(claim)
    assert list(Recollection(file).claims) == [PAGES, SHOP]
    assert os.fstat(file).st_size == os.lseek(file, 0, os.SEEK_END)
    assert os.pread(file, 1000, 0).count(b"\n") == 2


def test_what_was_being_written_when_one_died_is_not_read(file: int) -> None:
    Recollection(file).note(PAGES)
    os.write(file, b'["shop", "", "/sh')
    assert list(Recollection(file).claims) == [PAGES]


def test_without_a_file_nothing_is_known() -> None:
    nothing = Recollection()
    nothing.note(PAGES)
    nothing.close()
    assert (nothing.claims, repr(nothing)) == ({}, "<Recollection of 0 paths>")


def test_a_full_disk_is_no_reason_to_stop() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        one = Recollection()
        one._file = full.fileno()
        one.note(PAGES)
    assert list(one.claims) == [PAGES]
