"""Responses: what a handler gives back, and how it becomes the answer on the link."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from time import time as now
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from protocol.conditions import Representation, weigh, write_date
from protocol.errors import HeaderError
from protocol.heads import write_head
from worker.content import JSON, Pieces, close_source, encode_json, join_content, read_content, stream_content
from worker.errors import ContentError, HttpError
from worker.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.request import Request

_BODILESS: Final = frozenset({204, 205, 304})
"""Statuses that never have a body (RFC 9110 §15.3.5, §15.3.6, §15.4.5)."""

_WHOLE: Final = frozenset({str, bytes, list})
"""Types of most bodies that are no streams: to ask for these is ten times as fast as to ask for iterators."""

_CONDITIONAL: Final = frozenset({"GET", "HEAD"})
"""Methods whose conditions are about what is sent (RFC 9110 §13.1)."""

_DESCRIPTION: Final = re.compile(
    r"content-(?!location|security-policy)|last-modified|accept-ranges", re.IGNORECASE
)
"""Fields that describe what a 304 does not carry."""

_ETAG: Final = re.compile(r"[!#-~]+")
"""What RFC 9110 §8.8.3 allows between the quotes, of ASCII."""

_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]*")
"""What RFC 6265 §4.1.1 allows: printable ASCII without space, quote, comma, semicolon and backslash."""

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
_URI: Final = "%:/?#[]@!$&'()*+,;=~"
"""What a URI may have besides letters, digits and "-._" (RFC 3986 §2.2); "%" for what is encoded already."""


class Response:
    """A status, headers and a body.

    Args:
        body: whatever :mod:`worker.content` knows how to send; None for no body at all.
        status: 200 to 599.
        headers: pairs, or a mapping.
        content_type: what the body is, where that is not what its Python type says.

    Attributes:
        headers: the fields as a list of pairs, which may be changed until the handler returns.
        is_answer: whether it has answered a request; it answers one, because what wrappers write into it,
            such as the cookie of a session, is for one client only.

    Raises:
        ContentError: the body or the status cannot be sent.
    """

    __slots__ = ("_body", "_etag", "_modified", "headers", "is_answer", "status")

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        content_type: str = "",
    ) -> None:
        if not 200 <= status <= 599:
            raise ContentError(f"{status} is not the status of an answer: choose one from 200 to 599")
        self.status = status
        self.is_answer = False
        self._etag = ""
        self._modified: int | None = None
        self.headers: list[tuple[str, str]] = [
            *(headers.items() if isinstance(headers, Mapping) else headers)
        ]
        self._body: Any
        usual_type, self._body = ("", b"") if body is None else read_content(body)
        if content_type:
            self.set_header("Content-Type", content_type)
        elif usual_type and not (self.headers and self.has_header("content-type")):
            self.headers.append(("Content-Type", usual_type))

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
        """Return ``value`` as JSON, a list of strings too.

        Raises:
            ContentError: JSON has no words for it.
        """
        return cls(encode_json(value), status, headers, JSON)

    def has_header(self, name: str) -> bool:
        """Whether there is a field of this name, in whatever case."""
        name = name.lower()
        return any(field[0].lower() == name for field in self.headers)

    def set_header(self, name: str, value: str) -> None:
        """Give a field this value only, whatever it was before."""
        self.headers = [field for field in self.headers if field[0].lower() != name.lower()]
        self.headers.append((name, value))

    @property
    def etag(self) -> str:
        """What tells this version of the thing from every other; empty if it was not set.

        A client that has this version already is answered 304, without the body.

        Raises:
            HeaderError: what it is set to has spaces, quotes or other characters than ASCII's.
        """
        return self._etag

    @etag.setter
    def etag(self, value: str) -> None:
        if not _ETAG.fullmatch(value):
            raise HeaderError(
                f"{value!r:.100} cannot tell versions: it must be ASCII without spaces and quotes"
            )
        self._etag = value
        self.set_header("ETag", f'"{value}"')

    @property
    def modified(self) -> datetime | None:
        """When the thing changed last, in whole seconds; None if it was not set.

        A client that has it since then is answered 304; but only where there is no ``etag``, which tells two
        versions of one second apart.

        Raises:
            HeaderError: what it is set to has no time zone.
        """
        return None if self._modified is None else datetime.fromtimestamp(self._modified, UTC)

    @modified.setter
    def modified(self, value: datetime) -> None:
        if value.tzinfo is None:
            raise HeaderError(f"{value} has no time zone: say which one it is in, as in datetime.now(UTC)")
        self._modified = int(value.timestamp())
        self.set_header("Last-Modified", write_date(self._modified))

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
        path: str = "/",
        domain: str = "",
        secure: bool = False,
        http_only: bool = True,
        same_site: str = "Lax",
    ) -> None:
        """Ask the browser to keep a value and to send it back.

        Args:
            name: the cookie's name.
            value: printable ASCII without space, quotes, comma, semicolon and backslash.
            max_age: seconds to keep it for; None until the browser ends.
            path: at and below which path it is sent back.
            domain: set it to have the cookie sent to the hosts below this one too.
            secure: whether it is sent back over TLS only.
            http_only: whether the scripts of a page are kept from it.
            same_site: ``Strict``, ``Lax`` or ``None``; browsers take ``None`` only from a secure cookie.

        Raises:
            HeaderError: a part of it would change the meaning of the rest.
        """
        if not _COOKIE_NAME.fullmatch(name):
            raise HeaderError(f"{name!r:.100} is not the name of a cookie")
        if not _COOKIE_VALUE.fullmatch(value):
            raise HeaderError(f"the value of the cookie {name} has characters that need urllib.parse.quote()")
        if ";" in path + domain + same_site:
            raise HeaderError(f"an attribute of the cookie {name} has a semicolon")
        parts = [f"{name}={value}", f"Path={path}", f"SameSite={same_site}"]
        if max_age is not None:
            parts.append(f"Max-Age={max_age}")
        if domain:
            parts.append(f"Domain={domain}")
        parts += ["Secure"] * secure + ["HttpOnly"] * http_only
        self.headers.append(("Set-Cookie", "; ".join(parts)))

    def delete_cookie(self, name: str, *, path: str = "/", domain: str = "") -> None:
        """Ask the browser to forget a cookie; path and domain are those that it was set with."""
        self.set_cookie(name, "", max_age=0, path=path, domain=domain)

    @property
    def stream(self) -> Iterator[Any] | None:
        """The body where it is streamed, else None; a wrapper may put another around it.

        Whoever does so closes in its own ``close()`` what it was put around.
        """
        if type(self._body) in _WHOLE or not isinstance(self._body, Iterator):
            return None
        return self._body

    @stream.setter
    def stream(self, value: Iterator[Any]) -> None:
        self._body = value

    def close(self) -> None:
        """Close the body of a response that is not going to be sent, if it is streamed."""
        close_source(self._body)

    def answer_to(self, request: Request) -> Answer:
        """Return this response as the answer to a request, with its conditions weighed.

        Raises:
            HttpError: 412, it is not for what there is.
            HeaderError: as for :meth:`answer`.
            ContentError: as for :meth:`answer`.
        """
        method = request.method
        has_validator = self._etag or self._modified is not None
        if not has_validator or self.status != 200 or method not in _CONDITIONAL:
            return self.answer(method)
        etag = f'"{self._etag}"' if self._etag else ""
        status = weigh(method, request.headers, Representation(etag, self._modified, 0), now())
        if status == 200:
            return self.answer(method)
        self.close()
        if status == 412:
            raise HttpError(412)
        return not_modified_answer(self.headers)

    def answer(self, method: str = "GET") -> Answer:
        """Return this response as the answer to a request with ``method``, whatever its conditions are.

        Raises:
            HeaderError: a header would change the meaning of the message around it.
            ContentError: the body has a piece that is not text.
        """
        has_body = self.status not in _BODILESS
        is_sent = has_body and method != "HEAD"
        self.begin()
        if type(self._body) is Pieces:
            return self._streamed_answer(self._body, is_sent)
        whole = join_content(self._body)
        head = write_head(self.headers)
        if has_body and not is_sent and not self.has_header("content-length"):
            head += write_head([("Content-Length", str(len(whole)))])
        return Answer(self.status, head, whole if is_sent else b"")

    def begin(self) -> None:
        """Run a streamed body up to its first piece, so that what goes wrong before it is no half answer.

        Raises:
            ContentError: the piece is not text.
        """
        stream = self.stream
        if stream is not None and type(stream) is not Pieces:
            pieces = stream_content(stream)
            self._body = Pieces(next(pieces, b""), pieces)

    def _streamed_answer(self, body: Pieces, is_sent: bool) -> Answer:
        with ExitStack() as stack:
            stack.callback(body.close)
            head = write_head(self.headers)
            if body.first and is_sent:
                stack.pop_all()
                return Answer(self.status, head, body)
        return Answer(self.status, head, b"")


def not_modified(etag: str) -> Response:
    """Return the response to a client that has this version already, as ``request.has_seen(etag)`` says."""
    response = Response(status=304)
    response.etag = etag
    return response


def not_modified_answer(fields: Iterable[tuple[str, str]]) -> Answer:
    """Return the answer to a client that has already what these fields go with."""
    return Answer(304, write_head(field for field in fields if not _DESCRIPTION.match(field[0])), b"")


def redirect(location: str, status: int = 303) -> Response:
    """Return a response that sends the browser on to ``location``.

    What a URI cannot have is percent-encoded; a backslash too, which browsers take for a slash.

    Args:
        location: a path from the root of the host, or a whole URL.
        status: 303 to go on with GET, 307 or 308 to repeat the request there.

    Raises:
        HttpError: 400, if ``location`` has control characters. Nobody writes those into a program: they came
            with the request, so its sender is told, and cannot fill our log with errors of ours.
    """
    if _CONTROLS.search(location):
        raise HttpError(400, "The address to go on to cannot be used.")
    return Response(status=status, headers=[("Location", quote(location, safe=_URI, errors="replace"))])
