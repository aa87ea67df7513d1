"""The messages of LRWP/3: their numbers, names and fields, as one table.

``[type, field, …]``: the number of the type, then the fields in the order given here, none left out.
:data:`SCHEMA` is the truth; ``PROTOCOL.md`` shows it to people and a test holds the two together.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

from protocol.errors import RemoteProtocolError

REGISTER: Final = 1
RESPONSE: Final = 2
BODY: Final = 3
REFUSED: Final = 4
PONG: Final = 5
DRAINING: Final = 6

CHALLENGE: Final = 16
REGISTERED: Final = 17
REJECTED: Final = 18
REQUEST: Final = 19
CANCEL: Final = 20
PING: Final = 21
DRAIN: Final = 22


class Side(Enum):
    """Which side of the link sends a message."""

    WORKER = "worker → dispatcher"
    DISPATCHER = "dispatcher → worker"
    BOTH = "both ways"


class Message(NamedTuple):
    """One row of the table: who sends it, its name, and the name and type of each field."""

    side: Side
    name: str
    fields: tuple[tuple[str, type], ...]


SCHEMA: Final[dict[int, Message]] = {
    REGISTER: Message(
        Side.WORKER,
        "register",
        (
            ("version", int),
            ("instance", str),
            ("applications", tuple),
            ("window", int),
            ("labels", dict),
            ("nonce", bytes),
            ("proof", bytes),
        ),
    ),
    RESPONSE: Message(
        Side.WORKER,
        "response",
        (("exchange", int), ("status", int), ("head", bytes), ("body", bytes), ("last", bool)),
    ),
    BODY: Message(Side.BOTH, "body", (("exchange", int), ("piece", bytes), ("last", bool))),
    REFUSED: Message(Side.WORKER, "refused", (("exchange", int),)),
    PONG: Message(Side.WORKER, "pong", ()),
    DRAINING: Message(Side.WORKER, "draining", ()),
    CHALLENGE: Message(Side.DISPATCHER, "challenge", (("nonce", bytes),)),
    REGISTERED: Message(Side.DISPATCHER, "registered", (("limits", dict), ("heartbeat", int))),
    REJECTED: Message(Side.DISPATCHER, "rejected", (("code", str), ("sentence", str))),
    REQUEST: Message(
        Side.DISPATCHER,
        "request",
        (
            ("exchange", int),
            ("application", str),
            ("method", str),
            ("target", bytes),
            ("head", bytes),
            ("scheme", str),
            ("client", str),
            ("attempt", int),
            ("body", bytes),
            ("last", bool),
        ),
    ),
    CANCEL: Message(Side.DISPATCHER, "cancel", (("exchange", int),)),
    PING: Message(Side.DISPATCHER, "ping", ()),
    DRAIN: Message(Side.DISPATCHER, "drain", ()),
}

REJECTIONS: Final[dict[str, str]] = {
    "version": "the dispatcher does not speak the version that the worker named",
    "proof": "the proof is missing, wrong, or not for these applications",
    "registration": "a field of the registration cannot be used",
    "draining": "the dispatcher is leaving; another one may already be listening",
    "fenced": "another link has registered as this instance and taken this one's place",
}
"""Codes of ``rejected`` and what they mean. ``draining`` is worth another try; the others need a person."""

KINDS: Final[dict[type, str]] = {
    int: "int",
    str: "str",
    bytes: "bin",
    bool: "bool",
    tuple: "array",
    dict: "map",
}
"""The types of fields, in the words of msgpack."""

# What the fields of an arriving message must be, compared in one step: a loop of isinstance() over the
# fields of a response took 0.9 µs, this takes 0.26.
_SIGNATURES: Final = {
    number: [int, *(kind for _, kind in message.fields)] for number, message in SCHEMA.items()
}


def check_message(message: tuple[Any, ...]) -> int:
    """Return the type of ``message`` after comparing its fields with the table.

    Raises:
        RemoteProtocolError: unknown type, wrong number of fields, or a field of the wrong type.
    """
    if [*map(type, message)] == _SIGNATURES.get(message[0] if type(message[0]) is int else -1):
        number: int = message[0]
        return number
    raise RemoteProtocolError(_complaint(message))


def _complaint(message: tuple[Any, ...]) -> str:
    """Say what is wrong with a message that does not match its row of the table."""
    number = message[0]
    if type(number) is not int:
        return f"a message starts with {_kind(number)}, not with the int of its type"
    row = SCHEMA.get(number)
    if row is None:
        return f"unknown message type {number}"
    if len(message) - 1 != len(row.fields):
        return f"{row.name} has {len(row.fields)} fields, not {len(message) - 1}"
    name, kind, value = next(
        (name, kind, value)
        for (name, kind), value in zip(row.fields, message[1:], strict=True)
        if type(value) is not kind
    )
    return f"{row.name}.{name} is {_kind(value)}, not {KINDS[kind]}"


def _kind(value: object) -> str:
    """Name the type of ``value`` and nothing of it: the text of a thousand nested arrays cannot be taken."""
    return KINDS.get(type(value), "a float, nil or an extension")
