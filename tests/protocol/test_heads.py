"""Header rules: what an application gets to see, what it may say, and what the dispatcher makes of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import heads, limits
from protocol.errors import HeaderError
from protocol.heads import (
    HOP_BY_HOP,
    PROTECTED,
    ResponseHead,
    read_cgi_head,
    read_request_head,
    read_response_head,
    write_head,
)

# ── Requests ─────────────────────────────────────────────────────────────────────────────────────


def block(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def test_names_are_lower_case_and_values_are_stripped_of_blanks() -> None:
    head = block("Host: example.org", "ACCEPT:text/html", "X-Spaced: \t a b \t", "X-Empty:", "X-Blank: \t")
    assert read_request_head(head) == [
        ("host", "example.org"),
        ("accept", "text/html"),
        ("x-spaced", "a b"),
        ("x-empty", ""),
        ("x-blank", ""),
    ]


def test_an_empty_head_has_no_fields() -> None:
    assert (read_request_head(b""), read_cgi_head(b"")) == ([], {})


def test_bytes_beyond_ascii_and_colons_are_kept() -> None:
    assert read_request_head(block("X-Name: J\xfcrgen \xff", "X-Url: http://a:1/")) == [
        ("x-name", "J\xfcrgen \xff"),
        ("x-url", "http://a:1/"),
    ]


def test_only_blanks_and_tabs_are_stripped() -> None:
    assert read_request_head(block("X: \xa0\x85a\x85\xa0 ")) == [("x", "\xa0\x85a\x85\xa0")]


def test_what_comes_twice_is_kept_twice_and_in_order() -> None:
    head = block("Cookie: a=1", "X: 2", "cookie: b=2", "X: 1", "X: 2")
    assert read_request_head(head) == [
        ("cookie", "a=1"),
        ("x", "2"),
        ("cookie", "b=2"),
        ("x", "1"),
        ("x", "2"),
    ]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_fields_that_speak_of_one_connection_do_not_reach_the_application(name: str) -> None:
    head = block(f"{name}: close", f"{name.title()}: close", "X: 1")
    assert (read_request_head(head), read_cgi_head(head)) == ([("x", "1")], {"HTTP_X": "1"})


@pytest.mark.parametrize(
    "line", ["Proxy: http://evil", "PROXY: x", "X_Name: 1", "Content_Length: 3", "_: 1", "x_: 1"]
)
def test_fields_that_cgi_would_take_for_others_do_not_reach_the_application(line: str) -> None:
    assert (read_request_head(block(line)), read_cgi_head(block(line))) == ([], {})


def test_fields_that_connection_names_do_not_reach_the_application() -> None:
    head = block(
        "Connection: close, X-Once", "X-ONCE: 1", "X-Twice: 2", "X-Kept: 3", "connection:\tx-twice ,, "
    )
    assert read_request_head(head) == [("x-kept", "3")]
    assert read_cgi_head(head) == {"HTTP_X_KEPT": "3"}


def test_a_field_is_dropped_even_if_it_stands_before_the_connection_that_names_it() -> None:
    assert read_request_head(block("X-Once: 1", "Connection: x-once")) == []


@pytest.mark.parametrize("name", sorted(PROTECTED))
def test_a_client_cannot_name_away_what_applications_decide_by(name: str) -> None:
    head = block(f"Connection: {name.upper()}, X-Once", f"{name}: 1", "X-Once: 1")
    assert read_request_head(head) == [(name, "1")]


def test_connection_is_never_seen_even_if_it_names_nothing() -> None:
    for options in ("keep-alive", "close", "", "host", "x-once", "Keep-Alive, Upgrade"):
        head = block(f"Connection: {options}", "Host: a")
        assert (read_request_head(head), read_cgi_head(head)) == ([("host", "a")], {"HTTP_HOST": "a"})


def test_cgi_has_names_of_its_own() -> None:
    head = block("Content-Type: text/plain", "Content-Length: 3", "Host: a", "X-Forwarded-For: b")
    assert read_cgi_head(head) == {
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "a",
        "HTTP_X_FORWARDED_FOR": "b",
    }


def test_cgi_joins_what_came_twice() -> None:
    head = block("Accept: a", "Cookie: x=1", "Accept: b", "Cookie: y=2")
    assert read_cgi_head(head) == {"HTTP_ACCEPT": "a,b", "HTTP_COOKIE": "x=1; y=2"}


def test_a_cgi_head_belongs_to_its_caller() -> None:
    read_cgi_head(block("Host: mine"))["HTTP_HOST"] = "changed"
    assert read_cgi_head(block("Host: mine")) == {"HTTP_HOST": "mine"}


NAMES = st.sampled_from(
    [
        "Host",
        "X-A",
        "x-b",
        "Connection",
        "CONNECTION",
        "Proxy",
        "X_A",
        "Cookie",
        "TE",
        "Upgrade",
        "Content-Type",
    ]
)
LINE_VALUES = st.one_of(
    st.sampled_from(["", "close", "x-a", "X-B, host", "keep-alive, x-a", "te,cookie"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20),
)
LINES = st.lists(st.tuples(NAMES, LINE_VALUES), max_size=8)


def plainly_read(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The rules once more, as they are written down, without any thought for speed."""
    named = {
        option.strip(" \t").lower()
        for name, value in lines
        if name.lower() == "connection"
        for option in value.split(",")
    }
    return [
        (name.lower(), value.strip(" \t"))
        for name, value in lines
        if name.lower() not in HOP_BY_HOP
        and name.lower() != "proxy"
        and "_" not in name
        and (name.lower() in PROTECTED or name.lower() not in named)
    ]


