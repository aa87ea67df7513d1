"""Upload: a file that is sent with a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.forms.elements import Element
from worker.forms.tags import tag

if TYPE_CHECKING:
    from markupsafe import Markup
    from wtforms import Field  # type: ignore[import-untyped]  # it ships no types

    from worker.uploads import UploadedFile


class Upload(Element):
    """A file: an UploadedFile, or None if no file was chosen. It is there until the request is over.

    Nothing of it is kept when the form is shown again: a browser lets no page choose a file.

    Args:
        label: what the element is called.
        most: how many bytes the file may have; None for as many as a request can carry.
        accept: the types that the browser offers, such as ``("image/*", ".pdf")``. What comes may be of any
            type: look at what is in the file before you believe it.
        is_optional: whether no file may be sent.
        options: WTForms' own.
    """

    def __init__(
        self,
        label: str | None = None,
        conversion: None = None,
        *,
        most: int | None = None,
        accept: tuple[str, ...] = (),
        is_optional: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(label, conversion, **options)
        self._most = most
        self._accept = accept
        self.flags.required = not is_optional

    def process_formdata(self, valuelist: list[str]) -> None:
        """Take the file from the request; fields that are no files do not count."""
        del valuelist
        self.data = None
        files = self.meta.request.files.getlist(self.name)
        if len(files) > 1:
            raise ValueError("Please choose one file.")
        if files:
            self.data = self._checked(files[0])
        elif self.flags.required:
            raise ValueError("Please choose a file.")

    def widget(self, _: Field, **further: Any) -> Markup:
        """Return the element as HTML."""
        accept = ",".join(self._accept) or None
        attributes = {"type": "file", "accept": accept, **self.attributes(further)}
        return tag("input", attributes)

    def _checked(self, file: UploadedFile) -> UploadedFile:
        if self._most is not None and file.size > self._most:
            raise ValueError(f"Please choose a file of at most {self._most} bytes; this one has {file.size}.")
        return file
