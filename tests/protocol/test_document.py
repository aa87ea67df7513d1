"""PROTOCOL.md says what the code does: its tables are compared, its bytes are computed anew."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import pytest

import protocol
from protocol import limits
from protocol.heads import HOP_BY_HOP, PROTECTED, read_request_head, read_response_head
from protocol.link import TRANSITIONS, State
from protocol.messages import KINDS, REJECTIONS, SCHEMA
from protocol.registration import Claim, Registration, prove
from tests.protocol.fakes import Step, Wire, dispatcher, worker

DOCUMENT = (Path(protocol.__file__).parent / "PROTOCOL.md").read_text("utf-8")

SECRET = b"a very open secret"
WORKER_NONCE = bytes(range(0x20, 0x40))
DISPATCHER_NONCE = bytes(range(0x20))
SHOP = Registration("shop-1", (Claim("shop", "", "/shop"),), 4, (("host", "a1"),))
PROOF = prove(SECRET, DISPATCHER_NONCE, WORKER_NONCE, SHOP.instance, SHOP.applications)
FORM = b"Host: example.org\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n"

EXAMPLE: list[Step] = [
    worker("register", SHOP, WORKER_NONCE),
    dispatcher("challenge", DISPATCHER_NONCE),
    worker("register", SHOP, WORKER_NONCE, PROOF),
    dispatcher("registered", 10_000),
    dispatcher("ping"),
    worker("pong"),
    dispatcher(
        "request",
        "A",
        "shop",
        "GET",
        b"/shop?page=2",
        b"Host: example.org\r\n",
        "http",
        "192.0.2.7:5123",
        1,
        b"",
        True,
    ),
    worker("response", 1, 200, b"Content-Type: text/plain\r\n", b"page two", True),
    dispatcher(
        "request",
        "B",
        "shop",
        "POST",
        b"/shop/notes",
        FORM,
        "https",
        "[2001:db8::7]:443",
        1,
        b"hello ",
        False,
    ),
    dispatcher("body", 2, b"world", True),
    worker("response", 2, 201, b"", b"", False),
    worker("body", 2, b"noted", False),
    worker("body", 2, b"", True),
    dispatcher(
        "request", "C", "shop", "GET", b"/shop", b"Host: example.org\r\n", "http", "unix:", 2, b"", True
    ),
    dispatcher("cancel", 3),
    worker("refused", 3),
    dispatcher("drain"),
    worker("draining"),
]
"""The dialogue of the last chapter."""


# ── Reading the document ─────────────────────────────────────────────────────────────────────────


def chapter(title: str) -> str:
    """The text under a heading, up to the next heading of the same or a higher level."""
    match = re.search(
        rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    assert match, f"PROTOCOL.md has no chapter {title!r}"
    return match[2]


def table(title: str, number: int = 0) -> list[list[str]]:
    """The rows of a table of a chapter, without its head, code marks taken off."""
    blocks = re.findall(r"(?:^\|.*\n)+", chapter(title), re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in blocks[number].splitlines()]
    return [[re.sub(r"^`([^`]*)`$", r"\1", cell) for cell in row] for row in rows[2:]]


def prose(title: str) -> str:
    """The text of a chapter without its line breaks."""
    return " ".join(chapter(title).split())


def said(steps: list[Step]) -> list[tuple[str, str, bytes]]:
    """What both ends say to each other: the arrow, the message's name, the frame."""
    wire = Wire()
    frames = []
    for side, verb, *fields in steps:
        if side == "worker":
            wire.worker_says(verb, *fields)
            frames.append(("W→D", verb, bytes(wire.to_dispatcher)))
        else:
            wire.dispatcher_says(verb, *fields)
            frames.append(("D→W", verb, bytes(wire.to_worker)))
        wire.deliver()
    return frames


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_messages_is_the_schema() -> None:
    assert [row[:3] for row in table("Messages")] == [
        [str(number), message.name, message.side.value] for number, message in SCHEMA.items()
    ]


def test_the_table_of_fields_has_each_field_of_each_message_in_its_order() -> None:
    assert [row[:3] for row in table("Messages", 1)] == [
        [message.name, name, KINDS[kind]] for message in SCHEMA.values() for name, kind in message.fields
    ]


def test_the_table_of_states_is_the_table_of_transitions() -> None:
    states = [state for state in State if state is not State.LOST]
    head = [f"`{state.value}`" for state in states]
    assert f"| message | {' | '.join(head)} |" in chapter("States")
    assert table("States") == [
        [
            message.name,
            *(TRANSITIONS[state][number].value if number in TRANSITIONS[state] else "-" for state in states),
        ]
        for number, message in SCHEMA.items()
    ]


def test_the_table_of_rejections_is_that_of_the_code() -> None:
    assert {code: meaning for code, meaning, _ in table("Rejections")} == REJECTIONS


