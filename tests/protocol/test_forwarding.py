"""Where a request comes from: what a trusted proxy says, and what it cannot know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.forwarding import MOST_HOPS, Origin, drop_forwarding, read_forwarding, read_node

PEER = "10.0.0.1:40000"


def trusts(host: str) -> bool:
    return host.startswith("10.") or host == "fd00::1"


def origin(*lines: str, scheme: str = "http") -> Origin:
    block = "".join(f"{line}\r\n" for line in ("Host: a", *lines)).encode("latin-1")
    return read_forwarding(block, PEER, scheme, trusts)


def client_of(*lines: str) -> str:
    return origin(*lines).client


def passed_on(*lines: str) -> list[str]:
    """Return what an application gets, without the Host in front."""
    host, *fields = origin(*lines).block.decode("latin-1").splitlines()
    assert host == "Host: a"
    return fields


# ── Who it is ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.7", "203.0.113.7:0"),
        ("203.0.113.7:1234", "203.0.113.7:1234"),
        ("2001:DB8::7", "[2001:db8::7]:0"),
        ("[2001:db8::7]", "[2001:db8::7]:0"),
        ("[2001:db8::7]:1234", "[2001:db8::7]:1234"),
        ("::ffff:203.0.113.7", "203.0.113.7:0"),
        ("203.0.113.7, 10.0.0.2", "203.0.113.7:0"),
        ("203.0.113.7 ,\t10.0.0.2,, 10.0.0.3", "203.0.113.7:0"),
        ("192.0.2.66, 203.0.113.7", "203.0.113.7:0"),
        ("192.0.2.66, 203.0.113.7, 10.0.0.2", "203.0.113.7:0"),
        ("10.0.0.9, 10.0.0.2", "10.0.0.9:0"),
        ("unknown, 10.0.0.2", "10.0.0.2:0"),
        ("<script>, 203.0.113.7", "203.0.113.7:0"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_not_trusted(value: str, client: str) -> None:
    assert client_of(f"X-Forwarded-For: {value}") == client


def test_several_lines_are_one_list() -> None:
    assert (
        client_of("X-Forwarded-For: 192.0.2.66", "x-forwarded-for: 203.0.113.7, 10.0.0.2") == "203.0.113.7:0"
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "unknown",
        "a.b.c.d",
        "1.2.3",
        "256.1.1.1",
        "1.2.3.4:99999",
        "[::1",
        "::1]:5",
        "1.2.3.4:",
        "\xe9",
    ],
)
@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP"])
def test_a_field_that_names_no_address_is_dropped_and_the_proxy_stands_for_its_client(
    name: str, value: str
) -> None:
    found = origin(f"{name}: {value}")
    assert found == (b"Host: a\r\n", PEER, "http")


@pytest.mark.parametrize(
    ("value", "client", "scheme"),
    [
        ("for=203.0.113.7", "203.0.113.7:0", "http"),
        ("For=203.0.113.7;Proto=HTTPS;by=10.0.0.1", "203.0.113.7:0", "https"),
        ('for="203.0.113.7:1234"', "203.0.113.7:1234", "http"),
        ('for="[2001:db8::7]:1234"; proto=https', "[2001:db8::7]:1234", "https"),
        ('for="[2001:db8\\::7]"', "[2001:db8::7]:0", "http"),
        ("for=203.0.113.7;proto=https, for=10.0.0.2;proto=http", "203.0.113.7:0", "https"),
        ("for=192.0.2.66;proto=https, for=203.0.113.7;proto=http", "203.0.113.7:0", "http"),
        ("for=203.0.113.7;proto=gopher", "203.0.113.7:0", "http"),
        (",,for=203.0.113.7;,", "203.0.113.7:0", "http"),
        ("for=_hidden;proto=https", PEER, "https"),
        ("for=unknown, for=10.0.0.2", "10.0.0.2:0", "http"),
        ("proto=https", PEER, "https"),
    ],
)
def test_forwarded_names_the_client_and_its_scheme(value: str, client: str, scheme: str) -> None:
    found = origin(f"Forwarded: {value}")
    assert (found.client, found.scheme) == (client, scheme)


@pytest.mark.parametrize(
    "value",
    ["for", 'for="203.0.113.7', "for=203.0.113.7;for=10.0.0.2", "for=[::1]", "a b=c", "=x", 'for="\x01"'],
)
def test_a_forwarded_that_breaks_the_grammar_is_dropped(value: str) -> None:
    assert origin(f"Forwarded: {value}") == (b"Host: a\r\n", PEER, "http")


def test_a_quote_that_a_client_leaves_open_does_not_swallow_what_its_proxy_says() -> None:
    assert client_of('Forwarded: for=192.0.2.66;a="', "Forwarded: for=203.0.113.7") == "203.0.113.7:0"
    assert client_of('Forwarded: for=192.0.2.66;a="', "Forwarded: for=10.0.0.2") == "10.0.0.2:0"


def test_what_most_proxies_set_counts_before_what_they_pass_on() -> None:
    fields = ("Forwarded: for=192.0.2.1;proto=https", "X-Real-IP: 192.0.2.2", "X-Forwarded-For: 203.0.113.7")
    assert origin(*fields).client == "203.0.113.7:0"
    assert origin(*fields).scheme == "http"
    assert passed_on(*fields) == ["X-Forwarded-For: 203.0.113.7", "X-Real-IP: 203.0.113.7"]
    assert client_of(*fields[:2]) == "192.0.2.1:0"
    assert client_of(fields[1]) == "192.0.2.2:0"


def test_a_chain_that_never_ends_is_not_followed() -> None:
    chain = ", ".join(f"10.0.{number}.1" for number in range(200))
    assert client_of(f"X-Forwarded-For: {chain}") == f"10.0.{200 - MOST_HOPS}.1:0"
    chain = ", ".join(f"for=10.0.{number}.1" for number in range(200))
    assert client_of(f"Forwarded: {chain}") == f"10.0.{200 - MOST_HOPS}.1:0"


# ── The scheme ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("http, https", "https"),
        ("https,http", "http"),
    ],
)
def test_the_scheme_is_what_the_nearest_proxy_says(value: str, scheme: str) -> None:
    other = "http" if scheme == "https" else "https"
    found = origin(f"X-Forwarded-Proto: {value}", scheme=other)
    assert found.scheme == scheme
    assert found.block == f"Host: a\r\nX-Forwarded-Proto: {scheme}\r\n".encode()


@pytest.mark.parametrize("value", ["", "ftp", "https,", "https;http", "javascript"])
def test_what_is_no_scheme_of_ours_is_dropped(value: str) -> None:
    assert origin(f"X-Forwarded-Proto: {value}", scheme="https") == (b"Host: a\r\n", PEER, "https")


# ── What goes on ─────────────────────────────────────────────────────────────────────────────────


def test_what_stands_left_of_the_client_goes_to_nobody() -> None:
    assert passed_on("X-Forwarded-For: 192.0.2.66, 203.0.113.7:80, 10.0.0.2") == [
        "X-Forwarded-For: 203.0.113.7, 10.0.0.2"
    ]
    assert passed_on("Forwarded: for=192.0.2.66, for=203.0.113.7;proto=https ,for=10.0.0.2") == [
        "Forwarded: for=203.0.113.7;proto=https, for=10.0.0.2"
    ]


def test_other_fields_of_proxies_go_on_as_they_came() -> None:
    fields = ["X-Forwarded-Host: b", "X-Forwarded-Port: 443", "X-Forwarded-Prefix: /p"]
    assert passed_on(*fields) == fields


def test_the_fields_of_anybody_go_nowhere() -> None:
    block = (
        b"FORWARDED: for=1\r\nHost: a\r\nx-forwarded-for: 1\r\nX-Forwarded: 1\r\nX-Forwarded-Anything: 1\r\n"
        b"X-Real-IP: 1\r\nX-Real-IP-Not: 1\r\nForwarded-Not: X-Forwarded-For: 1\r\nX: \xe9\r\n"
    )
    rest = b"Host: a\r\nX-Real-IP-Not: 1\r\nForwarded-Not: X-Forwarded-For: 1\r\nX: \xe9\r\n"
    assert drop_forwarding(block) == rest
    assert drop_forwarding(b"") == b""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto"]),
            st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
        )
    )
)
def test_nothing_that_a_proxy_sends_breaks_it(fields: list[tuple[str, str]]) -> None:
    found = origin(*(f"{name}: {value}" for name, value in fields))
    assert found.scheme in {"http", "https"}
    assert found.client == PEER or read_node(found.client)
    assert found.block.startswith(b"Host: a\r\n")
    again = read_forwarding(found.block, PEER, "http", trusts)
    assert again.block == found.block
