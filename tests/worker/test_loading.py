from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker import Application
from worker.errors import ContentError
from worker.loading import LoadError, load
from worker.testing import Client

Write = Callable[[str, str], Path]

SHOP = """
from worker import Application
app = Application("shop")
shopkeeper = lambda request: "hello"
sign = "open"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes files into the current folder; what is imported from there is forgotten in the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def complaint(target: str, kind: str = "app") -> str:
    with pytest.raises(LoadError) as caught:
        load(target, kind)  # type: ignore[arg-type]
    return str(caught.value)


# What can be run


def test_an_application_is_loaded_and_brings_its_name(write: Write) -> None:
    write("shop/main.py", SHOP)
    app, name = load("shop.main:app", "app")
    assert isinstance(app, Application)
    assert name == "shop"


@pytest.mark.parametrize("attribute", ["app", "application"])
def test_a_module_alone_stands_for_its_app_or_application(write: Write, attribute: str) -> None:
    write("shop.py", f"from worker import Application\n{attribute} = Application('shop')")
    assert load("shop", "app")[1] == "shop"


def test_attributes_may_be_nested(write: Write) -> None:
    write("shop.py", SHOP + "class site:\n    class inner:\n        app = app")
    assert load("shop:site.inner.app", "app")[1] == "shop"


def test_a_factory_may_be_called(write: Write) -> None:
    write("shop.py", SHOP + "def create():\n    return app")
    assert load("shop:create()", "app")[1] == "shop"


def test_a_function_becomes_an_application_with_the_name_of_its_module(write: Write) -> None:
    write("sites/hello.py", "def app(request):\n    return f'{request.method} {request.path}'")
    app, name = load("sites.hello", "app")
    client = Client(app)
    assert name == "hello"
    assert client.get("/any/where").text == "GET /any/where"
    assert client.request("PROPFIND", "/").text == "PROPFIND /"


def test_a_function_that_forgets_its_return_is_told_so(write: Write) -> None:
    write("hello.py", "def app(request): pass")
    app, _ = load("hello", "app")
    with pytest.raises(ContentError, match=r"hello returned None: return Response\(\)"):
        Client(app).get("/")


def test_a_wsgi_callable_takes_the_name_of_its_module(write: Write) -> None:
    write("sites/shop.py", "def application(environ, start_response):\n    return []")
    app, name = load("sites.shop", "wsgi")
    assert (app.__name__, name) == ("application", "shop")


def test_the_current_folder_comes_before_what_is_installed(write: Write) -> None:
    write("wave.py", SHOP)
    assert load("wave:app", "app")[1] == "shop"


# What cannot be found


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("shop.py", "write shop:app, with dots between folders and without .py"),
        ("./sites/shop.py:site", "write sites.shop:site, with dots between folders and without .py"),
        ("shop:app:app", "write module:attribute, as in shop.main:app"),
        ("shop:create(1)", "write module:attribute, as in shop.main:app"),
        ("", "write module:attribute, as in shop.main:app"),
    ],
)
def test_a_target_of_another_form_is_answered_with_advice(write: Write, target: str, advice: str) -> None:
    assert complaint(target) == f'"{target}" is not a target: {advice}'


def test_a_missing_module_is_told_from_a_missing_import(write: Write, tmp_path: Path) -> None:
    write("shop.py", "import os\n\nimport flaskk")
    assert (
        complaint("shopp:app")
        == f"there is no module shopp in {tmp_path} or among the installed packages; did you mean shop?"
    )
    assert complaint("shop:app") == f"shop imports flaskk, which is not installed ({tmp_path / 'shop.py'}:3)"


def test_a_missing_module_in_a_package_names_the_nearest_one_there(write: Write, tmp_path: Path) -> None:
    write("shop/main.py", SHOP)
    assert complaint("shop.mian:app").endswith("; did you mean shop.main?")
    assert (
        complaint("shpo.main:app") == "there is no module shpo.main: shpo was not found; did you mean shop?"
    )


def test_a_missing_attribute_names_the_nearest_one(write: Write) -> None:
    write("shop.py", SHOP)
    assert complaint("shop:ap") == "shop has no attribute ap; did you mean app?"
    assert complaint("shop:app.handel") == "app has no attribute handel; did you mean handle?"


def test_a_module_alone_must_have_an_app(write: Write) -> None:
    write("shop.py", "site = 1")
    assert complaint("shop") == "shop has neither app nor application: write shop:ATTRIBUTE"


# What cannot be loaded


def test_an_exception_while_loading_is_told_with_its_line(write: Write, tmp_path: Path) -> None:
    write("shop.py", "import till")
    till = write("till.py", "from fractions import Fraction\n\nrate = Fraction(1, 0)")
    sentence = complaint("shop:app")
    assert sentence == f"shop cannot be loaded: ZeroDivisionError: Fraction(1, 0) ({till}:3)"


def test_a_mistake_in_a_route_is_told_in_its_own_words(write: Write) -> None:
    shop = write("shop.py", "from worker import Application\napp = Application('')")
    assert complaint("shop:app") == (
        f"shop cannot be loaded: an application's name must be 1 to 200 printable characters ({shop}:2)"
    )


def test_a_file_that_is_not_python_is_told_with_its_line(write: Write) -> None:
    shop = write("shop.py", "app = 1\ndef (:\n")
    assert complaint("shop:app") == f"shop cannot be loaded: SyntaxError: invalid syntax ({shop}:2)"


def test_a_module_that_ends_python_is_told(write: Write) -> None:
    shop = write("shop.py", "import sys\nsys.exit(0)")
    assert complaint("shop:app") == f"shop ended Python while it was loaded ({shop}:2)"


@pytest.mark.parametrize("name", ["worker", "types"])
def test_a_file_with_a_name_that_is_taken_is_told(write: Write, name: str) -> None:
    file = write(f"{name}.py", SHOP)
    assert complaint(f"{name}:app") == (
        f"{file} cannot be loaded, because LRWP uses another module {name}: rename it"
    )


def test_a_factory_that_fails_is_told_with_its_line(write: Write) -> None:
    shop = write("shop.py", "def create():\n    raise KeyError('till')")
    assert complaint("shop:create()") == f"shop:create() failed: KeyError: 'till' ({shop}:2)"


# What is not of the kind


@pytest.mark.parametrize(
    ("source", "kind", "sentence"),
    [
        ("app = 1", "app", "x:app is of type int and cannot be called: name an application or a function"),
        (
            "import os as app",
            "wsgi",
            "x:app is a module and cannot be called: name an application or a function",
        ),
        (
            "def app(environ, start_response): ...",
            "app",
            "x:app takes two arguments, as WSGI applications do: add --kind wsgi",
        ),
        (
            "def app(scope, receive, send): ...",
            "app",
            "x:app takes 3 arguments: a handler takes one, the request",
        ),
        (
            "async def app(request): ...",
            "app",
            "x:app is async: a handler is a plain function, as its worker blocks",
        ),
        (
            "from worker import Application as app",
            "app",
            "x:app is a class: name an instance of it, or a function that takes a request",
        ),
        (
            "from worker import Application\napp = Application('x')",
            "wsgi",
            "x:app is an Application, not a WSGI application: leave out --kind wsgi",
        ),
    ],
)
def test_what_is_not_of_the_kind_is_answered_with_advice(
    write: Write, source: str, kind: str, sentence: str
) -> None:
    write("x.py", source)
    assert complaint("x:app", kind) == sentence


def test_flask_is_recognized_as_wsgi(write: Write) -> None:
    write("site_.py", "from flask import Flask\napp = Flask(__name__)")
    assert complaint("site_:app") == "site_:app takes two arguments, as WSGI applications do: add --kind wsgi"
