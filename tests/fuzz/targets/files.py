"""Paths of files: whatever is asked for, nothing outside of the folder is sent, and no dotfile."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from dispatcher.settings import Limits
from dispatcher.static import FileAnswer, StaticFiles
from tests.fuzz.target import Target, temporary_folder
from worker.errors import HttpError
from worker.exchange import Exchange
from worker.request import Request
from worker.static_folder import StaticFolder

OPEN = b"anybody may read this"
SECRET = b"nobody may read this"


def make_site() -> Path:
    """Make a folder with a site in it, and with secrets in it and around it."""
    top = temporary_folder()
    for name in ("index.html", "a.txt", "caf\xe9.html", "sub/index.html", "sub/b.css", "a b.txt", "a.txt.gz"):
        put(top / "site" / name, OPEN)
    for name in (".env", ".git/config", "sub/.htaccess"):
        put(top / "site" / name, SECRET)
    for name in ("secret.txt", "site.txt", "elsewhere/a.txt"):
        put(top / name, SECRET)
    (top / "site/out").symlink_to(top / "elsewhere")
    (top / "site/out.txt").symlink_to("../secret.txt")
    (top / "site/in").symlink_to("sub")
    return top / "site"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


SITE = make_site()
STATIC_FILES = StaticFiles(SITE)
STATIC_FOLDER = StaticFolder(SITE)


def read(data: bytes) -> None:
    sent_by_dispatcher(data)
    sent_by_worker(data)


def sent_by_dispatcher(data: bytes) -> bytes:
    """Return what the dispatcher sends."""
    answer: FileAnswer | None = STATIC_FILES.find("GET", data.decode("latin-1"), {})
    if answer is None or answer.file is None:
        return b""
    with answer.file as file:
        return file.read()


def sent_by_worker(data: bytes) -> bytes:
    """Return what an application sends that has the folder mounted; longer targets do not come to it."""
    if len(data) > Limits().target:
        return b""
    request = Request(Exchange("app", "/", "GET", data, b"", "http", "192.0.2.7:5", 1, BytesIO()))
    try:
        body = STATIC_FOLDER(request).answer_to(request).body
    except HttpError as error:
        if error.status >= 500:
            raise
        return b""
    return body if isinstance(body, bytes) else b"".join(body)


def only_open_files_are_sent(data: bytes) -> None:
    for body in (sent_by_dispatcher(data), sent_by_worker(data)):
        assert SECRET not in body
        assert body in {b"", OPEN} or b"folder" in body or b"address" in body


TARGET = Target(
    read=read,
    laws=(only_open_files_are_sent,),
    seeds=(
        *(b"/", b"/a.txt", b"/caf%C3%A9", b"/sub", b"/sub/", b"/sub/b.css?x", b"/a%20b.txt", b"/in/b.css"),
        *(b"/out/a.txt", b"/out.txt", b"/.env", b"/sub/.htaccess", b"/../secret.txt", b"/%2e%2e/secret.txt"),
        *(
            b"/sub/..%2f..%2fsecret.txt",
            b"/.git/config",
            b"//etc/passwd",
            b"/sub/..\\..\\secret.txt",
            b"/../site.txt",
        ),
        *(b"/..%c0%afsecret.txt", b"/a.txt%00.html", b"/out/../../secret.txt", b"/" + b"x" * 300),
    ),
    words=(
        b"/|//|..|/..|/../|%2e|%2E%2e|%2f|%5c|\\|%00|%25|%252e|%c0%ae|%c0%af|%ef%bc%8f|secret.txt|site.txt"
        b"|.env|.git|config|index.html|sub|in|out|out.txt|a.txt|.html|.gz|?|elsewhere|/proc/self/cwd"
    ).split(b"|"),
    each=250,
    fixed=300_000,
)
