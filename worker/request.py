"""Requests: what a handler sees of an exchange, each part read when it is asked for.

What the client sent wrongly raises HttpError, which the application turns into its answer; nothing that a
client can send makes a 500 here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from encodings.aliases import aliases
from io import BytesIO
from math import isinf
from time import time
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload
from urllib.parse import quote, unquote_to_bytes

from protocol.conditions import Representation, weigh
from protocol.heads import read_request_head
from worker.calls import perform
from worker.errors import HttpError, NotProvidedError
from worker.fields import Fields, Headers
from worker.form_data import FormLimits, Sent, read_fields, read_form
from worker.place import write_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.calls import Call
    from worker.exchange import Exchange
    from worker.fields import Many
    from worker.form_data import Form
    from worker.handlers import Handler, Responder
    from worker.place import Place
    from worker.uploads import UploadedFile

_CHARSETS: Final = frozenset({"utf_8", "ascii", "latin_1", "cp1252", "utf_16"})
"""Encodings of text that a client may choose, by the names of Python. Not all that Python knows: some
take time that grows with the square of the length (CVE-2022-45061)."""

_CHARSET_NAMES: Final = {name: name for name in _CHARSETS} | {
    alias: name for alias, name in aliases.items() if name in _CHARSETS
}
"""All that they are called, in Python's spelling. We look here, because Python itself keeps each name that it
is asked for, those too that mean nothing; a client could have filled our memory with them."""

_MALFORMED_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_NOT_NORMAL: Final = re.compile(rb"//|/(\.|%2e)", re.IGNORECASE)
"""What may be an empty segment or a dot segment: a quick look, before the path is taken apart."""

_IN_TARGET: Final = "%/:@!$&'()*+,;=?~"
"""What a target may have besides letters, digits and "-._" (RFC 3986 §3.3, §3.4)."""

Value = TypeVar("Value")


class _Lazy(Generic[Value]):
    """An attribute that is worked out when it is first read, and kept.

    functools.cached_property does the same, but up to Python 3.11 it holds one lock for all requests of a
    process: a thread that waits for a body would have kept the others from reading theirs.
    """

    def __init__(self, read: Callable[[Any], Value]) -> None:
        self._read = read
        self._name = read.__name__
        self.__doc__ = read.__doc__

    @overload
    def __get__(self, request: None, owner: type) -> _Lazy[Value]: ...
    @overload
    def __get__(self, request: object, owner: type) -> Value: ...
    def __get__(self, request: object | None, owner: type) -> _Lazy[Value] | Value:
        if request is None:
            return self
        value = request.__dict__[self._name] = self._read(request)
        return value

    if TYPE_CHECKING:  # at run time what is set goes past this class, and is read at full speed

        def __set__(self, request: object, value: Value) -> None: ...


class _Shared(_Lazy[Value]):
    """An attribute that is worked out once for a request, by whichever of its views is asked first."""

    if not TYPE_CHECKING:

        def __get__(self, request, owner):
            if request is None or request._origin is None:
                return super().__get__(request, owner)
            value = request.__dict__[self._name] = getattr(request._origin, self._name)
            return value


class _Provided:
    """An attribute that somebody else sets for each request; until then, reading it says who would have to.

    Raises:
        NotProvidedError: nobody has set it.
    """

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence

    def __get__(self, request: object, owner: type) -> Any:
        raise NotProvidedError(self._sentence)

    if TYPE_CHECKING:  # as above

        def __set__(self, request: object, value: Any) -> None: ...


class Request:
    """A request, as the router sees it that it has come to.

    A router that is mounted is given a view of its own, with the path relative to the mount. Views share what
    was sent; what is set on one is seen by those made from it later, and by no other.

    Attributes:
        exchange: the request as it came over the link.
        method: the method, in upper case.
        prefix: the decoded path down to the application or the mount, without a / at its end; empty for a
            whole host. ``prefix + path`` is the path that the client asked for, for every view.
        parameters: the values of the path's parameters by name, those of mounts too.
        scheme: ``http`` or ``https``.
        client: the client's address as ``ip:port``, ``[ip]:port`` or ``unix:``.
        attempt: 1 at first; more if a worker was given the request before, and refused it, was lost, or let
            it wait.
    """

    call: Call
    """What the routers have found; they set it before it is performed."""

    arguments: Mapping[str, Any]
    """What the handler is called with; they set it beside ``call``."""

    perform: Responder = staticmethod(perform)
    """What performs the call: the database's guard, where there is one."""

    place: Place | None = None
    """Where in the nest of routers this view is."""

    form_limits = FormLimits()
    """How much a form may send."""

    _origin: Request | None = None

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.method = exchange.method
        self.prefix = exchange.prefix.rstrip("/")
        self.parameters: dict[str, Any] = {}
        self.scheme = exchange.scheme
        self.client = exchange.client
        self.attempt = exchange.attempt

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.exchange.target.decode('latin-1')!r:.200}>"

    def below(self, depth: int, parameters: Mapping[str, Any]) -> Request:
        """Return a view for what is mounted ``depth`` segments deep; ``parameters`` are those on the way."""
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view.__dict__.pop("path", None)
        view._origin = self._origin or self
        view.above = (*self.above, *self.segments[:depth])
        view.prefix = "".join(f"/{segment}" for segment in view.above)
        view.segments = self.segments[depth:] or [""]
        view.parameters = {**self.parameters, **parameters}
        return view

    @property
    def handler(self) -> Handler:
        """The handler that answers, once it was found; for messages that name it."""
        return self.call.handler

    def url_for(self, name: str, /, **values: Any) -> str:
        """Return the address of a route of this application, from the root of the host, percent-encoded.

        Routes near by come first: those of the router that answers, then those around it.

        Args:
            name: the route's name, which is its handler's unless it was given one; with the name of a mount
                and a dot before it for the routes of a mounted router. Behind a mount that is no router, such
                as a StaticFolder, ``path`` says what: ``url_for("static", path="site.css")``.
            values: the values of its parameters.

        Raises:
            RouteError: there is no such route, or the values are not for it.
        """
        return write_address(self.places(), name, values)

    def places(self) -> Iterator[Place]:
        """Yield where this view is: the router that answers, and those around it."""
        return self.place.outwards() if self.place else iter(())

    db = _Provided("request.db is there for handlers, and only with --database URL; a wrapper has none")
    """This worker thread's own connection to the database; the guard sets it."""

    session = _Provided("this application has no sessions: wrap it with Sessions(...)")
    """The browser's session; the wrapper for sessions sets it."""

    @_Lazy
    def above(self) -> Sequence[str]:
        """The decoded segments of the prefix."""
        return self.prefix.split("/")[1:]

    @_Lazy
    def segments(self) -> list[str]:
        """The decoded segments of the path below the prefix.

        Raises:
            HttpError: 400, the path is malformed; 404, it is not below the prefix in this spelling.
        """
        segments = read_segments(self.exchange.target.partition(b"?")[0])
        depth = len(self.above)
        if segments[:depth] != self.above:
            raise HttpError(404)
        return segments[depth:] or [""]

    @_Lazy
    def path(self) -> str:
        """The decoded path below the prefix; it starts with a /."""
        return "/" + "/".join(self.segments)

    @_Lazy
    def query(self) -> Fields:
        """The fields of the query; those without a value too."""
        return read_fields(self.exchange.target.partition(b"?")[2])

    @_Lazy
    def headers(self) -> Headers:
        """The header fields that an application may see."""
        return Headers(read_request_head(self.exchange.head))

    @_Lazy
    def cookies(self) -> dict[str, str]:
        """The cookies by name; of two with one name the first, which is for the more specific path."""
        cookies: dict[str, str] = {}
        for header in self.headers.getlist("cookie"):
            for pair in header.split(";"):
                name, equals, value = pair.partition("=")
                if equals and name.strip():
                    cookies.setdefault(name.strip(), _unquote_cookie(value.strip()))
        return cookies

    def has_seen(self, etag: str) -> bool:
        """Whether the client has this version of what it asks for; if so, answer ``not_modified(etag)``."""
        return self._weigh(etag) == 304

    def require_unchanged(self, etag: str) -> None:
        """Refuse what is meant for another version than this one, as ``If-Match`` and the like say it.

        Raises:
            HttpError: 412, somebody else was faster.
        """
        if self._weigh(etag) == 412:
            raise HttpError(412)

    def _weigh(self, etag: str) -> int:
        return weigh(self.method, self.headers, Representation(f'"{etag}"', None, 0), time())

    @_Shared
    def body(self) -> bytes:
        """The whole body; ``exchange.body`` is there for what is too large to be kept in memory."""
        return self.exchange.body.read()

    @_Shared
    def text(self) -> str:
        """The body as text, in the encoding that it names; UTF-8 if it names none.

        Raises:
            HttpError: 400, the body is not text in that encoding; 415, the encoding is not one that is read.
        """
        charset = _charset(self.headers.get("content-type", ""))
        try:
            return self.body.decode(charset)
        except UnicodeDecodeError:
            raise HttpError(400, "The body is not text in the encoding that it names.") from None

    @_Shared
    def json(self) -> Any:
        """The value that the body holds as JSON.

        Raises:
            HttpError: 400, it is not JSON (RFC 8259), or it is nested too deep or has a number too large to
                be read.
        """
        try:
            return json.loads(self.body, parse_constant=_refuse_constant, parse_float=_read_float)
        except (ValueError, RecursionError):
            raise HttpError(400, "The body is not JSON.") from None

    @property
    def form(self) -> Fields:
        """The fields of the form that was sent; none without a body. It takes the place of ``body``.

        Raises:
            HttpError: 400, it is malformed or has too many fields; 413, it is too large; 415, it is no form.
        """
        return self._form.fields

    @property
    def files(self) -> Many[UploadedFile]:
        """The files that were sent with the form, by their fields; they are there until the request is over.

        Raises:
            HttpError: as for ``form``; 507, there is no room to keep them.
        """
        return self._form.files

    @_Shared
    def _form(self) -> Form:
        return self.read_form(self.form_limits)

    def read_form(self, limits: FormLimits) -> Form:
        """Read the form by limits of one's own, before ``form`` or ``files`` is asked for.

        Raises:
            HttpError: as for ``files``.
        """
        request = self._origin or self
        if "_form" not in request.__dict__:
            body = BytesIO(request.body) if "body" in request.__dict__ else self.exchange.body
            request._form = read_form(Sent(self.headers.get("content-type", ""), self._length, body), limits)
        return request._form

    @property
    def _length(self) -> int | None:
        """How many bytes the body has; None if nobody says so."""
        length = self.headers.get("content-length", "")
        # More digits than any body needs: so that nobody makes us compute with a million of them.
        return int(length[:18]) if length.isascii() and length.isdigit() else None

    @property
    def has_files(self) -> bool:
        """Whether there is something to be released."""
        return "_form" in self.__dict__

    def release(self) -> None:
        """Give back what the files of the form take."""
        self._form.release()

    @_Lazy
    def host(self) -> str:
        """The host, and the port if there is one, as the client named it; ``localhost`` if it named none."""
        return self.headers.get("host") or "localhost"

    @_Lazy
    def url(self) -> str:
        """The whole URL that the client asked for."""
        return f"{self.scheme}://{self.host}{_quote_target(self.exchange.target)}"

    @_Lazy
    def normal_target(self) -> str:
        """The target with its path in normal form: what a request in another spelling is redirected to.

        It starts with exactly one /, whatever the client sent, and so stays on this host.

        Raises:
            HttpError: 400, the path leads out above the root of the host.
        """
        path, mark, query = self.exchange.target.partition(b"?")
        if leads_out(path):
            raise HttpError(400, "The address is malformed.")
        return _quote_target(normal_path(path) + mark + query)

    @property
    def target_of_folder(self) -> str:
        """The target with a / behind its path."""
        path, mark, query = self.exchange.target.partition(b"?")
        return _quote_target(path + b"/" + mark + query)

    @_Lazy
    def is_normal(self) -> bool:
        """Whether the path is without empty segments and dot segments."""
        path = self.exchange.target.partition(b"?")[0]
        return not _NOT_NORMAL.search(path) or normal_path(path) == path


