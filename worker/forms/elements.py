"""Elements: how a value is shown and typed. Each is a field of WTForms with a conversion behind it.

What was typed is kept as it came, so that a form that is shown again shows exactly that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup
from wtforms import Field  # type: ignore[import-untyped]  # it ships no types
from wtforms.validators import StopValidation  # type: ignore[import-untyped]  # the same

from worker.forms.conversions import Conversion, ListOf, Text, YesOrNo, require_conversion
from worker.forms.errors import FormError
from worker.forms.tags import tag

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that nobody types: they break databases (NUL), logs and whatever reads the text next."""

_LINE_ENDS: Final = re.compile(r"[\n\u2028\u2029]")
_NEW_LINE: Final = re.compile(r"\r\n?")
"""Browsers send CR LF for a new line, whatever was shown to them."""

_REPEATED: Final = "This was sent more than once."
_NOT_TEXT: Final = "There are characters in this that cannot be kept. Please type it anew."


class Element(Field):  # type: ignore[misc]  # WTForms ships no types
    """The base of elements.

    Args:
        label: what the element is called; its name in the form, unless it is given.
        conversion: what may be typed, and what it stands for.
        options: WTForms' own: validators, description, default, render_kw, and more.

    Attributes:
        usual: the conversion, unless another is given.
        shape: how the element is laid out: ``row``, ``group``, ``check`` or ``hidden``.

    Raises:
        FormError: the element has no way to show what the conversion reads.
    """

    usual: Conversion = Text()
    shape = "row"

    def __new__(cls, label: str | None = None, conversion: Conversion | None = None, **options: Any) -> Any:
        """Return a description of the element, of which WTForms makes one for each form."""
        if "_form" not in options:
            cls.check_conversion(conversion or cls.usual)
        return super().__new__(cls, label, conversion, **options)

    def __init__(
        self, label: str | None = None, conversion: Conversion | None = None, **options: Any
    ) -> None:
        super().__init__(label, **options)
        self.conversion = (conversion or self.usual).bound_to(getattr(self.meta, "request", None))
        self.flags.required = not self.conversion.is_optional

    @classmethod
    def check_conversion(cls, conversion: Conversion) -> None:
        """Raise FormError if this element cannot show what a conversion reads."""
        require_conversion(conversion)
        if isinstance(conversion, ListOf):
            raise FormError(f"{cls.__name__} cannot show a list: use Memo for lines, or Pick for options")

    def text_of(self, typed: str) -> str:
        """Return what was typed, as conversions read it.

        Raises:
            ValueError: it is nothing that somebody typed here.
        """
        text = typed.strip()
        if _CONTROLS.search(text) or _LINE_ENDS.search(text):
            raise ValueError(_NOT_TEXT)
        return text

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read what was sent; WTForms keeps it, and the sentence of a ValueError."""
        self.data = None
        if len(valuelist) > 1:
            raise ValueError(_REPEATED)
        # What was not sent is like what was sent empty: of a button that is not pressed nothing is sent.
        self.data = self.conversion.read(self.text_of(valuelist[0] if valuelist else ""))

    def pre_validate(self, form: Any) -> None:
        """Spare validators what is no value."""
        del form
        if self.process_errors:
            raise StopValidation

    def attributes(self, further: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of the element and of its conversion, and those that the page adds."""
        return {
            "id": self.id,
            "name": self.name,
            "required": bool(self.flags.required),
            **self.conversion.attributes,
            **further,
        }

    def _value(self) -> str:
        """Return what to show: what was typed if the form was sent, else the value."""
        if self.raw_data is not None:
            return self.raw_data[0] if self.raw_data else ""
        return "" if self.data is None else self.conversion.write(self.data)


class Entry(Element):
    """One line of text."""

    input_type = "text"

    def widget(self, _: Field, **further: Any) -> Markup:
        """Return the element as HTML."""
        attributes = {"type": self.input_type, "value": self._value(), **self.attributes(further)}
        if self.process_errors:
            # An input for dates shows nothing at all of what is no date; this one shows what was typed.
            attributes["type"] = self.input_type
        return tag("input", attributes)


class Secret(Entry):
    """One line that nobody looking on can read. It is never shown again, and spaces in it count."""

    input_type = "password"

    def text_of(self, typed: str) -> str:
        """Return what was typed, with its spaces."""
        super().text_of(typed)
        return typed

    def _value(self) -> str:
        return ""


class Hidden(Entry):
    """A value that the page carries for the program. Who sends the form can change it all the same."""

    shape = "hidden"
    input_type = "hidden"

    def attributes(self, further: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an element that nobody sees has for attributes."""
        return {"id": self.id, "name": self.name, **further}


class Memo(Element):
    """Several lines of text; with a ListOf, a value on each."""

    @classmethod
    def check_conversion(cls, conversion: Conversion) -> None:
        """Raise FormError if it is no conversion; lines can show whatever can be written."""
        if not isinstance(conversion, ListOf):
            super().check_conversion(conversion)

    def text_of(self, typed: str) -> str:
        """Return what was typed, with its spaces, and with LF between the lines."""
        text = _NEW_LINE.sub("\n", typed)
        if _CONTROLS.search(text):
            raise ValueError(_NOT_TEXT)
        return text

    def widget(self, _: Field, **further: Any) -> Markup:
        """Return the element as HTML."""
        attributes = {"rows": 8, **self.attributes(further)}
        # A parser drops a new line at the beginning, which may be what somebody typed: so it gets another.
        return tag("textarea", attributes, Markup("\n") + self._value())


class Check(Element):
    """A box to be ticked or not: True or False."""

    usual = YesOrNo()
    shape = "check"

    def widget(self, _: Field, **further: Any) -> Markup:
        """Return the element as HTML."""
        yes = self.conversion.write(True)
        attributes = {"type": "checkbox", "value": yes, "checked": self._value() == yes}
        return tag("input", {**attributes, **self.attributes(further)})
