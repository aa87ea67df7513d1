"""Form: the elements of a page, filled from a record or with what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import wtforms  # type: ignore[import-untyped]  # it ships no types

from worker.csrf import FIELD
from worker.forms.errors import FormError
from worker.forms.rows import rows, shape_of
from worker.forms.upload import Upload

if TYPE_CHECKING:
    from markupsafe import Markup

    from worker.forms.errors import InputError
    from worker.request import Request


class Form(wtforms.Form):  # type: ignore[misc]  # it ships no types
    """The base of forms: a class whose attributes are elements.

    ``{{ form }}`` in a template shows all of them, with labels and with what is wrong; ``{{ form.title }}``
    shows one element alone. ``validate_NAME(form, element)`` is a check of one's own for an element.

    Raises:
        FormError: an element has a name that the form needs for itself.
    """

    class Meta:
        """What WTForms asks how to do."""

        request: Request | None = None

        def render_field(self, field: Any, render_kw: dict[str, Any]) -> Any:
            """Show an element; what is said about it is tied to it for those who cannot see the page."""
            return super().render_field(field, _spoken(field) | render_kw)  # type: ignore[misc]  # WTForms adds the base

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            if hasattr(value, "_formfield") and (name == FIELD or hasattr(Form, name)):
                raise FormError(f"{cls.__name__} cannot have an element {name}: the form itself has {name}")

    @classmethod
    def filled(cls, request: Request, values: Any = None) -> Self:
        """Return the form filled with values: a mapping, or an object that has them as attributes."""
        meta = {"request": request}
        return cls(data=values, meta=meta) if isinstance(values, Mapping) else cls(obj=values, meta=meta)

    @classmethod
    def sent(cls, request: Request) -> Self:
        """Return the form filled with what was sent, to be checked with ``validate()``.

        Raises:
            HttpError: 400, 413 or 415, what was sent cannot be read as a form.
        """
        return cls(request.form, meta={"request": request})

    @property
    def enctype(self) -> str:
        """How a browser must send the form."""
        has_files = any(isinstance(field, Upload) for field in self)
        return "multipart/form-data" if has_files else "application/x-www-form-urlencoded"

    def refuse(self, error: InputError) -> None:
        """Add an error that came up later than ``validate()``.

        Raises:
            FormError: it is about an element that the form does not have.
        """
        if not error.field:
            self.form_errors.append(error.sentence)
        elif error.field in self:
            self[error.field].errors = [*self[error.field].errors, error.sentence]
        else:
            raise FormError(f"{type(self).__name__} has no element {error.field}, which an InputError names")

    def __html__(self) -> Markup:
        return rows(self)


def _spoken(field: Any) -> dict[str, Any]:
    """Return the attributes that tell a screen reader what else the page says about an element."""
    if shape_of(field) == "hidden":
        return {}
    notes = [f"{field.id}-hint"] * bool(field.description) + [f"{field.id}-errors"] * bool(field.errors)
    spoken: dict[str, Any] = {"aria-describedby": " ".join(notes)} if notes else {}
    return spoken | {"aria-invalid": "true"} if field.errors else spoken
