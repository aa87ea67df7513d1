"""Filling in: what a browser would send of a form on a page, for tests.

::

    form = fill(client.get("/page/home/edit").text, {"title": "Home", "days": ["mon", "tue"], "done": True})
    client.request(form.method, form.action or "/page/home/edit", form=form.fields)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Final, NamedTuple

_NEW_LINE: Final = re.compile(r"\r\n?|\n")
_FIRST_LINE_END: Final = re.compile(r"\A(\r\n?|\n)")

Typed = Mapping[str, str | bool | Sequence[str]]

_NOT_SENT: Final = frozenset({"submit", "button", "reset", "image", "file"})
"""Kinds of input that are not sent with a form whose button has no name; files go another way."""


class Filled(NamedTuple):
    """A form as it would be sent.

    Attributes:
        method: in upper case.
        action: where to; empty for the page's own address.
        fields: names and values.
    """

    method: str
    action: str
    fields: list[tuple[str, str]]


class _Control:
    """What is sent under one name: a text, or those of several options that are chosen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.has_lines = False
        self.values: list[str] = []
        self.options: list[str] | None = None

    def offer(self, value: str, *, is_chosen: bool) -> None:
        """Add an option."""
        self.options = [*(self.options or ()), value]
        self.values += [value] * is_chosen

    def set(self, typed: str | bool | Sequence[str]) -> None:
        """Type or choose something else."""
        if isinstance(typed, bool):
            values = (self.options or ["on"]) if typed else []
        else:
            values = [typed] if isinstance(typed, str) else [*typed]
        if self.has_lines:
            values = [_NEW_LINE.sub("\r\n", value) for value in values]
        for value in values:
            if self.options is not None and value not in self.options:
                raise LookupError(f"{self.name} has no option {value!r}, only {', '.join(self.options)}")
        self.values = values


class _Forms(HTMLParser):
    """The forms of a page, with their controls as the page shows them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, str, dict[str, _Control]]] = []
        self._select: _Control | None = None
        self._textarea: _Control | None = None
        self._is_in_form = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("method", "get").upper(), given.get("action", ""), {}))
            self._is_in_form = True
        elif tag == "option" and self._select is not None:
            self._select.offer(given.get("value", ""), is_chosen="selected" in given)
        elif self._is_in_form and given.get("name") and "disabled" not in given:
            self._add(tag, given)

    def _add(self, tag: str, given: dict[str, str]) -> None:
        name, kind = given["name"], given.get("type", "text")
        if tag not in {"input", "select", "textarea"} or (tag == "input" and kind in _NOT_SENT):
            return
        control = self.forms[-1][2].setdefault(name, _Control(name))
        if tag == "select":
            self._select = control
        elif tag == "textarea":
            self._textarea = control
            control.has_lines = True
            control.values.append("")
        elif kind in {"checkbox", "radio"}:
            control.offer(given.get("value", "on"), is_chosen="checked" in given)
        else:
            control.values.append(given.get("value", ""))

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self._textarea.values[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._textarea is not None:
            values = self._textarea.values
            # One new line after the start tag is none of the text (HTML Standard §13.2.6.4.7).
            values[-1] = _NEW_LINE.sub("\r\n", _FIRST_LINE_END.sub("", values[-1]))
            self._textarea = None
        elif tag == "select" and self._select is not None:
            if not self._select.values:  # nothing is marked: a browser shows the first, and sends it
                self._select.values = (self._select.options or [])[:1]
            self._select = None
        elif tag == "form":
            self._is_in_form = False


def fill(page: str, typed: Typed) -> Filled:
    """Return the first form of a page that has all that is typed, filled in.

    Args:
        page: the page, as HTML.
        typed: by the names of controls, a text, the value of an option, the values of several, or for a box
            whether it is ticked. What is not named is sent as the page shows it.

    Raises:
        LookupError: no form has all of these controls, or one of them does not offer such an option.
    """
    forms = _Forms(page).forms
    for method, action, controls in forms:
        if controls.keys() >= typed.keys():
            for name, value in typed.items():
                controls[name].set(value)
            fields = [(name, value) for name, control in controls.items() for value in control.values]
            return Filled(method, action, fields)
    shown = "; ".join(", ".join(controls) or "nothing" for *_, controls in forms) or "none at all"
    raise LookupError(f"no form of the page has all of {', '.join(typed)}; its forms have: {shown}")
