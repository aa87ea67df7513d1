"""LRWP/1 and LRWP/2: what the peers of 1997 speak, without I/O.

A peer dials, says which application it is, and then answers one request at a time. There are no frames, no
heartbeats and no goodbyes: what is not a reply means that the peer is broken, and its connection is ended::

    new ──opening──▶ asked ─────────accept────────▶ idle ◀──reply──┐
                       │                             │ └─request─▶ busy
                       └─challenge─▶ challenged ─answer─▶ asked

* Opening of LRWP/1: ``name FF host FF filter FF``, of which the last byte may be missing; the filter means
  nothing any more. Of LRWP/2: ``FF 2.0 FF name FF host FF``.
* Request: nine digits, the environment of a CGI program as ``NAME=VALUE`` and NUL for each variable, one more
  NUL; nine digits, the body.
* Reply: nine digits, and what a CGI program prints.

LRWP/2 knows a challenge; its answer is the challenge XOR the secret, which gives the secret away to whoever
listens. The first byte of an LRWP/3 frame is 0x00 (see :mod:`protocol.frames`), so that one port serves all.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from protocol import limits
from protocol.errors import HeaderError, LocalProtocolError, RemoteProtocolError
from protocol.heads import write_head
from protocol.registration import RegistrationError

if TYPE_CHECKING:
    from collections.abc import Iterable

FF: Final = b"\xff"

CHALLENGE: Final = 32
"""Bytes of a challenge."""

MOST: Final = 999_999_999
"""Most bytes of a body or of a reply: what nine digits can say."""

_DIGITS: Final = 9
_OPENING: Final = 1024
"""Longest opening in bytes: name, host and filter have at most 200 each."""

_BLANK: Final = re.compile(rb"\r?\n\r?\n")
"""What ends the head of a reply. Xitami looked for CRLF CRLF in all of a reply before it looked for LF LF;
whichever comes first is the same for peers that write one kind of line."""

_LINE_END: Final = re.compile(rb"\r?\n")
"""What ends a line of that head: no bare CR, which other readers of HTTP may take for a line's end or not."""

_STATUS: Final = re.compile(rb"([2-5][0-9][0-9])(?: [ -~]*)?")
_STATUS_LINE: Final = re.compile(rb"HTTP/[0-9.]+ +([2-5][0-9][0-9])(?: [\t -~]*)?")
_TARGET: Final = re.compile(r"/[!-~]*")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_SUFFIX: Final = re.compile(r"(?:\.[A-Za-z0-9_-]+)+")


class Opening(NamedTuple):
    """What a peer says of itself.

    Attributes:
        version: 1 or 2.
        name: its application's name, without a slash in front.
        host: the virtual host that it is limited to, in lower case; empty for any.
        is_whole: whether nothing of it can still come.
    """

    version: int
    name: str
    host: str
    is_whole: bool

    @property
    def path(self) -> str:
        """The path that it serves; a name like ``.ks`` stands for all paths that end so."""
        return self.name if self.name.startswith(".") else f"/{self.name}"


def version_of(data: bytes) -> int:
    """Return the version that a peer speaks whose first bytes these are."""
    return 2 if data[:1] == FF else 1


def read_opening(data: bytes) -> Opening | None:
    """Return the opening that ``data`` begins or is; None if more must come.

    Raises:
        RegistrationError: it cannot become one.
    """
    version = version_of(data)
    parts = data[1:].split(FF) if version == 2 else data.split(FF)
    needed = 4 if version == 2 else 3
    if _CONTROL.search(data):
        raise RegistrationError("this is no registration: is it meant for another port?")
    if len(data) > _OPENING or len(parts) > 4 or any(len(part) > limits.NAME for part in parts):
        raise RegistrationError(f"name, host and filter have at most {limits.NAME} bytes each")
    if len(parts) < needed:
        return None
    if version == 2 and parts.pop(0) != b"2.0":
        raise RegistrationError("this dispatcher speaks LRWP/1, LRWP/2.0 and LRWP/3")
    if (len(parts) == 4 or version == 2) and parts.pop():
        raise RegistrationError("a peer waits for an answer before it sends more")
    name, host = _text(parts[0]).removeprefix("/"), _text(parts[1]).lower()
    if not name or (name.startswith(".") and not _SUFFIX.fullmatch(name)):
        raise RegistrationError("the name of the application is missing, or is no suffix such as .ks")
    return Opening(version, name, host, version == 2 or data.count(FF) == 3)


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise RegistrationError("names are UTF-8") from None