def read_segments(path: bytes) -> list[str]:
    """Return the segments of a path, each decoded after the path was split: %2F does not divide.

    Raises:
        HttpError: 400, the path does not start with a /, an escape is malformed, or what is escaped is not
            UTF-8 or has a NUL.
    """
    if not path.startswith(b"/") or b"\0" in path:
        raise HttpError(400, "The address is malformed.")
    try:
        if b"%" not in path:
            return path[1:].decode().split("/")
        if _MALFORMED_ESCAPE.search(path):
            raise HttpError(400, "The address is malformed.")
        return [unquote_to_bytes(segment).decode() for segment in path[1:].split(b"/")]
    except UnicodeDecodeError:
        raise HttpError(400, "The address has characters that are not encoded as UTF-8.") from None


def normal_path(path: bytes) -> bytes:
    """Return a path without empty segments and with its dot segments resolved (RFC 3986 §5.2.4).

    >>> normal_path(b"/a//b/./c/../d"), normal_path(b"//host/.."), normal_path(b"/a/b/%2E%2e")
    (b'/a/b/d', b'/', b'/a/')
    """
    kept: list[bytes] = []
    name = b""
    for segment in path[1:].split(b"/"):
        name = segment.lower().replace(b"%2e", b".")
        if name == b"..":
            del kept[-1:]
        elif name not in {b"", b"."}:
            kept.append(segment)
    if kept and name in {b"", b".", b".."}:
        kept.append(b"")
    return b"/" + b"/".join(kept)


