"""Markdown, and what cannot be smuggled through it."""

from __future__ import annotations

import re

import pytest

from apps.pages.markup import SUMMARY, render, summarise


def test_markdown_becomes_html() -> None:
    html = render("# One\n\n*two* **three** `four` [five](/page/five)\n\n- six\n\n> seven")
    for part in (
        "<h1>One</h1>",
        "<em>two</em>",
        "<strong>three</strong>",
        "<code>four</code>",
        '<a href="/page/five">five</a>',
        "<li>six</li>",
        "<blockquote>",
    ):
        assert part in html


def test_there_are_tables_and_lines_of_code() -> None:
    assert "<td>b</td>" in render("|a|\n|-|\n|b|")
    assert "<pre><code>&lt;b&gt;\n</code></pre>" in render("```\n<b>\n```")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b onclick=x>b</b>",
        "<style>*{display:none}</style>",
        "<!-- -->",
        "<img src=x onerror=alert(1)>",
        '"><svg/onload=alert(1)>',
        "```<script>\nx\n```",
        "`<script>`",
        "| <script> |\n|-|\n| <script> |",
        '[a](/b "<script>")',
        "<javascript:alert(1)>",
    ],
)
def test_html_is_text(text: str) -> None:
    assert not re.search(r"<(script|b|style|img|svg|!)", render(text))
    assert not re.search(r'href="javascript', render(text), re.IGNORECASE)


@pytest.mark.parametrize(
    "address",
    ["/page/home", "#top", "?a=b:c", "page", "a/b:c", "http://a/", "HTTPS://a/", "mailto:a@b", "//a/"],
)
def test_links_lead_where_a_click_is_harmless(address: str) -> None:
    assert "<a href=" in render(f"[x]({address})")


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "javascript&colon;alert(1)",
        "&#106;avascript:alert(1)",
        "java\\script:alert(1)",
        "data:text/html,x",
        "data:image/png;base64,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://a/",
        "x:y",
        "<javascript:alert(1)>",
    ],
)
def test_other_links_are_text(address: str) -> None:
    assert "<a " not in render(f"[x]({address})")
    assert "<a " not in render(f"[x][1]\n\n[1]: {address}")


def test_there_are_no_images() -> None:
    assert "<img" not in render("![x](/y.png) ![x][1]\n\n[1]: http://tracker/")


def test_a_bold_link_with_a_paragraph_to_itself_is_a_button() -> None:
    button = '<p><strong><a href="/x" class="button">go</a></strong></p>\n'
    assert render("**[go](/x)**") == button
    for text in ("so **[go](/x)**", "[go](/x)", "**[go](/x)** on", "# **[go](/x)**", "**go**"):
        assert "button" not in render(text)


def test_a_summary_is_the_first_words_below_the_heading() -> None:
    assert summarise("# Head\n\nSome *words*,\nand `code`.\n\nMore.") == "Some words, and code."
    assert summarise("# Head") == ""
    assert summarise("# Head\n\n- in a list") == "in a list"


def test_a_summary_ends_between_words() -> None:
    summary = summarise("word " * 100)
    assert len(summary) <= SUMMARY + 2
    assert summary.endswith("word\N{NO-BREAK SPACE}…")


def test_what_is_nested_without_end_is_rendered_in_bounds() -> None:
    for text in (">" * 10_000, "[" * 10_000, "*a " * 10_000, "- " * 5_000, "`" * 10_000 + "a"):
        assert isinstance(render(text), str)
