"""A setting is a dataclass field that says of itself what people need to know."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest

from protocol.settings import Duration, Size, setting


@dataclass(frozen=True, kw_only=True)
class Garden:
    hedgehogs: int = setting("How many live here.", default=3, flag="-H --hedgehogs", least=1, most=9)
    names: list[str] = setting("What they are called.", factory=list)
    owner: str = setting("Whose it is.")


def test_a_setting_has_its_default() -> None:
    assert (Garden(owner="me").hedgehogs, Garden(owner="me").names) == (3, [])


def test_a_mutable_default_is_made_anew() -> None:
    assert Garden(owner="me").names is not Garden(owner="me").names


def test_a_setting_without_a_default_is_required() -> None:
    with pytest.raises(TypeError, match=r"'owner'"):
        Garden()  # type: ignore[call-arg]  # that it is missing is the point


def test_a_setting_tells_its_sentence_its_flag_and_its_bounds() -> None:
    assert [dict(field.metadata) for field in fields(Garden)] == [
        {"help": "How many live here.", "flag": "-H --hedgehogs", "least": 1, "most": 9},
        {"help": "What they are called.", "flag": None, "least": 0, "most": None},
        {"help": "Whose it is.", "flag": None, "least": 0, "most": None},
    ]


def test_durations_and_sizes_are_numbers() -> None:
    assert (Duration(0.5), Size(1024)) == (0.5, 1024)
