from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import a_dispatcher, a_worker
from worker import Application, Templates, development
from worker.error_answers import ErrorHandlers
from worker.errors import HttpError
from worker.testing import Client


@pytest.fixture
def in_development() -> Iterator[None]:
    development.begin()
    yield
    Templates.reloads = False
    ErrorHandlers.leave_faults = False


@pytest.fixture
def client() -> Client:
    app = Application("shop")
    app.on_error(500)(lambda request, error: "the page for 500")
    app.on_error(Exception)(lambda request, error: "the page for all")
    app.on_error(LookupError)(lambda request, error: "there is none")

    @app.get("/{kind}")
    def fail(request, kind):
        raise {"bug": ZeroDivisionError("a bug"), "none": KeyError(), "answer": HttpError(500)}[kind]

    return Client(app)


def test_templates_are_read_anew(in_development: None, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("before")
    pages = Templates(tmp_path)
    assert "".join(pages["page.html"].stream()) == "before"
    (tmp_path / "page.html").write_text("afterwards")
    assert "".join(pages["page.html"].stream()) == "afterwards"


def test_pages_for_whatever_goes_wrong_make_way_for_the_traceback(
    in_development: None, client: Client
) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        client.get("/bug")


def test_pages_for_a_class_and_for_what_is_raised_on_purpose_stay(
    in_development: None, client: Client
) -> None:
    assert (client.get("/none").text, client.get("/answer").text) == ("there is none", "the page for 500")


def test_otherwise_pages_for_whatever_goes_wrong_are_shown(client: Client) -> None:
    assert client.get("/bug").text == "the page for all"


SITES = {
    "app": """
from worker import Application
app = Application("site1")

@app.get("/")
def show(request):
    raise ZeroDivisionError("a bug")

@app.get("/stream")
def stream(request):
    raise_later = 1 / 0
    yield "a piece"

@app.on_error(500)
def answer(request, error):
    return "sorry"
""",
    "wsgi": """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/stream":
        return stream()
    raise ZeroDivisionError("a bug")

def stream():
    raise_later = 1 / 0
    yield b"a piece"
""",
}


@pytest.mark.parametrize("kind", SITES)
def test_a_worker_in_development_mode_shows_tracebacks_and_no_other_does(tmp_path: Path, kind: str) -> None:
    (tmp_path / "site1.py").write_text(SITES[kind])
    flags = ("site1:app", "--kind", kind)
    with (
        a_dispatcher(tmp_path) as dispatcher,
        a_worker(tmp_path, *flags, "--name", "plain", to=dispatcher.link) as plain,
        a_worker(tmp_path, *flags, "--name", "dev", "--reload", to=dispatcher.link) as program,
        dispatcher.browser() as browser,
    ):
        plain.wait_for("registered")
        program.wait_for("registered")
        for path, line in (("/", "raise ZeroDivisionError("), ("/stream", "raise_later")):
            reply = browser.get(f"/dev{path}", headers="Accept: text/html\r\n")
            assert (reply.status, reply.headers["content-type"]) == (500, "text/html; charset=utf-8")
            assert f'class="failing">    {line}'.encode() in reply.body.replace(b"        ", b"    ")
            program.wait_for("error application raised .*path=/dev")
            program.wait_for(r"ZeroDivisionError")
            reply = browser.get(f"/plain{path}", headers="Accept: text/html\r\n")
            assert reply.status == 500
            assert b"ZeroDivisionError" not in reply.body
            assert b"Traceback" not in reply.body
            plain.wait_for("ZeroDivisionError")
