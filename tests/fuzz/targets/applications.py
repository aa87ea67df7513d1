"""An application that does a bit of everything, and sends back whatever it is given, as careless authors do.

No request that the dispatcher lets pass makes an error of ours.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dispatcher.framing import BadRequest, read_head
from dispatcher.settings import Limits
from protocol.heads import read_response_head
from tests.fuzz.target import Target, joined, parts
from tests.fuzz.targets.files import SITE
from worker.application import Application
from worker.content import close_source
from worker.csrf import FIELD, KEY, check_csrf, csrf_token
from worker.exchange import Exchange
from worker.form_data import FormLimits
from worker.forms import Check, Entry, Form, Formlet, Memo, Pick, Upload
from worker.forms.conversions import Date, EnumChoice, Integer, ListOf, Nullable, Text
from worker.response import Response, redirect
from worker.router import Router
from worker.servlet import Servlet
from worker.sessions import Sessions
from worker.sessions.memory import MemoryStore
from worker.static_folder import StaticFolder

if TYPE_CHECKING:
    from worker.request import Request

METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS")
"""The methods of requests, by an input's first byte."""

ID = "0123456789abcdefghijkl"
TOKEN = "00" * 32
"""The id of a session, and a token that its forms accept."""

app = Application("app", form_limits=FormLimits(size=3000, text=800, fields=20, files=5, memory=500))


class State(Enum):
    """Something to choose."""

    OPEN = 1
    DONE = 2


class TaskForm(Form):
    """A form with an element of each kind."""

    title = Entry("Title", Text(most=20))
    count = Entry("Count", Nullable(Integer(least=1)))
    due = Entry("Due", Nullable(Date()))
    state = Pick("State", EnumChoice(State))
    tags = Memo("Tags", ListOf(Text(most=5), most=3))
    urgent = Check("Urgent")
    file = Upload("File", is_optional=True)


@app.servlet("/task/{id:int}")
class Task(Formlet):
    """A form, and what was typed into it."""

    form = TaskForm
    heading = "A task"

    def save(self, data: dict[str, Any]) -> str:
        """Go on to a page with what was typed."""
        return self.request.url_for("show", name=data["title"]) if data["title"].strip("./") else "/"


@app.servlet("/thing/")
class Thing(Servlet):
    """A method for each method."""

    def get(self) -> object:
        """Show the fields of the query."""
        return {name: self.request.query.getlist(name) for name in self.request.query}

    def put(self) -> object:
        """Send the value back."""
        return {"value": self.request.json}

    def post(self) -> object:
        """Send the text back."""
        return self.request.text


@app.get("/page/{name}")
def show(request: Request, name: str) -> object:
    """Send everything back."""
    return [name, request.url, request.normal_target, *request.cookies.values(), *request.headers.values()]


@app.get("/entry/{number:int}/{day:date}/{key:uuid}?{times:int}&{word}")
def entry(request: Request, number: int, day: date, key: UUID, times: int = 0, word: str = "") -> Response:
    """Answer with conditions."""
    response = Response(f"{number} {day} {key} {times} {word}")
    response.etag = "v1"
    response.modified = datetime(2024, 1, 1, tzinfo=UTC)
    return response


@app.get("/go/{where:rest}")
def go(request: Request, where: str) -> Response:
    """Go where the client says."""
    return redirect(f"/{where}")


@app.post("/form")
def take(request: Request) -> Response:
    """Send a form back, and set a cookie."""
    check_csrf(request)
    request.session["seen"] = request.form.get("title", "")
    names = [file.name for files in request.files for file in request.files.getlist(files)]
    return Response.json([dict(request.form), names, csrf_token(request)])


