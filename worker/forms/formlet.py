"""Formlet: a servlet for a form. GET shows it; POST checks it and saves it, or shows it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.csrf import check_csrf, csrf_field
from worker.errors import ContentError, HttpError, NotProvidedError
from worker.forms.errors import InputError
from worker.forms.rows import page
from worker.response import Response, redirect
from worker.servlet import Servlet

if TYPE_CHECKING:
    from worker.forms.form import Form
    from worker.templates import Template


class Formlet(Servlet):
    """The base of servlets with a form.

    Attributes:
        form: the form.
        template: the page around it; it is given ``form``, ``csrf``, ``heading``, ``button``, ``request`` and
            what :meth:`context` returns. Unless there is one, the form has a plain page to itself.
        heading: what the page is called.
        button: what stands on the button that sends the form.
        loaded: what :meth:`load` returned for this request.
    """

    form: type[Form]
    template: Template | None = None
    heading = ""
    button = "Save"
    loaded: Any = None

    def load(self) -> Any:
        """Return the values that the form begins with, by name or as attributes; None for a 404.

        It is called before a form is saved, too: who may not see a record may not change it.
        """
        return {}

    def save(self, data: dict[str, Any]) -> Response | str:
        """Save what was typed, and return where to go on: a location, or a Response.

        Args:
            data: the values of the form by the names of its elements, checked and converted.

        Raises:
            InputError: it cannot be saved. What was written to ``db`` is rolled back, and the form is shown
                again with the sentence in its place.
        """
        raise NotImplementedError

    def context(self) -> dict[str, Any]:
        """Return what the template needs besides the form."""
        return {}

    def get(self) -> Response:
        """Show the form."""
        self._load()
        return self.show(self.form.filled(self.request, self.loaded))

    def post(self) -> Response:
        """Save the form, or show it again with what was typed and what is wrong with it."""
        check_csrf(self.request)
        self._load()
        form = self.form.sent(self.request)
        if not form.validate():
            return self.show(form, 422)
        try:
            result = self.save(form.data)
        except InputError as error:
            self._roll_back()
            form.refuse(error)
            return self.show(form, 422)
        if isinstance(result, str):
            return redirect(result)
        if isinstance(result, Response):
            return result
        raise ContentError(f"{type(self).__qualname__}.save must return where to go on, not {result!r:.100}")

    def show(self, form: Form, status: int = 200) -> Response:
        """Return the page with the form."""
        template = self.template or page()
        pieces = template.pieces(
            form=form,
            csrf=csrf_field(self.request),
            heading=self.heading,
            button=self.button,
            request=self.request,
            **self.context(),
        )
        # Shown again by the "back" button as it was left, but not to the next user of a shared cache.
        return Response(pieces, status, [("Cache-Control", "private, no-cache")])

    def _roll_back(self) -> None:
        try:
            self.db.rollback()
        except (HttpError, NotProvidedError):
            return  # there is no database, or none at the moment: nothing was written

    def _load(self) -> None:
        self.loaded = self.load()
        if self.loaded is None:
            raise HttpError(404)
