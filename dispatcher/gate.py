"""The gate: what strangers may take of the link ports, and what becomes of those who are refused.

A stranger is a connection whose worker is not registered yet. There is a bound to their number, in all and
for each address. Who is refused again and again waits longer and longer for the answer, and keeps one of the
places of its address meanwhile: so nobody tries secrets, or fills the log, faster than this.

No I/O and no clock: whoever asks acts on the answers.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGERS: Final = 1024
"""Most strangers at once. Each may have sent all but the last byte of a registration, 64 KiB; and the workers
of a dispatcher that was restarted come all at the same time."""

STRANGERS_PER_ADDRESS: Final = 256
"""Most strangers at once from one address. A host with more workers than that has them come in waves."""

PATIENT: Final = 5
"""Refusals of a burst that are answered at once: somebody may be looking for the right secret file."""

FIRST_DELAY: Final = 0.25
"""Seconds that the answer after those waits; each one after it waits twice as long as the one before."""

LONGEST_DELAY: Final = 4.0
"""Most seconds that an answer waits: less than workers wait for it."""

QUIET: Final = 60.0
"""Seconds without a refusal after which an address has a clean slate."""

REPORT: Final = 10.0
"""Seconds between two lines of the log about one burst."""

ADDRESSES: Final = 100
"""Most addresses whose bursts are told apart; what comes from further ones is counted together."""

OTHERS: Final = "other addresses"

UNIX: Final = "unix"
"""Who comes through a Unix socket: everybody whom its file mode lets in, with no bound for each."""


class Verdict(NamedTuple):
    """How to refuse.

    Attributes:
        delay: seconds to wait before the answer.
        is_news: whether the log should tell; otherwise the next report counts it.
    """

    delay: float
    is_news: bool


class Report(NamedTuple):
    """How many refusals there were that the log has not told of.

    Attributes:
        address: whose.
        refusals: how many.
        seconds: since when.
    """

    address: str
    refusals: int
    seconds: float

    def __str__(self) -> str:
        more = "more refusal" + "s" * (self.refusals > 1)
        return f"{self.refusals:,} {more} from {self.address} in the last {self.seconds:.0f} s"


class _Burst:
    """Refusals of one address that follow each other.

    Attributes:
        count: how many there were.
        untold: how many of them the log has not told of.
        told_at: when it last told.
        last_at: when the last one was.
    """

    __slots__ = ("count", "last_at", "told_at", "untold")

    def __init__(self, now: float) -> None:
        self.count = self.untold = 0
        self.told_at = self.last_at = now


class Gate:
    """Counts strangers and refusals.

    Attributes:
        strangers: how many there are.
        refused: how many connections were refused.
        turned_away: how many of them at once, because there were too many strangers.
    """

    def __init__(self) -> None:
        self.strangers = self.refused = self.turned_away = 0
        self._by_address: dict[str, int] = {}
        self._bursts: dict[str, _Burst] = {}

    def __repr__(self) -> str:
        return f"<Gate, {self.strangers} strangers, {self.refused} refused>"

    def enter(self, address: str) -> bool:
        """Count a stranger that has come; returns whether there is room for it."""
        self.strangers += 1
        self._by_address[address] = count = self._by_address.get(address, 0) + 1
        is_full = address != UNIX and count > STRANGERS_PER_ADDRESS
        if not is_full and self.strangers <= STRANGERS:
            return True
        self.turned_away += 1
        return False

    def leave(self, address: str) -> None:
        """Count off a stranger that is none any more: it has registered, or it has gone."""
        self.strangers -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def refuse(self, address: str, now: float) -> Verdict:
        """Count a refusal, and say how to put it."""
        self.refused += 1
        if address not in self._bursts and len(self._bursts) >= ADDRESSES:
            address = OTHERS
        burst = self._bursts.get(address)
        is_news = burst is None
        if burst is None:
            burst = self._bursts[address] = _Burst(now)
        else:
            burst.untold += 1
        burst.count += 1
        burst.last_at = now
        return Verdict(_delay(burst.count), is_news)

    def report(self, now: float) -> Iterator[Report]:
        """Yield what the log should tell now, and forget who has been quiet for long."""
        for address, burst in list(self._bursts.items()):
            seconds = now - burst.told_at
            if burst.untold and seconds >= REPORT:
                yield Report(address, burst.untold, seconds)
                burst.untold = 0
                burst.told_at = now
            if now - burst.last_at > QUIET:
                del self._bursts[address]

    def recent(self) -> dict[str, int]:
        """Return how many refusals there were in the burst of each address."""
        return {address: burst.count for address, burst in self._bursts.items()}


def _delay(count: int) -> float:
    """Return how long the answer to the ``count``-th refusal of a burst waits."""
    if count <= PATIENT:
        return 0.0
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(count - PATIENT - 1, 16))


def address_of(host: str) -> str:
    """Return what counts as one address: an IPv4 address, or the network of an IPv6 one.

    A single IPv6 client has a network of 2⁶⁴ addresses to itself (RFC 4291 §2.5.4).
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
