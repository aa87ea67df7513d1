"""The ledger's arithmetic: a ledger that is wrong is found to be, and the promise is named."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.entry import CLOSED, CUT, FOREIGN, SILENT, TWICE, Entry
from tests.chaos.ledger import SERVED, Account, Expected, count_words, judge, mostly, only


def an_entry(
    number: int, method: str = "GET", outcome: str = "200", *, kind: str = "", seconds: float = 0.01
) -> Entry:
    return Entry(number, kind or method, method, due=0.0, outcome=outcome, seconds=seconds)


def an_account(*entries: Entry, hits: int = 0) -> Account:
    """Return an account in which everything that was answered 200 was done, once."""
    served = [entry for entry in entries if entry.outcome == "200"]
    begun = Counter(entry.id for entry in served)
    done = Counter(entry.id for entry in served if entry.method == "POST")
    return Account(entries, begun, done, hits)


def test_a_ledger_in_which_all_is_well_breaks_no_promise() -> None:
    account = an_account(an_entry(1), an_entry(2, "POST"), an_entry(3))
    assert judge(account, Expected()) == []


def test_the_sums_are_of_all_requests_and_the_rows_of_posts() -> None:
    account = an_account(
        an_entry(1, seconds=0.5),
        an_entry(2, "POST", seconds=1.5),
        an_entry(3, "POST", "502"),
        an_entry(4, "POST", kind="held", seconds=9.0),
        an_entry(5, "POST"),
    )
    account.done[5] = 3
    assert account.outcomes() == {"200": 4, "502": 1}
    assert account.times_done() == (1, 2, 1)
    assert account.longest() == 1.5


@pytest.mark.parametrize("outcome", ["", SILENT, TWICE])
def test_a_request_without_an_answer_or_with_two_is_named(outcome: str) -> None:
    (first, *_) = judge(an_account(an_entry(1), an_entry(7, outcome=outcome)), Expected())
    assert first.startswith("every accepted request gets exactly one answer: not so with 1, such as GET 7 ")


def test_the_answer_to_another_request_is_named() -> None:
    (first, *_) = judge(an_account(an_entry(7, outcome=FOREIGN)), Expected())
    assert first.startswith("nobody gets the answer of another request: not so with 1, such as GET 7 foreign")


@pytest.mark.parametrize("counts", ["begun", "done"])
def test_a_post_that_ran_twice_is_named(counts: str) -> None:
    account = an_account(an_entry(1, "POST"), an_entry(2, "POST"))
    getattr(account, counts)[2] = 2
    (sentence,) = judge(account, Expected())
    assert sentence.startswith("a POST never runs twice: not so with 1, such as POST 2 200 ")


def test_a_get_may_run_twice_but_not_three_times() -> None:
    account = an_account(an_entry(1), an_entry(2))
    account.begun[1] = 2
    assert judge(account, Expected()) == []
    account.begun[2] = 3
    (sentence,) = judge(account, Expected())
    assert sentence.startswith("a request that may have begun is repeated once at most: not so with 1, ")


@pytest.mark.parametrize(("method", "counts"), [("GET", "begun"), ("POST", "begun"), ("POST", "done")])
def test_an_answer_to_what_was_not_done_is_named(method: str, counts: str) -> None:
    account = an_account(an_entry(1, method))
    del getattr(account, counts)[1]
    (sentence,) = judge(account, Expected())
    assert sentence.startswith(f"what was answered 200 was done: not so with 1, such as {method} 1 200 ")


def test_a_refusal_of_what_was_begun_is_named_unless_the_application_may_refuse() -> None:
    account = an_account(an_entry(1, "POST", "503"))
    account.begun[1] = 1
    fates = {"POST": only("200", "503")}
    (sentence,) = judge(account, Expected(fates=fates))
    assert sentence.startswith("what is answered 503 or 507 or refused never runs: not so with 1, ")
    assert judge(account, Expected(fates=fates, unbegun=())) == []


def test_a_refusal_of_what_was_done_is_named_in_any_case() -> None:
    account = an_account(an_entry(1, "POST", "503"))
    account.begun[1] = account.done[1] = 1
    (sentence,) = judge(account, Expected(fates={"POST": only("200", "503")}, unbegun=()))
    assert sentence.startswith("what was answered 503 was not done: not so with 1, ")


def test_an_outcome_that_was_not_foreseen_is_named_with_its_reason() -> None:
    wrong = an_entry(2, "POST", "502")
    wrong.reason = "The worker ended."
    (sentence,) = judge(an_account(an_entry(1), wrong), Expected())
    assert sentence == (
        "POST gets 200 only: not so with 1, such as POST 2 502 after 0.010 s (The worker ended.)"
    )


def test_each_kind_has_its_own_fate() -> None:
    expected = Expected(fates={"stream": only(CUT)})
    assert judge(an_account(an_entry(1, outcome=CUT, kind="stream"), an_entry(2)), expected) == []
    (sentence,) = judge(an_account(an_entry(1, kind="stream")), expected)
    assert sentence.startswith("stream gets cut only: not so with 1, such as stream 1 200 ")


def test_each_hit_excuses_a_request_and_no_more() -> None:
    expected = Expected(fates={"POST": mostly("200", "502")})
    entries = [an_entry(1, "POST"), an_entry(2, "POST", "502"), an_entry(3, "POST", "502")]
    assert judge(an_account(*entries, hits=2), expected) == []
    (sentence,) = judge(an_account(*entries, hits=1), expected)
    assert sentence.startswith("at most 1 POST get anything but 200: not so with 2, such as POST 2 502 ")


def test_a_wait_that_was_too_long_is_named_longest_first_and_only_those_of_the_load_count() -> None:
    entries = [an_entry(1, seconds=3), an_entry(2, seconds=4), an_entry(3, kind="held", seconds=9)]
    (sentence,) = judge(an_account(*entries), Expected(fates={"held": SERVED}, longest=2.5))
    assert sentence.startswith(
        "nobody waits longer than 2.5 s: not so with 2, such as GET 2 200 after 4.000 s"
    )


@pytest.mark.parametrize("counts", ["begun", "done"])
def test_what_nobody_has_asked_for_is_named(counts: str) -> None:
    account = an_account(an_entry(1))
    getattr(account, counts)[99] = 1
    (sentence,) = judge(account, Expected())
    assert sentence == "nothing runs that nobody has asked for: not so with 1, such as id 99"


def test_three_of_many_are_named() -> None:
    (sentence,) = judge(an_account(*(an_entry(n, outcome=CLOSED) for n in range(1, 10))), Expected())
    assert sentence.startswith("GET gets 200 only: not so with 9, such as GET 1 closed ")
    assert sentence.count("; ") == 2


def test_the_journal_is_counted_by_word_and_id() -> None:
    lines = ["begun 1 400\n", "begun 2 400\n", "closed 1 400\n", "begun 1 401\n"]
    assert count_words(lines, "begun") == {1: 2, 2: 1}
    assert count_words(lines, "closed") == {1: 1}
