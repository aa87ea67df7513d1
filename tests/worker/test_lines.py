from __future__ import annotations

from worker.lines import LONGEST, Lines


def test_lines_come_out_when_they_end_however_they_arrive() -> None:
    lines = Lines()
    assert [lines.feed(bytes([byte])) for byte in b"a\n\nb"] == [[], [b"a"], [b""], []]
    assert lines.rest() == b"b"
    assert lines.rest() == b""


def test_many_lines_may_come_at_once() -> None:
    assert Lines().feed(b"a\nb\nc\n") == [b"a", b"b", b"c"]


def test_a_line_without_an_end_is_passed_on_in_parts() -> None:
    lines = Lines()
    assert lines.feed(b"x" * (2 * LONGEST + 1)) == [b"x" * LONGEST] * 2
    assert lines.rest() == b"x"
