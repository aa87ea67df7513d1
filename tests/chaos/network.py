"""A network that can be cut: workers in a network namespace, behind a router that stops forwarding.

::

    this host ── veth ── router ── veth ── workers

Neither end can tell a cut from silence: no interface goes down, no route goes away, nothing answers for the
router. Everything is in two namespaces, and gone with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Final

from tests.chaos.errors import MissingError

ADDRESSES: Final = IPv4Network("198.18.0.0/15")
"""What nobody routes, because it is for benchmarks of networks (RFC 2544, appendix C.2.2)."""

SHARE: Final = 8
"""Addresses that one network takes: two for each of its two cables, and those that no host can have."""


CABLES: Final = """
netns add {router}
netns add {workers}
link add {near} type veth peer name near netns {router}
-n {router} link add far type veth peer name eth netns {workers}
address add {ours}/30 dev {near}
-n {router} address add {inside}/30 dev near
-n {router} address add {outside}/30 dev far
-n {workers} address add {theirs}/30 dev eth
link set {near} up
-n {router} link set near up
-n {router} link set far up
-n {workers} link set eth up
route add {theirs}/32 via {inside}
-n {workers} route add default via {outside}
"""
"""What ``ip`` is told."""


class Network:
    """The network between this host and the workers.

    Attributes:
        host: our address, as the workers see it.
        within: what runs a command where the workers are.
    """

    def __init__(self, host: str, router: str, workers: str) -> None:
        self.host = host
        self._router = router
        self.within = ["ip", "netns", "exec", workers]

    def cut(self) -> None:
        """Lose every packet from now on."""
        self._forward(0)

    def mend(self) -> None:
        """Carry packets again."""
        self._forward(1)

    def _forward(self, value: int) -> None:
        _ip("netns", "exec", self._router, "sh", "-c", f"echo {value} >/proc/sys/net/ipv4/ip_forward")


@contextmanager
def a_network() -> Iterator[Network]:
    """Make a network; it works at first.

    Raises:
        MissingError: this machine does not let us.
    """
    if os.geteuid() != 0:
        raise MissingError("a network that can be cut takes root, to make network namespaces")
    if shutil.which("ip") is None:
        raise MissingError("a network that can be cut takes the program ip; install iproute2")
    router, workers, near = f"lrwp-router-{os.getpid()}", f"lrwp-workers-{os.getpid()}", f"lrwp{os.getpid()}"
    place = os.getpid() * SHARE % ADDRESSES.num_addresses  # another one at the same time has another
    ours, inside, outside, theirs = (str(ADDRESSES[place + number]) for number in (1, 2, 5, 6))
    cables = CABLES.format(
        router=router, workers=workers, near=near, ours=ours, inside=inside, outside=outside, theirs=theirs
    )
    try:
        for command in cables.strip().splitlines():
            _ip(*command.split())
        network = Network(ours, router, workers)
        network.mend()
        yield network
    finally:
        for end in (f"link delete {near}", f"netns delete {workers}", f"netns delete {router}"):
            subprocess.run(["ip", *end.split()], check=False, capture_output=True, timeout=10)


def _ip(*arguments: str) -> None:
    """Run ``ip``.

    Raises:
        MissingError: it does not do what it is told.
    """
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise MissingError(
            f"a network that can be cut cannot be made here: {done.stderr.strip() or done.args};"
            " allow network namespaces (CAP_SYS_ADMIN and CAP_NET_ADMIN)"
        )
