"""Pick: one of several options, or any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from worker.forms.conversions import ListOf, require_conversion
from worker.forms.elements import Element
from worker.forms.errors import FormError
from worker.forms.tags import tag

if TYPE_CHECKING:
    from wtforms import Field  # type: ignore[import-untyped]  # it ships no types

    from worker.forms.conversions import Conversion


class Pick(Element):
    """One of several options; with a ListOf, any number of them.

    Args:
        label: what the element is called.
        conversion: a Choice or an EnumChoice, by itself or in a Nullable or a ListOf.
        buttons: whether all options are in sight with a button beside each, as those of a list always are.
        nothing: what people read of the option that stands for nothing.
        options: WTForms' own.

    Raises:
        FormError: the conversion has nothing to choose from.
    """

    def __init__(
        self,
        label: str | None = None,
        conversion: Conversion | None = None,
        *,
        buttons: bool = False,
        nothing: str = "—",
        **options: Any,
    ) -> None:
        super().__init__(label, conversion, **options)
        self._nothing = nothing
        self.shape = "group" if buttons or isinstance(self.conversion, ListOf) else "row"

    @classmethod
    def check_conversion(cls, conversion: Conversion) -> None:
        """Raise FormError if there is nothing to choose from."""
        require_conversion(conversion)
        if not conversion.is_choice:
            raise FormError(f"{cls.__name__} has nothing to choose from: give it a Choice or an EnumChoice")

    def text_of(self, typed: str) -> str:
        """Return what was sent, of which nobody typed a letter."""
        return typed

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the options that were chosen; what was not offered is refused."""
        if not isinstance(self.conversion, ListOf):
            super().process_formdata(valuelist)
            return
        self.data = None
        self.data = self.conversion.read_all(valuelist)

    def widget(self, _: Field, **further: Any) -> Markup:
        """Return the element as HTML."""
        if self.shape == "row":
            return self._list(further)
        return self._boxes(further) if isinstance(self.conversion, ListOf) else self._buttons(further)

    def _chosen(self) -> set[str]:
        """Return the texts of the options to be shown as chosen."""
        if self.raw_data is not None:
            return set(self.raw_data)
        if self.data is None:
            return set()
        if isinstance(self.conversion, ListOf):
            return set(self.conversion.write_all(self.data))
        return {self.conversion.write(self.data)}

    def _offered(self, *, is_nothing_offered: bool) -> list[tuple[str, str, bool]]:
        """Return of each option its text, its label and whether it is chosen."""
        chosen = self._chosen()
        offered = [(option.text, option.label, option.text in chosen) for option in self.conversion.options]
        if not is_nothing_offered:
            return offered
        return [("", self._nothing, not any(is_chosen for _, _, is_chosen in offered)), *offered]

    def _list(self, further: dict[str, Any]) -> Markup:
        # Until something is chosen, a list that must not stay empty offers nothing too: otherwise it would
        # show the first option, and send it, although nobody chose it.
        known = {option.text for option in self.conversion.options}
        is_nothing_offered = self.conversion.is_optional or known.isdisjoint(self._chosen())
        options = Markup("").join(
            tag("option", {"value": text, "selected": is_chosen}, escape(label))
            for text, label, is_chosen in self._offered(is_nothing_offered=is_nothing_offered)
        )
        return tag("select", self.attributes(further), options)

    def _buttons(self, further: dict[str, Any]) -> Markup:
        of_each = {"type": "radio", "name": self.name, "required": bool(self.flags.required)}
        offered = self._offered(is_nothing_offered=self.conversion.is_optional)
        return self._group(offered, {"role": "radiogroup", **further}, of_each)

    def _boxes(self, further: dict[str, Any]) -> Markup:
        # A group cannot be invalid, says ARIA; the boxes in it can.
        of_each = {"type": "checkbox", "name": self.name, "aria-invalid": further.pop("aria-invalid", None)}
        return self._group(self._offered(is_nothing_offered=False), further, of_each)

    def _group(
        self, offered: list[tuple[str, str, bool]], of_group: dict[str, Any], of_each: dict[str, Any]
    ) -> Markup:
        choices = Markup("\n").join(
            tag("label", {}, tag("input", {**of_each, "value": text, "checked": is_chosen}) + " " + label)
            for text, label, is_chosen in offered
        )
        legend = tag("legend", {}, escape(self.label.text))
        return tag("fieldset", {"id": self.id, **of_group}, legend + "\n" + choices)
