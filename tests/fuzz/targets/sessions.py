"""Ids of sessions: no store is asked for anything but what looks like an id of ours."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from protocol.heads import read_request_head
from tests.fuzz.target import Target
from tests.fuzz.targets.cookies import request_with
from tests.worker.handling import body_of
from worker.response import Response
from worker.sessions import Sessions
from worker.sessions.memory import MemoryStore

if TYPE_CHECKING:
    from worker.request import Request
    from worker.sessions.store import Held

ID = re.compile(rb"(?=([A-Za-z0-9_-]{22}))")


class AskedStore(MemoryStore):
    """A store that writes down which sessions it is asked for."""

    def __init__(self) -> None:
        super().__init__(patience=0)
        self.asked: list[str] = []

    def take(self, key: str, now: float) -> Held | None:
        self.asked.append(key)
        return super().take(key, now)


def visit(sessions: Sessions, request: Request) -> tuple[int, Response]:
    """Count in the session that a request has; returns what was counted."""

    def count(request: Request) -> Response:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return Response(str(request.session["visits"]))

    response = sessions(count)(request)
    return int(body_of(response)), response


def sessions_in(store: MemoryStore) -> Sessions:
    return Sessions(store, clock=lambda: 1000.0)


def head_of(data: bytes) -> bytes:
    return b"Cookie: %b\r\n" % data


def read(data: bytes) -> None:
    visit(sessions_in(MemoryStore(patience=0)), request_with(head_of(data)))


def asks_for_what_looks_like_an_id(data: bytes) -> None:
    store = AskedStore()
    visits, response = visit(sessions_in(store), request_with(head_of(data)))
    assert visits == 1
    keys = {hashlib.sha256(found).hexdigest() for found in ID.findall(data)}
    assert len(store.asked) <= 1
    assert keys.issuperset(store.asked)
    new = cookie_of(response)
    assert re.fullmatch(rb"session=[A-Za-z0-9_-]{22}", new)
    assert new.partition(b"=")[2] not in data


def comes_back_among_other_cookies(data: bytes) -> None:
    """A browser's session is found whatever other cookies it sends, unless one of them has its name."""
    sessions = sessions_in(MemoryStore(patience=0))
    _, response = visit(sessions, request_with(b""))
    cookie = cookie_of(response)
    before = head_of(cookie + b"; " + data)
    assert visit(sessions, request_with(before))[0] == 2
    others = request_with(head_of(data))
    behind = head_of(data) + head_of(cookie)
    lines = read_request_head(behind)
    if "session" not in others.cookies and ("cookie", cookie.decode()) in lines:
        assert visit(sessions, request_with(behind))[0] == 3


def cookie_of(response: Response) -> bytes:
    """Return the pair that a browser sends back."""
    (line,) = [value for name, value in response.headers if name == "Set-Cookie"]
    return line.partition(";")[0].encode()


TARGET = Target(
    read=read,
    laws=(asks_for_what_looks_like_an_id, comes_back_among_other_cookies),
    seeds=(
        b"session=0123456789abcdefghijkl",
        b"a=b; session=0123456789ABCDEFGHIJ-_; session=x",
        b'session="0123456789abcdefghijkl"; a="',
        b"session=0123456789abcdefghijkl\nx; session",
        b"session=../../../../etc/passwd\r\nCookie: session=0123456789abcdefghijkl",
    ),
    words=(
        b'session=|session|0123456789abcdefghijkl|0123456789abcdefghijklm|; |;|=|"|\r\nCookie: |\n|\xc2\xb2'
        b"|\xb2|\xaa|%00|Connection: cookie\r\n"
    ).split(b"|"),
    each=80,
    fixed=60_000,
)
