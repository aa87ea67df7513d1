from __future__ import annotations

from dispatcher.settings import Limits
from dispatcher.storage import Room, Storage
from protocol.settings import Size


def test_a_room_is_taken_until_it_is_full_and_again_when_something_was_given_back():
    room = Room(10)
    assert [room.take(6), room.take(5), room.take(4), room.take(1), room.take(0)] == [
        True, False, True, False, True,
    ]  # fmt: skip
    assert repr(room) == "<Room 10 of 10 bytes used>"
    room.give_back(6)
    assert (room.used, room.take(6)) == (4, True)


def test_room_is_scarce_when_less_than_a_quarter_is_left():
    room = Room(100)
    assert room.take(75)
    assert not room.is_scarce
    assert room.take(1)
    assert room.is_scarce


def test_there_is_as_much_as_the_limits_say():
    storage = Storage(Limits(memory=Size(1), disk=Size(2), body_memory=Size(3)))
    assert (storage.memory.most, storage.disk.most, storage.body_memory) == (1, 2, 3)
