from __future__ import annotations

import pytest

from tests.worker.test_request import request
from worker import Application
from worker.body import ClientLeftError
from worker.error_answers import ErrorHandlers, answer_error
from worker.errors import HttpError, MissingFieldError
from worker.link import LinkLostError
from worker.testing import Client


def of_status(request, error):
    return "status"


def of_class(request, error):
    return "class"


def test_without_handlers_there_is_none():
    assert ErrorHandlers().find(ValueError()) is None
    assert ErrorHandlers().find(HttpError(404)) is None


def test_a_status_counts_as_the_class_of_http_errors():
    handlers = ErrorHandlers()
    handlers.add(400, of_status)
    handlers.add(HttpError, of_class)
    assert handlers.find(HttpError(400)) is of_status
    assert handlers.find(MissingFieldError("x")) is of_status
    assert handlers.find(HttpError(404)) is of_class
    assert handlers.find(ValueError()) is None


def test_handlers_of_larger_classes_are_for_what_went_wrong():
    handlers = ErrorHandlers()
    handlers.add(Exception, of_class)
    assert handlers.find(HttpError(404)) is None
    assert handlers.find(KeyError()) is of_class


def test_an_answer_that_was_raised_has_a_page_and_what_went_wrong_has_none():
    response = answer_error(request(), HttpError(404, "Nothing here.", [("X-A", "1")]))
    assert response is not None
    assert (response.status, dict(response.headers)["X-A"]) == (404, "1")
    assert answer_error(request(), ValueError()) is None


@pytest.mark.parametrize("error", [ClientLeftError("left"), LinkLostError("lost")])
def test_nothing_answers_when_nobody_waits(error):
    app = Application("x")
    app.on_error(500)(of_status)
    app.on_error(Exception)(of_class)

    @app.get("/")
    def show(request):
        raise error

    with pytest.raises(type(error)):
        Client(app).get("/")