@given(LINES)
def test_a_head_is_read_by_the_rules_whether_its_lines_are_remembered_or_not(
    lines: list[tuple[str, str]],
) -> None:
    short = block(*(f"{name}: {value}" for name, value in lines))
    long = block(*(f"{name}: {value}{' ' * 300}" for name, value in lines))
    assert (
        read_request_head(short) == read_request_head(short) == read_request_head(long) == plainly_read(lines)
    )


@given(LINES)
def test_cgi_sees_the_same_fields(lines: list[tuple[str, str]]) -> None:
    expected: dict[str, list[str]] = {}
    for name, value in plainly_read(lines):
        expected.setdefault(name, []).append(value)
    joined = {name: ("; " if name == "cookie" else ",").join(values) for name, values in expected.items()}
    head = block(*(f"{name}: {value}" for name, value in lines))
    found = read_cgi_head(head)
    assert {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value for name, value in found.items()
    } == joined
    assert read_cgi_head(head) == found


def test_memories_of_lines_are_bounded() -> None:
    for number in range(2 * heads._MEMO_LINES + 10):
        read_request_head(b"X: %d\r\n" % number)
        write_head([("X", str(number))])
    memories: list[Any] = [heads._field_of_line, heads._line_of_field]
    assert all(len(memory.__self__) <= heads._MEMO_LINES for memory in memories)
    assert [len(memory.__self__) > 5 for memory in memories] == [True, True]
    long = "x" * heads._MEMO_LINE
    write_head([("X-Long", long)])
    read_request_head(block(f"X-Long: {long}"))
    assert [key for memory in memories for key in memory.__self__ if long in str(key)] == []
    assert read_request_head(b"X: 1\r\n") == [("x", "1")]


# ── What an application says ─────────────────────────────────────────────────────────────────────


def test_a_head_is_written_as_lines() -> None:
    fields = [("Content-Type", "text/html"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xfc"), ("X-Empty", "")]
    assert (
        write_head(fields)
        == b"Content-Type: text/html\r\nSet-Cookie: a=1\r\nSet-Cookie: b=\xfc\r\nX-Empty: \r\n"
    )
    assert write_head([]) == b""


@pytest.mark.parametrize(
    "name", ["", " ", "X ", " X", "X:", "X\r\nY", "X\0", "X\x7f", "X\xe4", "名", "X\n", "(X)", 'X"']
)
def test_what_is_no_token_is_no_name(name: str) -> None:
    with pytest.raises(HeaderError, match=r" is not a header name$"):
        write_head([(name, "1")])


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nSet-Cookie: b",
        "a\nb",
        "a\rb",
        "\n",
        "a\0",
        "\x01",
        "\x0b",
        "\x0c",
        "\x1b[2J",
        "\x7f",
        "\u0100",
        "\u2028",
        "名",
    ],
)
def test_a_value_that_would_split_the_response_or_cannot_be_sent_is_refused(value: str) -> None:
    with pytest.raises(HeaderError) as caught:
        write_head([("X", value)])
    assert str(caught.value) == f"the value of X is not text that a header can carry: {value!r}"


@pytest.mark.parametrize("field", [("X", 1), ("X", None), ("X", b"1"), (1, "X"), (b"X", "1"), (None, "")])
def test_only_text_is_sent(field: Any) -> None:
    with pytest.raises(HeaderError):
        write_head([field])


@pytest.mark.parametrize("field", [["X", "1"], ("X", ["1"]), ("X",), ("X", "1", "2"), (), 5])
def test_fields_are_pairs(field: Any) -> None:
    with pytest.raises(HeaderError, match=r"^header fields are tuples of two texts: "):
        write_head([field])


def test_an_error_quotes_no_more_than_a_line() -> None:
    with pytest.raises(HeaderError) as caught:
        write_head([("X", "\n" * 10_000)])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("length", [heads._MEMO_LINE, limits.HEAD])
def test_a_head_may_be_as_long_as_the_limit_says(length: int) -> None:
    value = "x" * (length - len("X: \r\n"))
    assert len(write_head([("X", value)])) == length


def test_a_longer_head_is_refused_on_both_sides() -> None:
    value = "x" * (limits.HEAD - len("X: \r\n") + 1)
    with pytest.raises(HeaderError, match=r"^a head of 65537 bytes is over the limit of 65536$"):
        write_head([("X", value)])
    with pytest.raises(HeaderError, match=r"^a head of 65537 bytes is over the limit of 65536$"):
        read_response_head(f"X: {value}\r\n".encode())


