from __future__ import annotations

import os
import signal

import pytest

from worker.child import Process, describe_end, tell_news, tell_wear


def test_one_byte_says_that_a_process_is_ready() -> None:
    process = Process("ONE", 12, 0.0)
    assert (process.is_ready, process.failure) == (False, "")
    process.take_report(b"+")
    assert (process.is_ready, process.failure) == (True, "")


def test_a_sentence_says_why_a_process_will_never_be_ready_however_it_arrives() -> None:
    process = Process("ONE", 12, 0.0)
    for byte in "!no café".encode():
        process.take_report(bytes([byte]))
    assert (process.is_ready, process.failure) == (False, "no café")


def test_a_process_that_was_ready_may_still_say_why_it_went() -> None:
    process = Process("ONE", 12, 0.0)
    process.take_report(b"+!the secret was changed")
    assert (process.is_ready, process.failure) == (True, "the secret was changed")


def test_a_process_names_its_files_however_they_arrive() -> None:
    process = Process("ONE", 12, 0.0)
    for byte in b"@1/2/3 /shop/a file!.py\n+@- /shop/two.py\n!no":
        process.take_report(bytes([byte]))
    assert process.files == {"/shop/a file!.py": "1/2/3", "/shop/two.py": "-"}
    assert (process.is_ready, process.failure) == (True, "no")


def test_a_process_promises_another_sign_of_life() -> None:
    process = Process("ONE", 12, 0.0)
    assert process.promise is None
    process.take_report(b"~65.5\n~66.000")
    assert process.promise == 65.5
    process.take_report(b"\n")
    assert (process.promise, process.is_ready) == (66.0, False)


def test_a_process_says_that_it_is_worn() -> None:
    process = Process("ONE", 12, 0.0)
    process.take_report(b"+^")
    assert not process.is_worn
    process.take_report(b"\n")
    assert (process.is_worn, process.is_ready) == (True, True)


def test_a_pool_says_how_its_replacing_goes_in_lines_of_bounded_length() -> None:
    process = Process("ONE", 12, 0.0)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        tell_news(writer, "failed line 3\nis not Python")
        tell_news(writer, "x" * 10_000)
        os.close(writer)
        process.take_report(file.read())
    assert process.news == ["failed line 3 is not Python", "x" * 2000]


def test_nobody_listening_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    tell_wear(writer)
    tell_news(writer, "done")
    os.close(writer)


def test_a_process_says_who_it_is() -> None:
    process = Process("ONE", 12, 0.0)
    assert repr(process) == "<Process ONE, 12>"
    process.take_report(b"+")
    assert repr(process) == "<Process ONE, 12, ready>"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-40, "was killed by signal 40"),
    ],
)
def test_an_end_is_described(code: int, words: str) -> None:
    assert describe_end(code) == words
