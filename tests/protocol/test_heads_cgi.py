from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import HeaderError
from protocol.heads import _MEMO_LINES, read_cgi_head, read_request_head, write_head


def cgi(*lines: str) -> dict[str, str]:
    return read_cgi_head("".join(f"{line}\r\n" for line in lines).encode("latin-1"))


def test_fields_have_the_names_of_cgi():
    assert cgi(
        "Host: a", "X-Two-Words:  é \t", "content-TYPE: b", "Content-Length: 1", "Content-Language: c"
    ) == {
        "HTTP_HOST": "a",
        "HTTP_X_TWO_WORDS": "é",
        "CONTENT_TYPE": "b",
        "CONTENT_LENGTH": "1",
        "HTTP_CONTENT_LANGUAGE": "c",
    }


def test_fields_that_came_twice_are_joined_as_their_kind_asks():
    assert cgi("A: 1", "Cookie: a=1", "a: 2", "A: 3", "cookie: b=2") == {
        "HTTP_A": "1,2,3",
        "HTTP_COOKIE": "a=1; b=2",
    }


@pytest.mark.parametrize(
    "connection", ["close", "Keep-Alive", "keep-alive, close", "", "Authorization, Host"]
)
def test_a_connection_that_names_nothing_away_is_left_out_alone(connection):
    assert cgi("A: 1", f"Connection: {connection}") == {"HTTP_A": "1"}


def test_what_any_connection_names_away_is_left_out_wherever_it_stands():
    assert cgi("A: 1", "Connection: a", "B: 2", "C: 3", "connection: X, c", "D: 4") == {
        "HTTP_B": "2",
        "HTTP_D": "4",
    }


def test_each_call_has_a_dictionary_of_its_own():
    head = b"A: 1\r\n"
    read_cgi_head(head)["HTTP_A"] = "changed"
    assert read_cgi_head(head) == {"HTTP_A": "1"}


NAMES = st.sampled_from(
    ["Host", "Cookie", "cookie", "X-A", "x-a", "X_A", "Proxy", "TE", "Connection", "Content-Type"]
)
LINES = st.tuples(NAMES, st.sampled_from(["", "1", "x-a", "close", "host, x-a", "TE"])).map(": ".join)


@given(st.lists(LINES, max_size=8))
def test_cgi_sees_what_everybody_else_sees(lines):
    head = "".join(f"{line}\r\n" for line in lines).encode()
    names = {name.upper().replace("-", "_") for name, _ in read_request_head(head)}
    assert {key.removeprefix("HTTP_") for key in read_cgi_head(head)} == names


def test_more_lines_than_are_remembered_are_all_read_right():
    for n in range(_MEMO_LINES + 10):
        assert read_request_head(b"X-N: %d\r\n" % n) == [("x-n", str(n))]
        assert write_head([("X-N", str(n))]) == b"X-N: %d\r\n" % n
    assert read_request_head(b"X-N: 0\r\n") == [("x-n", "0")]


def test_a_line_too_long_to_be_remembered_is_read_and_written_right():
    value = "v" * 10_000
    for _ in range(2):
        assert read_request_head(f"A: {value}\r\n".encode()) == [("a", value)]
        assert write_head([("A", value)]) == f"A: {value}\r\n".encode()


@pytest.mark.parametrize("field", [(5, "a"), (b"A", "a"), ("A", None), ("A", 5), ("A", b"a")])
def test_what_is_not_text_cannot_be_a_field(field):
    with pytest.raises(HeaderError):
        write_head([field])
