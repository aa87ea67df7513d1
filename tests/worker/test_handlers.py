from __future__ import annotations

import functools

import pytest

from worker.errors import RouteError
from worker.handlers import check_handler, describe, requires


def show(request, name, page=1, **more):
    pass


def test_a_handler_is_called_after_its_function_and_module():
    assert describe(show) == "show() in tests.worker.test_handlers"


def test_a_handler_without_a_name_is_called_after_its_class():
    assert describe(functools.partial(show)) == "partial() in functools"


def test_a_handler_requires_what_has_no_default():
    assert requires(show, "name")
    assert not requires(show, "page")
    assert not requires(show, "other")
    assert not requires(str, "name")  # it does not say


def test_what_would_fail_at_the_first_request_is_refused():
    check_handler(show, "/x", names=["name", "page", "other"])
    check_handler(str, "/x", names=["anything"])
    with pytest.raises(RouteError, match=r"show\(\) in .* cannot be called for /x: missing .*'name'"):
        check_handler(show, "/x")
    with pytest.raises(RouteError, match="None for /x cannot be called: name a function"):
        check_handler(None, "/x")
