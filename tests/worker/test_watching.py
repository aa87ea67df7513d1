from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.watching import Imports, Watch, stamp_of


def watch(*paths: Path) -> Watch:
    """Return a watch of files as they are now."""
    watch = Watch()
    watch.add({str(path): stamp_of(str(path)) for path in paths})
    return watch


def rewrite(path: Path, text: str) -> None:
    """Change what is in a file, and keep its time: one that changes twice within some ms looks like this."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def replace(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(path.read_text())
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.rename(path)


def grow(path: Path) -> None:
    rewrite(path, "more than before")


@pytest.mark.parametrize("change", [touch, replace, grow, Path.unlink])
def test_a_change_is_seen_once(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "shop.py"
    file.write_text("before")
    files = watch(file)
    assert files.look() == []
    change(file)
    assert (files.look(), files.look()) == ([str(file)], [])


def test_a_file_that_appears_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    files = watch(file)
    file.write_text("here")
    assert files.look() == [str(file)]


def test_a_file_that_changed_between_its_reading_and_the_first_look_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("before")
    files = Watch()
    files.add({str(file): "0/0/0"})
    assert files.look() == [str(file)]


def test_who_reads_a_watched_file_later_hides_no_change(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("before")
    files = watch(file)
    grow(file)
    files.add({str(file): stamp_of(str(file))})
    assert files.look() == [str(file)]
    assert repr(files) == "<Watch of 1 files>"


# What is imported


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that imports want, below a folder that modules may be imported from."""
    noted: list[str] = []
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def note(path: str, stamp: str) -> None:
        assert stamp == stamp_of(path)
        if path.startswith(str(tmp_path)):
            noted.append(path.removeprefix(f"{tmp_path}/"))

    Imports(note).install()
    yield noted
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_files_of_modules_are_noted_once(tmp_path: Path, noted: list[str]) -> None:
    (tmp_path / "lr_pack").mkdir()
    (tmp_path / "lr_pack" / "__init__.py").touch()
    (tmp_path / "lr_pack" / "one.py").write_text("import lr_two")
    (tmp_path / "lr_two.py").write_text("import json.tool")
    one = importlib.import_module("lr_pack.one")
    importlib.reload(one)
    assert one.__file__ == str(tmp_path / "lr_pack" / "one.py")
    assert noted == ["lr_pack/__init__.py", "lr_pack/one.py", "lr_two.py"]


@pytest.mark.parametrize("text", ["def", "1 / 0", "raise SystemExit"])
def test_a_file_that_cannot_be_imported_is_noted(tmp_path: Path, noted: list[str], text: str) -> None:
    (tmp_path / "lr_broken.py").write_text(text)
    with pytest.raises((SyntaxError, ZeroDivisionError, SystemExit)):
        importlib.import_module("lr_broken")
    assert noted == ["lr_broken.py"]


def test_where_a_module_would_be_that_is_not_there_is_noted(tmp_path: Path, noted: list[str]) -> None:
    (tmp_path / "lr_pack").mkdir()
    (tmp_path / "lr_pack" / "__init__.py").touch()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lr_pack.missing")
    assert noted == ["lr_pack/__init__.py", "lr_pack/missing.py", "lr_pack/missing/__init__.py"]


def test_builtins_and_folders_without_code_have_no_file(tmp_path: Path, noted: list[str]) -> None:
    (tmp_path / "lr_folder").mkdir()
    importlib.import_module("lr_folder")
    importlib.import_module("_heapq")
    assert noted == []