def test_the_table_of_limits_is_that_of_the_code() -> None:
    constants = {name: value for name, value in vars(limits).items() if name.isupper() and name != "VERSION"}
    assert {row[0]: int(row[1].replace(",", "")) for row in table("Limits")} == {
        name.lower().replace("_", " "): value for name, value in constants.items()
    }


def test_the_version_is_that_of_the_code() -> None:
    assert f"# LRWP/{limits.VERSION}\n" in DOCUMENT
    assert f"The version is the integer {limits.VERSION}." in prose("Registration")


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    registration = prose("Registration")
    for words in (
        f"`instance`: 1 to {limits.NAME} printable characters",
        f"`applications`: 1 to {limits.APPLICATIONS} arrays",
        f"name: 1 to {limits.NAME} printable characters",
        f"at most {limits.PATH} printable characters",
        f"at most {limits.LABELS} pairs of 1 to {limits.NAME} printable characters",
    ):
        assert words in registration
    assert f"cancelled ones included: 1 to {limits.WINDOW}." in prose("Exchanges")
    assert f"at most {limits.HEAD:,} bytes" in prose("The head of a response")


def code_words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"`([^`]+)`", text)}


def test_the_header_rules_name_the_fields_of_the_code() -> None:
    requests = {row[0]: row[1] for row in table("The head of a request")}
    assert code_words(requests["of one connection"]) == HOP_BY_HOP
    assert code_words(requests["protected"]) == PROTECTED
    responses = {row[0]: row[1] for row in table("The head of a response")}
    assert code_words(responses["of one connection"]) == HOP_BY_HOP


def test_the_example_of_a_request_head_is_read_as_the_document_says() -> None:
    sent, seen = re.findall(r"```http\n(.*?)```", chapter("The head of a request"), re.DOTALL)
    fields = [line.split(": ", 1) for line in seen.splitlines()]
    assert read_request_head(sent.replace("\n", "\r\n").encode()) == [(name, value) for name, value in fields]


def test_the_example_of_a_response_head_is_sent_on_as_the_document_says() -> None:
    sent, passed_on = re.findall(r"```http\n(.*?)```", chapter("The head of a response"), re.DOTALL)
    assert (
        read_response_head(sent.replace("\n", "\r\n").encode()).block
        == passed_on.replace("\n", "\r\n").encode()
    )


def test_the_first_byte_tells_the_dialects_apart() -> None:
    first = {row[1]: row[0] for row in table("The link")}
    register = said(EXAMPLE[:1])[0][2]
    assert first["LRWP/3"] == f"{register[0]:02x}"
    assert (limits.FRAME >> 24, first["LRWP/2"], first["LRWP/1"]) == (0, "ff", "20 to 7e")


# ── Bytes ────────────────────────────────────────────────────────────────────────────────────────


def test_the_annotated_frame_is_what_the_code_writes() -> None:
    described = bytes.fromhex("".join(row[0] for row in table("Frames")))
    assert described == said(EXAMPLE[:1])[0][2]


def test_the_worked_proof_is_what_the_code_computes() -> None:
    values = dict(re.findall(r"^([a-z' ]+?) +((?:[0-9a-f]{2} ?)+)$", chapter("The proof"), re.MULTILINE))
    assert bytes.fromhex(values["secret"]) == SECRET
    assert bytes.fromhex(values["dispatcher's nonce"]) == DISPATCHER_NONCE
    assert bytes.fromhex(values["worker's nonce"]) == WORKER_NONCE
    assert bytes.fromhex(values["proof"]) == PROOF


def test_the_worked_text_of_a_proof_has_the_proof_for_its_hmac() -> None:
    text = bytes.fromhex("".join(row[0] for row in table("The proof")))
    assert hmac.new(SECRET, text, hashlib.sha256).digest() == PROOF


def test_the_dialogue_is_what_both_ends_say() -> None:
    written = re.findall(
        r"^([WD]→[WD]) (\w+)[^\n]*\n((?:  [0-9a-f ]+\n)+)", chapter("A whole dialogue"), re.MULTILINE
    )
    assert [
        (arrow, name, bytes.fromhex(digits.replace("\n", " "))) for arrow, name, digits in written
    ] == said(EXAMPLE)


# ── The rest ─────────────────────────────────────────────────────────────────────────────────────


def test_the_contents_list_every_chapter() -> None:
    listed = re.findall(r"^\d+\. \[(.*?)\]\(#(.*?)\)$", DOCUMENT, re.MULTILINE)
    chapters = re.findall(r"^## (.*)$", DOCUMENT, re.MULTILINE)
    assert [title for title, _ in listed] == chapters
    assert [anchor for _, anchor in listed] == [
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in chapters
    ]


@pytest.mark.parametrize("name", [message.name for message in SCHEMA.values()])
def test_every_message_is_spoken_of_outside_the_tables(name: str) -> None:
    text = re.sub(r"^(\||[WD]→|  ).*\n", "", DOCUMENT, flags=re.MULTILINE)
    assert f"`{name}`" in text
