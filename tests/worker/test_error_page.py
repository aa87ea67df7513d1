from __future__ import annotations

import re

import pytest

from worker.error_page import error_page


def text(*arguments) -> str:
    return error_page(*arguments).answer().body.decode()


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 500, 503])
def test_usual_errors_have_a_sentence_for_people(status):
    assert re.search(r"<p>[A-Z].*\.</p>", text(status))


def test_a_page_says_what_it_is_told_and_escapes_it():
    page = text(409, "<b> & you")
    assert "<title>409 Conflict</title>" in page
    assert "<p>&lt;b&gt; &amp; you</p>" in page


def test_a_page_needs_nothing_from_elsewhere():
    assert not re.search(r"https?://|src=|url\(|<script", text(500))


def test_a_page_carries_its_status_type_and_headers():
    answer = error_page(405, "", [("Allow", "GET")]).answer()
    assert (answer.status, answer.head) == (405, b"Allow: GET\r\nContent-Type: text/html; charset=utf-8\r\n")


def test_a_status_without_words_has_a_page_too():
    assert "<h1>Error</h1>" in text(499)
