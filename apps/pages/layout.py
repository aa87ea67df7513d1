"""The layout: what stands around every page."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from apps.pages import pages
from apps.pages.markup import render
from apps.pages.navigation import links_at
from worker import Formlet, Templates

if TYPE_CHECKING:
    from worker import Request, Template


def _edition() -> str:
    files = sorted(
        path for path in Path(__file__).parent.rglob("*.*") if path.suffix in {".py", ".html", ".css"}
    )
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


EDITION: Final = _edition()
"""What tells this program from the one before it: browsers keep nothing of that one."""

KINDS: Final = {
    "standard": "text",
    "links": "text, then links to all pages",
    "notice": "a few words, large",
}
"""What the template of a page may be, and what people read of it."""


def address_of(request: Request, name: str) -> str:
    """Return the address of a page; that of the site for the page that it begins with."""
    return request.url_for("show_home") if name == pages.HOME else request.url_for("show", name=name)


templates: Final = Templates(
    "templates",
    filters={"markdown": render},
    values={"address_of": address_of, "edition": EDITION, "needed": pages.NEEDED},
)


def template_of(kind: str) -> Template:
    """Return the template of a page; the standard one for what is none any more."""
    return templates[f"{kind if kind in KINDS else 'standard'}.html"]


def around(request: Request, revision: int = 0, current: str = "") -> dict[str, Any]:
    """Return what the layout needs.

    Args:
        request: the request that is answered.
        revision: the one of what is shown, if it was read already.
        current: the name of the page that is shown.
    """
    groups = links_at(revision or pages.read_revision(request.db), request.db)
    return {"groups": groups, "current": current}


class SiteFormlet(Formlet):
    """A form in the layout of the site."""

    def context(self) -> dict[str, Any]:
        """Return what the layout needs."""
        return around(self.request)
