"""The tree of errors is what its module says, and one root catches them all."""

from __future__ import annotations

import re

import pytest

from protocol import errors
from protocol.errors import LrwpError, RejectedError
from protocol.registration import RegistrationError


def documented() -> dict[str, str]:
    """Each error of the drawing in the docstring, and its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error) ", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def existing(root: type[Exception]) -> dict[str, str]:
    """Each error of the protocol below ``root``, and its parent."""
    found = {root.__name__: root.__bases__[0].__name__}
    for child in root.__subclasses__():
        if child.__module__.startswith("protocol."):
            found |= existing(child)
    return found


def test_the_drawing_shows_every_error_where_it_belongs() -> None:
    assert RegistrationError.__base__ is LrwpError
    assert documented() == existing(LrwpError)


def test_a_rejection_carries_its_code_for_programs_and_its_sentence_for_people() -> None:
    with pytest.raises(LrwpError, match=r"^Come back later\.$") as caught:
        raise RejectedError("draining", "Come back later.")
    assert isinstance(caught.value, RejectedError)
    assert caught.value.code == "draining"
