from __future__ import annotations

from pathlib import Path

from lrwp.configuration import SECTIONS
from lrwp.reference import render
from lrwp.schema import schema

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_in_the_documentation_is_the_one_that_the_settings_make() -> None:
    assert PAGE.read_text() == render(), "write it anew: python -m lrwp.reference > docs/settings.md"


def test_every_setting_is_on_the_page() -> None:
    page = render()
    for name, cls in SECTIONS.items():
        section = page.split(f"## `[{name}")[1].split("## ")[0]
        for key in schema(cls):
            assert f"| `{key}` |" in section


def test_a_row_says_value_default_flag_and_variable() -> None:
    assert (
        "| `window` | number from 1 to 8 | `8` | `--window` | `LRWP_WORKER_WINDOW` |"
        " Most requests that a link may hold at once, from 1 to 8. |"
    ) in render().splitlines()
