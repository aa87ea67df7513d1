from __future__ import annotations

import pytest

from dispatcher import framing
from dispatcher.framing import BadRequest, RequestHead
from dispatcher.inbox import EMPTY_LINES, LOGGED, Inbox
from dispatcher.settings import Limits
from dispatcher.storage import Room
from protocol.settings import Size

LIMITS = Limits()
GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(Room(1_000_000))


def refuse(inbox: Inbox, data: bytes, limits: Limits = LIMITS) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        inbox.next_head(data, limits)
    return caught.value


def target(head: RequestHead | None) -> bytes | None:
    return head and head.target


def test_a_whole_head_is_read_and_nothing_is_kept(inbox):
    assert target(inbox.next_head(GET % 1, LIMITS)) == b"/1"
    assert (len(inbox), inbox.has_begun) == (0, False)


def test_what_follows_a_head_is_kept(inbox):
    assert target(inbox.next_head(GET % 1 + GET % 2 + b"GE", LIMITS)) == b"/1"
    assert len(inbox) == len(GET % 2) + 2
    assert target(inbox.next_head(b"", LIMITS)) == b"/2"
    assert inbox.next_head(b"", LIMITS) is None
    assert target(inbox.next_head((GET % 3)[2:], LIMITS)) == b"/3"
    assert len(inbox) == 0


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7, 11])
def test_a_head_may_come_in_any_pieces(inbox, step):
    data = b"\r\n" + GET % 1
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    heads = [inbox.next_head(piece, LIMITS) for piece in pieces]
    assert heads[:-1] == [None] * (len(pieces) - 1)
    assert target(heads[-1]) == b"/1"


def test_a_head_has_just_begun_once(inbox):
    def look(data: bytes) -> tuple[bool, bool]:
        inbox.next_head(data, LIMITS)
        return inbox.has_begun, inbox.has_just_begun

    assert look(b"\r") == (False, False)
    assert look(b"\n") == (False, False)
    assert look(b"G") == (True, True)
    assert look(b"ET /") == (True, False)
    assert look(b" HTTP/1.1\r\nHost: a\r\n\r\nGET /") == (False, False)
    assert look(b"") == (True, True)


def test_a_few_empty_lines_are_skipped_however_they_come(inbox):
    assert target(inbox.next_head(b"\r\n" * EMPTY_LINES + GET % 1, LIMITS)) == b"/1"
    for _ in range(EMPTY_LINES):
        assert inbox.next_head(b"\r", LIMITS) is None
        assert inbox.next_head(b"\n", LIMITS) is None
    assert refuse(inbox, b"\r\n").status == 400


def test_bytes_cost_the_same_however_singly_they_come(inbox, monkeypatch):
    looked_at = []
    monkeypatch.setattr(framing, "check_beginning", lambda data: looked_at.append(len(data)))
    lines = b"X: " + b"y" * 295 + b"\r\n"
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n" + lines * 98 + b"\r\n":
        head = inbox.next_head(bytes([byte]), LIMITS)
    assert head is not None
    assert len(looked_at) == 101  # for the first byte, and for each line but the last


def test_a_head_that_cannot_become_one_is_refused_before_it_ends(inbox):
    assert refuse(inbox, b"\x16\x03\x01").status == 400


def test_limits_hold_for_what_has_come_so_far(inbox):
    limits = Limits(head=Size(100))
    assert inbox.next_head(b"GET / HTTP/1.1\r\nX: ", limits) is None
    assert refuse(inbox, b"y" * 100, limits).status == 431


def test_a_refusal_knows_the_request_line(inbox):
    assert refuse(inbox, b"GET /a HTTP/1.1\r\n\r\n").line == b"GET /a HTTP/1.1"
    assert refuse(inbox, b"GET /a HTTP/1.1\nX").line == b"GET /a HTTP/1.1"
    assert refuse(inbox, b"GET /" + b"a" * 9999).line == b"GET /" + b"a" * (LOGGED - 5)
    assert inbox.next_head(b"GET /b HTTP/1.1\r\nHo", LIMITS) is None
    assert inbox.first_line() == b"GET /b HTTP/1.1"


def test_what_is_kept_can_be_taken_as_it_is(inbox):
    assert inbox.take(b"abc") == b"abc"
    inbox.add(b"abc")
    assert inbox.take(b"def") == b"abcdef"
    assert len(inbox) == 0


def test_or_dropped(inbox):
    inbox.next_head(b"GET /", LIMITS)
    inbox.clear()
    assert (len(inbox), inbox.has_begun) == (0, False)
    assert target(inbox.next_head(GET % 1, LIMITS)) == b"/1"


# The room that all share


def test_all_that_is_kept_is_counted_and_given_back():
    room = Room(1000)
    inbox = Inbox(room)
    assert inbox.next_head(b"GET / HT", LIMITS) is None
    assert room.used == 8
    assert inbox.next_head(b"TP/1.1\r\nHost: a\r\n\r\nGET /2", LIMITS).keep_alive
    assert room.used == len(inbox) == 6
    assert inbox.add(b" HTTP/1.1\r\n")
    assert room.used == len(inbox) == 17
    assert inbox.take(b"x") == b"GET /2 HTTP/1.1\r\nx"
    assert room.used == 0
    inbox.add(b"abc")
    inbox.clear()
    assert room.used == 0


def test_where_no_room_is_left_the_beginning_of_a_head_is_kept_all_the_same():
    room = Room(4)
    inbox = Inbox(room)
    assert inbox.next_head(b"\r\nGET / HTTP/1.1\r\n", LIMITS) is None
    assert room.used == 16
    head = inbox.next_head(b"Host: a\r\n\r\n", LIMITS)
    assert (head.target, head.keep_alive, room.used) == (b"/", True, 0)


def test_but_what_is_sent_ahead_is_dropped_and_the_request_before_it_is_the_last():
    room = Room(4)
    inbox = Inbox(room)
    assert not inbox.next_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2", LIMITS).keep_alive
    assert (len(inbox), room.used) == (0, 0)
    assert not inbox.add(b"GET /2")
    assert (len(inbox), room.used) == (0, 0)


def test_a_body_that_comes_with_its_head_is_not_sent_ahead():
    inbox = Inbox(Room(4))
    head = inbox.next_head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef", LIMITS)
    assert head.keep_alive
    assert inbox.take(b"") == b"abcdef"
