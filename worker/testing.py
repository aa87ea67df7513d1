"""Testing: calls an application in the same process, with no dispatcher and no socket.

::

    client = Client(app)
    assert client.get("/page/home").status == 200
    assert client.submit("/page/home/edit", {"title": "Welcome"}).status == 303

What a handler raises other than HttpError comes out of the call, so that a test shows where it happened.
"""

from __future__ import annotations

import json as json_
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode, urljoin

from protocol.heads import read_response_head, write_head
from worker.application import Application
from worker.content import JSON, close_source
from worker.errors import NotProvidedError
from worker.exchange import Exchange
from worker.fields import Headers
from worker.filling import fill
from worker.form_data import MULTIPART, URLENCODED
from worker.wsgi import wsgi_handle

if TYPE_CHECKING:
    from worker.application import Database
    from worker.exchange import Answer
    from worker.filling import Typed
    from worker.wsgi import WsgiApplication

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]
File = tuple[str, bytes] | tuple[str, bytes, str]
Files = Mapping[str, File] | Iterable[tuple[str, File]]


class Result:
    """What came back.

    Attributes:
        status: the HTTP status.
        headers: the fields, by name in any case.
        body: the whole body, pieces joined.
    """

    def __init__(self, answer: Answer) -> None:
        read_response_head(answer.head)  # raises what the dispatcher would refuse
        self.status = answer.status
        lines = answer.head.decode("latin-1").splitlines()
        self.headers = Headers((name, value) for name, _, value in (line.partition(": ") for line in lines))
        try:
            self.body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        finally:
            close_source(answer.body)

    def __repr__(self) -> str:
        return f"<Result {self.status}, {len(self.body)} bytes>"

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the value that the body holds as JSON."""
        return json_.loads(self.body)


class Client:
    """A client of one application; it keeps cookies from call to call, whatever their path.

    As a context manager it also starts and stops the application, as a worker does.

    Args:
        app: an Application, or any WSGI callable.
        prefix: the path that the application is registered for; paths in calls begin with it.
        host: what the client calls the server.
        scheme: ``http`` or ``https``.
        database: what an Application is to use, or its URL. It is open while the client is a context manager;
            after that the application uses again what it used before.
    """

    def __init__(
        self,
        app: Application | WsgiApplication,
        *,
        prefix: str = "/",
        host: str = "localhost",
        scheme: str = "http",
        database: Database | str | None = None,
    ) -> None:
        self._before: tuple[Database | None, ...] = ()
        if database is not None:
            if not isinstance(app, Application):
                raise NotProvidedError("a WSGI application opens its database by itself: leave out database=")
            self._before = (app._database,)
            app.use(_open_url(database) if isinstance(database, str) else database)
        self.cookies: dict[str, str] = {}
        self._app = app
        self._handle = app.handle if isinstance(app, Application) else wsgi_handle(app)
        self._prefix = prefix
        self._host = host
        self._scheme = scheme

    def __enter__(self) -> Self:
        if isinstance(self._app, Application):
            self._app.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not isinstance(self._app, Application):
            return
        try:
            self._app.stop()
        finally:
            for database in self._before:
                self._app.use(database)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        headers: Pairs = (),
        body: bytes | str = b"",
        form: Pairs | None = None,
        files: Files = (),
        json: Any = None,
    ) -> Result:
        """Call the application.

        Args:
            method: the method, in upper case.
            path: the path, with a query or without; what is percent-encoded stays as it is.
            query: fields to put behind the path.
            headers: fields beside those that a client always sends.
            body: the body, as it stands.
            form: the fields of a form, to be sent as the body.
            files: files to be sent with it: the name of a field, and for each file its name, its content, and
                its type if it is to have one.
            json: a value to be sent as the body.
        """
        content_type = ""
        if files:
            content_type, body = _write_parts(_pairs(form or ()), files)
        elif form is not None:
            content_type, body = URLENCODED, urlencode(_pairs(form))
        elif json is not None:
            content_type, body = JSON, json_.dumps(json)
        content = body.encode() if isinstance(body, str) else body
        head = self._head(_pairs(headers), content_type, len(content))
        answer = self._handle(
            Exchange(
                application=self._prefix.strip("/") or "test",
                prefix=self._prefix,
                method=method,
                target=_target(path, _pairs(query)),
                head=head,
                scheme=self._scheme,
                client="127.0.0.1:50000",
                attempt=1,
                body=BytesIO(content),
            )
        )
        result = Result(answer)
        self._keep_cookies(result)
        return result

    def get(self, path: str, *, query: Pairs = (), headers: Pairs = ()) -> Result:
        """Call with GET."""
        return self.request("GET", path, query=query, headers=headers)

    def head(self, path: str, *, query: Pairs = (), headers: Pairs = ()) -> Result:
        """Call with HEAD."""
        return self.request("HEAD", path, query=query, headers=headers)

    def options(self, path: str, *, query: Pairs = (), headers: Pairs = ()) -> Result:
        """Call with OPTIONS."""
        return self.request("OPTIONS", path, query=query, headers=headers)

    def delete(self, path: str, *, query: Pairs = (), headers: Pairs = ()) -> Result:
        """Call with DELETE."""
        return self.request("DELETE", path, query=query, headers=headers)

    def post(self, path: str, **parts: Any) -> Result:
        """Call with POST; for the parts see :meth:`request`."""
        return self.request("POST", path, **parts)

    def submit(self, path: str, typed: Typed, *, files: Files = ()) -> Result:
        """Get a page, fill in its form as somebody at a browser would, and send it.

        Args:
            path: the page's path.
            typed: what is typed and chosen, by name, as for :func:`worker.filling.fill`; it is sent with what
                the page shows, hidden fields too.
            files: files to be chosen, as for :meth:`request`.

        Raises:
            LookupError: the page has no form in which all of that could be typed.
        """
        page = self.get(path)
        if page.status != 200:
            raise LookupError(f"{path} answers {page.status}, and has no form to fill in")
        form = fill(page.text, typed)
        action = urljoin(path, form.action)
        if form.method == "GET":
            return self.get(action, query=form.fields)
        return self.request(form.method, action, form=form.fields, files=files)

    def put(self, path: str, **parts: Any) -> Result:
        """Call with PUT; for the parts see :meth:`request`."""
        return self.request("PUT", path, **parts)

    def patch(self, path: str, **parts: Any) -> Result:
        """Call with PATCH; for the parts see :meth:`request`."""
        return self.request("PATCH", path, **parts)

    def _head(self, headers: list[tuple[str, str]], content_type: str, length: int) -> bytes:
        given = {name.lower() for name, _ in headers}
        usual = [
            ("Host", self._host),
            ("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items())),
            ("Content-Type", content_type),
            ("Content-Length", str(length) if length else ""),
        ]
        return write_head(
            [*((name, value) for name, value in usual if value and name.lower() not in given), *headers]
        )

    def _keep_cookies(self, result: Result) -> None:
        for line in result.headers.getlist("set-cookie"):
            pair, *attributes = [part.strip() for part in line.split(";")]
            name, _, value = pair.partition("=")
            if any(attribute.lower() == "max-age=0" for attribute in attributes):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


_BOUNDARY: Final = "lrwp-boundary-8c1f0b6d"
"""What stands between the parts of a form; the same each time, so that a test sends the same bytes."""


def _write_parts(fields: list[tuple[str, str]], files: Files) -> tuple[str, bytes]:
    """Return the type and the body of a form in parts, as browsers write it (HTML Standard §4.10.22.8)."""
    parts = [(f'name="{_escape(name)}"', "", value.encode()) for name, value in fields]
    for name, (filename, content, *kind) in files.items() if isinstance(files, Mapping) else files:
        disposition = f'name="{_escape(name)}"; filename="{_escape(filename)}"'
        parts.append((disposition, kind[0] if kind else "application/octet-stream", content))
    written = [
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n".encode()
        + (f"Content-Type: {kind}\r\n" if kind else "").encode()
        + b"\r\n%s\r\n" % content
        for disposition, kind, content in parts
    ]
    return f"{MULTIPART}; boundary={_BOUNDARY}", b"".join(written) + f"--{_BOUNDARY}--\r\n".encode()


def _escape(name: str) -> str:
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _open_url(url: str) -> Database:
    from worker.database import Database  # noqa: PLC0415 - SQLAlchemy takes time to import, and few need it

    return Database(url)


def _pairs(fields: Pairs) -> list[tuple[str, str]]:
    return [*(fields.items() if isinstance(fields, Mapping) else fields)]


def _target(path: str, query: list[tuple[str, str]]) -> bytes:
    target = quote(path, safe="%/:?@!$&'()*+,;=~[]")
    if query:
        target += f"{'&' if '?' in path else '?'}{urlencode(query)}"
    return target.encode("ascii")
