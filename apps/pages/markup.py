"""Markup: the Markdown that pages are written in, and the HTML that it becomes.

HTML in it is text, images are none, and links lead only where a click is harmless. So whoever may write pages
can do nothing to who reads them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from markdown_it import MarkdownIt
from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_BEFORE_PATH: Final = re.compile(r"[^/?#]*")

_BUTTON: Final = ["strong_open", "link_open", "text", "link_close", "strong_close"]
"""A paragraph of these alone is a button: a link in bold, and nothing beside it."""

SUMMARY: Final = 110
"""Most characters of a summary: two to three lines on a card."""

_BEGINNING: Final = 2000
"""Characters that are read for a summary. What the navigation of all pages costs is so bounded, whatever
somebody writes into one of them: 100,000 square brackets take the parser seconds."""

_KEPT: Final = 256
"""Pages of which the HTML is kept. One of 1.4 KB takes 0.4 ms to render, and less than 1 µs to be found."""


def _is_harmless(address: str) -> bool:
    """Whether an address has no scheme or a known one; what is named is allowed, not what is known as bad."""
    before_path = _BEFORE_PATH.match(address)
    scheme, colon, _ = before_path[0].partition(":") if before_path else ("", "", "")
    return not colon or scheme.lower() in _SCHEMES


def _mark_buttons(state: StateCore) -> None:
    for opening, inline in pairwise(state.tokens):
        children = _worded(inline)
        if opening.type == "paragraph_open" and [child.type for child in children] == _BUTTON:
            children[1].attrSet("class", "button")


def _worded(inline: Token) -> list[Token]:
    """Return what is in a line, without the empty texts that stand around marks."""
    return [child for child in inline.children or () if child.type != "text" or child.content]


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.validateLink = _is_harmless  # type: ignore[method-assign, assignment]  # the way to replace it
    parser.core.ruler.push("buttons", _mark_buttons)
    return parser


_PARSER: Final = _parser()


@lru_cache(_KEPT)
def render(content: str) -> Markup:
    """Return the HTML of a page's content.

    It is kept by the content itself, which is the one key that cannot be out of date.
    """
    return Markup(_PARSER.render(content))  # noqa: S704 - the parser escapes all but its own tags


def summarise(content: str) -> str:
    """Return the words with which a content begins, below its headings; empty if there are none."""
    tokens = _PARSER.parse(content[:_BEGINNING])
    for opening, inline in pairwise(tokens):
        if opening.type == "paragraph_open" and (words := _words(inline)):
            return (
                words if len(words) <= SUMMARY else f"{words[:SUMMARY].rpartition(' ')[0]}\N{NO-BREAK SPACE}…"
            )
    return ""


def _words(inline: Token) -> str:
    children = inline.children or ()
    return " ".join(
        "".join(child.content or " " * child.type.endswith("break") for child in children).split()
    )
