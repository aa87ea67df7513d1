"""How many wrong passwords may be tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.pages import login
from apps.pages.guesses import MOST, WHILE, Guesses
from tests.apps.pages.conftest import PASSWORD, log_in

if TYPE_CHECKING:
    from worker.testing import Client


def test_after_some_wrong_logins_nobody_may_try_for_a_while() -> None:
    now = 0.0
    guesses = Guesses(lambda: now)
    for _ in range(MOST):
        assert not guesses.are_too_many
        guesses.note()
    assert guesses.are_too_many
    now = WHILE - 1
    assert guesses.are_too_many
    now = WHILE
    assert not guesses.are_too_many
    guesses.note()
    assert repr(guesses) == f"<Guesses, {MOST} of late>"


def test_the_login_says_so_and_tries_no_password(site: Client) -> None:
    for _ in range(MOST):
        assert log_in(site, "wrong").status == 422
    refused = log_in(site, PASSWORD)
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert "too many wrong logins" in refused.text
    assert site.get("/").status == 200
    login.guesses.forget()
    assert log_in(site, PASSWORD).status == 303
