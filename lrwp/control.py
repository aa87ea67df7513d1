"""How ``lrwp restart`` speaks to ``lrwp up``: over a Unix socket that nobody else can reach.

The socket is in a folder that only its user can enter, under a name made from the admin address, because of
those that run on a machine no two have the same. One asks with a line of JSON, the list of what to restart,
and gets lines back until the end::

    {"say": "shop-1 has been replaced"}      how it goes
    {}                                       it takes a while longer
    {"code": 1, "why": "a sentence"}         it is over: 0 for done, else why not

No line is longer than :data:`LONGEST` bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from dispatcher.sockets import ListenError, bind
from protocol.addresses import Address
from protocol.errors import LrwpError

if TYPE_CHECKING:
    from worker.supervision import Supervisor

LONGEST: Final = 64 * 1024
"""Most bytes of a line."""

HURRY: Final = 5.0
"""Seconds in which a visitor has to say what it wants."""

BEAT: Final = 2.0
"""Seconds between two signs of life for a visitor that waits."""

PATIENCE: Final = 15.0
"""Seconds without a sign of life after which a visitor leaves."""

_CROWD: Final = 8
"""Most visitors at once."""

_BACKLOG: Final = 64
"""Visitors that the system keeps waiting at the door; one more would find nobody there."""


class ControlError(LrwpError):
    """``lrwp up`` cannot be reached, or did not do what it was asked for; the sentence says why."""


def _folders() -> Iterator[Path]:
    """Yield the folders in which the socket may be, the best first."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "lrwp"
    yield Path(tempfile.gettempdir()) / f"lrwp-{os.getuid()}"


def _is_ours(folder: Path) -> bool:
    """Whether a folder is there that nobody else can enter."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _name(admin: Address) -> str:
    return f"{hashlib.sha256(str(admin).encode()).hexdigest()[:16]}.sock"


def open_socket(admin: Address) -> tuple[Path, socket.socket]:
    """Return a socket that listens where ``lrwp restart`` looks for it, and its path.

    One that a dead ``lrwp up`` has left is replaced.

    Raises:
        ControlError: there is no place for it.
    """
    reason = ""
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(mode=0o700)
        if not _is_ours(folder):
            reason = reason or f"{folder} is not a folder that is ours alone"
            continue
        path = folder / _name(admin)
        try:
            sock = bind(Address("unix", path=str(path)))
        except ListenError as error:
            reason = reason or str(error)
            continue
        sock.listen(_BACKLOG)
        sock.setblocking(False)
        return path, sock
    raise ControlError(f"`lrwp restart` will not find us: {reason}")


# ── Who asks ─────────────────────────────────────────────────────────────────────────────────────────


def ask(admin: Address, names: list[str], say: Callable[[str], None], patience: float = PATIENCE) -> None:
    """Have the ``lrwp up`` with this admin address restart what is named, all pools if nothing is.

    Args:
        admin: the admin address of its dispatcher.
        names: pools, or ``dispatcher``.
        say: called with sentences on how it goes.
        patience: seconds without a sign of life after which we give up.

    Raises:
        ControlError: nobody is there, or it could not be done.
    """
    with _connect(admin) as sock, sock.makefile("rb") as lines:
        sock.settimeout(patience)
        for message in _converse(sock, lines, names):
            if "say" in message:
                say(str(message["say"]))
            if message.get("code") == 0:
                return
            if "code" in message:
                raise ControlError(str(message.get("why")))
    raise ControlError("lrwp up has ended meanwhile")


def _converse(sock: socket.socket, lines: BinaryIO, names: list[str]) -> Iterator[dict[str, Any]]:
    """Say what is to be restarted, and yield the messages that come for it."""
    try:
        sock.sendall(json.dumps(names).encode() + b"\n")
    except OSError:
        return
    while (message := _read(lines)) is not None:
        yield message


def _read(lines: BinaryIO) -> dict[str, Any] | None:
    """Return the next message, None if there is none."""
    try:
        line = lines.readline(LONGEST + 1)
        message = json.loads(line) if line else None
    except (OSError, ValueError):
        raise ControlError("lrwp up has stopped answering: look at what it says") from None
    return message if isinstance(message, dict) else None


def _connect(admin: Address) -> socket.socket:
    for folder in filter(_is_ours, _folders()):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(HURRY)
        try:
            sock.connect(str(folder / _name(admin)))
        except OSError:
            sock.close()
        else:
            return sock
    raise ControlError(
        f"no `lrwp up` of yours has its admin at {admin}: start one, or name its configuration with -c"
    )


# ── Who is asked ─────────────────────────────────────────────────────────────────────────────────────


class Visitor:
    """Somebody who asks, from outside."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.request = b""
        self.has_asked = False

    def tell(self, **message: Any) -> None:
        """Say something; who does not take it, or is gone, is not waited for."""
        with suppress(OSError):
            self.socket.send(json.dumps(message).encode()[: LONGEST - 1] + b"\n")

    def say(self, sentence: str) -> None:
        """Say how it goes."""
        self.tell(say=sentence)


