"""Errors in templates, and where in a template they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

from protocol.errors import LrwpError

if TYPE_CHECKING:
    from collections.abc import Mapping


class TemplateError(LrwpError):
    """A template that is missing, malformed or used wrongly; the sentence names it and the line."""


def explained(error: jinja2.TemplateError, names: Mapping[str, str]) -> TemplateError:
    """Return an error of Jinja's as ours, with the place in its sentence.

    Args:
        error: what Jinja raised.
        names: what messages call a template, by the file that it is from.
    """
    if isinstance(error, jinja2.TemplateSyntaxError):
        place = f"line {error.lineno} of {names.get(error.filename or '', error.name)}"
    else:
        place = place_of(error, names)
    return TemplateError(f"{place}: {error.message}" if place else str(error.message))


def place_of(error: Exception, names: Mapping[str, str]) -> str:
    """Return the line of a template in which an exception was raised; nothing if it was in none.

    Jinja has put the lines of templates into the traceback, in place of those of its own code.
    """
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        name = names.get(traceback.tb_frame.f_code.co_filename)
        if name is not None:
            place = f"line {traceback.tb_lineno} of {name}"
        traceback = traceback.tb_next
    return place
