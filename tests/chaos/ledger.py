"""The ledger's arithmetic: what clients saw, what was begun and what was done, against what was promised.

Nothing here touches a process: it can be fed a ledger that is wrong, to see that it says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.chaos.entry import FOREIGN, REFUSED, SILENT, TWICE, Entry

LOAD: Final = ("GET", "POST")
"""The kinds of the constant load."""

EXAMPLES: Final = 3
"""Requests that are named when a promise was broken."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What may become of the requests of one kind.

    Attributes:
        outcomes: what their clients may see.
        spared: an outcome that all but a few must have; empty if it does not matter how many have which.
        for_each_hit: how many may be without it for each hit.
    """

    outcomes: frozenset[str]
    spared: str = ""
    for_each_hit: int = 0


def only(*outcomes: str) -> Fate:
    """Each of these outcomes is right, for as many requests as may be."""
    return Fate(frozenset(outcomes))


def mostly(outcome: str, *others: str, for_each_hit: int = 1) -> Fate:
    """This outcome, but for a few requests at each hit that may have one of the others."""
    return Fate(frozenset((outcome, *others)), outcome, for_each_hit)


SERVED: Final = only("200")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a fault may cost.

    Attributes:
        fates: what may become of the requests of each kind; of those that are not named, 200 only.
        longest: seconds within which each request of the constant load has its outcome.
        unbegun: outcomes that say that the request was not begun and never will be.
        recovery: seconds after which all is as it was.
        growth: bytes by which the dispatcher's memory may be above what it was.
    """

    fates: Mapping[str, Fate] = field(default_factory=dict)
    longest: float = 2.0
    unbegun: tuple[str, ...] = ("503", "507", REFUSED)
    recovery: float = 5.0
    growth: int = 8 << 20


class Account(NamedTuple):
    """What was found.

    Attributes:
        entries: what clients saw.
        begun: how often each request was begun, by its id.
        done: how many rows each request has written, by its id.
        hits: how often the fault has struck something that may have held a request.
    """

    entries: Sequence[Entry]
    begun: Counter[int]
    done: Counter[int]
    hits: int = 0

    def outcomes(self) -> Counter[str]:
        """Return how many requests had which outcome."""
        return Counter(entry.outcome for entry in self.entries)

    def times_done(self) -> tuple[int, int, int]:
        """Return how many POSTs have written no row, one, and more."""
        times = Counter(min(2, self.done[entry.id]) for entry in self.entries if entry.method == "POST")
        return times[0], times[1], times[2]

    def longest(self) -> float:
        """Return the longest wait in the constant load, in seconds."""
        return max((entry.seconds for entry in self.entries if entry.kind in LOAD), default=0.0)


def is_not_answered_once(account: Account, entry: Entry) -> bool:
    return entry.outcome in {"", SILENT, TWICE}


def is_foreign(account: Account, entry: Entry) -> bool:
    return entry.outcome == FOREIGN


def is_post_repeated(account: Account, entry: Entry) -> bool:
    return entry.method == "POST" and max(account.begun[entry.id], account.done[entry.id]) > 1


def is_repeated_twice(account: Account, entry: Entry) -> bool:
    return account.begun[entry.id] > 2


def is_refused_and_done(account: Account, entry: Entry) -> bool:
    return entry.outcome == "503" and account.done[entry.id] > 0


def is_answered_and_undone(account: Account, entry: Entry) -> bool:
    if entry.outcome != "200":
        return False
    return not account.begun[entry.id] or (entry.method == "POST" and not account.done[entry.id])


PROMISES: Final = {
    "every accepted request gets exactly one answer": is_not_answered_once,
    "nobody gets the answer of another request": is_foreign,
    "a POST never runs twice": is_post_repeated,
    "a request that may have begun is repeated once at most": is_repeated_twice,
    "what was answered 503 was not done": is_refused_and_done,
    "what was answered 200 was done": is_answered_and_undone,
}
"""What holds in every fault, and which requests break it."""


def judge(account: Account, expected: Expected) -> list[str]:
    """Return the promises that were broken, each as a sentence that says by how many requests."""
    return [*_judge_each(account, expected), *_judge_kinds(account, expected), *_judge_all(account, expected)]


def _judge_each(account: Account, expected: Expected) -> Iterator[str]:
    for promise, is_broken in PROMISES.items():
        guilty = [entry for entry in account.entries if is_broken(account, entry)]
        if guilty:
            yield f"{promise}: not so with {_name(guilty)}"
    begun = [
        entry
        for entry in account.entries
        if entry.outcome in expected.unbegun and (account.begun[entry.id] or account.done[entry.id])
    ]
    if begun:
        yield f"what is answered {' or '.join(expected.unbegun)} never runs: not so with {_name(begun)}"


def _judge_kinds(account: Account, expected: Expected) -> Iterator[str]:
    for kind in dict.fromkeys(entry.kind for entry in account.entries):
        fate = expected.fates.get(kind, SERVED)
        entries = [entry for entry in account.entries if entry.kind == kind]
        wrong = [entry for entry in entries if entry.outcome not in fate.outcomes]
        if wrong:
            yield f"{kind} gets {' or '.join(sorted(fate.outcomes))} only: not so with {_name(wrong)}"
        if fate.spared:
            hurt = [entry for entry in entries if entry.outcome != fate.spared]
            most = fate.for_each_hit * account.hits
            if len(hurt) > most:
                yield f"at most {most} {kind} get anything but {fate.spared}: not so with {_name(hurt)}"


def _judge_all(account: Account, expected: Expected) -> Iterator[str]:
    slow = [e for e in account.entries if e.kind in LOAD and e.seconds > expected.longest]
    if slow:
        slow.sort(key=lambda entry: -entry.seconds)
        yield f"nobody waits longer than {expected.longest:g} s: not so with {_name(slow)}"
    asked = {entry.id for entry in account.entries}
    if strange := (account.begun.keys() | account.done.keys()) - asked:
        yield f"nothing runs that nobody has asked for: not so with {len(strange)}, such as id {min(strange)}"


def _name(entries: Sequence[Entry]) -> str:
    """Name some requests: how many they are, and what became of the first of them."""
    examples = "; ".join(
        f"{entry.kind} {entry.id} {entry.outcome or 'unanswered'} after {entry.seconds:.3f} s"
        + (f" ({entry.reason})" if entry.reason else "")
        for entry in entries[:EXAMPLES]
    )
    return f"{len(entries)}, such as {examples}"


def count_words(lines: Iterable[str], word: str) -> Counter[int]:
    """Return how often the journal has a word, by the id of the request."""
    fields = (line.split() for line in lines)
    return Counter(int(number) for kind, number, _ in fields if kind == word)
