"""Dispatchers that do nothing by themselves: a worker dials them, and a test says what they say."""

from __future__ import annotations

import select
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from protocol.addresses import Address
from protocol.dispatcher_end import DispatcherEnd

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE = 10.0
"""Seconds to wait for what normally takes a fraction of one."""


class Heard(NamedTuple):
    """A message of the worker, as the dispatcher's end of the link passes it on."""

    name: str
    fields: tuple[Any, ...]


class Response(NamedTuple):
    """A whole response, its pieces joined."""

    status: int
    head: bytes
    body: bytes


class FakeLink:
    """The dispatcher's end of one worker's link; the subject of an exchange is its id."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.socket.settimeout(PATIENCE)
        self.end: DispatcherEnd[int] = DispatcherEnd(self)
        self.heard: deque[Heard] = deque()

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

    def register(self, heartbeat: int = 10_000) -> Self:
        """Accept the worker."""
        self.expect("register")
        self.say("registered", heartbeat)
        return self

    def say(self, verb: str, *fields: Any) -> None:
        """Send a message."""
        self.socket.sendall(getattr(self.end, verb)(*fields))

    def request(
        self,
        method: str = "GET",
        target: bytes = b"/pages",
        body: bytes = b"",
        *,
        last: bool = True,
        application: str = "pages",
    ) -> int:
        """Send a request and return the id of its exchange."""
        number, frame = self.frame(method, target, body, last=last, application=application)
        self.socket.sendall(frame)
        return number

    def frame(
        self,
        method: str = "GET",
        target: bytes = b"/pages",
        body: bytes = b"",
        *,
        last: bool = True,
        application: str = "pages",
    ) -> tuple[int, bytes]:
        """Return the id and the frame of a request that is still to be sent."""
        return self.end.request(
            len(self.end.held),
            application,
            method,
            target,
            b"Host: site\r\n",
            "http",
            "127.0.0.1:5",
            1,
            body,
            last,
        )

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

    def expect_response(self) -> Response:
        """Return the next response, up to its end."""
        _, status, head, body, last = self.expect("response")
        pieces = [body]
        while not last:
            _, piece, last = self.expect("body")
            pieces.append(piece)
        return Response(status, head, b"".join(pieces))

    def expect_end(self) -> None:
        """Wait until the worker has ended the connection without another word."""
        assert not self.heard
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return
        assert not data, data

    def is_quiet(self) -> bool:
        """Whether nothing has arrived by now."""
        readable, _, _ = select.select([self.socket], [], [], 0)
        return not (readable or self.heard)


class FakeDispatcher:
    """Where workers register."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.address = Address("tcp", *self._listener.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def close(self) -> None:
        """Accept nobody any more."""
        self._listener.close()

    def accept(self) -> FakeLink:
        """Return the next worker's link."""
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return FakeLink(sock)

    def registered(self, heartbeat: int = 10_000) -> FakeLink:
        """Return the next worker's link when the worker has been accepted."""
        return self.accept().register(heartbeat)
