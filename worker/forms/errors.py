"""The exceptions of forms."""

from __future__ import annotations

from protocol.errors import LrwpError


class FormError(LrwpError):
    """A form that cannot work as it was written; the sentence says what to change."""


class InputError(LrwpError):
    """What was typed cannot be saved, for a reason that only shows while it is saved.

    Attributes:
        sentence: what to tell the person who typed it.
        field: the name of the field that it is about; empty for the form as a whole.
    """

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field