def leads_out(path: bytes) -> bool:
    """Whether a path has more dot segments that lead upwards than there is to leave.

    Browsers leave such segments out, and so does everybody who goes by RFC 3986 §5.2.4. Who sends them tries
    something.

    >>> leads_out(b"/a/../.."), leads_out(b"/a/./../b/%2e%2E")
    (True, False)
    """
    depth = 0
    for segment in path[1:].split(b"/"):
        name = segment.lower().replace(b"%2e", b".")
        depth += -1 if name == b".." else name not in {b"", b"."}
        if depth < 0:
            return True
    return False


def _quote_target(target: bytes) -> str:
    return quote(target, safe=_IN_TARGET)


def _unquote_cookie(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _charset(content_type: str) -> str:
    match = re.search(r';\s*charset\s*=\s*"?([^\s";]+)', content_type, re.IGNORECASE)
    if match is None:
        return "utf-8"
    name = _CHARSET_NAMES.get(match[1].lower().replace("-", "_"))
    if name is None:
        raise HttpError(415, "The body is text in an encoding that is not read here.")
    return name


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads but which are not JSON."""
    raise ValueError(name)


def _read_float(text: str) -> float:
    """Return a number that can be sent as JSON again, which 1e400, infinite for Python, could not."""
    number = float(text)
    if isinf(number):
        raise ValueError(text)
    return number
