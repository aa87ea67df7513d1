"""``python -m tests.fuzz.search NAME SECONDS FOLDER``: look for inputs that break one target.

Atheris sees what an input reaches: one that leads to something new is kept, and varied further. It has wheels
for Linux on x86-64 only, so elsewhere inputs are varied without looking. (Its hook for regular expressions
would see more, but fails at those for bytes.) Before that, long inputs are weighed: what costs too much is
seldom short.

What is found is left in the folder; the process ends with 1, or in whatever way the input made it end.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fuzz import targets
from tests.fuzz.mutation import Mutation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.target import Target

CODE: Final = ["protocol", "dispatcher", "worker", "lrwp", "multipart"]
"""What an input is to reach."""

LENGTH: Final = 4096
"""Longest input whose way is looked at: a rule that is broken is broken by a short one."""

SIZE: Final = 32 * 1024
"""Length of those that are weighed."""

WEIGHED: Final = 0.2
"""Part of the time for them."""

MEMORY: Final = 4 * 1024**3
"""Bytes of memory that this process may have."""

IS_GUIDED: Final = importlib.util.find_spec("atheris") is not None


def main(name: str, seconds: float, folder: Path) -> None:
    """Search for so long; ``folder`` has the inputs that earlier searches kept, in ``known``."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    known = folder / "known"
    known.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    target = load(name)
    weigh_long_inputs(target, seconds * WEIGHED, folder)
    search = search_guided if IS_GUIDED else search_blindly
    search(target, max(1.0, end - time.monotonic()), folder)


def load(name: str) -> Target:
    """Return the target, whose code is watched as it is imported."""
    if not IS_GUIDED:
        return targets.load(name)
    import atheris  # type: ignore[import-untyped]  # it ships no types

    # What Atheris says about each module is of no interest.
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=CODE):
        return targets.load(name)


def weigh_long_inputs(target: Target, seconds: float, folder: Path) -> None:
    """See for so long what inputs cost in which something is repeated."""
    end = time.monotonic() + seconds
    known = [path.read_bytes() for path in sorted((folder / "known").iterdir())]
    for data in Mutation(target, time.time(), known).long_inputs(SIZE):
        if time.monotonic() > end:
            return
        attempt(target.weigh, data, folder)


def search_blindly(target: Target, seconds: float, folder: Path) -> None:
    """Vary inputs for so long without looking where they lead."""
    end = time.monotonic() + seconds
    for count, data in enumerate(Mutation(target, time.time()).inputs()):
        if time.monotonic() > end:
            print(f"Done {count} runs", flush=True)
            return
        attempt(target.check, data, folder)


def attempt(examine: Callable[[bytes], None], data: bytes, folder: Path) -> None:
    """Try an input, which stays in the folder if it is the last thing that this process does."""
    found = folder / "found"
    found.write_bytes(data)
    examine(data)
    found.unlink()


def search_guided(target: Target, seconds: float, folder: Path) -> None:
    """Let libFuzzer search for so long; it ends the process."""
    import atheris

    seeds = folder / "seeds"
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{escaped(word)}"\n' for word in target.words))
    atheris.Setup(
        [
            "fuzz",
            f"-max_total_time={round(seconds)}",
            f"-max_len={LENGTH}",
            f"-dict={words}",
            f"-exact_artifact_path={folder / 'found'}",
            *("-timeout=10", "-rss_limit_mb=3072", "-verbosity=0", "-print_final_stats=1"),
            *(str(folder / "known"), str(seeds)),
        ],
        target.check,
    )
    atheris.Fuzz()


def escaped(word: bytes) -> str:
    """Return a word as libFuzzer reads it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
