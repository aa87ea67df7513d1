"""Tiny peers, each one socket: workers that do as they are told, and clients that read to the last byte."""

from __future__ import annotations

import http.client
import select
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from protocol.registration import Claim, Registration, prove
from protocol.worker_end import WorkerEnd

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE = 10.0
"""Seconds to wait for what normally takes a fraction of one."""


class Heard(NamedTuple):
    """A message of the dispatcher, as the worker's end of the link passes it on."""

    name: str
    fields: tuple[Any, ...]


class Request(NamedTuple):
    """The fields of a request."""

    exchange: int
    application: str
    method: str
    target: bytes
    head: bytes
    scheme: str
    client: str
    attempt: int
    body: bytes
    last: bool


class Peer:
    """A worker that does nothing by itself."""

    def __init__(
        self,
        address: tuple[str, int],
        *names: str,
        instance: str = "peer",
        path: str | None = None,
        window: int = 8,
    ) -> None:
        self.socket = socket.create_connection(address, PATIENCE)
        claims = tuple(Claim(name, "", path or f"/{name}") for name in names or ("pages",))
        self.registration = Registration(instance, claims, window)
        self.end = WorkerEnd(self)
        self.heard: deque[Heard] = deque()
        self.nonce = bytes(32)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *fields: self.heard.append(Heard(name.removeprefix("on_"), fields))

    def register(self, secret: bytes | None = None) -> Self:
        """Register, with a proof if the dispatcher wants one, and wait until it has accepted us."""
        self.say("register", self.registration, self.nonce)
        if secret is not None:
            (nonce,) = self.expect("challenge")
            self.say("register", self.registration, self.nonce, self.prove(secret, nonce))
        self.expect("registered")
        return self

    def prove(self, secret: bytes, nonce: bytes) -> bytes:
        registration = self.registration
        return prove(secret, nonce, self.nonce, registration.instance, registration.applications)

    def say(self, verb: str, *fields: Any) -> None:
        """Send a message."""
        self.socket.sendall(getattr(self.end, verb)(*fields))

    def answer(self, exchange: int, body: bytes = b"", status: int = 200, head: bytes = b"") -> None:
        """Send a whole response."""
        self.say("response", exchange, status, head, body, True)

    def expect(self, name: str) -> tuple[Any, ...]:
        """Return the fields of the next message, which must have this name."""
        while not self.heard:
            data = self.socket.recv(65536)
            if not data:
                raise AssertionError(f"the link has ended; {name} was expected")
            self.end.receive(data)
        heard = self.heard.popleft()
        assert heard.name == name, f"{heard} came, {name} was expected"
        return heard.fields

    def expect_request(self) -> Request:
        """Return the next message, which must be a request."""
        return Request(*self.expect("request"))

    def expect_body(self) -> bytes:
        """Return the pieces of a body, up to its last one."""
        pieces = []
        last = False
        while not last:
            _, piece, last = self.expect("body")
            pieces.append(piece)
        return b"".join(pieces)

    def expect_end(self) -> None:
        """Wait until the dispatcher has ended the connection without another word."""
        assert not self.heard
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return
        if data:
            self.end.receive(data)
            raise AssertionError(f"{self.heard} came, the end was expected")

    def is_quiet(self) -> bool:
        """Whether nothing has arrived by now."""
        readable, _, _ = select.select([self.socket], [], [], 0)
        return not (readable or self.heard)


class Reply(NamedTuple):
    """A response as a client got it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Browser:
    """A client with one connection, which is kept alive."""

    def __init__(self, address: tuple[str, int], *, patience: float = PATIENCE) -> None:
        self.socket = socket.create_connection(address, patience)
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        self.socket.close()

    def leave(self) -> None:
        """Close the connection with a reset, as a system does for a program that has died."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def ask(self, method: str, target: str, body: bytes = b"", headers: str = "") -> Self:
        """Send a request."""
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: site\r\n{length}{headers}\r\n"
        self.socket.sendall(head.encode() + body)
        return self

    def begin(self, method: str = "GET") -> http.client.HTTPResponse:
        """Read the head of the response."""
        self._response = http.client.HTTPResponse(self.socket, method=method)
        self._response.begin()
        return self._response

    def read(self, method: str = "GET") -> Reply:
        """Read a whole response; http.client.IncompleteRead says that it was cut short."""
        response = self.begin(method)
        body = response.read()
        return Reply(response.status, response.headers, body)

    def get(self, target: str, headers: str = "") -> Reply:
        """Send a GET and read its response."""
        return self.ask("GET", target, headers=headers).read()

    def post(self, target: str, body: bytes = b"") -> Reply:
        """Send a POST and read its response."""
        return self.ask("POST", target, body).read()
