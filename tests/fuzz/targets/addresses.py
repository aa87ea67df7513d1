"""Addresses, as they are typed."""

from __future__ import annotations

from protocol.addresses import Address, read_address
from protocol.errors import AddressError
from tests.fuzz.target import Target, outcome


def read(data: bytes) -> Address:
    address = read_address(data.decode("utf-8", "surrogateescape"))
    address.is_private  # noqa: B018 - it must not fail either
    return address


def is_read_back_as_it_was_written(data: bytes) -> None:
    address = outcome(read, data, refusals=(AddressError,))
    if isinstance(address, Address):
        assert read_address(str(address)) == address
        assert 0 <= address.port <= 65535
        assert not address.path or address.kind == "unix"
        assert bool(address.host) == (address.kind != "unix")


TARGET = Target(
    read=read,
    refusals=(AddressError,),
    laws=(is_read_back_as_it_was_written,),
    seeds=(
        *(b"127.0.0.1:8080", b"[::1]:80", b"tls://example.org:443", b"unix:///run/lrwp.sock", b"localhost:0"),
        *(b"[fe80::1%eth0]:65535", b"::1:80", b"tls://[::]:1", b"unix://relative", b"caf\xc3\xa9:1"),
    ),
    words=(
        b"tls://|unix://|/|:|[|]|::|%|@|127.0.0.1|::ffff:127.0.0.1|localhost|0|65535|65536|\xd9\xa1|\xc2\xb2"
        b"| |\x00|\xff"
    ).split(b"|"),
    each=80,
    fixed=20_000,
)
