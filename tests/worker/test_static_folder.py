from __future__ import annotations

from pathlib import Path

import pytest

from worker import Application
from worker.errors import RouteError
from worker.static_folder import StaticFolder
from worker.testing import Client


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    (root / "css").mkdir(parents=True)
    (root / "docs").mkdir()
    (root / "css" / "site.css").write_text("body {}")
    (root / "docs" / "index.html").write_text("docs")
    (root / "a b.txt").write_text("spaced")
    (root / ".secret").write_text("secret")
    (tmp_path / "outside.txt").write_text("outside")
    return root


@pytest.fixture
def client(root) -> Client:
    app = Application("site")
    app.mount("/static", StaticFolder(root, max_age=60))
    return Client(app)


def test_the_files_of_a_folder_are_sent(client):
    result = client.get("/static/css/site.css")
    assert (result.status, result.text) == (200, "body {}")
    assert result.headers["content-type"] == "text/css; charset=utf-8"
    assert result.headers["cache-control"] == "max-age=60"
    assert client.get("/static/a%20b.txt").text == "spaced"


def test_a_folder_answers_with_its_index_and_has_its_slash_added(client):
    assert client.get("/static/docs/").text == "docs"
    result = client.get("/static/docs")
    assert (result.status, result.headers["location"]) == (308, "/static/docs/")
    for path in ("/static/css", "/static/css/", "/static", "/static/"):
        assert client.get(path).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/static/none",
        "/static/.secret",
        "/static/%2e%2e/outside.txt",
        "/static/..%2foutside.txt",
        "/static/css%2fsite.css",
        "/static/css\\site.css",
        "/static/css/site.css/",
        "/static/css/site.css/x",
        "/static/a%0ab",
        "/static/" + "x" * 5000,
    ],
)
def test_what_is_not_there_or_leads_elsewhere_is_not_found(client, path):
    assert client.get(path).status in {308, 404}
    assert "outside" not in client.get(path).text


def test_no_link_leads_out(client, root):
    (root / "out.txt").symlink_to(root.parent / "outside.txt")
    (root / "up").symlink_to(root.parent)
    (root / "in.css").symlink_to(root / "css" / "site.css")
    assert client.get("/static/out.txt").status == 404
    assert client.get("/static/up/outside.txt").status == 404
    assert client.get("/static/in.css").text == "body {}"


def test_a_folder_whose_name_begins_the_same_is_outside(client, root):
    other = root.parent / "files-of-others"
    other.mkdir()
    (other / "x.txt").write_text("x")
    (root / "link").symlink_to(other)
    assert client.get("/static/link/x.txt").status == 404


def test_files_are_only_read(client):
    assert client.head("/static/css/site.css").headers["content-length"] == "7"
    assert client.options("/static/css/site.css").headers["allow"] == "GET, HEAD, OPTIONS"
    result = client.post("/static/css/site.css")
    assert (result.status, result.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_folder_is_beside_the_module_that_names_it():
    folder = StaticFolder("templates")
    assert repr(folder) == f"<StaticFolder {Path(__file__).parent / 'templates'}>"


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(RouteError, match=r"there is no folder .*/none: put the files there"):
        StaticFolder(tmp_path / "none")


def test_addresses_of_files_can_be_looked_up(root):
    app = Application("site")
    app.mount("/static/", StaticFolder(root))
    app.get("/")(lambda request: request.url_for("static", path="css/site.css"))
    assert Client(app).get("/").text == "/static/css/site.css"
