"""Editing: the list of pages, and the forms in which editors make, change and delete them.

Nobody overwrites what they have not seen. A form carries the version that it began with; who sends it when
there is another one is shown that beside what they typed, and decides.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from apps.pages import pages
from apps.pages.layout import KINDS, SiteFormlet, address_of, around, templates
from apps.pages.login import require_editor
from apps.pages.navigation import STANDARD
from apps.pages.pages import ERROR, NEEDED, NEW, Page, StaleError
from apps.pages.schema import LINK_TEXT, NAME, PAGE_SET
from worker import Form, Response
from worker.csrf import csrf_field
from worker.forms import Choice, Entry, Hidden, InputError, Integer, Memo, Pick, Text

if TYPE_CHECKING:
    from worker import Request

_MOST: Final = 9999
"""The largest number of a page: four digits are enough for a table of contents."""

_STEP: Final = 10
"""What a new page's number is above the last one's, so that others fit between."""

_LONGEST: Final = 100_000
"""Most characters of a content: a chapter of a book."""

_NAME: Final = re.compile(rf"\w[\w.-]{{0,{NAME - 1}}}")

_CHANGED: Final = (
    "Somebody else has changed this page while you were typing. Below is what it is now: "
    "take over what you need, and save again to replace it."
)
_DELETED: Final = "Somebody else has deleted this page while you were typing. Save again to make it anew."
_SEEN_OTHERWISE: Final = (
    "Somebody else has changed this page since you asked to delete it. Look at what it is now, and decide."
)


def list_pages(request: Request) -> Response:
    """Show all pages, those too that nothing links to."""
    editor = require_editor(request)
    pieces = templates["list.html"].pieces(
        request=request,
        pages=pages.find_all(request.db),
        editor=editor,
        csrf=csrf_field(request),
        **around(request),
    )
    return Response(pieces, headers=[("Cache-Control", "private, no-cache")])


class Name(Text):
    """The name of a page, as it stands in its address; letters may be of any alphabet."""

    def __init__(self) -> None:
        super().__init__(NAME)

    def read(self, text: str) -> str:
        """Return the name, in the spelling that Unicode calls composed: ü is one letter, not two."""
        name = super().read(unicodedata.normalize("NFC", text))
        if not _NAME.fullmatch(name):
            raise ValueError(
                "Please use only letters, digits, underscores, hyphens and points, "
                "with neither a hyphen nor a point in front."
            )
        return name


class NewForm(Form):
    """A page that is to be made."""

    name = Entry("Name", Name(), description="It is the address of the page, and stays what it is.")
    link_text = Entry(
        "Link text",
        Text(LINK_TEXT, least=0),
        description="What links to the page say. Without it, none lead there.",
    )
    number = Entry("Number", Integer(0, _MOST), description="The order in the navigation.")
    page_set = Entry("Page set", Text(PAGE_SET), description=f"{STANDARD}, or the heading above such pages.")
    template = Pick("Template", Choice(KINDS))
    content = Memo(
        "Content",
        Text(_LONGEST),
        description="In Markdown, as the page “Writing a page” tells.",
        render_kw={"rows": 18},
    )


class EditForm(NewForm):
    """A page that is to be changed; its name is its address, and stays."""

    name = None  # type: ignore[assignment]  # so WTForms leaves out what is inherited
    version = Hidden("Version", Integer(NEW))


class DeleteForm(Form):
    """What is to be deleted."""

    version = Hidden("Version", Integer(NEW))


class EditorFormlet(SiteFormlet):
    """A form for editors.

    Attributes:
        editor: who edits.
        name: of the page that is edited; empty for a new one.
        is_stale: whether the form was sent for another version than the one there is.
    """

    editor = ""
    name = ""
    is_stale = False

    def load(self) -> Any:
        """Return what the form begins with, for an editor.

        Raises:
            LoginNeededError: it is none.
        """
        self.editor = require_editor(self.request)
        return self.begin()

    def begin(self) -> Any:
        """Return what the form begins with; None for a 404."""
        raise NotImplementedError

    def context(self) -> dict[str, Any]:
        """Return what the layout needs."""
        return {
            **super().context(),
            "editor": self.editor,
            "name": self.name,
            "current": self.name,
            "now": self.loaded,
            "is_stale": self.is_stale,
        }


class New(EditorFormlet):
    """The form for a new page."""

    form = NewForm
    template = templates["edit.html"]
    heading = "A new page"
    button = "Create the page"

    def begin(self) -> dict[str, Any]:
        """Return what most new pages have: a place behind all others."""
        last = max((each.number for each in pages.find_all(self.db) if each.name != ERROR), default=0)
        return {"number": min(last + _STEP, _MOST), "page_set": STANDARD, "template": "standard"}

    def save(self, data: dict[str, Any]) -> str:
        """Create the page, unless there is one."""
        name = data.pop("name")
        try:
            pages.save(self.db, name, data, NEW)
        except StaleError:
            raise InputError("There is a page of this name already: choose another name.", "name") from None
        return address_of(self.request, name)


class VersionedFormlet(EditorFormlet):
    """A form for a version of a page.

    Attributes:
        name: of the page.
    """

    loaded: Page | None

    def begin(self) -> Page | None:
        """Return the page."""
        return pages.find(self.db, self.name)

    def complain(self, sentence: str) -> InputError:
        """Return the error of who has not seen what there is now, which the form is going to show."""
        self.is_stale = True
        self.loaded = pages.find(self.db, self.name)
        return InputError(sentence)

    def show(self, form: Form, status: int = 200) -> Response:
        """Return the page with the form, which is for the version that it shows."""
        if self.is_stale:
            form.version.raw_data = None
            form.version.data = self.loaded.version if self.loaded else NEW
        return super().show(form, status)


class Edit(VersionedFormlet):
    """The form for a page."""

    form = EditForm
    template = templates["edit.html"]
    button = "Save the page"

    @property
    def heading(self) -> str:  # type: ignore[override]  # it is not the same for every page
        """What the form is called."""
        return f"Edit {self.name}"

    def begin(self) -> Any:
        """Return the page.

        Of one that is gone when the form is sent, nothing: what was typed for it must not be lost in a 404.
        """
        page = super().begin()
        if page is None and self.request.method == "POST" and _NAME.fullmatch(self.name):
            return {}
        return page

    def save(self, data: dict[str, Any]) -> str:
        """Replace the version that the form began with."""
        version = data.pop("version")
        try:
            pages.save(self.db, self.name, data, version)
        except StaleError:
            is_there = pages.find(self.db, self.name) is not None
            raise self.complain(_CHANGED if is_there else _DELETED) from None
        return address_of(self.request, self.name)


class Delete(VersionedFormlet):
    """The question whether a page is to be deleted."""

    form = DeleteForm
    template = templates["delete.html"]
    button = "Delete the page"

    @property
    def heading(self) -> str:  # type: ignore[override]  # as above
        """What the question is."""
        return f"Delete {self.name}?"

    def save(self, data: dict[str, Any]) -> str:
        """Delete the version that was shown."""
        if self.name in NEEDED:
            raise InputError("The site needs this page: change it instead.")
        try:
            pages.remove(self.db, self.name, data["version"])
        except StaleError:
            raise self.complain(_SEEN_OTHERWISE) from None
        return self.request.url_for("list_pages")
