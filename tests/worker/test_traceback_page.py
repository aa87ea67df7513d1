from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker import traceback_page as module
from worker.exchange import Answer, Exchange
from worker.templates import Template, Templates
from worker.traceback_page import FRAMES, Fault, read_faults, traceback_page

BROWSER = b"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"


def exchange(
    head: bytes = BROWSER, *, method: str = "GET", target: bytes = b"/shop/a%20b?key=hunter2"
) -> Exchange:
    return Exchange("shop", "/shop", method, target, head, "http", "127.0.0.1:5", 1, BytesIO())


def raised(function: Callable[[], object]) -> BaseException:
    """Return what a function raises."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def body(answer: Answer) -> str:
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


def faults(function: Callable[[], object]) -> list[Fault]:
    return [*read_faults(raised(function))]


def price_of(article: dict[str, str]) -> str:
    secret = "".join(["hunt", "er2"])  # its value is nowhere in the code
    return article["price"] + secret


def fail() -> None:
    price_of({})


def fail_again() -> None:
    try:
        fail()
    except KeyError as error:
        raise ValueError("<script>alert(1)</script>") from error


# The page


def test_a_page_shows_the_exception_and_the_code_that_raised_it() -> None:
    answer = traceback_page(exchange(), raised(fail))
    page = body(answer)
    assert answer.status == 500
    assert "<title>KeyError: &#39;price&#39;</title>" in page
    assert re.search(r'class="failing">    return article\[&#34;price&#34;\]', page)
    assert "<b>tests/worker/test_traceback_page.py:" in page
    assert "in price_of" in page


def test_a_page_shows_the_method_and_the_path_and_neither_the_query_nor_the_values_of_variables() -> None:
    page = body(traceback_page(exchange(), raised(fail)))
    assert "<code>GET /shop/a b</code>" in page
    assert "hunter2" not in page


def test_whatever_stands_on_a_page_is_escaped() -> None:
    page = body(traceback_page(exchange(target=b"/%3Cscript%3E"), raised(fail_again)))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_a_page_needs_nothing_from_elsewhere_runs_nothing_and_is_not_kept() -> None:
    answer = traceback_page(exchange(), raised(fail))
    assert not re.search(r"https?://|src=|url\(|<script", body(answer))
    assert b"Content-Security-Policy: default-src 'none';" in answer.head
    assert b"Cache-Control: no-store" in answer.head


def test_a_page_has_the_status_that_it_is_given() -> None:
    answer = traceback_page(exchange(), raised(fail), 502)
    assert (answer.status, "<strong>502 Bad Gateway</strong>" in body(answer)) == (502, True)


def test_head_has_no_body() -> None:
    assert traceback_page(exchange(method="HEAD"), raised(fail)).body == b""


@pytest.mark.parametrize("head", [b"", b"Accept: */*\r\n", b"Accept: application/json\r\n"])
def test_who_does_not_ask_for_html_gets_the_traceback_as_text(head: bytes) -> None:
    answer = traceback_page(exchange(head), raised(fail_again))
    assert b"Content-Type: text/plain; charset=utf-8" in answer.head
    text = body(answer)
    assert text.startswith("500 Internal Server Error\nGET /shop/a b\n\nTraceback (most recent call last):\n")
    assert text.endswith("ValueError: <script>alert(1)</script>\n")
    assert "direct cause" in text
    assert "hunter2" not in text


def test_a_page_that_fails_gives_way_to_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_template", lambda: Template("{{ missing }}"))
    with capture_logs() as logs:
        page = body(traceback_page(exchange(), raised(fail)))
    assert "<h1>Internal Server Error</h1>" in page
    assert [line["event"] for line in logs] == ["the traceback page failed"]


# What is on it


def test_the_innermost_call_comes_first() -> None:
    (fault,) = faults(fail)
    (stretch,) = fault.stretches
    assert [frame.function for frame in stretch.frames] == ["price_of", "fail", "raised"]
    assert (stretch.is_own, stretch.is_open) == (True, True)


def test_lines_around_those_that_failed_are_shown() -> None:
    def fail_at_length() -> None:
        raise ValueError(
            "one",
            "two",
        )

    (fault,) = faults(fail_at_length)
    lines = fault.stretches[0].frames[0].lines
    assert [line.text.strip() for line in lines if line.is_failing] == [
        "raise ValueError(",
        '"one",',
        '"two",',
        ")",
    ]
    assert len(lines) == 4 + 2 * 4
    assert lines[4].number == fault.stretches[0].frames[0].number


def test_calls_in_libraries_are_apart_and_folded() -> None:
    def parse() -> None:
        import json

        json.loads("{")

    (fault,) = faults(parse)
    assert [(stretch.is_own, stretch.is_open) for stretch in fault.stretches] == [
        (False, False),
        (True, True),
    ]
    assert fault.kind == "json.decoder.JSONDecodeError"


def test_where_no_call_is_in_own_code_the_innermost_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_own", lambda file: False)
    (fault,) = faults(fail)
    assert [stretch.is_open for stretch in fault.stretches] == [True]


def test_what_an_exception_came_from_is_shown() -> None:
    def fail_meanwhile() -> None:
        try:
            fail_again()
        except ValueError:
            raise RuntimeError from OSError(5, "the disk is full")

    def fail_twice() -> None:
        try:
            fail_meanwhile()
        except RuntimeError:
            raise TypeError  # noqa: B904 - that it says neither is what this is about

    relations = [(fault.relation, fault.kind, fault.text) for fault in faults(fail_twice)]
    assert relations == [
        ("", "TypeError", ""),
        ("which was raised while this was handled", "RuntimeError", ""),
        ("which was caused by", "OSError", "[Errno 5] the disk is full"),
    ]


def test_what_was_suppressed_is_not_shown() -> None:
    def fail_alone() -> None:
        try:
            fail()
        except KeyError:
            raise TypeError from None

    assert [fault.kind for fault in faults(fail_alone)] == ["TypeError"]


def test_the_exceptions_of_a_group_are_shown() -> None:
    def fail_together() -> None:
        raise ExceptionGroup("both", [KeyError("one"), OSError("two")])

    assert [fault.text for fault in faults(fail_together)] == ["both (2 sub-exceptions)", "'one'", "two"]


def test_endless_recursion_is_cut() -> None:
    def recur() -> None:
        recur()

    (fault,) = faults(recur)
    assert sum(len(stretch.frames) for stretch in fault.stretches) == FRAMES
    assert fault.left_out > 100
    page = body(traceback_page(exchange(), raised(recur)))
    assert re.search(r"\d+ calls in the middle are left out", page)


def test_a_syntax_error_shows_the_line_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("one = 1\ntwo = = 2\n")
    (fault,) = faults(lambda: compile(file.read_text(), str(file), "exec"))
    frame = fault.stretches[0].frames[0]
    assert [line.text for line in frame.lines if line.is_failing] == ["two = = 2"]


def test_code_that_is_gone_leaves_its_place(tmp_path: Path) -> None:
    code = compile("1 / 0", str(tmp_path / "gone.py"), "exec")
    (fault,) = faults(lambda: exec(code))
    frame = fault.stretches[0].frames[0]
    assert (frame.file, frame.number, frame.lines) == (str(tmp_path / "gone.py"), 1, [])


def test_an_exception_that_cannot_be_shown_as_text_is_named() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fail_mutely() -> None:
        raise MuteError

    (fault,) = faults(fail_mutely)
    assert fault.kind.endswith("MuteError")
    assert "MuteError" in body(traceback_page(exchange(), raised(fail_mutely)))


# Templates


def test_the_line_of_a_template_in_a_folder_is_shown(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<h1>A page</h1>\n{{ 1 / count }}\n")
    pages = Templates(tmp_path)
    (fault,) = faults(lambda: pages["page.html"].pieces(count=0))
    frame = fault.stretches[0].frames[0]
    assert [line.text for line in frame.lines if line.is_failing] == ["{{ 1 / count }}"]
    assert fault.notes == ["It came up in line 2 of page.html."]
    assert "It came up in line 2 of page.html." in body(
        traceback_page(exchange(), raised(lambda: pages["page.html"].pieces(count=0)))
    )


def test_the_line_of_a_template_in_the_program_is_shown() -> None:
    page = Template("<p>\n{{ missing.thing }}")
    fault, *_ = faults(page.pieces)
    assert fault.kind == "worker.templates.errors.TemplateError"
    assert "line 2 of the template at test_traceback_page.py" in fault.text
    lines = [
        line.text
        for each in faults(page.pieces)
        for stretch in each.stretches
        if stretch.is_own
        for frame in stretch.frames
        for line in frame.lines
        if line.is_failing
    ]
    assert "{{ missing.thing }}" in lines
