"""On what conditions something is sent, which part of it, and in which coding: RFC 9110 §12.5.3, §13 and §14.

Pure decisions: request fields in, a status and a range of bytes out. The time is an argument; files and heads
are the business of those who send them, which are the dispatcher and the workers' toolkit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Representation(NamedTuple):
    """What there is to send, as far as conditions speak of it.

    Attributes:
        etag: its strong entity tag, with the quotes; empty if it has none.
        modified: when it changed last, in whole seconds since the epoch; None if nobody knows.
        size: its length in bytes.
    """

    etag: str
    modified: int | None
    size: int


class Decision(NamedTuple):
    """What to answer.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        part: the bytes to send, by their positions; none of them unless the status is 200 or 206.
    """

    status: Literal[200, 206, 304, 412, 416]
    part: range


_NOTHING: Final = range(0)
_SAFE: Final = frozenset({"GET", "HEAD"})


def describe_file(modified_ns: int, size: int, now: float, coding: str | None = None) -> Representation:
    """Return what conditions can say of a file that changed at this time, in nanoseconds, and has this size.

    Its inode does not count: servers with copies of the same folder must agree.
    """
    etag = f"{modified_ns:x}-{size:x}"
    # Whole seconds; as a float they may be rounded up to the next. RFC 9110 §8.8.2.1: a file from the future
    # was modified now. Before 1970 there was no web.
    modified = max(0, min(modified_ns // 1_000_000_000, int(now)))
    return Representation(f'"{etag}-{coding}"' if coding else f'"{etag}"', modified, size)


def decide(method: str, fields: Mapping[str, str], representation: Representation, now: float) -> Decision:
    """Weigh the conditions of a GET or HEAD in the order of RFC 9110 §13.2.2.

    Args:
        method: ``GET`` or ``HEAD``.
        fields: the request's fields, names in lower case.
        representation: what would be sent if there were no conditions.
        now: seconds since the epoch, to tell the century of a two-digit year.
    """
    status = weigh(method, fields, representation, now)
    if status != 200:
        return Decision(status, _NOTHING)
    whole = Decision(200, range(representation.size))
    # A Range means something to GET alone (RFC 9110 §14.2): HEAD tells the length of the whole.
    if method != "GET" or "range" not in fields or not _is_range_current(fields, representation, now):
        return whole
    part = read_range(fields["range"], representation.size)
    if part is None:
        return whole
    return Decision(206, part) if part else Decision(416, _NOTHING)


def weigh(
    method: str, fields: Mapping[str, str], representation: Representation, now: float
) -> Literal[200, 304, 412]:
    """Weigh the conditions of a request with any method: 200 if it is to go on; see :func:`decide`."""
    # A date counts only where the entity tag of the same purpose is missing (RFC 9110 §13.1.3, §13.1.4).
    etag, modified, _ = representation
    if "if-match" in fields:
        if not _names_etag(fields["if-match"], etag, is_weak_enough=False):
            return 412
    elif "if-unmodified-since" in fields and modified is not None:
        since = read_date(fields["if-unmodified-since"], now)
        if since is not None and modified > since:
            return 412
    if "if-none-match" in fields:
        if not _names_etag(fields["if-none-match"], etag, is_weak_enough=True):
            return 200
        return 304 if method in _SAFE else 412
    if "if-modified-since" in fields and modified is not None and method in _SAFE:
        since = read_date(fields["if-modified-since"], now)
        return 304 if since is not None and modified <= since else 200
    return 200


def _is_range_current(fields: Mapping[str, str], representation: Representation, now: float) -> bool:
    """Whether the client that asks for a part has its other parts of this very representation (If-Range)."""
    condition = fields.get("if-range")
    if condition is None or (condition == representation.etag and condition):
        return True
    since = read_date(condition, now)
    return since is not None and since == representation.modified


_ETAG: Final = re.compile(r'(W/)?("[^"]*")')
"""An entity tag and what marks it as weak: RFC 9110 §8.8.3."""


def _names_etag(value: str, etag: str, *, is_weak_enough: bool) -> bool:
    """Whether a list of entity tags, or ``*``, names ``etag``, which is strong."""
    if value.strip() == "*":
        return True
    return any(tag == etag and (is_weak_enough or not weak) for weak, tag in _ETAG.findall(value))


# A position has 18 digits at most, so that a number of a million digits is never computed; no file is longer.
# A list of ranges does not match: RFC 9110 §14.2 lets a server send the whole, and then nobody can make one
# request cost thousands of small reads (CVE-2011-3192).
_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def read_range(value: str, size: int) -> range | None:
    """Return the positions of the bytes that a Range field asks for, of ``size`` that there are.

    The range is empty when what it asks for lies beyond the end, and None when the field is to be ignored:
    malformed, several ranges, or another unit than bytes.

    >>> read_range("bytes=2-5", 10), read_range("bytes=-3", 10), read_range("bytes=10-", 10)
    (range(2, 6), range(7, 10), range(10, 10))
    """
    match = _RANGE.fullmatch(value.strip())
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        # An empty file has a last part, the empty one, but no Content-Range could say so: it goes out whole.
        return range(max(size - int(last), 0), size) if size else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)


_CODING: Final = re.compile(r"([^\s;]++)(?:\s*+;\s*+q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?", re.IGNORECASE)
"""A coding and its weight: RFC 9110 §12.4.2, §12.5.3."""


def choose_coding(accept_encoding: str, codings: Collection[str]) -> str | None:
    """Return which of ``codings`` the client likes best, None if it would rather have the file as it is.

    Between equals the first of them wins, and any of them before the file as it is. ``codings`` is not empty.
    """
    weights = {}
    for element in accept_encoding.split(","):
        match = _CODING.fullmatch(element.strip())
        if match:  # `x-gzip` is another name for `gzip` (RFC 9110 §8.4.1.3)
            weights[match[1].lower().removeprefix("x-")] = float(match[2] or 1)

    def weigh(coding: str) -> float:
        return weights.get(coding, weights.get("*", 0.0))

    best = max(codings, key=weigh)
    return best if weigh(best) > 0 and weigh(best) >= weights.get("identity", 0.0) else None


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_NAMES_OF_MONTHS: Final = ("", *_MONTHS)
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES: Final = (
    re.compile(
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>[0-9]{{4}}) {_TIME} GMT"
    ),
    re.compile(
        rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-(?P<month>[A-Z][a-z]{{2}})-(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    re.compile(
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"
    ),
)
"""The three forms that RFC 9110 §5.6.7 wants understood: its own, RFC 850's, and that of C's asctime()."""


def write_date(seconds: int) -> str:
    """Return seconds since the epoch as an HTTP date (RFC 9110 §5.6.7).

    >>> write_date(784111777)
    'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[moment.weekday()], _NAMES_OF_MONTHS[moment.month]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


def read_date(value: str, now: float) -> int | None:
    """Return an HTTP date in seconds since the epoch, None if it is not one."""
    value = value.strip()
    for form in _DATES:
        match = form.fullmatch(value)
        if match:
            return _seconds(match, now)
    return None


def _seconds(match: re.Match[str], now: float) -> int | None:
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _full_year(year, datetime.fromtimestamp(now, UTC).year)
    try:
        moment = datetime(
            year,
            _MONTHS[match["month"]],
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(int(match["second"]), 59),  # a leap second is in the grammar, but not in datetime
            tzinfo=UTC,
        )
    except (KeyError, ValueError):
        return None
    return int(moment.timestamp())


def _full_year(year: int, this_year: int) -> int:
    """Return the year that two digits mean: never more than 50 years ahead (RFC 9110 §5.6.7)."""
    year += this_year - this_year % 100
    return year - 100 if year > this_year + 50 else year
