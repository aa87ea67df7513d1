import re

import pytest

from lrwp.load.matches import escape, matching_lines


def test_the_lines_that_match_are_given_without_white_space_around_them() -> None:
    body = b"<html>\r\n  <h1>Process ONE, call 5</h1>\r\n<p>\n\t<h1>Two</h1>"
    assert list(matching_lines(re.compile("<h1>"), body)) == ["<h1>Process ONE, call 5</h1>", "<h1>Two</h1>"]


def test_a_pattern_is_looked_for_in_each_line_by_itself() -> None:
    assert list(matching_lines(re.compile("^b$"), b"a\nb\nc")) == ["b"]
    assert list(matching_lines(re.compile(r"a\sb"), b"a\nb")) == []


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    assert list(matching_lines(re.compile("caf"), b"caf\xe9")) == ["caf\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü €", "plain ü €"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\tb", r"a\tb"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eabc", r"\u202eabc"),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown
