from __future__ import annotations

import errno
import os
import resource
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.static import FileAnswer, StaticFiles
from protocol.errors import SettingsError

CHANGED = 1_000_000_000
LAST_MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def files(root: Path) -> StaticFiles:
    return StaticFiles(root)


def write(path: Path, content: bytes | str = b"0123456789", modified: float = CHANGED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (modified, modified))
    return path


def body(answer: FileAnswer) -> bytes:
    """Return what the client would get, and close the file as the HTTP side does."""
    if answer.file is None:
        return answer.body
    with answer.file:
        return os.pread(answer.file.fileno(), answer.length, answer.offset)


def ask(
    files: StaticFiles, path: str, method: str = "GET", **fields: str
) -> tuple[int, dict[str, str], bytes | None]:
    """Return status, fields and body of the answer; a status of 404 where there is none."""
    answer = files.find(method, path, {name.replace("_", "-"): value for name, value in fields.items()})
    if answer is None:
        return 404, {}, None
    lines = answer.head.decode("latin-1").split("\r\n")
    assert lines.pop() == ""
    head = dict(line.split(": ", 1) for line in lines)
    assert len(head) == len(lines)
    content = body(answer)
    assert answer.length == len(content)
    return answer.status, head, content


# What is found


def test_a_file_is_sent_with_what_there_is_to_know_about_it(root, files):
    write(root / "notes.txt", "hello")
    assert ask(files, "/notes.txt") == (
        200,
        {
            "ETag": f'"{CHANGED * 10**9:x}-5"',
            "Last-Modified": LAST_MODIFIED,
            "Accept-Ranges": "bytes",
            "Content-Type": "text/plain; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
        },
        b"hello",
    )


def test_head_is_answered_as_get_of_the_whole(root, files):
    write(root / "notes.txt", "hello")
    assert ask(files, "/notes.txt", "HEAD", range="bytes=1-2") == ask(files, "/notes.txt")
    assert ask(files, "/notes.txt", "HEAD", if_match='"x"') == ask(files, "/notes.txt", if_match='"x"')


def test_an_empty_file_is_sent_without_being_read(root, files):
    write(root / "empty", b"")
    answer = files.find("GET", "/empty", {})
    assert answer is not None
    assert (answer.status, answer.file, answer.length, answer.body) == (200, None, 0, b"")


def test_a_folder_is_answered_with_its_index(root, files):
    write(root / "index.html", "home")
    write(root / "shop/index.html", "shop")
    assert ask(files, "/")[2] == b"home"
    assert ask(files, "/shop/")[2] == b"shop"


def test_a_folder_asked_for_without_its_slash_is_redirected(root, files):
    write(root / "sp ace/index.html")
    status, head, content = ask(files, "/sp%20ace")
    assert (status, head["Location"]) == (301, "/sp%20ace/")
    assert content == b"This is a folder: add a slash.\n"


def test_a_folder_without_an_index_is_not_there(root, files):
    (root / "empty").mkdir()
    assert ask(files, "/empty")[0] == ask(files, "/empty/")[0] == ask(files, "/")[0] == 404


@pytest.mark.parametrize(
    "path", ["//evil.example", "//evil.example/", "/%2fevil.example", "/%5cevil.example"]
)
def test_a_redirect_never_leads_to_another_host(root, files, path):
    write(root / "folder/index.html")
    (root / "evil.example").symlink_to("folder", target_is_directory=True)
    assert ask(files, path)[0] == 404


def test_a_page_may_be_asked_for_without_its_suffix(root, files):
    write(root / "lrtest.html", "page")
    write(root / "v1.2.html", "version")
    assert ask(files, "/lrtest")[2] == b"page"
    assert ask(files, "/lrtest")[1]["Content-Type"] == "text/html; charset=utf-8"
    assert ask(files, "/v1.2")[2] == b"version"
    assert ask(files, "/lrtest/")[0] == 404


def test_a_file_and_a_folders_index_come_before_the_page_of_that_name(root, files):
    write(root / "a", "file")
    write(root / "a.html", "page")
    write(root / "b/index.html", "index")
    write(root / "b.html", "page")
    write(root / "c/other.html", "other")
    write(root / "c.html", "page")
    assert ask(files, "/a")[2] == b"file"
    assert ask(files, "/b")[0] == 301
    assert ask(files, "/c")[2] == b"page"


def test_a_name_may_have_any_letters(root, files):
    write(root / "Grüße & 100% [1].txt", "hello")
    assert ask(files, "/Gr%C3%BC%c3%9fe%20&%20100%25%20[1].txt")[2] == b"hello"


def test_a_file_is_no_folder(root, files):
    write(root / "notes.txt")
    assert ask(files, "/notes.txt/")[0] == ask(files, "/notes.txt/more")[0] == 404


def test_well_known_files_are_served(root, files):
    write(root / ".well-known/security.txt", "hello")
    assert ask(files, "/.well-known/security.txt")[2] == b"hello"


def test_a_root_that_is_no_folder_is_refused_with_advice(tmp_path):
    with pytest.raises(SettingsError, match="no where' is not a folder: create it"):
        StaticFiles(tmp_path / "no where")
    with pytest.raises(SettingsError, match="is not a folder"):
        StaticFiles(write(tmp_path / "file"))


def test_a_relative_root_stays_where_it_was(root, tmp_path, monkeypatch):
    write(root / "a.txt", "hello")
    monkeypatch.chdir(tmp_path)
    files = StaticFiles(Path("root"))
    monkeypatch.chdir("/")
    assert ask(files, "/a.txt")[2] == b"hello"
    assert repr(files) == f"<StaticFiles {root}>"


def test_the_whole_file_system_may_be_the_root(tmp_path):
    files = StaticFiles(Path("/"))
    path = write(tmp_path / "a.txt", "hello")
    (tmp_path / "link.txt").symlink_to(path)
    assert ask(files, str(path))[2] == b"hello"
    assert ask(files, f"{tmp_path}/link.txt")[2] == b"hello"
    assert repr(files) == "<StaticFiles />"


# What is not found


@pytest.fixture
def secret(root: Path) -> Path:
    """Put a file beside the root, and many names below the root that a careless reader would take for it."""
    write(root / "folder/page.html")
    write(root / ".env", "secret")
    write(root / ".git/config", "secret")
    write(root / "folder/.env", "secret")
    write(root / "folder/.well-known/x", "secret")
    write(root / ".well-known.html", "secret")
    write(root / ".well-knownx/a", "secret")
    write(root / ".well-known/.env", "secret")
    write(root / "a\\b.txt", "secret")
    write(root / "new\nline", "secret")
    write(root / "c1\x85", "secret")
    return write(root.parent / "secret.txt", "secret")


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "secret.txt",
        "/../secret.txt",
        "/..",
        "/../",
        "/folder/../../secret.txt",
        "/folder/../folder/page.html",
        "/./folder/page.html",
        "/folder/./page.html",
        "/folder/.",
        "/%2e%2e/secret.txt",
        "/%2E%2E/secret.txt",
        "/.%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%2Fsecret.txt",
        "/folder%2fpage.html",
        "/folder%2Fpage.html",
        "/%252e%252e/secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..%252fsecret.txt",
        "/%25%32%65%25%32%65/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%c0%ae%c0%ae%c0%afsecret.txt",
        "/..%c0%afsecret.txt",
        "/%e0%80%ae%e0%80%ae/secret.txt",
        "/%f0%80%80%ae%f0%80%80%ae/secret.txt",
        "/%uff0e%uff0e/secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/%2e%2e%5Csecret.txt",
        "/a\\b.txt",
        "/a%5cb.txt",
        "/..;/secret.txt",
        "/.../secret.txt",
        "//secret.txt",
        "/folder//page.html",
        "/folder/page.html%00",
        "/folder/page.html%00.txt",
        "/folder/page.html\x00",
        "/%00",
        "/new%0aline",
        "/new\nline",
        "/c1%c2%85",
        "/folder/page.html\r\nX: y",
        "/folder/page.html?x",
        "/folder/page.html#x",
        "/folder/page.html%",
        "/folder/page.html%2",
        "/folder/%zz",
        "/folder/page.htm\u006c\u2028",
        "/folder/\udcff",
        "/folder/%ff",
        "/folder/%ed%a0%80",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/folder/.env",
        "/folder/.well-known/x",
        "/.well-known",
        "/.well-known.html",
        "/.well-knownx/a",
        "/.well-known/.env",
        "/.well-known/../.env",
        "/" + "a" * 300,
        "/" + "a/" * 4000,
        "/" + "%61" * 3000,
    ],
)
def test_nothing_is_reached_by_a_crooked_path(files, path):
    assert ask(files, path)[0] == 404


def test_a_name_that_is_not_utf_8_is_not_reached(root, files):
    name = os.fsencode(root) + b"/\xc0\xae"
    os.close(os.open(name, os.O_CREAT))
    assert ask(files, "/%c0%ae")[0] == 404


@given(path=st.text(max_size=40) | st.text("/.%2eEfF5c0\\\x00", max_size=40))
def test_no_path_leads_out_or_raises(tmp_path_factory, path):
    folder = tmp_path_factory.getbasetemp()
    write(folder / "secret", "secret")
    (folder / "searched").mkdir(exist_ok=True)
    assert StaticFiles(folder / "searched").find("GET", "/" + path, {}) is None


def test_a_link_inside_of_the_root_is_followed(root, files):
    target = write(root / "real/page.html", "hello")
    (root / "absolute.html").symlink_to(target)
    (root / "relative.html").symlink_to("real/page.html")
    (root / "folder").symlink_to("real", target_is_directory=True)
    (root / "chain.html").symlink_to("folder/page.html")
    (root / "self").symlink_to(".", target_is_directory=True)
    for path in ("/absolute.html", "/relative.html", "/folder/page.html", "/chain", "/self/self/chain"):
        assert ask(files, path)[2] == b"hello"
    assert ask(files, "/folder//page.html")[0] == 404


def test_a_config_map_is_served(root, files):
    write(root / "..2025_06_01/index.html", "hello")
    (root / "..data").symlink_to("..2025_06_01", target_is_directory=True)
    (root / "index.html").symlink_to("..data/index.html")
    assert ask(files, "/")[2] == b"hello"
    assert ask(files, "/..data/index.html")[0] == 404


def test_a_root_that_is_a_link_may_be_set_anew(tmp_path):
    for release in ("one", "two"):
        write(tmp_path / release / "page.html", release)
        (tmp_path / release / "link.html").symlink_to("page.html")
    current = tmp_path / "current"
    current.symlink_to("one")
    files = StaticFiles(current)
    assert ask(files, "/page")[2] == ask(files, "/link")[2] == b"one"
    current.unlink()
    current.symlink_to("two")
    assert ask(files, "/page")[2] == ask(files, "/link")[2] == b"two"


@pytest.mark.parametrize("is_absolute", [True, False])
def test_no_link_leads_out_of_the_root(root, files, secret, is_absolute):
    outside = secret.parent if is_absolute else Path("..")
    write(secret.parent / "index.html")
    write(secret.parent / "root-of-another/secret.txt")
    write(root / "of-another/secret.txt")
    (root / "file.txt").symlink_to(outside / "secret.txt")
    (root / "page.html").symlink_to(outside / "secret.txt")
    (root / "outside").symlink_to(outside, target_is_directory=True)
    (root / "neighbour").symlink_to(outside / "root-of-another", target_is_directory=True)
    (root / "back").symlink_to(outside / "root" / "folder", target_is_directory=True)
    for path in (
        "/file.txt",
        "/page",
        "/outside",
        "/outside/",
        "/outside/secret.txt",
        "/neighbour/secret.txt",
    ):
        assert ask(files, path)[0] == 404
    assert ask(files, "/outside/root/folder/page.html")[0] == 200
    assert ask(files, "/back/page")[0] == 200


def test_a_broken_link_and_a_loop_are_not_there(root, files):
    (root / "broken").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "there").symlink_to("back")
    (root / "back").symlink_to("there")
    for path in ("/broken", "/loop", "/there", "/loop/x", "/back/"):
        assert ask(files, path)[0] == 404


class Exchanging(StaticFiles):
    """Files where a folder becomes a link to the outside just before it is opened."""

    def _exists(self, name: bytes) -> bool:
        found = super()._exists(name)
        folder = Path(os.fsdecode(self._root)) / "folder"
        if found and not folder.is_symlink():
            folder.rename(folder.with_name("before"))
            folder.symlink_to("../outside", target_is_directory=True)
        return found


def test_a_folder_that_becomes_a_link_at_the_wrong_moment_leads_nowhere(root):
    write(root / "folder/page.html", "inside")
    write(root.parent / "outside/page.html", "outside")
    assert ask(Exchanging(root), "/folder/page.html")[0] == 404


class Relinking(StaticFiles):
    """Files where what a link leads to becomes a link to the outside after it was resolved."""

    def _resolve(self, name: bytes) -> bytes:
        real = super()._resolve(name)
        page = Path(os.fsdecode(self._root + real))
        page.unlink()
        page.symlink_to("../secret.txt")
        return real


def test_a_file_that_becomes_a_link_after_its_check_is_not_opened(root, secret):
    write(root / "page.html", "inside")
    (root / "link.html").symlink_to("page.html")
    assert secret.exists()
    assert ask(Relinking(root), "/link.html")[0] == 404


def test_a_fifo_is_not_there_and_does_not_block(root, files):
    os.mkfifo(root / "fifo")
    os.mkfifo(root / "page.html")
    os.mkfifo(root / "notes.txt.gz")
    write(root / "notes.txt", "hello")
    assert ask(files, "/fifo")[0] == ask(files, "/page")[0] == 404
    assert ask(files, "/notes.txt", accept_encoding="gzip")[2] == b"hello"


def test_a_fifo_is_not_even_opened(root, files, monkeypatch):
    opened = []
    open_any = os.open

    def open_and_note(path, *args, **how):
        opened.append(path)
        return open_any(path, *args, **how)

    os.mkfifo(root / "fifo")
    monkeypatch.setattr(os, "open", open_and_note)
    assert ask(files, "/fifo")[0] == 404
    assert opened == [os.fsencode(root) + b"/"]


def test_a_file_that_becomes_a_fifo_at_the_wrong_moment_does_not_block(root, files, monkeypatch):
    page = write(root / "page.txt")
    look = os.stat

    def look_and_exchange(path, **how):
        seen = look(path, **how)
        if path == b"page.txt":
            page.unlink()
            os.mkfifo(page)
        return seen

    monkeypatch.setattr(os, "stat", look_and_exchange)
    assert ask(files, "/page.txt")[0] == 404


def test_a_device_is_not_there(files, root):
    (root / "null").symlink_to("/dev/null")
    assert ask(files, "/null")[0] == 404
    assert ask(StaticFiles(Path("/dev")), "/null")[0] == 404


def test_a_file_that_goes_away_at_the_wrong_moment_is_not_there(root):
    class Deleting(StaticFiles):
        def _exists(self, name: bytes) -> bool:
            found = super()._exists(name)
            (root / "page.txt").unlink(missing_ok=True)
            return found

    write(root / "page.txt")
    assert ask(Deleting(root), "/page.txt")[0] == 404


@pytest.mark.parametrize(("code", "status"), [(errno.EACCES, 404), (errno.EMFILE, 503), (errno.EIO, 503)])
def test_what_cannot_be_opened_is_absent_or_unavailable(root, files, monkeypatch, code, status):
    def fail(*_args, **_how):
        raise OSError(code, os.strerror(code))

    write(root / "page.txt")
    monkeypatch.setattr(os, "open", fail)
    answered, head, _ = ask(files, "/page.txt")
    assert answered == status
    assert head.get("Retry-After") == ("1" if status == 503 else None)


def test_without_descriptors_a_file_is_unavailable_and_an_absent_one_still_absent(root, files):
    write(root / "page.txt")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert ask(files, "/page.txt")[0] == 503
        assert ask(files, "/absent.txt")[0] == 404
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_flood_of_absent_files_leaves_nothing_behind(root, files):
    write(root / "page.html")

    def flood(name: str) -> None:
        for number in range(2000):
            assert files.find("GET", f"/{name}/{number}/%41", {"accept-encoding": "br"}) is None

    flood("warm")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        flood("counted")
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()


def test_no_descriptor_is_left_open(root, files):
    write(root / "folder/index.html")
    write(root / "a.css", "plain")
    write(root / "a.css.gz", "small")
    write(root / "b.css", "plain")
    write(root / "b.css.gz", "small", modified=CHANGED - 5)
    (root / "link.css").symlink_to("a.css")
    before = os.listdir("/dev/fd")
    for path in ("/folder", "/folder/", "/a.css", "/b.css", "/link.css", "/absent", "/folder/absent"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            for value in ("bytes=1-2", "bytes=99-", ""):
                ask(files, path, method, range=value, accept_encoding="gzip")
                ask(files, path, method, range=value, if_match='"x"')
                ask(files, path, method, range=value, if_none_match="*")
    assert os.listdir("/dev/fd") == before


# Methods


@pytest.mark.parametrize("path", ["/page.html", "/page", "/folder", "/folder/"])
def test_a_file_takes_get_and_head_only(root, files, path):
    write(root / "page.html")
    write(root / "folder/index.html")
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
        status, head, content = ask(files, path, method)
        assert (status, head["Allow"], content) == (405, "GET, HEAD", b"This takes GET, HEAD only.\n")


def test_options_says_what_a_file_takes(root, files):
    write(root / "page.html")
    assert ask(files, "/page.html", "OPTIONS") == (204, {"Allow": "GET, HEAD"}, b"")


def test_no_method_finds_an_absent_file(files):
    for method in ("HEAD", "POST", "OPTIONS"):
        assert ask(files, "/absent", method)[0] == 404


# Types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.xml", "application/xml"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.css.gz", "application/gzip"),
        ("a.css.br", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
        ("README", "application/octet-stream"),
        ("a.grün", "application/octet-stream"),
    ],
)
def test_a_type_is_known_by_the_suffix(root, files, name, expected):
    write(root / name)
    _, head, _ = ask(files, "/" + name.replace("ü", "%c3%bc"))
    assert (head["Content-Type"], head["X-Content-Type-Options"]) == (expected, "nosniff")
    assert "Content-Encoding" not in head


# Conditions


def test_what_the_client_has_is_not_sent_again(root, files):
    write(root / "page.html")
    _, head, _ = ask(files, "/page.html")
    assert ask(files, "/page.html", if_none_match=head["ETag"]) == (304, {"ETag": head["ETag"]}, b"")
    assert ask(files, "/page.html", if_modified_since=head["Last-Modified"])[0] == 304
    assert ask(files, "/page.html", "HEAD", if_none_match=head["ETag"])[0] == 304


def test_a_changed_file_has_another_tag(root, files):
    path = write(root / "page.html", "one")
    _, head, _ = ask(files, "/page.html")
    os.utime(path, ns=(0, CHANGED * 10**9 + 1))
    assert ask(files, "/page.html", if_none_match=head["ETag"])[0] == 200
    write(path, "three")
    assert ask(files, "/page.html", if_none_match=head["ETag"])[0] == 200


def test_a_failed_precondition_is_answered_412(root, files):
    write(root / "page.html")
    status, head, content = ask(files, "/page.html", if_match='"other"')
    assert (status, head["Content-Type"]) == (412, "text/plain; charset=utf-8")
    assert content == b"The file is not the one that the request is about.\n"


@pytest.mark.parametrize("modified", [-(10**9), 2**33])
def test_a_file_from_another_time_is_served(root, files, modified):
    write(root / "page.html", modified=modified)
    status, head, _ = ask(files, "/page.html")
    assert status == 200
    assert (head["Last-Modified"] == "Thu, 01 Jan 1970 00:00:00 GMT") == (modified < 0)
    assert ask(files, "/page.html", if_modified_since="Fri, 01 Jan 2106 00:00:00 GMT")[0] == 304


# Ranges


def test_a_part_is_sent(root, files):
    write(root / "page.html", "0123456789")
    _, whole, _ = ask(files, "/page.html")
    status, head, content = ask(files, "/page.html", range="bytes=2-4")
    assert (status, content) == (206, b"234")
    assert head == whole | {"Content-Range": "bytes 2-4/10"}


def test_the_last_part_is_sent(root, files):
    write(root / "page.html", "0123456789")
    assert ask(files, "/page.html", range="bytes=-3")[2] == b"789"
    assert ask(files, "/page.html", range="bytes=8-")[2] == b"89"


def test_a_part_beyond_the_end_is_answered_416(root, files):
    write(root / "page.html", "0123456789")
    status, head, content = ask(files, "/page.html", range="bytes=10-")
    assert (status, head["Content-Range"]) == (416, "bytes */10")
    assert content == b"The file ends before this part.\n"


# Twins


