"""The documents say what is so: their commands run, their files exist, their names are those of the code."""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, get_args, get_type_hints

import pytest
import typer

from dispatcher.broker import MEMORY, OVERRUN
from dispatcher.exchange import SAFE_METHODS, Standing
from dispatcher.gate import LONGEST_DELAY, PATIENT, QUIET, REPORT, STRANGERS, STRANGERS_PER_ADDRESS
from dispatcher.stranger import REGISTRATION_TIME
from lrwp.cli import app
from lrwp.configuration import SECTIONS, read_configuration
from lrwp.schema import schema
from protocol.conditions import Decision
from protocol.limits import REGISTRATION_FRAME
from tests.bench.measure import free_ports
from tests.programs import Program, in_session, running
from tests.tools import needed
from tests.waiting import until

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "protocol/PROTOCOL.md",
]
FOLDERS: Final = ("apps", "configs", "dispatcher", "lrwp", "protocol", "tests", "worker")

READY: Final = {
    "lrwp dispatcher": r" serving ",
    "lrwp worker": r" registered ",
    "lrwp up": r"^LRWP is ready: ",
    "make run": r"^LRWP is ready: ",
}
"""What commands that stay say when they are ready; a pool says it once for each process."""

NOT_RUN: Final = {"make test"}
"""It is what runs this test."""


class Block(NamedTuple):
    """A fenced block: its language, its text, and the words between it and the block before."""

    language: str
    text: str
    words: str


class Section(NamedTuple):
    """What stands under one heading of a document: a reader follows it from its beginning to its end."""

    name: str
    blocks: list[Block]


class Step(NamedTuple):
    """A command, and the output of it that the document shows."""

    command: str
    output: str


def sections(document: Path) -> list[Section]:
    """Return the sections of a document."""
    found = [Section(document.name, [])]
    language: str | None = None
    lines: list[str] = []
    words = ""
    for line in document.read_text().splitlines(keepends=True):
        if line.startswith("```"):
            if language is None:
                words, language = "".join(lines), line[3:].strip()
            else:
                found[-1].blocks.append(Block(language, "".join(lines), words))
                language = None
            lines = []
        elif language is None and line.startswith("#"):
            heading = line.strip("# \n")
            found.append(Section(f"{document.name}: {heading}", []))
        else:
            lines.append(line)
    return found


def steps(block: Block) -> list[Step]:
    """Return the commands of a console block."""
    first, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert first == "", f"a console block begins with a command, after a $: {block.text}"
    return [Step(command, output) for command, _, output in (part.partition("\n") for part in parts)]


SECTIONS_OF_ALL: Final = [section for document in DOCUMENTS for section in sections(document)]
STORIES: Final = [
    section
    for section in SECTIONS_OF_ALL
    if any(block.language == "console" for block in section.blocks)
    and not section.name.startswith("applications.md")  # one story, which has a test module to itself
]


# ── Commands ─────────────────────────────────────────────────────────────────────────────────────


class Terminal:
    """A command that stays, and what it has written: to a file, because nobody reads along meanwhile."""

    BECOME: Final = (
        "import os, sys\n"
        "os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)\n"
        "os.dup2(1, 2)\n"
        "os.execvp(sys.argv[2], sys.argv[2:])"
    )

    def __init__(self, command: list[str], program: Program, output: Path) -> None:
        self._command = command
        self._program = program
        self._output = output

    def wait_for(self, pattern: str, count: int) -> None:
        """Wait until so many lines are there that have this pattern."""
        until(lambda: len(re.findall(pattern, self._output.read_text(), re.MULTILINE)) >= count)

    def press_ctrl_c(self) -> None:
        """Send INT, as a terminal does, to all that runs in it; it ends well and leaves nothing behind."""
        os.killpg(self._program.process.pid, signal.SIGINT)
        code = self._program.wait()
        # make waits for what it runs, and then ends itself by the signal, as a shell expects.
        assert code == (-signal.SIGINT if self._command[0] == "make" else 0), self._output.read_text()
        assert in_session(self._program.process.pid) == []
        assert "Traceback" not in self._output.read_text()


