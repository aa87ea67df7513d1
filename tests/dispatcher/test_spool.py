from __future__ import annotations

import os
import tempfile
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import spool as module
from dispatcher.spool import Spool


def test_what_fits_stays_in_memory():
    spool = Spool(10)
    spool.append(b"01234")
    spool.append(b"56789")
    assert (spool.in_memory, spool.length) == (True, 10)
    assert spool.read(3, 4) == b"3456"
    spool.close()


def test_what_does_not_fit_goes_to_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(10)
    spool.append(b"01234")
    spool.append(b"56789a")
    spool.append(b"b")
    assert (spool.in_memory, spool.length) == (False, 12)
    assert spool.read(3, 4) == b"3456"
    assert spool.read(10, 4) == b"ab"
    assert spool.read(12, 4) == b""
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_a_spool_without_memory_is_a_file_from_the_beginning():
    spool = Spool(0)
    assert spool.in_memory
    spool.append(b"a")
    assert not spool.in_memory
    assert spool.read(0, 9) == b"a"
    spool.close()


@given(st.lists(st.binary(max_size=20)), st.integers(0, 30), st.integers(0, 200), st.integers(0, 50))
def test_what_is_appended_can_be_read_from_anywhere(pieces, memory, offset, size):
    spool = Spool(memory)
    for piece in pieces:
        spool.append(piece)
    whole = b"".join(pieces)
    assert spool.length == len(whole)
    assert spool.in_memory == (len(whole) <= memory)
    assert spool.read(offset, size) == whole[offset : offset + size]
    spool.close()


def test_a_closed_spool_gives_nothing_rather_than_too_little():
    for memory in (10, 1):
        spool = Spool(memory)
        spool.append(b"abc")
        spool.close()
        spool.close()
        with pytest.raises(ValueError, match="closed"):
            spool.read(0, 3)
        with pytest.raises(ValueError, match="closed"):
            spool.append(b"d")


def test_a_full_disk_is_noticed_by_the_write_that_fills_it(monkeypatch):
    monkeypatch.setattr(module, "temporary_file", partial(open, "/dev/full", "r+b", buffering=0))
    before = os.listdir("/proc/self/fd")
    spool = Spool(2)
    spool.append(b"ab")
    with pytest.raises(OSError, match="No space left"):
        spool.append(b"c")
    spool.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_disk_that_becomes_full_takes_a_part_first(tmp_path, monkeypatch):
    """As pwrite() does, which then says how much it took: the rest is tried again."""
    with open(tmp_path / "disk", "w+b", buffering=0) as disk:
        taken = []

        def take_little(fd, data, offset):
            taken.append(bytes(data))
            return os_pwrite(fd, data[:2], offset)

        os_pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", take_little)
        monkeypatch.setattr(module, "temporary_file", lambda: disk)
        spool = Spool(0)
        spool.append(b"abcde")
        assert taken == [b"abcde", b"cde", b"e"]
        assert spool.read(0, 9) == b"abcde"
        spool.close()