class Desk:
    """Where visitors ask.

    Args:
        admin: the admin address that they know us by.
        supervisor: tells us when somebody comes.
        on_request: called with a visitor and the names of what is to be restarted.

    Raises:
        ControlError: there is no place for the socket.
    """

    def __init__(
        self, admin: Address, supervisor: Supervisor, on_request: Callable[[Visitor, list[str]], None]
    ) -> None:
        self._path, self._socket = open_socket(admin)
        self._supervisor = supervisor
        self._on_request = on_request
        self._visitors: list[Visitor] = []
        supervisor.listen(self._socket.fileno(), self._accept)

    def __repr__(self) -> str:
        return f"<Desk {self._path}, {len(self._visitors)} visitors>"

    def end(self, visitor: Visitor, code: int, why: str = "") -> None:
        """Tell a visitor that it is over."""
        visitor.tell(code=code, why=why)
        self._dismiss(visitor)

    def close(self) -> None:
        """Let nobody in any more, and send home who is there."""
        self._path.unlink(missing_ok=True)
        self._supervisor.forget(self._socket.fileno())
        self._socket.close()
        for visitor in list(self._visitors):
            self._dismiss(visitor)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError:
            return
        if len(self._visitors) >= _CROWD or not _is_one_of_us(sock):
            sock.close()
            return
        visitor = Visitor(sock)
        self._visitors.append(visitor)
        self._supervisor.listen(sock.fileno(), partial(self._read, visitor))
        self._supervisor.after(HURRY, partial(self._hurry, visitor))
        self._supervisor.after(BEAT, partial(self._beat, visitor))

    def _hurry(self, visitor: Visitor) -> None:
        if not visitor.has_asked:
            self._dismiss(visitor)

    def _beat(self, visitor: Visitor) -> None:
        if visitor in self._visitors:
            visitor.tell()
            self._supervisor.after(BEAT, partial(self._beat, visitor))

    def _read(self, visitor: Visitor) -> None:
        try:
            data = visitor.socket.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        visitor.request += data
        if not data or visitor.has_asked or len(visitor.request) > LONGEST:
            self._dismiss(visitor)
        elif b"\n" in data:
            visitor.has_asked = True
            self._take(visitor)

    def _take(self, visitor: Visitor) -> None:
        try:
            names = json.loads(visitor.request)
        except (ValueError, RecursionError):
            names = None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            self._on_request(visitor, names)
        else:
            self.end(visitor, 1, "that was no list of names")

    def _dismiss(self, visitor: Visitor) -> None:
        if visitor in self._visitors:
            self._visitors.remove(visitor)
            self._supervisor.forget(visitor.socket.fileno())
            visitor.socket.close()


def _is_one_of_us(sock: socket.socket) -> bool:
    """Whether who has connected is our user, or root; the folder has seen to it, but asking costs nothing."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS
        return True
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in {0, os.getuid()}
