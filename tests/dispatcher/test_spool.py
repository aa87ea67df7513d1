from __future__ import annotations

import os
import tempfile
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher import spool as module
from dispatcher.settings import Limits
from dispatcher.spool import Spool, find_folder
from dispatcher.storage import Storage
from protocol.settings import Size


def a_spool(memory: int, storage: Storage | None = None) -> Spool:
    return Spool(storage or Storage(Limits()), memory)


def test_what_fits_stays_in_memory():
    spool = a_spool(10)
    spool.append(b"01234")
    spool.append(b"56789")
    assert (spool.in_memory, spool.length) == (True, 10)
    assert spool.read(3, 4) == b"3456"
    spool.close()


def test_what_does_not_fit_goes_to_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = a_spool(10)
    spool.append(b"01234")
    spool.append(b"56789a")
    spool.append(b"b")
    assert (spool.in_memory, spool.length) == (False, 12)
    assert spool.read(3, 4) == b"3456"
    assert spool.read(10, 4) == b"ab"
    assert spool.read(12, 4) == b""
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_without_a_folder_for_files_what_does_not_fit_is_an_error(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    find_folder()
    with pytest.raises(FileNotFoundError, match="No usable temporary directory"):
        a_spool(0).append(b"a")


def test_a_spool_without_memory_is_a_file_from_the_beginning():
    spool = a_spool(0)
    assert spool.in_memory
    spool.append(b"a")
    assert not spool.in_memory
    assert spool.read(0, 9) == b"a"
    spool.close()


@given(st.lists(st.binary(max_size=20)), st.integers(0, 30), st.integers(0, 200), st.integers(0, 50))
def test_what_is_appended_can_be_read_from_anywhere(pieces, memory, offset, size):
    spool = a_spool(memory)
    for piece in pieces:
        spool.append(piece)
    whole = b"".join(pieces)
    assert spool.length == len(whole)
    assert spool.in_memory == (len(whole) <= memory)
    assert spool.read(offset, size) == whole[offset : offset + size]
    spool.close()


def test_a_closed_spool_gives_nothing_rather_than_too_little():
    for memory in (10, 1):
        spool = a_spool(memory)
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
    spool = a_spool(2)
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
        spool = a_spool(0)
        spool.append(b"abcde")
        assert taken == [b"abcde", b"cde", b"e"]
        assert spool.read(0, 9) == b"abcde"
        spool.close()


# ── The room that all share ──────────────────────────────────────────────────────────────────────


def a_storage(memory: int, disk: int) -> Storage:
    return Storage(Limits(memory=Size(memory), disk=Size(disk)))


def used(storage: Storage) -> tuple[int, int]:
    return storage.memory.used, storage.disk.used


def test_where_memory_is_used_up_a_spool_goes_to_a_file_and_gives_its_memory_back():
    storage = a_storage(10, 100)
    first, second = a_spool(10, storage), a_spool(10, storage)
    first.append(b"0123")
    second.append(b"0123")
    assert used(storage) == (8, 0)
    second.append(b"456")
    assert (first.in_memory, second.in_memory, used(storage)) == (True, False, (4, 7))
    second.append(b"7")  # there would be room in memory now, but not in its turn
    assert (second.read(0, 99), used(storage)) == (b"01234567", (4, 8))
    first.close()
    first.close()
    assert used(storage) == (0, 8)
    second.close()
    second.close()
    assert used(storage) == (0, 0)


def test_where_files_are_used_up_too_it_is_an_error_and_nothing_is_left_behind():
    before = os.listdir("/proc/self/fd")
    storage = a_storage(4, 10)
    first, second = a_spool(0, storage), a_spool(10, storage)
    first.append(b"01234")
    second.append(b"0123")
    with pytest.raises(OSError, match="No space left"):
        second.append(b"456")
    assert used(storage) == (0, 9)
    second.close()
    assert used(storage) == (0, 5)
    with pytest.raises(OSError, match="No space left"):
        first.append(b"567890")
    first.append(b"56789")
    assert (first.read(0, 99), used(storage)) == (b"0123456789", (0, 10))
    first.close()
    assert (used(storage), os.listdir("/proc/self/fd")) == ((0, 0), before)


def test_what_a_disk_does_not_take_is_not_counted(monkeypatch):
    monkeypatch.setattr(module, "temporary_file", partial(open, "/dev/full", "r+b", buffering=0))
    storage = a_storage(100, 100)
    spool = a_spool(4, storage)
    spool.append(b"0123")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            spool.append(b"4")
    assert used(storage) == (4, 0)
    spool.close()
    assert used(storage) == (0, 0)


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=12))),
)
def test_the_room_is_what_all_spools_hold_whatever_becomes_of_them(memory, disk, steps):
    storage = a_storage(memory, disk)
    spools = [a_spool(10, storage) for _ in range(4)]
    for number, data in steps:
        try:
            spools[number].append(data)
        except OSError:
            spools[number].close()
            spools[number] = a_spool(10, storage)
        assert storage.memory.used == sum(each.length for each in spools if each.in_memory)
        assert storage.disk.used == sum(each.length for each in spools if not each.in_memory)
        assert storage.memory.used <= memory
        assert storage.disk.used <= disk
    for each in spools:
        each.close()
    assert used(storage) == (0, 0)
