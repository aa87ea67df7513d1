"""The site: what everybody may read.

None of it looks at the session, so that everybody is shown the same, and a browser that has it already is
told so by an entity tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apps.pages import pages
from apps.pages.layout import EDITION, around, template_of, templates
from apps.pages.pages import ERROR, HOME
from worker import HttpError, Response, not_modified
from worker.error_page import error_page

if TYPE_CHECKING:
    from apps.pages.pages import Page
    from worker import Request
    from worker.handlers import Responder

_POLICY: Final = [
    # No script runs, whatever gets into a page. Styles in it are those of the toolkit's own error pages.
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    ("Referrer-Policy", "same-origin"),
]


def with_policy(responder: Responder) -> Responder:
    """Return a responder that does the same, and tells browsers what they need not put up with."""

    def respond(request: Request) -> Response:
        response = responder(request)
        for name, value in _POLICY:
            response.set_header(name, value)
        return response

    return respond


def show_home(request: Request) -> Response:
    """Show the page that the site begins with."""
    return show(request, HOME)


def show(request: Request, name: str) -> Response:
    """Show a page.

    Raises:
        HttpError: 404, there is none of this name.
    """
    revision, page = pages.find_at_revision(request.db, name)
    if page is None:
        raise HttpError(404)
    etag = f"{revision}-{EDITION}"  # of all pages, because each shows links to all
    if request.has_seen(etag):
        return not_modified(etag)
    response = draw(request, page, revision)
    response.etag = etag
    return response


def show_error(request: Request, error: HttpError) -> Response:
    """Show the page ERROR where there is nothing else to be shown."""
    revision, page = pages.find_at_revision(request.db, ERROR)
    if page is None:
        return error_page(error.status, error.sentence)
    return draw(request, page, revision, error.status)


def refuse(request: Request, error: HttpError) -> Response:
    """Say in the site's own layout why something was not done."""
    pieces = templates["refused.html"].pieces(request=request, sentence=error.sentence, **around(request))
    return Response(pieces, error.status)


def draw(request: Request, page: Page, revision: int, status: int = 200) -> Response:
    """Return a page in its layout; a browser may keep it, and asks before it shows it again."""
    template = template_of(page.template)
    pieces = template.pieces(request=request, page=page, **around(request, revision, page.name))
    return Response(pieces, status, [("Cache-Control", "no-cache")])