# ── What the dispatcher makes of it ──────────────────────────────────────────────────────────────


def test_the_dispatcher_takes_from_a_head_what_it_decides_itself() -> None:
    head = block(
        "Content-Type: text/html", "content-length:  007 ", "DATE: now", "X-Accel-Buffering: No", "X-A:\t1 "
    )
    assert read_response_head(head) == ResponseHead(
        block=block("Content-Type: text/html", "DATE: now", "X-A:\t1 "),
        length=7,
        has_date=True,
        unbuffered=True,
    )


def test_an_empty_head_is_sent_on_as_it_is() -> None:
    assert read_response_head(b"") == ResponseHead(b"", None, False, False)


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_fields_that_speak_of_one_connection_are_not_sent_on(name: str) -> None:
    for value in ("close, chunked", "no", "5"):
        head = block(f"{name.title()}: {value}", "X: 1")
        assert read_response_head(head) == ResponseHead(b"X: 1\r\n", None, False, False)


@pytest.mark.parametrize("value", ["yes", "", "none", "n o"])
def test_only_no_asks_for_an_unbuffered_body(value: str) -> None:
    assert read_response_head(block(f"X-Accel-Buffering: {value}")) == ResponseHead(b"", None, False, False)


def test_a_content_length_may_be_repeated_but_not_changed() -> None:
    assert read_response_head(block("Content-Length: 5", "Content-Length: 05")).length == 5
    with pytest.raises(HeaderError, match=r"^a worker's Content-Length cannot be used: b'6'$"):
        read_response_head(block("Content-Length: 5", "Content-Length: 6"))


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.0", "0x10", "1e3", "1 2", "5, 5", "five", "\xb2", "1" * 19, "9" * 5000]
)
def test_a_content_length_is_digits(value: str) -> None:
    with pytest.raises(HeaderError, match=r"^a worker's Content-Length cannot be used: "):
        read_response_head(block(f"Content-Length: {value}"))


@pytest.mark.parametrize(
    "head",
    [
        b"X: 1",
        b"X: 1\r",
        b"X: 1\n",
        b"X: 1\n\r\n",
        b"X: 1\r\n\r\n",
        b"\r\n",
        b"X\r\n",
        b": 1\r\n",
        b"X : 1\r\n",
        b" X: 1\r\n",
        b"X: 1\r\n folded\r\n",
        b"X: 1\r\n\tfolded: 1\r\n",
        b"X: a\0b\r\n",
        b"X: a\rb\r\n",
        b"X: a\x1bb\r\n",
        b"X: a\x7fb\r\n",
        b"X\xe4: 1\r\n",
        b"X\0: 1\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_a_malformed_head_is_refused_whatever_stands_around_it(head: bytes) -> None:
    for around in (b"", b"A: 1\r\n", b"A: %b\r\n" % (b"x" * 2000)):
        with pytest.raises(HeaderError, match=r"^a worker's head is malformed: b"):
            read_response_head(around + head)


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_malformed_head_is_refused_each_time(repeats: int) -> None:
    for _ in range(repeats):
        with pytest.raises(HeaderError):
            read_response_head(b"Bad\r\n")


RESPONSE_NAMES = st.sampled_from(
    ["X-A", "Date", "Content-Length", "content-length", "X-Accel-Buffering", "Connection"]
)
RESPONSE_VALUES = st.sampled_from(["", "no", "5", "6", "close", "x", "\xe4", "\t5 ", "a\0b", "a\nb"])


@given(st.lists(st.tuples(RESPONSE_NAMES, RESPONSE_VALUES), max_size=6))
def test_a_head_means_the_same_whether_it_is_remembered_or_not(fields: list[tuple[str, str]]) -> None:
    short = block(*(f"{name}: {value}" for name, value in fields))
    padding = b"Padding: %b\r\n" % (b"x" * 1024)
    assert outcome(short) == outcome(short)
    long = outcome(short + padding)
    if isinstance(long, ResponseHead):
        assert long.block.endswith(padding)
        long = long._replace(block=long.block.removesuffix(padding))
    assert long == outcome(short)


def outcome(head: bytes) -> ResponseHead | type[HeaderError]:
    try:
        return read_response_head(head)
    except HeaderError:
        return HeaderError


@given(
    st.binary(max_size=40) | st.lists(st.sampled_from([b"\r\n", b"\n", b":", b" ", b"X", b"1"])).map(b"".join)
)
def test_whatever_is_sent_on_is_lines_and_nothing_else(head: bytes) -> None:
    result = outcome(head)
    if isinstance(result, ResponseHead):
        assert re.fullmatch(rb"([^\x00-\x20\x7f-\xff:]+:[\t\x20-\x7e\x80-\xff]*\r\n)*", result.block)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3))
def test_whatever_is_written_can_be_read_by_the_dispatcher(fields: list[tuple[str, str]]) -> None:
    try:
        head = write_head(fields)
    except HeaderError:
        return
    assert outcome(head) is HeaderError or head.count(b"\r\n") == head.count(b"\n") == len(fields)
