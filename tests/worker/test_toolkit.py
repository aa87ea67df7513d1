"""The toolkit behind a real dispatcher: what a client gets of forms, files and events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.peers import Browser
from tests.system import a_dispatcher, a_worker
from worker.form_data import MULTIPART, URLENCODED

if TYPE_CHECKING:
    from tests.programs import Program

SITE = """
from worker import Application, Event, FormLimits, StaticFolder, events

app = Application("site", form_limits=FormLimits(size=4_000_000, text=100_000))
app.mount("/static/", StaticFolder("files"))

@app.post("/form")
def take(request):
    files = {name: [[file.name, file.size] for file in request.files.getlist(name)] for name in request.files}
    return {"fields": dict(request.form), "files": files, "last": request.files["f"].content[-3:].decode()}

@app.get("/ticks")
def ticks(request):
    def source():
        try:
            for number in range(1_000_000):
                yield Event(number, name="tick")
        finally:
            print("source closed", flush=True)
    return events(source())
"""

CONTENT = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, tuple[str, int]]]:
    """A worker's process, and where its dispatcher listens."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "site_of_toolkit.py").write_text(SITE)
    (folder / "files").mkdir()
    (folder / "files" / "large.bin").write_bytes(CONTENT)
    with (
        a_dispatcher(folder) as dispatcher,
        a_worker(folder, "site_of_toolkit:app", to=dispatcher.link) as program,
    ):
        dispatcher.wait_for_links(1)
        yield program, dispatcher.http


@pytest.fixture
def browser(worker) -> Iterator[Browser]:
    with Browser(worker[1]) as browser:
        yield browser


def part(disposition: str, content: bytes) -> bytes:
    return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def send(browser: Browser, body: bytes, kind: str) -> tuple[int, bytes]:
    reply = browser.ask("POST", "/site/form", body, headers=f"Content-Type: {kind}\r\n").read()
    return reply.status, reply.body


def test_a_form_with_files_arrives(browser):
    file = part('name="f"; filename="a/large.bin"', b"y" * 2_000_000 + b"end")
    body = part('name="title"', b"x") + file + b"--b--"
    status, answer = send(browser, body, f"{MULTIPART}; boundary=b")
    assert (status, json.loads(answer)) == (
        200,
        {"fields": {"title": "x"}, "files": {"f": [["large.bin", 2_000_003]]}, "last": "end"},
    )


def test_a_form_that_is_too_large_is_refused_and_the_next_one_is_not(browser):
    body = part('name="f"; filename="x"', b"x" * 5_000_000) + b"--b--"
    assert send(browser, body, f"{MULTIPART}; boundary=b")[0] == 413
    assert send(browser, b"a=" + b"x" * 200_000, URLENCODED)[0] == 413
    assert send(browser, b"".join([part('name="a"', b"1")] * 10_000), f"{MULTIPART}; boundary=b")[0] == 400
    body = part('name="f"; filename="x"', b"abc") + b"--b--"
    assert send(browser, body, f"{MULTIPART}; boundary=b")[0] == 200


def test_a_file_is_sent_whole_in_part_or_not_again(browser):
    whole = browser.get("/site/static/large.bin")
    assert (whole.status, whole.body) == (200, CONTENT)
    some = browser.get("/site/static/large.bin", "Range: bytes=1000000-\r\n")
    assert (some.status, some.body) == (206, CONTENT[1_000_000:])
    same = browser.get("/site/static/large.bin", f"If-None-Match: {whole.headers['etag']}\r\n")
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", whole.headers["etag"])
    head = browser.ask("HEAD", "/site/static/large.bin").read("HEAD")
    assert (head.status, head.headers["content-length"]) == (200, "3000000")
    assert browser.get("/site/static/none").status == 404
    assert browser.get("/site/static").headers["location"] == "/site/static/"


def test_events_come_one_by_one_until_the_client_leaves(worker, browser):
    response = browser.ask("GET", "/site/ticks").begin()
    assert response.headers["content-type"] == "text/event-stream"
    assert response.read(24) == b":\n\nevent: tick\ndata: 0\n\n"
    browser.leave()
    worker[0].wait_for("source closed")
