from __future__ import annotations

import os
from io import FileIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.backlog import PORTION, Backlog, FilePart
from dispatcher.settings import Limits
from dispatcher.static import FileAnswer
from dispatcher.storage import Storage
from protocol.settings import Size


def a_backlog(memory: int) -> Backlog:
    return Backlog(Storage(Limits(body_memory=Size(memory))))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_waits_comes_out_in_order_and_small_pieces_together():
    backlog = a_backlog(100)
    for piece in (b"a", b"b", b"c"):
        backlog.append(piece)
    assert backlog.length == 3
    assert backlog.take() == b"abc"
    assert (backlog.take(), backlog.length) == (b"", 0)


def test_long_pieces_come_out_one_by_one():
    backlog = a_backlog(10 * PORTION)
    backlog.append(bytes(PORTION))
    backlog.append(b"x")
    assert [len(backlog.take()) for _ in range(3)] == [PORTION, 1, 0]


def test_what_does_not_fit_waits_in_a_file_that_is_given_back():
    before = open_files()
    backlog = a_backlog(4)
    for piece in (b"abcd", b"ef", b"g"):
        backlog.append(piece)
    assert (backlog.length, open_files()) == (7, before + 1)
    assert backlog.take() == b"abcd"
    backlog.append(b"h")  # there would be room in memory now, but not in its turn
    assert backlog.take() == b"efgh"
    assert (backlog.length, open_files()) == (0, before)
    backlog.append(b"ij")
    assert (backlog.take(), open_files()) == (b"ij", before)


def test_what_is_dropped_leaves_nothing():
    before = open_files()
    backlog = a_backlog(1)
    backlog.append(b"a")
    backlog.append(b"bc")
    backlog.close()
    assert (backlog.length, backlog.take(), open_files()) == (0, b"", before)


@given(st.integers(0, 20), st.lists(st.binary(min_size=1, max_size=9) | st.none(), max_size=40))
def test_nothing_is_lost_or_exchanged_whenever_it_is_taken(memory, steps):
    backlog, given_, taken = a_backlog(memory), b"", b""
    for step in steps:
        if step is None:
            taken += backlog.take()
        else:
            backlog.append(step)
            given_ += step
        assert backlog.length == len(given_) - len(taken)
    while data := backlog.take():
        taken += data
    assert taken == given_


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 20_000)
    with FileIO(path, "r+") as file:
        yield file


def test_a_part_of_a_file_comes_out_in_portions(file):
    part = FilePart(FileAnswer(206, b"", file, 5, 150_000, b""))
    portions = [part.take() for _ in range(4)]
    assert [len(portion) for portion in portions] == [PORTION, PORTION, 150_000 - 2 * PORTION, 0]
    assert b"".join(portions) == (b"0123456789" * 20_000)[5:150_005]
    part.close()
    assert file.closed


def test_a_file_that_has_shrunk_ends_early(file):
    part = FilePart(FileAnswer(200, b"", file, 0, 200_000, b""))
    assert len(part.take()) == PORTION
    file.truncate(PORTION + 1)
    assert [part.take(), part.take()] == [b"6", b""]


def test_an_answer_without_a_file_has_no_part():
    part = FilePart(FileAnswer(404, b"", None, 0, 5, b"hello"))
    assert part.take() == b""
    part.close()


# ── The room that all share ──────────────────────────────────────────────────────────────────────


def used(storage: Storage) -> tuple[int, int]:
    return storage.memory.used, storage.disk.used


def test_where_memory_is_used_up_a_backlog_goes_to_a_file_at_once():
    storage = Storage(Limits(memory=Size(10), disk=Size(20)))
    first, second = Backlog(storage), Backlog(storage)
    first.append(b"012345678")
    second.append(b"ab")
    assert (first.is_in_file, second.is_in_file, used(storage)) == (False, True, (9, 2))
    assert first.take() == b"012345678"
    assert second.take() == b"ab"
    assert used(storage) == (0, 0)


def test_what_is_dropped_gives_its_room_back():
    storage = Storage(Limits(memory=Size(10), disk=Size(20)))
    backlog = Backlog(storage)
    for piece in (b"01234", b"56789", b"abcde"):
        backlog.append(piece)
    assert used(storage) == (10, 5)
    backlog.close()
    backlog.close()
    assert used(storage) == (0, 0)


def test_where_files_are_used_up_too_it_is_an_error():
    storage = Storage(Limits(memory=Size(0), disk=Size(4)))
    backlog = Backlog(storage)
    backlog.append(b"abc")
    with pytest.raises(OSError, match="No space left"):
        backlog.append(b"de")
    backlog.close()
    assert used(storage) == (0, 0)
