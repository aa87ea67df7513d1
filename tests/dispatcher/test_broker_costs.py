"""What the broker's decisions cost, counted in steps of the interpreter rather than in time."""

from __future__ import annotations

from tests.dispatcher.fakes import Stage, a_link, an_exchange
from tests.dispatcher.steps import count_steps


def cost_with_idle_links(links: int, applications: int) -> dict[str, int]:
    """Return what each decision costs while links are idle."""
    stage = Stage()
    for number in range(applications):
        stage.link(f"other {number}", stage.application(f"application {number}"))
    first, *_, last = [stage.link(f"w{number}") for number in range(links)]
    broker, fresh, a = stage.broker, a_link("fresh"), an_exchange()
    return {
        "submit": count_steps(lambda: broker.submit(a, stage.pages, 1.0)),
        "release": count_steps(lambda: broker.release(first, a, 2.0)),
        "join": count_steps(lambda: broker.join(fresh, [stage.pages], 3.0)),
        "drain": count_steps(lambda: broker.drain(last, 4.0)),
        "leave": count_steps(lambda: broker.leave(fresh, 5.0)),
    }


def cost_with_waiting_exchanges(links: int, waiting: int, applications: int) -> dict[str, int]:
    """Return what each decision costs while every link is busy and exchanges wait."""
    stage = Stage()
    for number in range(applications):
        busy = stage.application(f"application {number}")
        stage.link(f"other {number}", busy)
        stage.get("/", queue=busy)
        stage.get("/", queue=busy)
    stage.pages.bound = waiting
    first, second, *_ = [stage.link(f"w{number}", window=2) for number in range(links)]
    for number in range(links):
        stage.get(f"/{number}")
    *_, middle, last, spare = [stage.get(f"/{number}") for number in range(waiting)]
    broker, fresh = stage.broker, a_link("fresh")
    return {
        "submit to a full queue": count_steps(lambda: broker.submit(an_exchange(), stage.pages, 0.001)),
        "abandon one that waits": count_steps(lambda: broker.abandon(middle)),
        "submit": count_steps(lambda: broker.submit(an_exchange(), stage.pages, 0.001)),
        "release": count_steps(lambda: broker.release(first, first.front(), 0.002)),
        "abandon one that runs": count_steps(lambda: broker.abandon(first.front())),
        "discard": count_steps(lambda: broker.discard(first, first.front(), 0.003)),
        "refuse": count_steps(lambda: broker.refuse(second, second.front(), 0.004)),
        "leave": count_steps(lambda: broker.leave(second, 0.005)),
        "join": count_steps(lambda: broker.join(fresh, [stage.pages], 0.006)),
        "spoil": count_steps(lambda: broker.spoil(fresh.front())),
        "drain": count_steps(lambda: broker.drain(first, 0.007)),
        "abandon the last": count_steps(lambda: broker.abandon(last)),
        "abandon the next": count_steps(lambda: broker.abandon(spare)),
    }


def test_a_decision_costs_the_same_for_one_idle_link_as_for_a_thousand() -> None:
    assert cost_with_idle_links(1000, 1000) == cost_with_idle_links(2, 1)


def test_a_decision_costs_the_same_whatever_waits() -> None:
    assert cost_with_waiting_exchanges(1000, 100_000, 1000) == cost_with_waiting_exchanges(2, 20, 1)