@app.get("/session")
def count(request: Request) -> object:
    """Count."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return request.session["visits"], request.has_seen("a")


below = Router()


@below.get("/{name}/")
def inner(request: Request, name: str) -> object:
    """Stream."""
    return iter([name, request.prefix, request.path])


app.mount("/below/{number:int}", below)
app.mount("/static", StaticFolder(SITE))


class OneSession(MemoryStore):
    """A store in which there is one session, whose forms accept the token."""

    def begin(self) -> None:
        """Forget what else there is."""
        super().__init__(patience=0)
        key = hashlib.sha256(ID.encode()).hexdigest()
        self.add(key, json.dumps({KEY: "00" * 16}), 2000.0, 1000.0)


store = OneSession()
app.wrap(Sessions(store, clock=lambda: 1000.0))


def exchange_of(data: bytes) -> Exchange:
    """Return a request: a method and a target, header lines, and a body.

    Raises:
        BadRequest: the dispatcher does not let it pass.
    """
    line, lines, body = parts(data, 3)
    method, target = METHODS[line[0] % len(METHODS)] if line else b"GET", line[1:]
    raw = b"%b %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (method, target, len(body), lines)
    if raw.find(b"\r\n\r\n") != len(raw) - 4:
        raise BadRequest(400, "A head ends with its first empty line.")
    head = read_head(raw, Limits())
    return Exchange(
        *("app", "/", head.method, head.target, head.block, "http", "192.0.2.7:5", 1, BytesIO(body))
    )


def read(data: bytes) -> None:
    exchange = exchange_of(data)
    store.begin()
    answer = app.handle(exchange)
    try:
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    finally:
        close_source(answer.body)
    head = read_response_head(answer.head)
    if answer.status >= 500:
        raise ServerError(body)
    # HEAD alone tells a length of what is not sent.
    assert head.length in {None, len(body)} or (exchange.method == "HEAD" and not body)


class ServerError(Exception):
    """The client is told that the mistake was ours."""


def asked(method: bytes, target: str, lines: str = "", body: bytes = b"") -> bytes:
    return joined(bytes([METHODS.index(method)]) + target.encode(), lines.encode(), body)


COOKIE = f"Cookie: session={ID}\r\n"
ENTRY = "/entry/7/2024-02-29/12345678-1234-1234-1234-123456789abc"
PROOF = f"{FIELD}={TOKEN}".encode()
ENCODED = "Content-Type: application/x-www-form-urlencoded\r\n"

TARGET = Target(
    read=read,
    refusals=(BadRequest,),
    seeds=(
        asked(b"GET", "/page/caf%C3%A9?a=b", "Cookie: a=b\r\nX: \xe9\r\n"),
        asked(b"GET", f"{ENTRY}?times=3&word=x", 'If-None-Match: "v1"\r\n'),
        asked(b"HEAD", f"{ENTRY}?times=x"),
        asked(b"GET", "/go//elsewhere/%09X:y"),
        asked(b"GET", "/go/a%C2%85X:%20y%22"),
        asked(b"PUT", "/thing/", "", b'{"a": ["\\ud800", 1e400, 12345678901234567890]}'),
        asked(b"POST", "/thing/", "Content-Type: text/plain; charset=utf-16\r\n", b"\xff\xfe=\xd8\x00\xde"),
        asked(b"GET", "/thing?a=%ff&b"),
        asked(b"GET", "/task/1", COOKIE),
        asked(b"POST", "/task/1", COOKIE + ENCODED, PROOF + b"&title=a%2Fb&state=OPEN&tags=a%0D%0Ab"),
        asked(b"POST", "/task/1", COOKIE + ENCODED, PROOF + b"&title=&count=x&due=2023-02-29&state="),
        asked(b"POST", "/form", COOKIE + ENCODED, PROOF + b"&title=%00%ED%A0%80"),
        asked(
            *(b"POST", "/form", COOKIE + "Content-Type: multipart/form-data; boundary=b\r\n"),
            b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n--b--'
            % (FIELD.encode(), TOKEN.encode()),
        ),
        asked(b"GET", "/session", COOKIE),
        asked(b"GET", "/below/5/x/", "Range: bytes=0-1\r\n"),
        asked(b"GET", "/below/5//x/../%2e%2e"),
        asked(b"GET", "/static/a.txt", "Range: bytes=2-5\r\nAccept-Encoding: gzip\r\n"),
        asked(b"OPTIONS", "/static/../.env"),
        asked(b"DELETE", "/task/1", "Origin: http://b\r\n"),
    ),
    words=(
        *(
            b"\x00|\x01|\x02|\x03|\x04|\x05|\x00;|/page/|/entry/|/go/|/thing/|/task/|/form|/session"
            b"|/below/5/|/static/|2024-02-29|0001-01-01|%C3%A9|%ff|%00|%2F|%0d%0a|..|//|?|&|=|+|\r\n"
            b"|Content-Type: |text/plain; charset=|application/json|Origin: http://a\r\n"
            b"|Sec-Fetch-Site: none\r\n|X-CSRF-Token: |If-Match: *\r\n"
            b'|If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT\r\n|Range: bytes=|"v1"|{"a":|[|]|}|"'
            b"|\\ud800|\\u0000|&title=|&count=|&due=|&state=DONE|&tags=|&urgent=yes|&file=|%ED%A0%80"
            b"|%E2%80%A8|%F0%9F%98%80|<script>"
        ).split(b"|"),
        COOKIE.encode(),
        ENCODED.encode(),
        PROOF,
    ),
    each=400,
    fixed=4_000_000,  # templates that are read at their first use, and what is remembered of heads
)