class Reader:
    """Somebody who follows a section to the letter, in a folder of their own.

    The documents use the default ports, on which a demo may be running while the tests run, and an address
    that this machine does not have. So the reader has LRWP use others, by its variables, which win over a
    file, and types those where a command names one.
    """

    def __init__(self, folder: Path) -> None:
        http, link, admin = free_ports(3)
        self._folder = folder
        self._ports = {"8080": str(http), "8081": str(link), "8082": str(admin)}
        self._environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "LRWP_DISPATCHER_HTTP": f"127.0.0.1:{http}",
            "LRWP_DISPATCHER_LINK": f"127.0.0.1:{link}",
            "LRWP_DISPATCHER_ADMIN": f"127.0.0.1:{admin}",
            "LRWP_WORKER_DISPATCHER": f"127.0.0.1:{link}",
        }
        # The demo's database is a file in the folder that it runs in, and a demo may be using it.
        self._demo = {"LRWP_WORKER_DATABASE": f"sqlite:///{folder / 'pages.db'}"}
        self._stack = ExitStack()
        self._terminals: list[Terminal] = []

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def write(self, block: Block) -> None:
        """Write the file that is named last in front of a block."""
        names = re.findall(r"`([\w/.]+\.\w+)`", block.words)
        assert names, f"which file is this? {block.text}"
        file = self._folder / names[-1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)

    def follow(self, step: Step) -> None:
        """Type a command; one that stays gets a terminal of its own."""
        ready = next((READY[each] for each in READY if f"{step.command} ".startswith(f"{each} ")), None)
        if step.command in NOT_RUN:
            return
        if ready is None:
            self._run(step)
        else:
            assert step.output == "", f"nothing can be shown of {step.command}, which stays"
            self._start(step.command, ready)

    def _run(self, step: Step) -> None:
        if step.command.startswith("curl "):
            needed("curl")
        if step.command.startswith("openssl "):
            needed("openssl")
        done = subprocess.run(
            ["/bin/sh", "-c", self._translate(step.command)],
            cwd=self._folder,
            env={**os.environ, **self._environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert shows(self._translate(step.output), done.stdout), done.stdout

    def _start(self, command: str, ready: str) -> None:
        is_demo = command in {"make run", "lrwp up"}
        # Without a finished environment make would first make one: then what `make run` runs has to do.
        if command == "make run" and not (ROOT / ".venv" / "ready").exists():
            command = "lrwp up"
        words = shlex.split(self._translate(command))
        output = self._folder / f"terminal-{len(self._terminals)}"
        output.touch()
        program = running(
            ["-c", Terminal.BECOME, str(output), *words],
            cwd=ROOT if is_demo else self._folder,
            environ={**self._environ, **(self._demo if is_demo else {})},
        )
        self._terminals.append(Terminal(words, self._stack.enter_context(program), output))
        self._terminals[-1].wait_for(ready, int(words[words.index("-n") + 1]) if "-n" in words else 1)

    def _translate(self, text: str) -> str:
        """Put this machine's addresses in the place of the document's."""
        text = text.replace("10.0.0.5", "127.0.0.1")
        return re.sub(r"\b808[0-2]\b", lambda match: self._ports[match[0]], text)

    def leave(self) -> None:
        """Stop what still runs, the newest first."""
        for terminal in reversed(self._terminals):
            terminal.press_ctrl_c()


def shows(expected: str, output: str) -> bool:
    """Whether ``output`` is what the document shows; … stands for any lines, and times may be others."""
    if not expected:
        return True
    lines = ["(?:.*\n)*" if line == "…" else f"{_pattern(line)}\n" for line in expected.splitlines()]
    return re.fullmatch("".join(lines), output) is not None


def _pattern(line: str) -> str:
    """Return a pattern for a line whose figures with a point, and the widths of columns, may be others."""
    columns = re.split(r"  +", line)
    return " +".join(re.sub(r"[0-9]+\\\.[0-9]+", "[0-9.,]+", re.escape(column)) for column in columns)


@pytest.mark.parametrize("section", STORIES, ids=lambda section: section.name)
def test_who_follows_a_section_gets_what_it_shows(section: Section, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for block in section.blocks:
            if block.language in {"python", "toml"}:
                reader.write(block)
            for step in steps(block) if block.language == "console" else []:
                reader.follow(step)
        reader.leave()


def test_the_two_commands_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^run:.*\n\t@exec \$\(BIN\)/lrwp up\n", makefile, re.MULTILINE)
    assert re.search(r"^test:.*\n(\t.*\n)*\t@\$\(BIN\)/python -m pytest\b", makefile, re.MULTILINE)


def test_output_is_compared_to_its_last_line() -> None:
    assert shows("a  0.1 ms\n…\n", "a   12.34 ms\nb\nc\n")
    assert not shows("a  0.1 ms\n", "a  0.1 ms\nb\n")
    assert not shows("200  1\n", "500  1\n")


# ── Facts ────────────────────────────────────────────────────────────────────────────────────────


def spans(document: Path) -> Iterator[str]:
    """Yield what a document writes as code within its words."""
    words = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", words)


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


@every_document
def test_links_lead_to_what_exists(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", document.read_text()):
        file = document.parent / target if target else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text().lower(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each).replace(" ", "-") for each in headings}


@every_document
def test_files_that_are_named_exist(document: Path) -> None:
    for span in spans(document):
        if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w/.@-]*", span):
            assert (ROOT / span).exists(), f"{document.name} names {span}"


SETTINGS: Final = {name for cls in SECTIONS.values() for name in schema(cls)}


@every_document
def test_settings_that_are_named_exist(document: Path) -> None:
    if (
        document.name == "PROTOCOL.md"
    ):  # its words in this form are fields of messages, and have their own test
        return
    for span in spans(document):
        if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", span):
            assert span in SETTINGS, f"{document.name} names {span}"


def flags_of_all_commands() -> set[str]:
    group = typer.main.get_command(app)
    names = [*group.list_commands(None)]
    commands = [group, *(group.resolve_command(None, [name])[1] for name in names)]
    return {flag for command in commands for each in command.params for flag in each.opts}


@every_document
def test_flags_and_commands_that_are_named_exist(document: Path) -> None:
    if document.name == "bench.md":  # it is generated, and names flags of other servers too
        return
    flags = flags_of_all_commands() | {"--help", "--scale"}  # the last one is Docker's
    commands = typer.main.get_command(app).list_commands(None)
    for span in spans(document):
        first, *words = span.split(" ")
        if first == "lrwp" and words:
            assert words[0] in {*commands, "--help"}, f"{document.name} names {span}"
        if first == "lrwp" or first.startswith("--"):
            for flag in re.findall(r"(?<!\S)--?[a-z][a-z-]*", span):
                assert flag in flags, f"{document.name} names {flag} in {span}"


@every_document
def test_configurations_that_are_shown_can_be_read(document: Path, tmp_path: Path) -> None:
    for section in sections(document):
        for block in section.blocks:
            if block.language == "toml":
                (tmp_path / "shown.toml").write_text(block.text)
                read_configuration(tmp_path / "shown.toml", {})


def statuses_in(module: Path, *functions: str) -> set[int]:
    """Return the statuses that a module passes on as the first argument of these functions and methods."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in functions:
                found.add(node.args[0].value)
    return found


def part_of_behaviour(heading: str) -> str:
    text = (ROOT / "docs/behaviour.md").read_text()
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def numbers_of_statuses(text: str) -> set[int]:
    return {int(status) for status in re.findall(r"(?<![\w.])[1-5][0-9]{2}\b", text)}


def test_the_table_of_answers_has_every_status_that_the_dispatcher_gives_and_no_other() -> None:
    rows = [line.split("|") for line in part_of_behaviour("What the client gets").splitlines()]
    shown = numbers_of_statuses("".join(row[2] for row in rows if len(row) == 4))
    given = {
        status
        for module in ROOT.glob("dispatcher/*.py")
        for status in statuses_in(module, "BadRequest", "Failure", "complain")
    }
    assert shown == given - {405} | {500}  # 405 is for the admin pages only, and 500 comes from a worker


def test_the_words_on_static_files_have_every_status_of_theirs_and_no_other() -> None:
    decided = set(get_args(get_type_hints(Decision)["status"]))
    given = decided | statuses_in(ROOT / "dispatcher/static.py", "_plain")
    assert numbers_of_statuses(part_of_behaviour("Static files")) == given


def test_words_and_numbers_are_those_of_the_code() -> None:
    architecture = (ROOT / "docs/architecture.md").read_text()
    behaviour = (ROOT / "docs/behaviour.md").read_text()
    assert f"| {' · '.join(each.value for each in Standing)} |" in architecture
    assert OVERRUN == 0.010
    assert "longer than 10 ms" in architecture
    assert MEMORY == 60
    assert "seen in the last minute" in behaviour
    assert f"| {STRANGERS:,} connections are not registered, or {STRANGERS_PER_ADDRESS} from its" in behaviour
    assert (PATIENT, LONGEST_DELAY, QUIET, REPORT, REGISTRATION_TIME) == (5, 4, 60, 10, 10)
    assert "The first five refusals" in behaviour
    assert REGISTRATION_FRAME == 64 * 1024
    assert "64 KiB and ten seconds to register" in (ROOT / "docs/security.md").read_text()
    assert sorted(SAFE_METHODS) == ["GET", "HEAD", "OPTIONS"]
    assert "GET, HEAD and OPTIONS" in architecture
    assert "GET, HEAD, OPTIONS" in behaviour
