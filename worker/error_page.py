"""The page of an error: small, complete in itself, and without a word of the request in it."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING, Final

from worker.errors import phrase
from worker.response import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

_SENTENCES: Final = {
    400: "The request cannot be understood as it was sent.",
    403: "You may not see this page.",
    404: "There is no page at this address.",
    405: "This page cannot be used in this way.",
    412: "Somebody else changed this in the meantime, so nothing was done.",
    413: "The request is larger than this page accepts.",
    415: "The request is of a kind that this page does not read.",
    416: "There is no such part of this.",
    500: "Something went wrong on our side, and it was noted.",
    507: "There is no room for this at the moment.",
    503: "This page cannot be shown at the moment. Please try again soon.",
}
"""What a page says when nobody found better words."""

_PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$status $phrase</title>
<style>
  :root { color-scheme: light dark; --paper: #f7f5f0; --ink: #25262b; --accent: #a4452c }
  @media (prefers-color-scheme: dark) { :root { --paper: #17181b; --ink: #e6e4df; --accent: #e8927c } }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center;
         font: 1.1rem/1.6 system-ui, sans-serif; background: var(--paper); color: var(--ink) }
  main { max-width: 28rem; padding: 2rem }
  strong { color: var(--accent); letter-spacing: .1em }
  h1 { margin: 0; font-size: 2rem; line-height: 1.2 }
</style>
<main>
<strong>$status</strong>
<h1>$phrase</h1>
<p>$sentence</p>
</main>
</html>
""")


def error_page(status: int, sentence: str = "", headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return a page that names a status and says ``sentence``, or what usually is said of that status."""
    page = _PAGE.substitute(
        status=status,
        phrase=escape(phrase(status)),
        sentence=escape(sentence or _SENTENCES.get(status, "")),
    )
    return Response(page, status, headers)
