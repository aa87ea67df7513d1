from __future__ import annotations

import pytest

from protocol.errors import LrwpError
from worker.errors import (
    ContentError,
    HttpError,
    MissingFieldError,
    RouteError,
    StartError,
    WsgiError,
    phrase,
)


@pytest.mark.parametrize(
    "kind", [HttpError, MissingFieldError, ContentError, RouteError, StartError, WsgiError]
)
def test_every_error_of_the_toolkit_has_the_one_root(kind):
    assert issubclass(kind, LrwpError)


def test_an_http_error_reads_as_its_status_and_sentence():
    assert str(HttpError(404)) == "404 Not Found"
    assert str(HttpError(409, "Somebody was faster.")) == "409 Somebody was faster."
    assert HttpError(405, headers=[("Allow", "GET")]).headers == (("Allow", "GET"),)


def test_a_status_that_http_has_no_words_for_is_an_error_still():
    assert (phrase(404), phrase(499)) == ("Not Found", "Error")


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600, 999])
def test_what_is_no_error_cannot_be_raised_as_one(status):
    with pytest.raises(ContentError, match=f"{status} is no error: choose a status from 400 to 599"):
        HttpError(status)
