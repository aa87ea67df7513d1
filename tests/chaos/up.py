"""A dispatcher that ``lrwp up`` runs: its process may be another at any time, its addresses stay."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.chaos.program import LRWP, Program
from tests.programs import in_session
from tests.system import Dispatcher

CONFIG = """
[dispatcher]
http = "127.0.0.1:{http}"
link = "unix://{folder}/link"
admin = "127.0.0.1:{admin}"
access_log_format = "off"
[limits]
{limits}
[applications.chaos]
[pools.chaos]
target = "{target}"
processes = {processes}
"""


class Kept(Dispatcher):
    """The dispatcher of an ``lrwp up``.

    Attributes:
        http: where clients connect.
        link: where workers connect.
        admin: where questions are asked.
    """

    def __init__(self, up: Program, folder: Path, http: int, admin: int) -> None:
        self.http = ("127.0.0.1", http)
        self.link = f"unix://{folder}/link"
        self.admin = f"127.0.0.1:{admin}"
        self._up = up
        self._folder = folder

    @property
    def pid(self) -> int:
        """The process id of the one that was started last."""
        found = [pid for pid in in_session(self._up.pid) if _is_dispatcher(pid)]
        assert found, "lrwp up runs no dispatcher just now"
        return max(found, key=_started)

    def restart(self, *names: str) -> subprocess.CompletedProcess[str]:
        """Run ``lrwp restart``."""
        return subprocess.run(
            [*LRWP, "restart", "-c", "up.toml", *names],
            cwd=self._folder,
            env=self._up.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _is_dispatcher(pid: int) -> bool:
    try:
        return b"dispatcher" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False


def _started(pid: int) -> int:
    """Return when a process was started, in ticks."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
