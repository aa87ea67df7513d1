"""What becomes of a request: an application, a file, a wait, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dispatcher.broker import MEMORY
from dispatcher.front import GRACE, Fields, Front
from dispatcher.recollection import Recollection
from dispatcher.settings import ApplicationSettings, Limits
from protocol.registration import Claim, RegistrationError
from protocol.settings import Duration, Size
from tests.dispatcher.house import House, a_house

if TYPE_CHECKING:
    from tests.peers import Browser, Peer

SHOP = {"shop": ApplicationSettings()}


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    root = tmp_path / "docroot"
    root.mkdir()
    for name in ("pages", "shop", "free"):
        (root / f"{name}.html").write_text(f"the file {name}")
    return root


@pytest.fixture
def house(docroot: Path) -> Iterator[House]:
    """A house with files, and with an application that is configured."""
    with a_house(applications=SHOP, docroot=docroot) as house:
        yield house


@pytest.fixture
def browser(house: House) -> Iterator[Browser]:
    with house.browser() as browser:
        yield browser


def goes_to(peer: Peer, browser: Browser, target: str) -> bool:
    """Whether a request reaches this worker, and its answer the client."""
    browser.ask("GET", target)
    peer.answer(peer.expect_request().exchange, b"the worker")
    return browser.read().body == b"the worker"


def waits(house: House, name: str) -> bool:
    """Whether a request waits for this application."""
    return house.until(lambda: len(house.front.broker.queues[name]) == 1)


# Applications and files


def test_an_application_with_a_worker_wins_over_a_file(house: House, browser: Browser) -> None:
    with house.peer("pages") as peer:
        assert goes_to(peer.register(), browser, "/pages")


def test_what_nobody_knows_is_a_file_or_not_found(browser: Browser) -> None:
    assert browser.get("/free").body == b"the file free"
    assert browser.get("/nothing").status == 404


def test_without_a_docroot_what_nobody_knows_is_not_found() -> None:
    with a_house() as house, house.browser() as browser:
        assert browser.get("/free").status == 404


def test_a_file_stands_in_for_a_configured_application_that_has_had_no_worker(browser: Browser) -> None:
    assert browser.get("/shop").body == b"the file shop"
    head = browser.ask("HEAD", "/shop").read("HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, "13")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "DELETE"])
def test_a_file_stands_in_for_an_application_with_get_and_head_alone(
    house: House, browser: Browser, method: str
) -> None:
    browser.ask(method, "/shop")
    assert waits(house, "shop")
    with house.peer("shop") as peer:
        peer.register()
        request = peer.expect_request()
        peer.answer(request.exchange, b"done")
        assert (request.method, browser.read().body) == (method, b"done")


def test_where_there_is_no_application_a_file_says_what_it_takes(browser: Browser) -> None:
    reply = browser.post("/free")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_a_file_stands_in_for_an_application_whose_last_worker_said_goodbye(
    house: House, browser: Browser
) -> None:
    with house.peer("pages") as peer:
        peer.register()
        peer.say("draining")
        peer.expect_end()
        assert browser.get("/pages").body == b"the file pages"


def test_a_file_stands_in_while_the_last_worker_still_finishes_what_it_has(
    house: House, browser: Browser
) -> None:
    with house.peer("pages") as peer, house.browser() as early:
        peer.register()
        early.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        peer.say("draining")
        house.until(lambda: not house.front.broker.queues["pages"].serving)
        assert browser.get("/pages").body == b"the file pages"
        peer.answer(exchange, b"the last")
        assert early.read().body == b"the last"
        peer.expect_end()


def test_an_application_whose_last_worker_was_lost_is_waited_for_though_there_is_a_file(
    house: House, browser: Browser
) -> None:
    with house.peer("pages") as peer:
        peer.register()
    house.until(lambda: not house.front.links)
    browser.ask("GET", "/pages")
    assert waits(house, "pages")
    with house.peer("pages") as peer:
        peer.register()
        peer.answer(peer.expect_request().exchange, b"back")
        assert browser.read().body == b"back"


def test_a_condition_in_a_field_that_comes_twice_is_read_as_one(house: House, browser: Browser) -> None:
    tag = browser.get("/free").headers["ETag"]
    reply = browser.get("/free", headers=f'If-None-Match: "other"\r\nIf-None-Match: {tag}\r\n')
    assert reply.status == 304


def test_the_fields_of_a_request_are_a_mapping() -> None:
    fields = Fields(b"Host: site\r\nAccept: a\r\naccept: b\r\n")
    assert dict(fields) == {"host": "site", "accept": "a, b"}
    assert (len(fields), fields.get("cookie")) == (2, None)


# Waiting


def test_a_known_application_without_file_and_worker_is_waited_for_and_then_503(house: House) -> None:
    with house.browser() as browser:
        browser.ask("GET", "/shop/cart")
        assert waits(house, "shop")
        house.pass_time(29.9)
        assert waits(house, "shop")
        house.pass_time(0.1)
        reply = browser.read()
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")


def test_an_application_may_have_bounds_of_its_own() -> None:
    settings = ApplicationSettings(path=("/s", "/t"), queue=1, wait_timeout=Duration(3))
    with (
        a_house(applications={"shop": settings}) as house,
        house.browser() as first,
        house.browser() as second,
    ):
        first.ask("GET", "/s/1")
        assert waits(house, "shop")
        assert second.get("/t/2").status == 503
        house.pass_time(3)
        assert first.read().status == 503


def test_bodies_that_wait_are_bounded_for_each_application_and_requests_for_all() -> None:
    settings = {"shop": ApplicationSettings(queue_size=Size(15)), "free": ApplicationSettings()}
    with (
        a_house(applications=settings, limits=Limits(queue_all=3, queue_size=Size(5))) as house,
        ExitStack() as stack,
    ):
        browsers = iter([stack.enter_context(house.browser()) for _ in range(6)])

        next(browsers).ask("POST", "/shop", b"0123456789")
        house.until(lambda: house.front.broker.waiting == 1)
        assert next(browsers).post("/shop", b"0123456789").status == 503
        next(browsers).ask("POST", "/free", b"01234")
        house.until(lambda: house.front.broker.waiting == 2)
        assert next(browsers).post("/free", b"0").status == 503
        next(browsers).ask("POST", "/shop", b"01234")
        house.until(lambda: house.front.broker.waiting == 3)
        full = next(browsers).post("/shop", b"")
        assert (full.status, full.headers["Retry-After"]) == (503, "1")


def test_two_configured_applications_cannot_share_a_path() -> None:
    with pytest.raises(RegistrationError, match="/both is served by the application a: choose another path"):
        Front(Limits(), {name: ApplicationSettings(path=("/both",)) for name in ("a", "b")})


def test_a_virtual_host_is_an_applications_own() -> None:
    with a_house(applications={"shop": ApplicationSettings(host="Example.org")}) as house:
        with house.browser() as browser:
            assert browser.get("/shop").status == 404
        assert house.front.routes.find("example.org", "/shop") is not None


# Routes come and go


def test_a_path_is_released_with_the_last_link_that_has_it(house: House, browser: Browser) -> None:
    with house.peer("pages") as stays, house.peer("pages", path="/old", instance="2") as goes:
        goes.register()
        assert goes_to(goes, browser, "/old")
        stays.register()
        goes.say("draining")
        goes.expect_end()
        assert browser.get("/old").status == 404
        assert goes_to(stays, browser, "/pages")


def test_a_path_stays_as_long_as_one_link_has_it(house: House, browser: Browser) -> None:
    with house.peer("pages", instance="1") as first, house.peer("pages", instance="2") as second:
        first.register()
        second.register()
        first.say("draining")
        first.expect_end()
        assert goes_to(second, browser, "/pages")


def test_a_path_that_no_link_has_is_released_when_the_application_comes_back_elsewhere(
    house: House, browser: Browser
) -> None:
    with house.peer("pages", path="/old") as old:
        old.register()
    house.until(lambda: not house.front.links)
    with house.peer("pages", path="/new") as new:
        assert goes_to(new.register(), browser, "/new")
        assert browser.get("/old").status == 404


def test_an_application_without_workers_gives_its_path_up_to_another(house: House, browser: Browser) -> None:
    with house.peer("pages", path="/home") as old:
        old.register()
    house.until(lambda: not house.front.links)
    with house.peer("shop", path="/home") as new:
        assert goes_to(new.register(), browser, "/home")


def test_a_configured_application_keeps_its_path(house: House) -> None:
    with house.peer("pages", path="/shop") as peer:
        peer.say("register", peer.registration, peer.nonce)
        assert peer.expect("rejected")[0] == "registration"


def test_an_application_is_remembered_for_a_minute_after_its_last_worker(house: House) -> None:
    with house.peer("blog") as peer:
        peer.register()
    house.until(lambda: not house.front.links)
    house.pass_time(MEMORY - 0.1)
    with house.browser() as browser:
        browser.ask("GET", "/blog")
        assert waits(house, "blog")
        browser.leave()
    house.until(lambda: len(house.front.broker.queues["blog"]) == 0)
    house.pass_time(0.2)
    assert "blog" not in house.front.broker.queues
    with house.browser() as browser:
        assert browser.get("/blog").status == 404


def test_a_configured_application_is_never_forgotten(house: House) -> None:
    with house.peer("shop") as peer:
        peer.register()
    house.until(lambda: not house.front.links)
    house.pass_time(10 * MEMORY)
    with house.browser() as browser:
        browser.ask("GET", "/shop")
        assert waits(house, "shop")


def test_a_worker_may_serve_several_applications(house: House, browser: Browser) -> None:
    with house.peer("pages", "blog") as peer:
        peer.register()
        for name in ("pages", "blog"):
            browser.ask("GET", f"/{name}")
            request = peer.expect_request()
            assert request.application == name
            peer.answer(request.exchange)
            assert browser.read().status == 200


# Connections


def test_one_connection_too_many_is_told_so() -> None:
    with a_house(limits=Limits(connections=2)) as house:
        with house.browser() as first, house.browser() as second:
            assert (first.get("/").status, second.get("/").status) == (404, 404)
            with house.browser() as third:
                reply = third.read()
                assert (reply.status, reply.headers["Connection"]) == (503, "close")
        house.until(lambda: not house.front.connections)
        with house.browser() as browser:
            assert browser.get("/").status == 404


def test_one_address_may_have_so_many_connections_and_no_more() -> None:
    with a_house(limits=Limits(connections_per_address=1)) as house:
        with house.browser() as first:
            assert first.get("/").status == 404
            with house.browser() as second:
                assert second.read().status == 503
        house.until(lambda: not house.front.connections)
        assert house.front._by_address == {}
        with house.browser() as browser:
            assert browser.get("/").status == 404


def test_behind_a_proxy_there_may_be_anybody() -> None:
    front = Front(Limits(connections_per_address=1), {})

    class Connection:
        is_shared = True

    connections = [Connection(), Connection()]
    assert [front.admit(each) for each in connections] == [True, True]  # type: ignore[arg-type]  # all that is asked


# Leaving


def test_a_leaving_front_answers_what_it_has_and_closes_each_connection_with_its_answer(house: House) -> None:
    with house.peer("pages") as peer, house.browser() as browser:
        peer.register()
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        house.do(lambda: house.front.leave(house.time))
        peer.answer(exchange, b"still here")
        reply = browser.read()
        assert (reply.body, reply.headers["Connection"]) == (b"still here", "close")
        assert browser.socket.recv(1) == b""
    house.until(house.front.done.is_set)


def test_a_leaving_front_waits_a_moment_for_requests_that_are_on_their_way(house: House) -> None:
    with house.browser() as quick, house.browser() as idle:
        assert (quick.get("/free").status, idle.get("/free").status) == (200, 200)
        house.do(lambda: house.front.leave(house.time))
        house.pass_time(GRACE - 0.1)
        reply = quick.get("/free")
        assert (reply.status, reply.headers["Connection"]) == (200, "close")
        assert not house.front.done.is_set()
        house.pass_time(0.1)
        assert idle.socket.recv(1) == b""
    house.until(house.front.done.is_set)


def test_a_leaving_front_ends_a_connection_whose_answer_had_begun_before(house: House) -> None:
    with house.peer("pages") as peer, house.browser() as browser:
        peer.register()
        browser.ask("GET", "/pages")
        exchange = peer.expect_request().exchange
        peer.say("response", exchange, 200, b"", b"one", False)
        response = browser.begin()
        house.do(lambda: house.front.leave(house.time))
        peer.say("body", exchange, b"two", True)
        assert response.read() == b"onetwo"
        house.until(lambda: house.front.requests == 1)
        house.pass_time(0.25)
        house.pass_time(GRACE)
        assert browser.socket.recv(1) == b""
    house.until(house.front.done.is_set)


def test_a_leaving_front_has_nobody_wait_for_a_worker_that_is_not_there(house: House) -> None:
    with house.browser() as browser:
        browser.get("/free")
        house.do(lambda: house.front.leave(house.time))
        reply = browser.get("/shop/cart")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")


def test_nor_for_one_that_takes_nothing_new(house: House) -> None:
    with house.browser() as early, house.browser() as late, house.peer("shop") as peer:
        peer.register()
        early.ask("GET", "/shop/cart")
        exchange = peer.expect_request().exchange
        peer.say("draining")
        house.until(lambda: not house.front.broker.queues["shop"].serving)
        late.post("/free")  # so that it is known when the front leaves
        house.do(lambda: house.front.leave(house.time))
        assert late.post("/shop/cart").status == 503
        peer.answer(exchange, b"in time")
        assert early.read().body == b"in time"


def test_who_connects_to_a_leaving_front_is_served_and_waited_for(house: House) -> None:
    house.do(lambda: house.front.leave(house.time))
    assert house.front.done.is_set()
    with house.browser() as browser:
        house.until(lambda: house.front.connections)
        assert not house.front.done.is_set()
        assert browser.get("/free").headers["Connection"] == "close"
    house.until(house.front.done.is_set)


def test_a_leaving_front_rejects_workers(house: House) -> None:
    house.do(lambda: house.front.leave(house.time))
    with house.peer("pages") as peer:
        peer.say("register", peer.registration, peer.nonce)
        assert peer.expect("rejected") == ("draining", "this dispatcher is stopping")
        peer.expect_end()


def test_a_leaving_front_takes_a_worker_that_an_accepted_request_waits_for(house: House) -> None:
    with house.browser() as browser, house.peer("shop") as peer:
        browser.ask("GET", "/shop/cart")
        assert waits(house, "shop")
        house.do(lambda: house.front.leave(house.time))
        peer.register()
        peer.answer(peer.expect_request().exchange, b"in time")
        assert browser.read().body == b"in time"


# A dispatcher before this one


def test_a_request_waits_for_an_application_that_an_earlier_dispatcher_knew(house: House) -> None:
    house.front.recall(recollection_of(Claim("pages", "", "/pages"), Claim("pages", "", "/old")))
    with house.browser() as browser:
        browser.ask("GET", "/pages")
        waits(house, "pages")
        with house.peer("pages").register() as peer:
            peer.answer(peer.expect_request().exchange, b"the worker")
            assert browser.read().body == b"the worker"
            assert browser.get("/old").status == 404


def test_what_an_earlier_dispatcher_knew_is_forgotten_like_anything_else(house: House) -> None:
    house.front.recall(recollection_of(Claim("pages", "", "/gone"), Claim("other", "", "/shop")))
    front = house.front
    assert {queue.name for queue in front.broker.queues.values()} == {"shop", "pages"}
    house.do(lambda: front.tick(front.now() + MEMORY + 1))
    assert {queue.name for queue in front.broker.queues.values()} == {"shop"}
    with house.browser() as browser:
        assert browser.get("/gone").status == 404


def recollection_of(*claims: Claim) -> Recollection:
    recollection = Recollection()
    recollection.claims = dict.fromkeys(claims)
    return recollection
