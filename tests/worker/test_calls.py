from __future__ import annotations

import pytest

from tests.worker.test_request import request
from worker.calls import ErrorCall, Mount, Route, perform, response_of
from worker.errors import ContentError, HttpError, MissingFieldError
from worker.patterns import read_pattern
from worker.response import Response


def show(request, **parameters):
    return f"{request.method} {parameters}"


def route(path: str, *required: str) -> Route:
    return Route("GET", read_pattern(path), "show", show, frozenset(required))


def test_a_call_is_performed_with_what_the_routers_have_found():
    r = request()
    r.call, r.arguments = route("/{name}"), {"name": "x"}
    assert perform(r).answer().body == b"GET {'name': 'x'}"
    r.call = Mount(read_pattern("/x"), "x", show, None)
    assert perform(r).answer().body == b"GET {}"
    assert r.handler is show


def test_fields_of_the_query_are_read_as_what_they_are():
    r = route("/x?{word}&{page:int}", "word")
    assert r.read_query({"word": "", "page": "2", "other": "3"}) == {"word": "", "page": 2}
    assert r.read_query({"word": "a"}) == {"word": "a"}
    with pytest.raises(MissingFieldError):
        r.read_query({"page": "2"})
    with pytest.raises(HttpError, match="The field page of the address must be a whole number"):
        r.read_query({"word": "a", "page": "two"})


def test_an_error_has_its_status_unless_a_response_says_another():
    assert ErrorCall(lambda r, e: "gone", HttpError(410)).answer(request()).status == 410
    assert ErrorCall(lambda r, e: "oops", ValueError()).answer(request()).status == 500
    assert ErrorCall(lambda r, e: Response("ok"), HttpError(410)).answer(request()).status == 200


def test_a_result_is_begun_so_that_its_first_error_is_the_handlers():
    def stream():
        raise HttpError(404)
        yield ""

    for result in (stream(), Response(stream())):
        with pytest.raises(HttpError):
            response_of(result, show)


def test_what_cannot_be_sent_names_its_handler():
    for result in (None, 5, iter([5])):
        with pytest.raises(ContentError, match=r"^show\(\) in tests\.worker\.test_calls returned"):
            response_of(result, show)
