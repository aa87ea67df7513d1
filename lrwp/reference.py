"""The reference of all settings, as a Markdown page: ``python -m lrwp.reference > docs/settings.md``."""

from __future__ import annotations

import sys
from dataclasses import MISSING
from typing import Final

from lrwp.configuration import NAMED, SECTIONS
from lrwp.schema import Setting, schema

INTRODUCTION: Final = """\
# Settings

<!-- Written by `make docs` from the settings classes: change those, not this page. -->

A setting comes from a flag, from an environment variable, from the TOML file, or has its default; the first
of these that says something counts.

- Durations are `"30s"`, `"250ms"`, `"5m"`, `"1h"` or a number of seconds; sizes `"64KiB"`, `"10MB"`, `"1GiB"`
  or a number of bytes; addresses `"host:port"`, `"unix:///path"` or `"tls://host:port"`.
- Where a setting takes several values, a flag is given several times, a variable has commas between them, and
  TOML has a list, or one value alone.
- Paths in a TOML file are relative to that file; those in flags and variables to the current folder.
- A key or section that does not exist is an error which names the nearest one. An empty variable counts as
  none.
- The variables `LRWP_WORKER_…` hold for `lrwp worker` and for all pools of `lrwp up`. In `lrwp up` a pool
  registers with the dispatcher's first link address, and has its secret, unless it is told otherwise. If the
  application with the pool's `name`, or with its NAME, has a `secret_file` of its own, the pool has that.
- An application with a `secret_file` of its own is registered with a secret from that file only: if a general
  one still did, the host from which it leaks could take the application over. As soon as there is one secret,
  nobody registers without.
- A secret file has one secret on each line, of at least 16 characters. The dispatcher takes any of them, a
  worker uses the first. To change a secret, add the new one on the dispatcher and send it HUP; put it first
  on the workers' hosts and restart the workers; take the old one out on the dispatcher and send it HUP again:
  links that were made with it end, each when it has nothing in hand.
"""


def render() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *map(_section, SECTIONS)])


def _section(name: str) -> str:
    cls = SECTIONS[name]
    heading = f"[{name}.NAME]" if name in NAMED else f"[{name}]"
    prefix = {"applications": "", "pools": "LRWP_WORKER"}.get(name, f"LRWP_{name.upper()}")
    rows = [_row(setting, prefix) for setting in schema(cls).values()]
    table = ["| key | value | default | flag | variable | meaning |", "|---|---|---|---|---|---|", *rows]
    return "\n".join([f"## `{heading}`", "", (cls.__doc__ or "").strip(), "", *table, ""])


def _row(setting: Setting, prefix: str) -> str:
    is_required = setting.default is MISSING
    flags = setting.flags or ((setting.name.upper(),) if is_required else ())
    cells = (
        f"`{setting.name}`",
        _value(setting),
        "required" if is_required else _code(", ".join(setting.write(setting.default))),
        _code(", ".join(flags)),
        _code(f"{prefix}_{setting.name.upper()}" if prefix else ""),
        setting.help,
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _value(setting: Setting) -> str:
    """Say what a value is, which bounds it has if not the usual ones, and whether there may be several."""
    if setting.shape == "pairs":
        return "table of name = text"
    value = {"N": "number", "": "true or false"}.get(setting.kind.metavar, setting.kind.metavar.lower())
    value = value.replace("|", ", ")
    if setting.least or setting.most is not None:
        value = f"{value} {setting.bounds}"
    return f"{value}, several" if setting.shape == "many" else value


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    sys.stdout.write(render())
