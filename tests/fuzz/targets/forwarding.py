"""What proxies say of where a request comes from, and what clients say in their stead."""

from __future__ import annotations

from dispatcher.framing import BadRequest, read_head
from dispatcher.settings import Limits
from protocol.forwarding import Origin, drop_forwarding, read_forwarding, read_node
from protocol.heads import read_request_head
from tests.fuzz.target import Target

PROXY = "10.0.0.1:4711"
CLIENT = "203.0.113.9"
LIMITS = Limits(headers=500)
NAMES = ("forwarded", "x-real-ip")


def is_trusted(host: str) -> bool:
    return host.startswith("10.")


def read(data: bytes) -> Origin:
    drop_forwarding(data)
    return read_forwarding(data, PROXY, "http", is_trusted)


def block_of(data: bytes) -> bytes | None:
    """Return an input as a header block, None if the dispatcher does not let it pass."""
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n"
    if raw.find(b"\r\n\r\n") != len(raw) - 4:
        return None
    try:
        return read_head(raw, LIMITS).block
    except BadRequest:
        return None


def is_forwarding(name: str) -> bool:
    return name in NAMES or name.startswith("x-forwarded")


def strangers_say_nothing(data: bytes) -> None:
    block = block_of(data)
    if block is not None:
        fields = read_request_head(block)
        rest = read_request_head(drop_forwarding(block))
        assert rest == [field for field in fields if not is_forwarding(field[0])]


def the_nearest_proxy_is_believed(data: bytes) -> None:
    """Whatever a client sends: the address that the proxy adds behind it is where the request comes from."""
    if block_of(data) is None:
        return
    for name, said in (("X-Forwarded-For", CLIENT), ("Forwarded", f"for={CLIENT};proto=https")):
        block = block_of(data + f"{name}: {said}\r\n".encode())
        if block is None:
            continue
        names = [name for name, _ in read_request_head(block)]
        if name == "Forwarded" and "x-forwarded-for" in names:  # which counts before it
            continue
        origin = read_forwarding(block, PROXY, "http", is_trusted)
        assert origin.client == f"{CLIENT}:0"
        seen = dict(read_request_head(origin.block))
        if name.lower() in seen:  # unless a Connection hides it from the application
            assert CLIENT in seen[name.lower()]


def says_the_same_when_it_is_read_again(data: bytes) -> None:
    block = block_of(data)
    if block is None:
        return
    origin = read_forwarding(block, PROXY, "http", is_trusted)
    assert origin.scheme in {"http", "https"}
    assert origin.client == PROXY or read_node(origin.client)
    again = block_of(origin.block.removeprefix(b"Host: a\r\n"))
    assert again is not None, "what is passed on is a block"
    other = read_forwarding(again, PROXY, "http", is_trusted)
    assert (other.client.rpartition(":")[0], other.scheme) == (
        origin.client.rpartition(":")[0],
        origin.scheme,
    )


TARGET = Target(
    read=read,
    laws=(strangers_say_nothing, the_nearest_proxy_is_believed, says_the_same_when_it_is_read_again),
    seeds=(
        b"X-Forwarded-For: 198.51.100.7, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 198.51.100.7\r\n",
        b'Forwarded: for="[2001:db8::1]:4711";proto=https;by=_a, for=10.2.2.2\r\nForwarded: for=unknown\r\n',
        b"X-Forwarded-Host: b\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /a\r\nAccept: */*\r\n",
        b"x-real-ip: ::ffff:198.51.100.7\r\nConnection: x-real-ip\r\n",
        b'Forwarded: For="\\"", ;;for=1.2.3.4; Host="a,b"\r\nX-Forwarded-For: , 1.2.3, ,\r\n',
    ),
    words=(
        b"X-Forwarded-For: |X-Forwarded-Proto: |X-Real-IP: |Forwarded: |X-Forwarded: |\r\n|for=|proto=https"
        b'|by=|"|\\"|[|]|[::1]|10.0.0.2|::ffff:10.0.0.2|_x|unknown|;|,|, |=|:80|:99999|1.2.3.4|01.2.3.4'
        b"|fe80::1%1|http| |Connection: X-Forwarded-For\r\n|\t|\xff"
    ).split(b"|"),
    each=300,
    fixed=60_000,
)
