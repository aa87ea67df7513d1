"""An exchange as it begins, and the answers that a dispatcher gives in a worker's stead."""

from __future__ import annotations

import pytest

from dispatcher.exchange import (
    LEAVING,
    NO_WORKER,
    QUEUE_FULL,
    SAFE_METHODS,
    WORKER_BROKE,
    WORKER_DIED,
    WORKER_HUNG,
    Failure,
    Standing,
)
from tests.dispatcher.fakes import FakeBody, an_exchange


def test_an_exchange_begins_to_wait_when_it_has_arrived() -> None:
    exchange = an_exchange(now=7.0)
    assert (exchange.arrived, exchange.assigned, exchange.deadline, exchange.waited) == (7.0, 7.0, 7.0, 0.0)
    assert (exchange.standing, exchange.link) == (Standing.WAITING, None)
    assert (exchange.attempt, exchange.losses, exchange.begun) == (0, 0, False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_safe_method_may_run_twice(method: str) -> None:
    assert method in SAFE_METHODS
    assert an_exchange(method).safe


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get"])
def test_any_other_method_may_not(method: str) -> None:
    assert not an_exchange(method).safe


def test_an_exchange_says_where_it_stands() -> None:
    exchange = an_exchange("POST", "/cart")
    assert repr(exchange) == "<Exchange POST /cart waiting, attempt 0>"
    exchange.standing, exchange.attempt = Standing.ASSIGNED, 2
    assert repr(exchange) == "<Exchange POST /cart assigned, attempt 2>"


@pytest.mark.parametrize(
    ("failure", "status", "may_be_tried_again"),
    [
        (QUEUE_FULL, 503, True),
        (NO_WORKER, 503, True),
        (LEAVING, 503, True),
        (WORKER_DIED, 502, False),
        (WORKER_HUNG, 504, False),
        (WORKER_BROKE, 502, False),
    ],
)
def test_a_client_is_invited_to_come_again_only_if_its_request_did_not_run(
    failure: Failure, status: int, may_be_tried_again: bool
) -> None:
    assert (failure.status, failure.retry_after is not None) == (status, may_be_tried_again)
    assert failure.reason.endswith(".")


def test_an_exchange_may_go_to_another_path_as_if_nobody_had_been_asked() -> None:
    exchange = an_exchange("POST", "/a")
    exchange.head = b"Host: x\r\nContent-Type: a/b\r\nContent-Length: 4\r\nIf-Match: *\r\nX: y\r\n"
    exchange.content = b"body"
    exchange.attempt = exchange.losses = 1
    exchange.body = body = FakeBody()
    exchange.go_to("/b/caf%C3%A9?q=1")
    assert (exchange.body, exchange.size, body.is_closed) == (None, 0, True)
    assert (exchange.method, exchange.target, exchange.path) == ("GET", b"/b/caf%C3%A9?q=1", "/b/café")
    assert (exchange.head, exchange.safe, exchange.content) == (b"Host: x\r\nX: y\r\n", True, b"")
    assert (exchange.attempt, exchange.losses, exchange.hops) == (0, 0, 1)


def test_what_has_no_body_may_be_sent_on_too() -> None:
    exchange = an_exchange("HEAD", "/a")
    exchange.go_to("/b")
    assert (exchange.method, exchange.path, exchange.body) == ("HEAD", "/b", None)


def test_an_exchange_knows_how_long_its_body_is() -> None:
    exchanges = [an_exchange(), an_exchange(content=b"four"), an_exchange(body=FakeBody())]
    assert [exchange.size for exchange in exchanges] == [0, 4, FakeBody.length]
