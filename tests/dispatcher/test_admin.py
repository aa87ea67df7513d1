"""The admin pages, asked through a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from dispatcher.keyring import Keyring
from dispatcher.settings import ApplicationSettings, Limits
from protocol.settings import Duration
from tests.dispatcher.house import House, a_house
from tests.peers import Browser

if TYPE_CHECKING:
    from tests.peers import Peer


@pytest.fixture
def house() -> Iterator[House]:
    settings = ApplicationSettings(path=("/shop", "/cart"), host="example.org")
    with a_house(applications={"shop": settings}) as house:
        yield house


@pytest.fixture
def peer(house: House) -> Iterator[Peer]:
    with house.peer("pages") as peer:
        yield peer.register()


@pytest.fixture
def admin(house: House) -> Iterator[Browser]:
    with Browser(house.admin) as browser:
        yield browser


def ask(admin: Browser, target: str) -> tuple[int, Any]:
    reply = admin.get(target)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    return reply.status, json.loads(reply.body)


def test_a_dispatcher_that_answers_is_live(admin: Browser) -> None:
    assert ask(admin, "/live") == (200, {"live": True})


def test_a_dispatcher_is_ready_when_each_configured_application_has_a_free_worker(
    house: House, admin: Browser, peer: Peer
) -> None:
    assert ask(admin, "/ready") == (503, {"ready": False, "without_free_worker": ["shop"]})
    with house.peer("shop", path="/shop", instance="shop") as shop:
        shop.register()
        assert ask(admin, "/ready") == (200, {"ready": True, "without_free_worker": []})
        with house.browser() as browser:
            browser.ask("GET", "/shop")
            exchange = shop.expect_request().exchange
            assert ask(admin, "/ready")[0] == 503
            shop.answer(exchange)
            assert browser.read().status == 200
            assert ask(admin, "/ready")[0] == 200


def test_a_dispatcher_that_leaves_is_live_and_not_ready() -> None:
    with a_house() as house, Browser(house.admin) as admin:
        assert ask(admin, "/ready")[0] == 200
        house.do(lambda: house.front.leave(house.time))
        assert ask(admin, "/ready") == (503, {"ready": False, "without_free_worker": []})
        assert ask(admin, "/live")[0] == 200
        assert ask(admin, "/status")[1]["state"] == "draining"


def test_the_status_of_a_dispatcher_without_workers(house: House, admin: Browser) -> None:
    house.pass_time(12.5)
    assert ask(admin, "/status") == (
        200,
        {
            "state": "serving",
            "uptime": 12.5,
            "http": {"address": "127.0.0.1:8080", "connections": 0, "requests": 0},
            "bodies": {"memory": 0, "disk": 0},
            "gate": {"strangers": 0, "refused": 0, "turned_away": 0, "recently": {}},
            "applications": [
                {
                    "name": "shop",
                    "paths": ["/cart", "/shop"],
                    "host": "example.org",
                    "links": 0,
                    "missing": 0,
                    "idle": 0,
                    "busy": 0,
                    "waiting": 0,
                    "served": 0,
                    "failed": 0,
                    "service_ms": 0.0,
                    "wait_ms": 0.0,
                }
            ],
            "links": [],
        },
    )


def test_the_status_tells_what_each_application_and_each_link_does(
    house: House, admin: Browser, peer: Peer
) -> None:
    with house.browser() as first, house.browser() as second:
        first.ask("POST", "/pages")
        peer.answer(peer.expect_request().exchange)
        assert first.read().status == 200
        first.ask("POST", "/pages")
        peer.expect_request()
        second.ask("POST", "/pages")
        queue = house.front.broker.queues["pages"]
        house.until(lambda: len(queue) == 1)
        house.time += 2
        status = ask(admin, "/status")[1]
    assert status["http"] == {"address": "127.0.0.1:8080", "connections": 2, "requests": 1}
    (pages,) = [each for each in status["applications"] if each["name"] == "pages"]
    assert [pages[key] for key in ("paths", "host", "links", "idle", "busy", "waiting", "served")] == [
        ["/pages"], "", 1, 0, 1, 1, 1,
    ]  # fmt: skip
    assert status["links"] == [
        {
            "instance": "peer",
            "label": "peer",
            "peer": "{}:{}".format(*peer.socket.getsockname()),
            "state": "busy",
            "applications": ["pages"],
            "held": 1,
            "window": 1,
            "served": 1,
            "since": 2.0,
        }
    ]


def test_a_worker_that_was_lost_is_missed_until_another_one_comes(house: House, admin: Browser) -> None:
    def states() -> tuple[str, list[int]]:
        status = ask(admin, "/status")[1]
        return status["state"], [
            each["missing"] for each in status["applications"] if each["name"] == "pages"
        ]

    with house.peer("pages") as peer:
        peer.register()
        assert states() == ("serving", [0])
    house.until(lambda: not house.front.links)
    assert states() == ("degraded", [1])
    with house.peer("pages", instance="another") as peer:
        peer.register()
        assert states() == ("serving", [0])
        peer.say("draining")
        peer.expect_end()
    house.until(lambda: not house.front.links)
    assert states() == ("serving", [0])


def test_a_link_that_has_not_registered_is_not_in_the_status(house: House, admin: Browser) -> None:
    with house.peer("pages"):
        house.until(lambda: house.front.links)
        assert ask(admin, "/status")[1]["links"] == []


def test_head_has_the_length_of_get_and_no_body(admin: Browser) -> None:
    body = admin.get("/live").body
    reply = admin.ask("HEAD", "/live").read("HEAD")
    assert (reply.status, reply.headers["Content-Length"], reply.body) == (200, str(len(body)), b"")


def test_the_admin_pages_are_three(admin: Browser) -> None:
    assert admin.get("/").status == 404
    assert admin.get("/status/").status == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_the_admin_pages_change_nothing(admin: Browser, method: str) -> None:
    reply = admin.ask(method, "/status").read(method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_pages_of_other_sites_cannot_read_the_admin_pages(admin: Browser) -> None:
    for method in ("GET", "OPTIONS"):
        origin = "Origin: http://elsewhere.example\r\nAccess-Control-Request-Method: POST\r\n"
        reply = admin.ask(method, "/status", headers=origin).read(method)
        assert not [name for name in reply.headers if name.lower().startswith("access-control-")]


def test_no_secret_is_on_an_admin_page_or_in_the_log() -> None:
    general, own = b"the general secret", b"the secret of pages"
    with (
        a_house(keyring=Keyring((general,), {"pages": (own,)})) as house,
        Browser(house.admin) as admin,
        capture_logs() as log,
        house.peer("pages") as peer,
        house.peer("pages") as stranger,
    ):
        peer.register(own)
        stranger.say("register", stranger.registration, stranger.nonce)
        proof = stranger.prove(general, *stranger.expect("challenge"))
        stranger.say("register", stranger.registration, stranger.nonce, proof)
        stranger.expect("rejected")
        told = str([ask(admin, page) for page in ("/live", "/ready", "/status")]) + str(log)
        assert "recently" in told
        for secret in (general.decode(), own.decode(), proof.hex(), str(proof)[2:-1]):
            assert secret not in told


def test_the_admin_listener_serves_no_application(house: House, admin: Browser, peer: Peer) -> None:
    assert admin.get("/pages").status == 404
    assert peer.is_quiet()


def test_an_admin_connection_that_is_idle_is_closed() -> None:
    with a_house(limits=Limits(idle_timeout=Duration(5))) as house, Browser(house.admin) as admin:
        assert admin.get("/live").status == 200
        house.time += 5
        house.do(lambda: house._admin.tick(house.time))
        assert admin.socket.recv(1) == b""


def test_a_client_that_leaves_the_admin_pages_is_forgotten(house: House, admin: Browser) -> None:
    house.until(lambda: house._admin.connections)
    admin.leave()
    house.until(lambda: not house._admin.connections)


def test_a_malformed_question_is_refused(house: House) -> None:
    with Browser(house.admin) as admin:
        admin.socket.sendall(b"GET /live\r\n\r\n")
        assert admin.read().status == 400
