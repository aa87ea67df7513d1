from __future__ import annotations

import pytest

from worker.output import Output

Captured = pytest.CaptureFixture[str]


def test_labels_are_padded_to_the_longest(capfd: Captured) -> None:
    output = Output(["ONE", "THREE"])
    output.write("ONE", 1, [b"a", b"b"])
    output.write("THREE", 2, [b"c"])
    assert capfd.readouterr() == ("ONE   | a\nONE   | b\n", "THREE | c\n")


def test_labels_may_be_painted_and_lines_are_left_as_they_are(capfd: Captured) -> None:
    output = Output(["ONE", "THREE"], lambda label, prefix: f"<{label}>{prefix}</>")
    output.write("ONE", 1, ["café".encode()])
    assert capfd.readouterr().out == "<ONE>ONE   |</> café\n"


def test_sentences_of_our_own_have_our_name_or_stand_alone(capfd: Captured) -> None:
    output = Output([])
    output.say("the old processes stay")
    output.tell("LRWP is ready")
    assert capfd.readouterr() == ("LRWP is ready\n", "lrwp: the old processes stay\n")


def test_a_reader_that_is_gone_is_no_error(capfd: Captured) -> None:
    Output([]).write("ONE", 999, [b"nobody reads this"])
