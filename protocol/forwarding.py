"""Forwarding: the fields in which a proxy tells for whom it asks.

``X-Forwarded-For`` and its kin, ``X-Real-IP`` and ``Forwarded`` (RFC 7239) are true only where a proxy we
trust has written them; anybody can send them. So the dispatcher drops them all from the requests of others,
and takes from those of a trusted proxy what that proxy knows: each proxy adds the address that it was asked
from behind those that it was told of, so they are read from the right, as long as they are addresses of
trusted proxies. The first that is not is the client; what stands left of it the client may have made up, and
is dropped too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_HOPS: Final = 32
"""Most proxies that are followed towards the client: no chain is as long, and each takes 2 µs to read."""

_LINE: Final = re.compile(rb"^(forwarded|x-forwarded[^:\r\n]*|x-real-ip):([^\r\n]*)\r\n", re.I | re.M)

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'

# RFC 7239 §4: forwarded-pair, and what may stand behind it. An element may be empty (RFC 9110 §5.6.1).
_PAIR: Final = re.compile(rf"[ \t]*(?:({_NAME})=({_NAME}|{_QUOTED}))?[ \t]*(;|,|$)")
_ESCAPED: Final = re.compile(r"\\(.)")

_NODE: Final = re.compile(
    r"\[([0-9a-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?|([0-9a-f:.]+)", re.I
)


class Node(NamedTuple):
    """Somebody on the way of a request.

    Attributes:
        host: the IP address, as :mod:`ipaddress` writes it.
        port: the port, 0 if nobody has said it.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Origin(NamedTuple):
    """Where a request comes from.

    Attributes:
        block: the header block for applications.
        client: the client's address, as ``ip:port`` or ``[ip]:port``.
        scheme: ``http`` or ``https``.
    """

    block: bytes
    client: str
    scheme: str


def drop_forwarding(block: bytes) -> bytes:
    """Return a header block without the fields that only a trusted proxy may set."""
    return _LINE.sub(b"", block)


def read_forwarding(block: bytes, peer: str, scheme: str, trusts: Callable[[str], bool]) -> Origin:
    """Return what a trusted proxy says of where a request comes from.

    ``X-Forwarded-For`` counts before ``Forwarded``, and that before ``X-Real-IP``: most proxies set the first
    and pass on what a client sends of the others. Those that do not count are dropped or set to what counts,
    so that all say the same to whichever an application reads. A field that cannot be understood is dropped.
    Other fields that begin with ``X-Forwarded-`` go on as they came, among them ``X-Forwarded-Host``: many
    proxies pass on what a client writes there, so it never decides which application gets the request.

    Args:
        block: the header block.
        peer: the address of the proxy, which is the answer if it names nobody.
        scheme: the scheme in which the proxy asked.
        trusts: whether an IP address is that of a trusted proxy.
    """
    told: dict[str, list[str]] = {}
    others = []
    for match in _LINE.finditer(block):
        name = match[1].decode("latin-1").lower()
        if name in _UNDERSTOOD:
            told.setdefault(name, []).append(match[2].decode("latin-1").strip(" \t"))
        else:
            others.append(match[0])
    fields = {}
    hops = list(_hops(_nodes(told.get("x-forwarded-for", ())), trusts))
    if hops:
        fields["X-Forwarded-For"] = ", ".join(hop.host for hop in reversed(hops))
    elif "x-forwarded-for" not in told:
        elements = list(_elements_up_to_client(told.get("forwarded", ()), trusts))
        hops = [element.node for element in elements if element.node]
        if elements:
            fields["Forwarded"] = ", ".join(element.text for element in reversed(elements))
            scheme = elements[-1].scheme or scheme
    if not hops and not told.keys() & {"x-forwarded-for", "forwarded"}:
        hops = list(_nodes(told.get("x-real-ip", ())))[:1]
    if "x-real-ip" in told and hops:
        fields["X-Real-IP"] = hops[-1].host
    if said := _last_scheme(told.get("x-forwarded-proto", ())):
        fields["X-Forwarded-Proto"] = scheme = said
    lines = [f"{name}: {value}\r\n".encode("latin-1") for name, value in fields.items()]
    return Origin(
        b"".join((drop_forwarding(block), *others, *lines)), str(hops[-1]) if hops else peer, scheme
    )


_UNDERSTOOD: Final = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"})


def read_node(text: str) -> Node | None:
    """Return the address that ``text`` is, with a port or without, or None if it is none."""
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match[1] or match[3] or match[5])
    except ValueError:
        return None
    port = int(match[2] or match[4] or 0)
    return Node(plain_address(address), port) if port <= 65535 else None


def plain_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as text; an IPv4 address that IPv6 wraps, as sockets for both do, without that."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _nodes(values: Iterable[str]) -> Iterator[Node]:
    """Yield the addresses of a list, from the right to the first that is none."""
    entries = [entry.strip(" \t") for value in values for entry in value.split(",")]
    for entry in reversed([entry for entry in entries if entry]):
        node = read_node(entry)
        if node is None:
            return
        yield node


def _hops(nodes: Iterable[Node], trusts: Callable[[str], bool]) -> Iterator[Node]:
    """Yield those on the way, the nearest first, up to the first who is no trusted proxy."""
    for node in islice(nodes, MOST_HOPS):
        yield node
        if not trusts(node.host):
            return


def _last_scheme(values: Iterable[str]) -> str | None:
    """Return what the nearest proxy said last; None if it is no scheme of ours."""
    said = [entry.strip(" \t").lower() for value in values for entry in value.split(",")]
    return said[-1] if said and said[-1] in {"http", "https"} else None


class _Element(NamedTuple):
    """What one proxy has added to ``Forwarded``: who asked it, and in which scheme."""

    text: str
    node: Node | None
    scheme: str | None


def _elements_up_to_client(values: Iterable[str], trusts: Callable[[str], bool]) -> Iterator[_Element]:
    """Yield the elements of ``Forwarded``, the nearest first, up to that which names the client.

    One that hides who asked (``unknown`` or a name that begins with ``_``, RFC 7239 §6) is the end as well.
    """
    for element in islice(_elements(values), MOST_HOPS):
        yield element
        if element.node is None or not trusts(element.node.host):
            return


def _elements(values: Iterable[str]) -> Iterator[_Element]:
    """Yield elements from the right. Each line is read for itself: a client's cannot swallow a proxy's."""
    for value in reversed(list(values)):
        elements = _read_forwarded(value)
        if elements is None:
            return
        yield from reversed(elements)


def _read_forwarded(value: str) -> list[_Element] | None:
    """Return the elements of one line, None if it breaks the grammar (RFC 7239 §4)."""
    elements = []
    pairs: dict[str, str] = {}
    start = position = 0
    while position <= len(value):
        match = _PAIR.match(value, position)
        if match is None:
            return None
        if match[1]:
            name = match[1].lower()
            if name in pairs:
                return None
            pairs[name] = _unquote(match[2])
        position = match.end() + (match[3] == "")
        if match[3] != ";":
            if pairs:
                elements.append(_read_element(value[start : match.start(3)].strip(" \t"), pairs))
            start, pairs = match.end(), {}
    return elements


def _read_element(text: str, pairs: dict[str, str]) -> _Element:
    scheme = pairs.get("proto", "").lower()
    return _Element(text, read_node(pairs.get("for", "")), scheme if scheme in {"http", "https"} else None)


def _unquote(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
