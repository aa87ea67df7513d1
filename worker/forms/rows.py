"""Rows: the elements of a form with their labels, hints and errors, and a page around them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from worker.templates import Template, Templates

if TYPE_CHECKING:
    from markupsafe import Markup


@cache
def _templates() -> Templates:
    return Templates(".")


def rows(form: Any) -> Markup:
    """Return all elements of a form as HTML."""
    return _templates()["rows.html"].pieces(form=form, shape_of=shape_of).__html__()


def page() -> Template:
    """Return the page that a Formlet shows unless it has one of its own."""
    return _templates()["page.html"]


def shape_of(field: Any) -> str:
    """Return how an element is laid out: ``row``, ``group``, ``check`` or ``hidden``; WTForms' own, too."""
    kind = getattr(field.widget, "input_type", "")
    return getattr(field, "shape", None) or {"hidden": "hidden", "checkbox": "check"}.get(kind, "row")
