"""The navigation: links to the pages, as every page shows them, and kept by each worker until one changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from apps.pages import pages
from apps.pages.markup import summarise

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from apps.pages.pages import Page

STANDARD: Final = "Std"
"""The page set that has no heading."""


class Link(NamedTuple):
    """A link to a page.

    Attributes:
        name: of the page.
        text: what the link says.
        summary: how the page begins.
    """

    name: str
    text: str
    summary: str


class Group(NamedTuple):
    """The links to the pages of one set.

    Attributes:
        heading: the name of the set; empty for the standard one.
        links: in the order of their numbers.
    """

    heading: str
    links: tuple[Link, ...]


Groups = tuple[Group, ...]

_known: tuple[int, Groups] = (0, ())
"""A revision, and the links as they were then; one tuple, so that threads never see halves of two."""


def links_at(revision: int, db: Connection) -> Groups:
    """Return the links as they are in a revision that was just read, or a later one.

    An edit that is committed between the two readings is taken for an older one here: the next request
    reads once more, and no request shows what is out of date.
    """
    global _known  # noqa: PLW0603 - what a worker remembers from one request to the next
    known = _known
    if known[0] != revision:
        known = _known = (revision, group(pages.find_all(db)))
    return known[1]


def forget() -> None:
    """Have the next request read the links anew."""
    global _known  # noqa: PLW0603 - as above
    _known = (0, ())


def group(listed: Iterable[Page]) -> Groups:
    """Return the links to pages by set: the standard one, then the others as their first pages stand."""
    sets: dict[str, list[Link]] = {STANDARD: []}
    for each in listed:
        if each.link_text:
            link = Link(each.name, each.link_text, summarise(each.content))
            sets.setdefault(each.page_set, []).append(link)
    return tuple(
        Group("" if name == STANDARD else name, tuple(links)) for name, links in sets.items() if links
    )
