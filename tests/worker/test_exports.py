from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import worker


@pytest.mark.parametrize("name", worker.__all__)
def test_what_is_exported_is_there(name):
    assert getattr(worker, name).__name__ == name
    assert name in dir(worker)


def test_no_module_has_the_name_of_something_that_is_exported():
    """An imported module would take the place of the thing."""
    modules = {module.name for module in pkgutil.iter_modules(worker.__path__)}
    assert not modules & {*worker.__all__}


def test_what_is_not_exported_is_not_there():
    with pytest.raises(AttributeError, match="module 'worker' has no attribute 'Aplication'"):
        _ = worker.Aplication


def imported_by(statement: str) -> set[str]:
    """Return the modules that a fresh Python has imported after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_settings_come_without_the_toolkit():
    modules = {name for name in imported_by("import worker.settings") if name.startswith("worker")}
    assert modules == {"worker", "worker.settings"}


def test_an_application_comes_without_what_it_does_not_use():
    modules = imported_by("from worker import Application")
    assert not {"multipart", "structlog", "sqlalchemy", "jinja2", "wtforms", "msgpack", "asyncio"} & modules
