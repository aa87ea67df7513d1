"""All that an application can ask of a request that the dispatcher has let pass."""

from __future__ import annotations

import io
from typing import Any

from dispatcher.framing import BadRequest, RequestHead, read_head
from dispatcher.settings import Limits
from protocol.paths import prefixes
from tests.fuzz.target import Target, joined, outcome, parts
from worker.errors import HttpError
from worker.exchange import Exchange
from worker.form_data import FormLimits
from worker.request import Request
from worker.wsgi import wsgi_handle

PROPERTIES = (
    *("path", "segments", "query", "headers", "cookies", "body", "text", "json", "form", "files"),
    *("host", "url", "normal_target", "target_of_folder", "is_normal"),
)
PREFIXES = {"/", "/shop", "/caf\xe9"}


class SmallRequest(Request):
    """A request whose limits short inputs reach."""

    form_limits = FormLimits(size=3000, text=800, fields=10, files=5, line=200, lines=4, memory=500)


def head_of(data: bytes) -> RequestHead:
    """Return what the dispatcher makes of an input's first two parts, a target and further header lines.

    Raises:
        BadRequest: it lets them not pass.
    """
    target, lines, body = parts(data, 3)
    raw = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (target, len(body), lines)
    if raw.find(b"\r\n\r\n") != len(raw) - 4:
        raise BadRequest(400, "A head ends with its first empty line.")
    return read_head(raw, Limits())


def exchange_of(data: bytes) -> Exchange:
    head = head_of(data)
    prefix = next(prefix for prefix in prefixes(head.path) if prefix in PREFIXES)
    body = io.BytesIO(parts(data, 3)[2])
    return Exchange(
        *("app", prefix, head.method, head.target, head.block, "https", "[::1]:5123", 1, body),
    )


def read(data: bytes) -> None:
    """Ask each request for one thing: what was read of its body stays read."""
    for name in PROPERTIES:
        request = SmallRequest(exchange_of(data))
        try:
            getattr(request, name)
        except HttpError as error:
            if error.status >= 500:
                raise
        finally:
            if request.has_files:
                request.release()


def says_who_asked_for_what(data: bytes) -> None:
    exchange = outcome(exchange_of, data, refusals=(BadRequest,))
    if not isinstance(exchange, Exchange):
        return
    request = Request(exchange)
    assert request.url.startswith(f"https://{request.host}")
    assert request.url.isascii()
    assert not set(request.url) & set(' "<>\\^`{|}\r\n\0')
    assert isinstance(request.has_seen("a"), bool)
    outcome(request.require_unchanged, "a", refusals=(HttpError,))


def is_an_environment_by_pep_3333(data: bytes) -> None:
    exchange = outcome(exchange_of, data, refusals=(BadRequest,))
    if not isinstance(exchange, Exchange):
        return
    called = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append(environ)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    answer = wsgi_handle(application)(exchange)
    assert answer.body == parts(data, 3)[2]
    (environ,) = called
    for name, value in environ.items():
        if name.isupper() and isinstance(value, str):
            value.encode("latin-1")
            assert not set(value) & set("\r\n\0") or name == "PATH_INFO", name
    assert environ["SCRIPT_NAME"] in {"", "/shop", "/caf\xc3\xa9"}
    assert environ["PATH_INFO"][:1] in {"", "/"}
    assert environ["CONTENT_LENGTH"] == str(len(answer.body))


TARGET = Target(
    read=read,
    refusals=(BadRequest,),
    laws=(says_who_asked_for_what, is_an_environment_by_pep_3333),
    seeds=(
        joined(b"/shop/a?b=c&d", b"Cookie: a=b\r\nAccept: */*\r\n", b""),
        joined(b"/", b"Content-Type: application/x-www-form-urlencoded\r\n", b"a=b&c=%C3%A9&a=d"),
        joined(
            b"/caf%C3%A9/",
            b"Content-Type: multipart/form-data; boundary=b\r\n",
            b'--b\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\nz\r\n--b--',
        ),
        joined(b"/shop", b"Content-Type: application/json\r\n", b'{"a": [1, 2.5e3, null, "\\u00e9\\ud800"]}'),
        joined(b"/%ff//x/../y", b"Content-Type: text/plain; charset=utf-16\r\n", b"\xff\xfea\0"),
        joined(b"/shop/", b'Content-Type: text/plain; Charset="latin1"\r\nIf-None-Match: "a"\r\n', b"\xe9"),
        joined(b"http://[::1]:80/a?x", b'Forwarded: for=1\r\nIf-Match: "b"\r\n', b"[NaN]"),
    ),
    words=(
        *(
            b"\x00;|/|?|&|=|%C3%A9|%ff|/shop|//|..|\r\n|Content-Type: |application/json|text/plain; charset="
            b"|utf-8|utf-16|utf-7|idna|hex|multipart/form-data; boundary=b|application/x-www-form-urlencoded"
            b'|Cookie: |If-Match: *\r\n|[|{|"|{"a":|]|}|1e999|-0|Infinity|\\ud800|\xef\xbb\xbf|--b\r\n'
            b"|--b--|Content-Disposition: form-data; name=x\r\n\r\n|charset=|;|\xff\xfe"
        ).split(b"|"),
        b"9" * 5000,
    ),
    each=400,
    fixed=600_000,
)
