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
from typing import Final

from tests.chaos.errors import MissingError

# Addresses for benchmarks of networks, which nobody routes (RFC 2544, appendix C.2.2).
HOST: Final = "198.18.71.1"
INSIDE: Final = "198.18.71.2"
OUTSIDE: Final = "198.18.72.1"
WORKERS: Final = "198.18.72.2"


class Network:
    """The network between this host and the workers.

    Attributes:
        host: our address, as the workers see it.
        within: what runs a command where the workers are.
    """

    host = HOST

    def __init__(self, router: str, workers: str) -> None:
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
    router, workers = (f"lrwp-{word}-{os.getpid()}" for word in ("router", "workers"))
    near, far = f"lrwpa{os.getpid()}", f"lrwpb{os.getpid()}"
    try:
        for namespace in (router, workers):
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("link", "add", near, "type", "veth", "peer", "name", "host", "netns", router)
        _ip("-n", router, "link", "add", far, "type", "veth", "peer", "name", "router", "netns", workers)
        _ip("address", "add", f"{HOST}/30", "dev", near)
        _ip("-n", router, "address", "add", f"{INSIDE}/30", "dev", "host")
        _ip("-n", router, "address", "add", f"{OUTSIDE}/30", "dev", far)
        _ip("-n", workers, "address", "add", f"{WORKERS}/30", "dev", "router")
        _ip("link", "set", near, "up")
        _ip("-n", router, "link", "set", "host", "up")
        _ip("-n", router, "link", "set", far, "up")
        _ip("-n", workers, "link", "set", "router", "up")
        _ip("route", "add", f"{WORKERS}/32", "via", INSIDE)
        _ip("-n", workers, "route", "add", "default", "via", OUTSIDE)
        network = Network(router, workers)
        network.mend()
        yield network
    finally:
        for namespace in (router, workers):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


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
