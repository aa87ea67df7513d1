"""Routes: which application serves a path of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocol import limits
from protocol.paths import prefixes
from protocol.registration import RegistrationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dispatcher.broker import ApplicationQueue
    from protocol.registration import Claim

ANY_HOST: Final = ""

Table = dict[str, "ApplicationQueue"]


class Routes:
    """The registered paths of every virtual host.

    A lookup costs one step for each component of the path, however many applications there are. What is
    longer than any registered path is cut off first: a target of 8,000 slashes took 8 ms without that.
    """

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {ANY_HOST: {}}
        self._longest = 0
        self._suffixes = 0

    def add(self, claim: Claim, queue: ApplicationQueue) -> None:
        """Let ``queue`` serve what ``claim`` names.

        Raises:
            RegistrationError: another application serves it already.
        """
        self.check(claim, queue.name)
        self._tables.setdefault(claim.host, {})[_key(claim.path)] = queue
        self._longest = max(self._longest, len(claim.path))
        self._suffixes += is_suffix(claim)

    def check(self, claim: Claim, name: str) -> None:
        """Raise RegistrationError if another application than ``name`` serves what ``claim`` names."""
        owner = self._tables.get(claim.host, {}).get(_key(claim.path))
        if owner is not None and owner.name != name:
            where = f"{claim.path} on {claim.host}" if claim.host else claim.path
            raise RegistrationError(
                f"{where} is served by the application {owner.name}: choose another path for {name}"
            )

    def losers(self, claim: Claim) -> Iterator[ApplicationQueue]:
        """Yield the applications, perhaps its own among them, from which ``claim`` would take requests.

        They serve a path above it, or the same for any host; of a suffix, whatever there is.
        """
        for host, table in self._tables.items():
            if claim.host and host not in {claim.host, ANY_HOST}:
                continue
            if is_suffix(claim):
                yield from table.values()
                continue
            for path in prefixes(claim.path):
                queue = table.get(_key(path))
                if queue is not None and (path != claim.path or host == ANY_HOST):
                    yield queue

    def remove(self, claims: Iterable[Claim]) -> None:
        """Forget what these claims name."""
        for claim in claims:
            table = self._tables[claim.host]
            del table[_key(claim.path)]
            self._suffixes -= is_suffix(claim)
            if not table and claim.host:
                del self._tables[claim.host]

    def find(self, host: str, path: str) -> ApplicationQueue | None:
        """Return the application that serves ``path``: the longest registered path wins, at a / boundary.

        Of two equally long paths the one for this host wins over the one for any host. A suffix, which only
        peers of LRWP/1 and LRWP/2 register, wins over every path, and the longest suffix over the others.
        """
        tables = self._tables
        everywhere = tables[ANY_HOST]
        here = tables.get(host) if len(tables) > 1 else None
        if self._suffixes and (queue := _find_suffix(here, everywhere, path)) is not None:
            return queue
        if len(path) > self._longest:
            path = path[: max(0, path.rfind("/", 0, self._longest + 1))]
        while True:
            if here is not None and (queue := here.get(path)) is not None:
                return queue
            if (queue := everywhere.get(path)) is not None:
                return queue
            if not path:
                return None
            path = path[: path.rfind("/")] if "/" in path else ""


def is_suffix(claim: Claim) -> bool:
    """Whether a claim is for all paths that end alike, and not for those that begin alike."""
    return claim.path.startswith(".")


def _find_suffix(here: Table | None, everywhere: Table, path: str) -> ApplicationQueue | None:
    """Return the application that serves paths which end as this one; the last component decides."""
    name = path[path.rfind("/") + 1 :][-limits.NAME :]
    start = name.find(".")
    while start >= 0:
        for table in (here, everywhere):
            if table is not None and (queue := table.get(name[start:])) is not None:
                return queue
        start = name.find(".", start + 1)
    return None


def _key(path: str) -> str:
    """The root is kept as the empty text: it is what is left when every component is taken away."""
    return "" if path == "/" else path
