from __future__ import annotations

import os

import pytest

from worker.spool import Spool, open_part


@pytest.fixture(params=[0, 4, 100], ids=["in a file", "first in memory, then in a file", "in memory"])
def spool(request):
    spool = Spool(request.param)
    for data in (b"abc", b"", b"defg", b"hij"):
        spool.write(data)
    yield spool
    spool.close()


def test_what_was_written_is_read_from_anywhere(spool):
    assert spool.size == 10
    assert spool.read(0, 10) == b"abcdefghij"
    assert spool.read(2, 3) == b"cde"
    assert spool.read(9, 5) == b"j"
    assert spool.read(10, 5) == b""


def test_it_may_be_written_to_after_it_was_read(spool):
    spool.read(0, 10)
    spool.write(b"k")
    assert spool.read(8, 5) == b"ijk"


def test_a_part_is_a_file_of_its_own(spool):
    with open_part(spool, 2, 5) as part, open_part(spool, 0, 3) as other:
        assert part.read(2) == b"cd"
        assert other.read() == b"abc"
        assert part.read() == b"efg"
        assert part.read() == b""
        assert part.seek(1) == 1
        assert part.tell() == 1
        assert part.read(1) == b"d"
        assert part.seek(-2, os.SEEK_END) == 3
        assert part.read() == b"fg"
        part.seek(2)
        part.seek(1, os.SEEK_CUR)
        assert part.read(1) == b"f"
        part.seek(100)
        assert part.read() == b""


def test_a_closed_spool_is_not_read(spool):
    spool.close()
    with pytest.raises(ValueError, match=r"closed|I/O operation"):
        spool.read(0, 1)


def test_memory_holds_no_more_than_it_may():
    with_file, in_memory = Spool(4), Spool(4)
    before = open_files()
    in_memory.write(b"abcd")
    assert open_files() == before
    with_file.write(b"abcde")
    assert open_files() == before + 1
    with_file.write(b"f" * 100)
    assert open_files() == before + 1
    with_file.close()
    in_memory.close()
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