@pytest.fixture
def twins(root: Path) -> Path:
    write(root / "a.css", "plain text")
    write(root / "a.css.br", "brotli")
    write(root / "a.css.gz", "gzipped")
    return root


@pytest.mark.usefixtures("twins")
@pytest.mark.parametrize(
    ("accepted", "coding", "content"),
    [
        ("gzip, deflate, br", "br", b"brotli"),
        ("gzip", "gzip", b"gzipped"),
        ("gzip, br;q=0", "gzip", b"gzipped"),
        ("gzip;q=0, br;q=0", None, b"plain text"),
        ("", None, b"plain text"),
    ],
)
def test_a_twin_is_sent_to_those_who_can_read_it(files, accepted, coding, content):
    status, head, sent = ask(files, "/a.css", accept_encoding=accepted)
    assert (status, sent) == (200, content)
    assert head.get("Content-Encoding") == coding
    assert head["Vary"] == "Accept-Encoding"
    assert head["Content-Type"] == "text/css; charset=utf-8"


@pytest.mark.usefixtures("twins")
def test_each_twin_has_a_tag_of_its_own(files):
    tags = {ask(files, "/a.css", accept_encoding=coding)[1]["ETag"] for coding in ("br", "gzip", "")}
    assert len(tags) == 3


@pytest.mark.usefixtures("twins")
def test_conditions_and_ranges_are_about_the_twin(files):
    _, head, _ = ask(files, "/a.css", accept_encoding="br")
    not_modified = {"ETag": head["ETag"], "Vary": "Accept-Encoding"}
    assert ask(files, "/a.css", accept_encoding="br", if_none_match=head["ETag"]) == (304, not_modified, b"")
    assert ask(files, "/a.css", if_none_match=head["ETag"])[0] == 200
    status, part, content = ask(
        files, "/a.css", accept_encoding="br", range="bytes=1-2", if_range=head["ETag"]
    )
    assert (status, part["Content-Range"], content) == (206, "bytes 1-2/6", b"ro")
    assert ask(files, "/a.css", range="bytes=1-2", if_range=head["ETag"])[0] == 200


def test_a_page_found_without_its_suffix_has_twins_too(root, files):
    for name in ("index.html", "page.html"):
        write(root / name, "plain")
        write(root / f"{name}.gz", "small")
    assert ask(files, "/", accept_encoding="gzip")[2] == b"small"
    assert ask(files, "/page", accept_encoding="gzip")[2] == b"small"


def test_a_file_without_twins_does_not_vary(root, files):
    write(root / "a.css")
    assert "Vary" not in ask(files, "/a.css", accept_encoding="br")[1]


def test_a_twin_alone_is_no_file(root, files):
    write(root / "a.css.gz")
    assert ask(files, "/a.css", accept_encoding="gzip")[0] == 404


def test_a_twin_that_was_forgotten_is_not_sent(root, files):
    write(root / "a.css", "new", modified=CHANGED + 1)
    write(root / "a.css.gz", "old")
    status, head, content = ask(files, "/a.css", accept_encoding="gzip")
    assert (status, content, head["Vary"]) == (200, b"new", "Accept-Encoding")
    assert "Content-Encoding" not in head


def test_a_twin_may_have_lost_the_fraction_of_its_time(root, files):
    write(root / "a.css", "plain", modified=CHANGED + 0.9)
    write(root / "a.css.br", "small")
    assert ask(files, "/a.css", accept_encoding="br")[2] == b"small"


@pytest.mark.parametrize("make", ["link", "folder"])
def test_a_twin_that_is_no_file_inside_of_the_root_is_not_sent(root, files, secret, make):
    write(root / "a.css", "plain")
    twin = root / "a.css.gz"
    if make == "link":
        twin.symlink_to(secret)
    else:
        twin.mkdir()
    status, head, content = ask(files, "/a.css", accept_encoding="gzip")
    assert (status, content) == (200, b"plain")
    assert "Content-Encoding" not in head


@pytest.mark.usefixtures("twins")
def test_a_twin_that_cannot_be_opened_is_done_without(files, monkeypatch):
    open_any = os.open

    def open_no_twin(path, *args, **how):
        if path == b"a.css.gz":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return open_any(path, *args, **how)

    monkeypatch.setattr(os, "open", open_no_twin)
    assert ask(files, "/a.css", accept_encoding="gzip")[2] == b"plain text"
