from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.conditions import (
    Decision,
    Representation,
    choose_coding,
    decide,
    describe_file,
    read_date,
    read_range,
    weigh,
    write_date,
)

NOW = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
CHANGED = int(datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp())
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
THEN = "Sun, 06 Nov 1994 08:49:37 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
FILE = Representation('"tag"', CHANGED, 10)


def status(method: str = "GET", **fields: str) -> int:
    return decide(method, {name.replace("_", "-"): fields[name] for name in fields}, FILE, NOW).status


def test_without_conditions_the_whole_is_sent():
    assert decide("GET", {}, FILE, NOW) == Decision(200, range(10))


@pytest.mark.parametrize("value", ['"tag"', 'W/"tag"', '"other", "tag"', '"a,b" , W/"tag"', "*", ' "tag" '])
def test_what_the_client_has_is_not_modified(value):
    assert status(if_none_match=value) == 304


@pytest.mark.parametrize("value", ['"other"', "tag", '"TAG"', '"tag', "", 'x"y"tag"z"', '"*"'])
def test_what_the_client_does_not_have_is_sent(value):
    assert status(if_none_match=value) == 200


@pytest.mark.parametrize(
    ("value", "expected"), [(BEFORE, 200), (THEN, 304), (AFTER, 304), ("yesterday", 200)]
)
def test_a_file_is_sent_if_it_was_modified_since(value, expected):
    assert status(if_modified_since=value) == expected


def test_a_date_does_not_count_beside_an_entity_tag():
    assert status(if_none_match='"other"', if_modified_since=AFTER) == 200
    assert status(if_match='"tag"', if_unmodified_since=BEFORE) == 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"tag"', 200), ('"other", "tag"', 200), ("*", 200), ('W/"tag"', 412), ('"x"', 412)],
)
def test_if_match_compares_strongly(value, expected):
    assert status(if_match=value) == expected


@pytest.mark.parametrize(("value", "expected"), [(BEFORE, 412), (THEN, 200), (AFTER, 200), ("never", 200)])
def test_if_unmodified_since_fails_for_what_was_modified(value, expected):
    assert status(if_unmodified_since=value) == expected


def test_a_failed_precondition_comes_before_not_modified():
    assert status(if_match='"other"', if_none_match='"tag"') == 412


def test_not_modified_comes_before_a_range():
    assert decide("GET", {"if-none-match": '"tag"', "range": "bytes=99-"}, FILE, NOW) == Decision(
        304, range(0)
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [('"tag"', 206), ('W/"tag"', 200), ('"other"', 200), (THEN, 206), (BEFORE, 200), (AFTER, 200), ("", 200)],
)
def test_a_part_is_sent_only_if_the_client_has_the_rest_of_this_very_file(condition, expected):
    assert status(range="bytes=0-1", if_range=condition) == expected


def test_if_range_means_nothing_without_a_range():
    assert status(if_range='"other"') == 200


def test_head_ignores_a_range():
    assert decide("HEAD", {"range": "bytes=0-1"}, FILE, NOW) == Decision(200, range(10))


def test_a_range_beyond_the_end_cannot_be_satisfied():
    assert decide("GET", {"range": "bytes=10-"}, FILE, NOW) == Decision(416, range(0))


def test_a_list_of_ranges_is_answered_with_the_whole():
    assert decide("GET", {"range": "bytes=" + "0-," * 1300 + "0-"}, FILE, NOW) == Decision(200, range(10))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "items=0-1",
        "bytes=\u0660-\u0661",
        "bytes=0-" + "9" * 5000,
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_a_range_that_makes_no_sense_is_ignored(value):
    assert read_range(value, 10) is None


@pytest.mark.parametrize("value", ["BYTES=2-3", "bytes = 2-3", " bytes=2-3\t"])
def test_the_unit_of_a_range_may_be_written_in_several_ways(value):
    assert read_range(value, 10) == range(2, 4)


def test_the_last_part_of_an_empty_file_is_all_of_it():
    assert read_range("bytes=-5", 0) is None
    assert read_range("bytes=0-", 0) == range(0)


positions = st.integers(0, 40)


@given(content=st.binary(max_size=30), first=positions, length=positions)
def test_a_range_is_a_slice(content, first, length):
    part = read_range(f"bytes={first}-{first + length}", len(content))
    assert part is not None
    assert content[part.start : part.stop] == content[first : first + length + 1]
    assert len(part) == len(content[first : first + length + 1])


@given(content=st.binary(max_size=30), first=positions)
def test_an_open_range_is_a_slice_to_the_end(content, first):
    part = read_range(f"bytes={first}-", len(content))
    assert part is not None
    assert content[part.start : part.stop] == content[first:]


@given(content=st.binary(min_size=1, max_size=30), length=positions)
def test_a_suffix_range_is_a_slice_from_the_end(content, length):
    part = read_range(f"bytes=-{length}", len(content))
    assert part is not None
    assert content[part.start : part.stop] == (content[-length:] if length else b"")


@given(value=st.text() | st.from_regex(r"bytes=[-0-9, ]*", fullmatch=True), size=st.integers(0, 2**63))
def test_no_range_leads_outside_of_the_file(value, size):
    part = read_range(value, size)
    assert not part or 0 <= part.start < part.stop <= size


