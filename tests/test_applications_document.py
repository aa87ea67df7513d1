"""docs/applications.md, followed from its beginning to its end: each of its blocks is written or run."""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import sqlite3
import subprocess
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import worker.forms
from tests.programs import Program, in_session, running
from tests.test_documents import READY, ROOT, Block, Reader, Step, Terminal, sections, shows, steps
from tests.tools import needed
from worker import Application, Request, Response
from worker.exchange import Exchange
from worker.patterns import KINDS, read_pattern
from worker.templates.environment import _FILTERS

if TYPE_CHECKING:
    from tests.services import Postgresql

DOCUMENT: Final = ROOT / "docs/applications.md"
BLOCKS: Final = [block for section in sections(DOCUMENT) for block in section.blocks]

FILES: Final = {"python", "html", "css", "toml"}
"""Languages of blocks that are files or parts of them."""

TASK: Final = re.compile(r"\b(write|add\s+to|change\s+in)\s+`([\w/]+\.\w+)`", re.IGNORECASE)
"""What a document says is to be done with the block that follows."""

REPLACED: Final = "all processes have been replaced"
"""What a worker says that has started again with what was changed."""

DATABASE: Final = "postgresql://shelf@127.0.0.1/shelf"
"""The server that the document takes for granted."""


class Window(Terminal):
    """A terminal in which something stays, and whose log somebody reads."""

    def __init__(self, command: list[str], program: Program, output: Path) -> None:
        super().__init__(command, program, output)
        self._session = program
        self._file = output

    @property
    def log(self) -> str:
        """What was written so far."""
        return self._file.read_text()

    def press_ctrl_c(self) -> None:
        """Send INT; what runs here ends well, whatever its application has raised."""
        os.killpg(self._session.process.pid, signal.SIGINT)
        assert self._session.wait() == 0, self.log
        assert in_session(self._session.process.pid) == []


class Author(Reader):
    """Somebody who follows the whole document in one folder, with a window for each role."""

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(folder)
        self._database = database
        self._windows: dict[str, Window] = {}
        self._logs = ""
        self._edited: dict[str, str] = {}

    def take(self, block: Block) -> None:
        """Do with a block what the document says.

        Raises:
            AssertionError: it says nothing, or what it shows is not so.
        """
        if block.language in FILES:
            self.write(block)
        elif block.language == "console":
            for step in steps(block):
                self.follow(step)
        elif block.language == "text":
            self._read_log(block)
        else:
            raise AssertionError(f"nobody knows what to do with this: {block}")

    # ── Files ────────────────────────────────────────────────────────────────────────────────────

    def write(self, block: Block) -> None:
        """Write, extend or change the file that is named last in front of a block; it is saved later."""
        tasks = TASK.findall(block.words)
        assert tasks, f"what is to be done with this? {block.text}"
        task, name = tasks[-1]
        if task.lower() == "write":
            self._edited[name] = block.text
            return
        assert block.language == "python"
        text = self._edited.get(name) or (self._folder / name).read_text()
        self._edited[name] = joined(text, block.text, is_change=task.lower().startswith("change"))

    def _save(self) -> None:
        """Save what was edited, and wait until the worker has noticed.

        Of what it has loaded only one file may change, and that last: then it is replaced once.
        """
        edited, self._edited = self._edited, {}
        changed = [name for name in edited if name.endswith(".py") and (self._folder / name).exists()]
        assert len(changed) <= 1
        worker = self._windows.get("lrwp worker")
        count = worker.log.count(REPLACED) if worker else 0
        for name in sorted(edited, key=changed.__contains__):
            file = self._folder / name
            file.parent.mkdir(exist_ok=True)
            new = file.with_name(f"{file.name}.new")
            new.write_text(edited[name])
            new.rename(file)  # nobody sees a half of it
        if worker and changed:
            worker.wait_for(REPLACED, count + 1)

    # ── Commands ─────────────────────────────────────────────────────────────────────────────────

    def follow(self, step: Step) -> None:
        """Type a command, in a window of its own if it stays; a worker takes the place of the one before."""
        role = next((each for each in READY if step.command.startswith(each)), None)
        if role is None or " --routes" in step.command:
            self._save()
            self._run(step)
            return
        self._stop("lrwp worker")
        if role == "lrwp up":
            self._stop("lrwp dispatcher")
        self._save()
        super().follow(step)

    def _run(self, step: Step) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", self._translate(step.command)],
            cwd=self._folder,
            env={**os.environ, **self._environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{step.command}\n{done.stdout}{done.stderr}"
        # JSON has no line end of its own, which nobody sees in a terminal.
        output = done.stdout if done.stdout.endswith("\n") else f"{done.stdout}\n"
        assert shows(self._translate(step.output), output), f"{step.command}\n{output}"

    def _start(self, command: str, ready: str) -> None:
        role = next(each for each in READY if command.startswith(each))
        words = shlex.split(self._translate(command))
        output = self._folder / f"{role.replace(' ', '-')}-{len(list(self._folder.glob('*.log')))}.log"
        output.touch()
        program = running(
            ["-c", Terminal.BECOME, str(output), *words], cwd=self._folder, environ=self._environ
        )
        window = self._windows[role] = Window(words, self._stack.enter_context(program), output)
        window.wait_for(ready, int(words[words.index("-n") + 1]) if "-n" in words else 1)

    def _stop(self, role: str) -> None:
        window = self._windows.pop(role, None)
        if window is not None:
            window.press_ctrl_c()
            self._logs += window.log

    def _translate(self, text: str) -> str:
        return super()._translate(text.replace(DATABASE, self._database))

    def _read_log(self, block: Block) -> None:
        """Make sure that the worker's log has these lines, in this order."""
        worker = self._windows.get("lrwp worker")
        assert worker is not None, f"no worker runs whose log could say this: {block.text}"
        parts = [re.escape(line.strip()) for line in block.text.splitlines() if line != "…"]
        worker.wait_for("(?s:.*)".join(parts), 1)

    def leave(self) -> str:
        """Stop what still runs, and return what everything has written."""
        assert not self._edited, f"nothing in the document uses {', '.join(self._edited)}"
        for role in ("lrwp worker", "lrwp up", "lrwp dispatcher"):
            self._stop(role)
        return self._logs


def joined(text: str, block: str, *, is_change: bool) -> str:
    """Return a module with what a block has: imports at its top, the rest at its end or in its place.

    Raises:
        AssertionError: a block that changes something brings something new, or the other way round.
    """
    for node in ast.parse(block).body:
        part = _source(block, node)
        tree = ast.parse(text)
        if isinstance(node, ast.Import | ast.ImportFrom):
            last = max(
                _last_line(each) for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)
            )
            lines = text.splitlines(keepends=True)
            text = "".join([*lines[:last], part, *lines[last:]])
            continue
        name = getattr(node, "name", None)
        same = [each for each in tree.body if name is not None and getattr(each, "name", None) == name]
        assert bool(same) is is_change, f"is {name} to be added or to be changed?"
        text = text.replace(_source(text, same[0]), part) if same else f"{text}\n\n{part}"
    return text


