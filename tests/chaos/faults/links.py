"""Links that fall silent, and peers that do not keep to the protocol."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from protocol.frames import encode_frame
from protocol.messages import RESPONSE
from tests.chaos.fault import Fault
from tests.chaos.ledger import Expected, mostly
from tests.chaos.network import a_network
from tests.peers import Browser, Peer

if TYPE_CHECKING:
    from tests.chaos.network import Network
    from tests.chaos.site import Site

HEARTBEAT: Final = 0.2
FAR: Final = 2
"""Workers on the other side of the network."""


class HalfOpen(Fault):
    name = "half-open"
    row = "half-open network: the link is gone in three heartbeats, and the worker comes back by itself"
    workers = 4
    limits = f'heartbeat = "{HEARTBEAT}s"\nrequest_timeout = "1s"'
    expected = Expected(fates={"GET": mostly("200", "504"), "POST": mostly("200", "504")}, recovery=10.0)
    network: Network

    def arrange(self, site: Site) -> None:
        """Start some workers here, and others in a network of their own."""
        self.network = site.enter(a_network())
        secret = site.folder / "secret"
        secret.write_text("d" * 64 + "\n")
        secret.chmod(0o600)
        flags = ("--secret-file", str(secret))
        site.start_dispatcher(*flags, link=f"{self.network.host}:0", limits=self.limits)
        site.start_pool(self.workers - FAR, *flags)
        site.start_pool(FAR, *flags, before=self.network.within)

    def strike(self, site: Site) -> None:
        """Cut the network while all is idle, and then under load."""
        near = self.workers - FAR
        site.load.rest()
        self.network.cut()
        # A beat may just have been answered, and is looked at four times a second.
        bound = 3 * HEARTBEAT + HEARTBEAT + 0.5
        site.expect_soon(
            lambda: len(site.workers()) == near,
            f"an idle link is gone in three heartbeats: it is there after {bound:.1f} s",
            bound,
        )
        self.network.mend()
        site.wait_for_links(self.workers)
        site.load.start(self.rate)
        site.load.more(100)
        self.network.cut()
        site.hits += FAR  # each may hold a request
        site.expect_soon(
            lambda: len(site.workers()) == near,
            "a busy link is gone at the deadline of what it holds: it is there after 2 s",
            2.0,
        )
        site.load.more(100)
        self.network.mend()
        site.wait_for_links(self.workers)


class Frames(Fault):
    name = "frames"
    row = "garbage, oversized and wrong-id frames: that link is dropped, its exchange a 502, others untouched"
    expected = Expected(fates={"POST": mostly("200", "502")})

    def strike(self, site: Site) -> None:
        """Register peers that take a request and then break the protocol, one after another."""
        host, _, port = site.dispatcher.link.rpartition(":")
        address = (host, int(port))
        for word in WORDS:
            with Browser(address) as stranger:
                stranger.socket.sendall(word)
        for _ in range(10 if site.is_full else 1):
            for answer in (*(lambda _, word=word: word for word in WORDS), _wrong_id, _wrong_type):
                with Peer(address, "chaos", instance=f"wrong-{time.monotonic_ns()}", window=1) as peer:
                    peer.register()
                    request = peer.expect_request()
                    site.hits += request.method == "POST"
                    peer.socket.sendall(answer(request.exchange))
                    peer.expect_end()
        site.wait_for_links(self.workers)


WORDS: Final = (
    b"\xff" * 64,
    b"\x00\x00\x00\x01\xc1",  # a byte that is no msgpack
    b"\x00\x00\x00\x03\x92\x63\x01",  # an unknown type
    b"\x00\xff\xff\xff" + bytes(64),  # the longest frame that can be announced
    b"\x00\x00\x40\x00" + b"\xdd\x00\x00\x10\x00" * 3277,  # arrays in arrays
)
"""What a peer may send that has lost its wits, or never had any."""


def _wrong_id(exchange: int) -> bytes:
    return encode_frame((RESPONSE, exchange + 1000, 200, b"", b"", True))


def _wrong_type(exchange: int) -> bytes:
    return encode_frame((RESPONSE, exchange, "200", b"", b"", True))
