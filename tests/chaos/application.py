"""The application under load: whatever it is asked for, it notes that it has begun, and answers with the id.

A handler notes the id in the journal before it does anything, so that the journal counts what was begun,
whatever becomes of it. A POST also writes a row in a transaction, so that the database counts what was done.

The environment says where: ``CHAOS_FOLDER`` has the journal and what is said to handlers, ``CHAOS_DATABASE``
is the URL of the database, and ``CHAOS_WAIT`` the seconds to wait for its locks.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Column, MetaData, String, Table, insert

from worker import Application, Request, Response
from worker.database import Database

WORK: Final = 0.001
"""Seconds of work before a row is written, and again after it: a killed worker may be at either side."""

PIECE: Final = bytes(1024)

LONGEST_HOLD: Final = 30.0
"""Seconds after which a handler goes on though nobody has told it to."""

folder = Path(os.environ["CHAOS_FOLDER"])
journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
app = Application("chaos")
app.use(
    Database(os.environ["CHAOS_DATABASE"], wait=float(os.environ.get("CHAOS_WAIT", "5")), is_durable=False)
)
done = Table("done", MetaData(), Column("id", String, nullable=False))

if (folder / "broken").exists():
    os._exit(3)  # what a library does at import whose licence, or processor, is not there


@app.on_start
def make_table() -> None:
    assert app.database is not None
    with app.database.exclusively() as db:
        done.create(db, checkfirst=True)


def note(word: str, number: str) -> None:
    """Note something in the journal; a line this short is written whole, whoever else writes."""
    os.write(journal, f"{word} {number} {os.getpid()}\n".encode())


def begin(request: Request) -> str:
    """Note that a request is begun, and return its id."""
    number = request.headers["X-Id"]
    note("begun", number)
    return number


def save(request: Request, number: str) -> None:
    """Write the row of a request."""
    with request.db.begin():
        request.db.execute(insert(done).values(id=number))


def hold(number: str) -> None:
    """Wait until the test lets this request go."""
    until = time.monotonic() + LONGEST_HOLD
    while not (folder / "go" / number).exists() and time.monotonic() < until:
        time.sleep(0.005)


@app.get("/item")
def show(request: Request) -> str:
    number = begin(request)
    time.sleep(2 * WORK)
    return number


@app.post("/item")
def take(request: Request) -> str:
    number = begin(request)
    time.sleep(WORK)
    save(request, number)
    time.sleep(WORK)
    return number


@app.get("/held")
def show_held(request: Request) -> str:
    number = begin(request)
    hold(number)
    return number


@app.post("/held-before")
def take_held_before(request: Request) -> str:
    """Be held before the row is written."""
    number = begin(request)
    hold(number)
    save(request, number)
    return number


@app.post("/held-within")
def take_held_within(request: Request) -> str:
    """Be held while the row is written and not committed."""
    number = begin(request)
    with request.db.begin():
        request.db.execute(insert(done).values(id=number))
        hold(number)
    return number


@app.post("/held-after")
def take_held_after(request: Request) -> str:
    """Be held when the row is there."""
    number = begin(request)
    save(request, number)
    hold(number)
    return number


@app.get("/stream")
def stream(request: Request) -> Iterator[bytes]:
    """Give pieces without end, and note when somebody ends them."""
    number = begin(request)
    try:
        while True:
            yield PIECE
            time.sleep(0.01)
    finally:
        note("closed", number)


@app.get("/slow-download")
def download_slowly(request: Request) -> Response:
    """Give a body whose length is known slower than anybody takes it."""
    number = begin(request)

    def pieces() -> Iterator[bytes]:
        for _ in range(3000):
            yield PIECE
            time.sleep(0.01)

    note("answered", number)
    return Response(pieces(), headers={"Content-Length": str(3000 * len(PIECE))})


@app.get("/download")
def download(request: Request) -> Response:
    begin(request)
    return Response(bytes(int(request.query["size"])), content_type="application/octet-stream")


@app.post("/upload")
def upload(request: Request) -> str:
    """Read a body within the transaction that writes the row."""
    number = begin(request)
    if "held" in request.query:
        hold(number)
    try:
        with request.db.begin():
            request.db.execute(insert(done).values(id=number))
            while request.exchange.body.read(64 * 1024):
                pass
    except BaseException:
        note("closed", number)
        raise
    return number


@app.get("/poison")
def show_poison(request: Request) -> None:
    begin(request)
    os.kill(os.getpid(), signal.SIGKILL)


@app.post("/poison")
def take_poison(request: Request) -> None:
    begin(request)
    os.kill(os.getpid(), signal.SIGKILL)


@app.get("/hang")
def hang(request: Request) -> None:
    """Call C that never returns, and that does not let other threads run either."""
    begin(request)
    ctypes.PyDLL(None).pause()