conditional = st.sampled_from(
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "range", "if-range"]
)


@given(method=st.sampled_from(["GET", "HEAD"]), fields=st.dictionaries(conditional, st.text()))
def test_no_field_can_upset_a_decision(method, fields):
    assert decide(method, fields, FILE, NOW).status in {200, 206, 304, 412, 416}


BOTH = ["br", "gzip"]


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip ; Q=0.5,br;q=0.001", "gzip"),
        ("br;q=0, gzip;q=0.1", "gzip"),
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("identity, gzip", "gzip"),
        ("identity;q=0.5, gzip;q=0.4", None),
        ("gzip;q=0", None),
        ("gzip;q=0.000, br;q=0", None),
        ("*;q=0", None),
        ("identity;q=0", None),
        ("deflate", None),
        ("gzip;q=2", None),
        ("gzip;q=", None),
        ("gzip;level=9", None),
        (", ,;q=1,", None),
        ("", None),
    ],
)
def test_the_client_gets_the_coding_that_it_likes_best(accepted, expected):
    assert choose_coding(accepted, BOTH) == expected


def test_a_coding_that_is_not_there_is_not_chosen():
    assert choose_coding("br, gzip;q=0.1", ["gzip"]) == "gzip"


@given(st.text())
def test_any_text_is_accepted_as_accept_encoding(value):
    assert choose_coding(value, BOTH) in {*BOTH, None}


@pytest.mark.parametrize(
    "value", [THEN, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", f" {THEN}\t"]
)
def test_a_date_may_have_three_forms(value):
    assert read_date(value, NOW) == CHANGED


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun Nov    08:49:37 1994",
        f"{THEN}, {THEN}",
    ],
)
def test_anything_else_is_no_date(value):
    assert read_date(value, NOW) is None


@pytest.mark.parametrize(
    ("digits", "year"), [("00", 2000), ("25", 2025), ("75", 2075), ("76", 1976), ("99", 1999)]
)
def test_two_digits_mean_a_year_at_most_fifty_years_ahead(digits, year):
    seconds = read_date(f"Monday, 01-Jan-{digits} 00:00:00 GMT", NOW)
    assert seconds == datetime(year, 1, 1, tzinfo=UTC).timestamp()


def test_a_leap_second_is_a_date():
    assert read_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == read_date("Sat, 31 Dec 2016 23:59:59 GMT", NOW)


@given(st.integers(-(10**9), 10**11))
def test_a_date_that_we_send_comes_back_as_it_was(seconds):
    assert read_date(write_date(seconds), NOW) == seconds
    assert write_date(seconds) == formatdate(seconds, usegmt=True)


# ── Other methods, and things without a tag or a date ────────────────────────────────────────────────


def test_what_would_not_be_sent_again_is_not_done_either():
    assert weigh("PUT", {"if-none-match": "*"}, FILE, NOW) == 412
    assert weigh("PUT", {"if-none-match": '"other"'}, FILE, NOW) == 200
    assert weigh("PUT", {"if-match": '"tag"'}, FILE, NOW) == 200
    assert weigh("PUT", {"if-match": '"other"'}, FILE, NOW) == 412
    assert weigh("DELETE", {"if-modified-since": AFTER}, FILE, NOW) == 200


def test_what_has_no_date_is_told_by_its_tag_alone():
    dateless = Representation('"tag"', None, 10)
    for field in ("if-modified-since", "if-unmodified-since"):
        assert decide("GET", {field: BEFORE}, dateless, NOW).status == 200
    assert decide("GET", {"if-none-match": '"tag"'}, dateless, NOW).status == 304
    assert decide("GET", {"range": "bytes=0-1", "if-range": "yesterday"}, dateless, NOW).status == 200


def test_what_has_no_tag_is_told_by_its_date_alone():
    tagless = Representation("", CHANGED, 10)
    for value in ("", '""', '"tag"'):
        assert decide("GET", {"if-none-match": value}, tagless, NOW).status == 200
    assert decide("GET", {"if-modified-since": THEN}, tagless, NOW).status == 304
    assert decide("GET", {"range": "bytes=0-1", "if-range": ""}, tagless, NOW).status == 200
    assert decide("GET", {"range": "bytes=0-1", "if-range": THEN}, tagless, NOW).status == 206


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_told_by_its_time_its_size_and_its_coding():
    first = describe_file(CHANGED * 10**9 + 5, 10, NOW)
    assert (first.modified, first.size) == (CHANGED, 10)
    others = [
        describe_file(CHANGED * 10**9 + 6, 10, NOW),
        describe_file(CHANGED * 10**9 + 5, 11, NOW),
        describe_file(CHANGED * 10**9 + 5, 10, NOW, "br"),
    ]
    assert len({first.etag, *(other.etag for other in others)}) == 4


def test_a_file_from_the_future_was_modified_now():
    assert describe_file(int(NOW + 60) * 10**9, 10, NOW).modified == int(NOW)
    assert describe_file(-(10**9), 10, NOW).modified == 0