def answer_challenge(challenge: bytes, secret: bytes) -> bytes:
    """Return what a peer that knows ``secret`` answers to a challenge."""
    return bytes(byte ^ secret[index % len(secret)] for index, byte in enumerate(challenge))


def write_environment(variables: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the environment of a request, with its size in front."""
    environment = b"".join(b"%b=%b\0" % variable for variable in variables) + b"\0"
    return b"%09d%b" % (len(environment), environment)


class ReplyHead(NamedTuple):
    """What a peer says in front of its page.

    Attributes:
        status: the HTTP status.
        head: the fields, as :func:`protocol.heads.read_response_head` takes them; without a Content-Length.
        location: a path of this server that is to be answered instead; empty for none.
    """

    status: int
    head: bytes
    location: str


PAGE: Final = ReplyHead(200, b"Content-Type: text/html\r\n", "")
"""What is assumed where a peer says nothing in front of its page."""


def split_reply(data: bytes, is_whole: bool) -> tuple[ReplyHead, bytes] | None:
    """Return what a reply says of itself, and what has come of its page; None if more must come.

    Raises:
        HeaderError: it has fields that cannot be sent on.
    """
    if data.startswith(b"<"):
        return PAGE, data
    blank = _BLANK.search(data, 0, limits.HEAD)
    if blank is not None:
        head = data[: blank.start()]
        return _read_head(_LINE_END.split(head) if head else []), data[blank.end() :]
    return (PAGE, data) if is_whole or len(data) > limits.HEAD else None


def _read_head(lines: list[bytes]) -> ReplyHead:
    status = 0
    if lines and lines[0].startswith(b"HTTP/"):
        status = _read_status(_STATUS_LINE.fullmatch(lines.pop(0)))
    fields = []
    location = ""
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not colon:
            raise HeaderError(f"{line[:100]!r} is no field of a reply")
        if name.lower() == "status":
            status = _read_status(_STATUS.fullmatch(value.encode("latin-1")))
        elif name.lower() == "location" and value.startswith("/") and not status:
            location = _checked(value)
        elif name.lower() != "content-length":
            status = status or (302 if name.lower() == "location" else 0)
            fields.append((name, value))
    return ReplyHead(status or 200, write_head(fields), location)


def _checked(location: str) -> str:
    if not _TARGET.fullmatch(location):
        raise HeaderError("the path that a reply sends its request on to is none")
    return location


def _read_status(match: re.Match[bytes] | None) -> int:
    if match is None:
        raise HeaderError("the status of a reply is not a number from 200 to 599")
    return int(match[1])


class State(Enum):
    """Where a classic link stands."""

    NEW = "new"
    ASKED = "asked"
    CHALLENGED = "challenged"
    IDLE = "idle"
    BUSY = "busy"
    LOST = "lost"


class Phase(Enum):
    """What of a reply comes next."""

    SIZE = "size"
    HEAD = "head"
    PAGE = "page"
    DROPPED = "dropped"


class Hand(Protocol):
    """What a dispatcher does about what a peer says."""

    def on_opening(self, opening: Opening) -> None:
        """A peer asks to be registered; one that is not whole may still go on a little."""

    def on_answer(self, answer: bytes) -> None:
        """The peer has answered its challenge."""

    def on_response(self, head: ReplyHead, length: int, piece: bytes) -> None:
        """A reply begins, whose page has ``length`` bytes; ``piece`` may be all of them."""

    def on_body(self, piece: bytes, last: bool) -> None:
        """A page goes on."""

    def on_unusable(self, reason: str) -> None:
        """The reply that is coming cannot be passed on; what follows of it is dropped."""

    def on_settled(self) -> None:
        """The reply has come in full: the peer is idle again."""


class ClassicEnd:
    """The dispatcher's end of a link to a peer of 1997.

    Attributes:
        state: where it stands.
    """

    __slots__ = ("_buffer", "_hand", "_left", "_phase", "state")

    def __init__(self, hand: Hand) -> None:
        self.state = State.NEW
        self._hand = hand
        self._buffer = b""
        self._phase = Phase.SIZE
        self._left = 0

    def __repr__(self) -> str:
        return f"<ClassicEnd {self.state.value}>"

    def receive(self, data: bytes) -> None:
        """Take in bytes from the peer and call the hand for what they complete.

        Raises:
            RemoteProtocolError: the peer broke the rules; drop the link.
            RegistrationError: what it sent first is no registration; tell it, and drop the link.
        """
        self._buffer += data
        if self.state is State.BUSY:
            self._receive_reply()
        elif self.state in {State.NEW, State.ASKED}:
            self._receive_opening()
        elif self.state is State.CHALLENGED:
            self._receive_answer()
        elif self.state is State.IDLE:
            raise RemoteProtocolError("it sent something without being asked")

    def _receive_opening(self) -> None:
        """Read the opening; that of LRWP/1 may go on after it could have ended."""
        opening = read_opening(self._buffer)
        if opening is not None:
            self.state = State.ASKED
            self._hand.on_opening(opening)

    def _receive_answer(self) -> None:
        size = b"%09d" % CHALLENGE
        if not (self._buffer.startswith(size) or size.startswith(self._buffer)):
            raise RemoteProtocolError("it answered its challenge with something else")
        answer = self._buffer[_DIGITS:]
        if len(answer) > CHALLENGE:
            raise RemoteProtocolError("it sent more than the answer to its challenge")
        if len(answer) == CHALLENGE:
            self.state = State.ASKED
            self._buffer = b""
            self._hand.on_answer(answer)

    def _receive_reply(self) -> None:
        if self._phase is Phase.SIZE and not self._read_size():
            return
        if len(self._buffer) > self._left:
            raise RemoteProtocolError("it sent more than the size of its reply")
        if self._phase is Phase.HEAD:
            self._read_reply_head()
        else:
            self._pass_on()

    def _read_size(self) -> bool:
        """Read the size of a reply; returns whether it is there, and not 0."""
        size = self._buffer[:_DIGITS]
        if not size.isdigit():
            raise RemoteProtocolError(f"a reply begins with its size in nine digits, not with {size!r}")
        if len(size) < _DIGITS:
            return False
        self._buffer = self._buffer[_DIGITS:]
        self._left = int(size)
        self._phase = Phase.HEAD
        if self._left:
            return True
        self._hand.on_unusable("it is empty")
        self._settle()
        return False

    def _read_reply_head(self) -> None:
        try:
            split = split_reply(self._buffer, len(self._buffer) == self._left)
        except HeaderError as error:
            self._phase = Phase.DROPPED
            self._hand.on_unusable(str(error))
            self._pass_on()
            return
        if split is None:
            return
        head, page = split
        self._left -= len(self._buffer) - len(page)
        self._phase = Phase.PAGE
        length = self._left
        self._left -= len(page)
        self._buffer = b""
        self._hand.on_response(head, length, page)
        if not self._left:
            self._settle()

    def _pass_on(self) -> None:
        """Pass on, or drop, what has come of a page."""
        piece, self._buffer = self._buffer, b""
        self._left -= len(piece)
        if self._phase is Phase.PAGE and piece:
            self._hand.on_body(piece, not self._left)
        if not self._left:
            self._settle()

    def _settle(self) -> None:
        if self.state is State.BUSY:  # the hand may have lost the link meanwhile
            if self._buffer:
                raise RemoteProtocolError("it sent more than the size of its reply")
            self.state = State.IDLE
            self._hand.on_settled()

    # ── What we say ──────────────────────────────────────────────────────────────────────────────

    def challenge(self, nonce: bytes) -> bytes:
        """Ask an LRWP/2 peer for a proof; ``nonce`` is new for each link, :data:`CHALLENGE` bytes."""
        self._leave(State.ASKED, State.CHALLENGED)
        return b"CHALLENGE\xff%09d%b" % (len(nonce), nonce)

    def accept(self, version: int) -> bytes:
        """Accept the peer."""
        self._leave(State.ASKED, State.IDLE)
        return b"OK" if version == 1 else b"OK\xff"

    def request(self, environment: bytes, length: int) -> bytes:
        """Hand over a request, whose body of ``length`` bytes follows.

        Args:
            environment: what :func:`write_environment` returned.
            length: at most :data:`MOST`.
        """
        self._leave(State.IDLE, State.BUSY)
        self._phase = Phase.SIZE
        return b"%b%09d" % (environment, length)

    def _leave(self, state: State, following: State) -> None:
        if self.state is not state:
            raise LocalProtocolError(f"this is not legal while the link is {self.state.value}")
        self.state = following
        self._buffer = b""

    def lose(self) -> None:
        """Note that the connection is gone: what still comes is not acted on."""
        self.state = State.LOST


def reject(version: int, sentence: str) -> bytes:
    """Return what refuses a peer, in a way that it knows."""
    text = sentence.encode()
    return b"ERROR: " + text if version == 1 else b"REJECTED\xff%b\xff" % text
