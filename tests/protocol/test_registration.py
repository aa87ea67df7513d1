"""Registrations: what a worker may claim, and how it proves that it may."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import SettingsError
from protocol.registration import (
    Claim,
    Registration,
    RegistrationError,
    is_proof,
    prove,
    read_registration,
    read_secrets,
)

SHOP = ("shop", "", "/shop")


def read(**changes: Any) -> Registration:
    """Read a good registration in which these fields are changed."""
    fields: dict[str, Any] = {"instance": "w1", "applications": (SHOP,), "window": 2, "labels": {}}
    return read_registration(**(fields | changes))


# ── Claims ───────────────────────────────────────────────────────────────────────────────────────


def test_a_good_registration_is_read() -> None:
    applications = (SHOP, ("shop", "example.org", "/"), ("wiki", "[::1]", "/a b/c~d"))
    assert read(applications=applications, labels={"rack": "7"}) == Registration(
        "w1",
        (Claim("shop", "", "/shop"), Claim("shop", "example.org", "/"), Claim("wiki", "[::1]", "/a b/c~d")),
        2,
        (("rack", "7"),),
    )


def test_the_window_is_as_wide_as_can_be_unless_somebody_says() -> None:
    assert Registration("w1", ()).window == limits.WINDOW


@pytest.mark.parametrize("name", ["x", "x" * limits.NAME, "Büro", "名前", "a b", "../etc"])
def test_a_name_is_printable_text(name: str) -> None:
    read(instance=name, applications=((name, "", "/"),), labels={name: name})


BAD_NAMES = [
    "",
    "x" * (limits.NAME + 1),
    "a\n",
    "\0",
    "\x1b[2J",
    "\u2028",
    "\x7f",
    "\u202e",
    5,
    None,
    b"x",
    True,
    (),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_instance_is_a_name(name: Any) -> None:
    with pytest.raises(RegistrationError, match=r"^the instance must be 1 to 200 printable characters$"):
        read(instance=name)


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if type(name) is str])
def test_an_application_has_a_name(name: str) -> None:
    with pytest.raises(
        RegistrationError, match=r"^an application's name must be 1 to 200 printable characters$"
    ):
        read(applications=((name, "", "/"),))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_labels_are_names(name: Any) -> None:
    for labels in ({name: "x"}, {"x": name}):
        with pytest.raises(RegistrationError, match=r"^labels are pairs of 1 to 200 printable characters$"):
            read(labels=labels)


@pytest.mark.parametrize("window", [-1, 0, 9, 2**64 - 1])
def test_the_window_has_bounds(window: int) -> None:
    with pytest.raises(RegistrationError, match=f"^the window must be from 1 to 8, not {window}$"):
        read(window=window)


@pytest.mark.parametrize("window", [1, 8])
def test_the_window_may_be_as_small_or_wide_as_its_bounds(window: int) -> None:
    assert read(window=window).window == window


@pytest.mark.parametrize("count", [0, limits.APPLICATIONS + 1])
def test_a_worker_registers_some_applications(count: int) -> None:
    with pytest.raises(RegistrationError, match=r"^a worker registers 1 to 1000 applications$"):
        read(applications=tuple((f"a{number}", "", "/") for number in range(count)))


@pytest.mark.parametrize(
    "application",
    [
        "shop",
        None,
        5,
        {},
        (),
        ("shop", ""),
        (*SHOP, ""),
        ("shop", None, "/"),
        (b"shop", "", "/"),
        ("shop", "", ("/",)),
    ],
)
def test_an_application_is_three_texts(application: Any) -> None:
    with pytest.raises(
        RegistrationError, match=r"^an application is an array of three strings: name, host, path$"
    ):
        read(applications=(application,))


def test_an_application_is_named_once_for_each_place() -> None:
    with pytest.raises(RegistrationError, match=r"^the registration names one application twice$"):
        read(applications=(SHOP, ("wiki", "", "/wiki"), SHOP))


@pytest.mark.parametrize(
    "host",
    [
        "EXAMPLE.org",
        "example.org:80",
        "[::1]:80",
        "::1",
        "a/b",
        "a b",
        "a\n",
        "x" * 201,
        "bücher.example",
        "*",
        "u@h",
        "[",
    ],
)
def test_a_host_is_written_as_it_is_compared(host: str) -> None:
    with pytest.raises(
        RegistrationError, match=r"^the host of shop must be a host name in lower case, without a port$"
    ):
        read(applications=(("shop", host, "/"),))


@pytest.mark.parametrize("path", ["", "shop", "*", "/" + "x" * limits.PATH, "/a\n", "/\0", "http://x/"])
def test_a_path_starts_at_the_root(path: str) -> None:
    with pytest.raises(
        RegistrationError, match=r"^the path of shop must start with / and be at most 1024 long$"
    ):
        read(applications=(("shop", "", path),))


@pytest.mark.parametrize(
    "path", ["/shop/", "//", "//shop", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a/.."]
)
def test_a_path_is_plain(path: str) -> None:
    with pytest.raises(
        RegistrationError, match=r"^the path of shop must be plain: no trailing /, no //, no dot"
    ):
        read(applications=(("shop", "", path),))


@pytest.mark.parametrize(
    "path", ["/", "/" + "x" * (limits.PATH - 1), "/...", "/.well-known", "/a..b", "/Ä/名"]
)
def test_other_paths_are_good(path: str) -> None:
    assert read(applications=(("shop", "", path),)).applications == (Claim("shop", "", path),)


# Applications and labels have come through msgpack and the table of messages: they are a tuple and a map.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@given(
    st.text(max_size=3),
    st.lists(VALUES | st.tuples(*[st.text(max_size=3)] * 3), max_size=3).map(tuple),
    st.integers(),
    st.dictionaries(st.text(max_size=3) | st.binary(max_size=3), VALUES, max_size=2),
)
def test_any_registration_is_read_or_refused_with_a_sentence(
    instance: str, applications: Any, window: int, labels: Any
) -> None:
    try:
        registration = read_registration(instance, applications, window, labels)
    except RegistrationError:
        return
    assert registration == Registration(instance, applications, window, tuple(labels.items()))


# ── Proofs ───────────────────────────────────────────────────────────────────────────────────────

SECRET, THEIRS, OURS = b"secret", bytes(range(32)), bytes(range(32, 64))
CLAIMS = (Claim("shop", "", "/shop"), Claim("wiki", "example.org", "/"))


def test_a_proof_is_an_hmac_over_everything_with_its_length_in_front() -> None:
    parts = [b"LRWP", b"3", THEIRS, OURS, b"w1", b"shop", b"", b"/shop", b"wiki", b"example.org", b"/"]
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert prove(SECRET, THEIRS, OURS, "w1", CLAIMS) == hmac.new(SECRET, text, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "changed",
    [
        (b"Secret", THEIRS, OURS, "w1", CLAIMS),
        (SECRET, bytes(32), OURS, "w1", CLAIMS),
        (SECRET, THEIRS, bytes(32), "w1", CLAIMS),
        (SECRET, OURS, THEIRS, "w1", CLAIMS),
        (SECRET, THEIRS, OURS, "w2", CLAIMS),
        (SECRET, THEIRS, OURS, "w1", CLAIMS[:1]),
        (SECRET, THEIRS, OURS, "w1", CLAIMS[::-1]),
        (SECRET, THEIRS, OURS, "w1", (*CLAIMS, Claim("", "", ""))),
        (SECRET, THEIRS, OURS, "w1", (CLAIMS[0]._replace(name="shoq"), CLAIMS[1])),
        (SECRET, THEIRS, OURS, "w1", (CLAIMS[0]._replace(host="example.org"), CLAIMS[1])),
        (SECRET, THEIRS, OURS, "w1", (CLAIMS[0]._replace(path="/"), CLAIMS[1])),
    ],
)
def test_a_proof_depends_on_everything(changed: Any) -> None:
    assert prove(*changed) != prove(SECRET, THEIRS, OURS, "w1", CLAIMS)


def test_a_proof_depends_on_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prove(SECRET, THEIRS, OURS, "w1", CLAIMS)
    monkeypatch.setattr(limits, "VERSION", 4)
    assert prove(SECRET, THEIRS, OURS, "w1", CLAIMS) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c", "/"), ("a", "bc", "/")),
        (("a", "b/", "c"), ("a", "b", "/c")),
        (("a", "", "b"), ("a", "b", "")),
    ],
)
def test_text_cannot_move_from_one_field_to_the_next(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert "".join(one) == "".join(other)
    proofs = {prove(SECRET, THEIRS, OURS, "w1", (Claim(*fields),)) for fields in (one, other)}
    assert len(proofs) == 2


def test_text_cannot_move_between_the_instance_and_the_applications() -> None:
    proofs = {
        prove(SECRET, THEIRS, OURS, "w1", (Claim("a", "", "/"),)),
        prove(SECRET, THEIRS, OURS, "w1a", (Claim("", "", "/"),)),
    }
    assert len(proofs) == 2


FIELDS = st.text(alphabet="ab", max_size=2)
INPUTS = st.tuples(
    st.binary(min_size=1, max_size=1),
    st.binary(max_size=2),
    st.binary(max_size=2),
    FIELDS,
    st.lists(st.builds(Claim, FIELDS, FIELDS, FIELDS), max_size=2).map(tuple),
)


@given(INPUTS, INPUTS)
def test_different_registrations_have_different_proofs(one: Any, other: Any) -> None:
    assert (prove(*one) == prove(*other)) == (one == other)


def test_a_proof_is_the_expected_one_or_none() -> None:
    proof = prove(SECRET, THEIRS, OURS, "w1", CLAIMS)
    assert is_proof(proof, bytes(proof))
    wrong = [b"", proof[:-1], proof + b"\0", bytes(32), proof[::-1]]
    assert [is_proof(proof, other) for other in wrong] == [False] * len(wrong)


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "secrets"),
    [
        (b"sixteen letters!", (b"sixteen letters!",)),
        (b"\n\t sixteen letters! \r\n\r\n", (b"sixteen letters!",)),
        (b"the newer secret\nthe older secret", (b"the newer secret", b"the older secret")),
        (b"the newer secret\nthe newer secret\n", (b"the newer secret",)),
        (b"\xff\x00 sixteen letters", (b"\xff\x00 sixteen letters",)),
    ],
)
def test_each_line_of_a_secret_file_is_a_secret(content: bytes, secrets: tuple[bytes, ...]) -> None:
    assert read_secrets(content, "secret") == secrets


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b" \n", "the secret file f is empty: write at least 16 characters"),
        (
            b"the newer secret\nfifteen letters",
            "a secret in f is too short: write at least 16 characters; each",
        ),
        (b"\n".join(b"the %012d" % n for n in range(9)), "there are 9 secrets in f, over the limit of 8"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_secrets(content, "f")
    assert str(error.value).startswith(sentence)