def _source(text: str, node: ast.stmt) -> str:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return "".join(text.splitlines(keepends=True)[first - 1 : _last_line(node)])


def _last_line(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno


def test_who_follows_the_document_gets_what_it_shows(tmp_path: Path, postgresql: Postgresql) -> None:
    needed("curl")
    with Author(tmp_path, postgresql.new_database()) as author:
        for block in BLOCKS:
            author.take(block)
        log = author.leave()
    shown = [block.text for block in BLOCKS if block.language == "text"]
    assert log.count(" error ") == sum(text.startswith("error ") for text in shown), log
    with closing(sqlite3.connect(tmp_path / "shelf.db")) as database:  # what was refused was undone
        assert database.execute("SELECT book_id, reader FROM loan").fetchall() == [(1, "Ann")]


@pytest.mark.parametrize(
    "block",
    [
        Block("ruby", "puts 1\n", "Write `shelf.rb`:"),
        Block("", "a block of no language\n", ""),
        Block("python", "answer = 42\n", "This is in no file:"),
        Block("text", "a line that no log has\n", ""),
        Block("console", "$ echo one\ntwo\n", ""),
    ],
    ids=lambda block: block.language,
)
def test_a_block_that_cannot_be_followed_is_noticed(block: Block, tmp_path: Path) -> None:
    with Author(tmp_path, "") as author, pytest.raises(AssertionError):
        author.take(block)


def test_what_is_added_is_new_and_what_is_changed_is_there() -> None:
    module = "import a\n\n\ndef one():\n    return 1\n"
    assert joined(module, "import b\n\n\n@b\ndef two(): ...\n", is_change=False) == (
        "import a\nimport b\n\n\ndef one():\n    return 1\n\n\n@b\ndef two(): ...\n"
    )
    assert joined(module, "def one(): ...\n", is_change=True) == "import a\n\n\ndef one(): ...\n"
    with pytest.raises(AssertionError):
        joined(module, "def one(): ...\n", is_change=False)
    with pytest.raises(AssertionError):
        joined(module, "def two(): ...\n", is_change=True)


# ── Facts ────────────────────────────────────────────────────────────────────────────────────────


def part(heading: str) -> str:
    """Return what stands under a heading of the reference."""
    return (
        DOCUMENT.read_text()
        .partition("\n# Reference\n")[2]
        .partition(f"\n## {heading}\n")[2]
        .partition("\n## ")[0]
    )


def names_in_first_column(heading: str) -> set[str]:
    """Return what the tables under a heading are about."""
    rows = [line.split("|")[1] for line in part(heading).splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(?:@?app\.)?(\w+)[^`]*`", row)}


def test_attributes_of_requests_exist() -> None:
    request = Request(Exchange("shelf", "/shelf", "GET", b"/shelf", b"", "http", "127.0.0.1:5", 1, BytesIO()))
    assert names_in_first_column("Request") <= {*dir(request)}


def test_attributes_of_responses_exist() -> None:
    functions = {"redirect", "not_modified", "file_response", "events"}
    assert names_in_first_column("Response") - functions - {"Response"} <= {*dir(Response())}


def test_ways_to_register_exist() -> None:
    assert names_in_first_column("Registering") <= {*dir(Application("shelf"))}


def test_kinds_of_parameters_are_all_there_and_match_what_is_said() -> None:
    shown = re.findall(r"^\| `(.*?)`", part("Paths"), re.MULTILINE)
    for pattern in shown:
        if pattern.startswith("/"):
            read_pattern(pattern)
    assert set(re.findall(r"\{\w+:(\w+)\}", part("Paths"))) == KINDS.keys()


def test_elements_and_conversions_are_all_there() -> None:
    bases = {"Conversion", "Element", "Option", "FormError"}
    other = {"Form", "Formlet", "InputError"}
    assert names_in_first_column("Forms") == set(worker.forms.__all__) - bases - other
    assert all(f"`{name}`" in part("Forms") for name in other)


def test_filters_are_all_there() -> None:
    assert set(re.findall(r"`\w+\|(\w+)", part("Templates"))) == _FILTERS.keys()


def test_what_the_package_exports_is_named() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in worker.__all__ if not re.search(rf"\b{name}\b", text)] == []
