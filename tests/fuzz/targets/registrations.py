"""What a worker says of itself when it registers, and where that puts it."""

from __future__ import annotations

from typing import Any

import msgpack

from dispatcher.routes import Routes
from protocol import limits
from protocol.errors import RemoteProtocolError
from protocol.frames import FrameReader
from protocol.messages import REGISTER, check_message
from protocol.registration import Claim, Registration, RegistrationError, prove, read_registration
from tests.dispatcher.fakes import an_application
from tests.fuzz.target import Target, outcome
from tests.protocol.fakes import DISPATCHER_NONCE, WORKER_NONCE, Wire


def read(data: bytes) -> Registration:
    """Read the payload of a ``register`` without what comes before and after the worker's own words."""
    fields = FrameReader().unpack(data)
    message = (REGISTER, limits.VERSION, *fields, WORKER_NONCE, b"")
    check_message(message)
    return read_registration(*fields)


def accepted(data: bytes) -> Registration | None:
    found = outcome(read, data, refusals=REFUSALS)
    return found if isinstance(found, Registration) else None


REFUSALS = (RemoteProtocolError, RegistrationError)


def is_what_the_documentation_says(data: bytes) -> None:
    registration = accepted(data)
    if registration is None:
        return
    assert 1 <= registration.window <= limits.WINDOW
    assert len(registration.labels) <= limits.LABELS
    assert 1 <= len(registration.applications) <= limits.APPLICATIONS
    names = [registration.instance, *(claim.name for claim in registration.applications)]
    names += [text for label in registration.labels for text in label]
    for name in names:
        assert name.isprintable()
        assert 1 <= len(name) <= limits.NAME


def comes_through_a_link(data: bytes) -> None:
    registration = accepted(data)
    if registration is None:
        return
    wire = Wire()
    wire.worker_says("register", registration, WORKER_NONCE)
    wire.deliver()
    (heard,) = wire.dispatcher_hears.entries
    _, version, instance, applications, window, labels, *_ = heard
    assert version == limits.VERSION
    assert read_registration(instance, applications, window, labels) == registration


def proves_no_other(data: bytes) -> None:
    registration = accepted(data)
    if registration is None:
        return
    proof = proof_of(registration.instance, registration.applications)
    assert len(proof) == 32
    moved = (*registration.applications[1:], registration.applications[0])
    for instance, applications in (
        (registration.instance + "x", registration.applications),
        (registration.instance, registration.applications[1:]),
        (registration.instance, (*registration.applications, Claim("x", "", "/x"))),
    ):
        assert proof_of(instance, applications) != proof
    if moved != registration.applications:
        assert proof_of(registration.instance, moved) != proof


def proof_of(instance: str, applications: tuple[Claim, ...]) -> bytes:
    return prove(b"secret", DISPATCHER_NONCE, WORKER_NONCE, instance, applications)


def is_found_where_it_registered(data: bytes) -> None:
    registration = accepted(data)
    if registration is None:
        return
    routes = Routes()
    queues: dict[str, Any] = {}
    added = []
    for claim in registration.applications:
        queue = queues.setdefault(claim.name, an_application(claim.name))
        if outcome(routes.add, claim, queue, refusals=(RegistrationError,)) is None:
            added.append(claim)
    for claim in added:
        for path in (claim.path, f"{claim.path.rstrip('/')}/", f"{claim.path.rstrip('/')}/x-y-z"):
            found = routes.find(claim.host or "elsewhere", path)
            assert found is queues[claim.name] or any(other.path == path for other in added)
    routes.remove(dict.fromkeys(added))
    assert all(routes.find(claim.host, claim.path) is None for claim in added)


def packed(instance: str, applications: Any, window: int = 8, labels: Any = ()) -> bytes:
    data: bytes = msgpack.packb((instance, applications, window, dict(labels)))
    return data


TARGET = Target(
    read=read,
    refusals=REFUSALS,
    laws=(
        is_what_the_documentation_says,
        comes_through_a_link,
        proves_no_other,
        is_found_where_it_registered,
    ),
    seeds=(
        packed("shop-1", [("shop", "", "/shop")]),
        packed(
            "i", [("shop", "", "/"), ("shop", "example.org", "/a/b"), ("é", "[::1]", "/é")], 1, {"k": "v"}
        ),
        packed("i", [("a", "", "/a"), ("b", "", "/a")], 8, {b"k": "v"}),
        packed("i", [("a", "", "/a"), ("a", "", "/a")]),
        packed("x" * 200, [("y" * 200, "h" * 200, "/" + "p" * 1023)]),
        packed("", [("", "Host:80", "/a//b/../")], 0),
    ),
    words=(
        b"\x93\xa1b\xa0\xa2/b|\x92|\x93|\x94|\x90|\xa0|\xa1/|\xa2//|\xa3/..|\xc4\x01a|\x81\xa1k\xa1v|\x80"
        b"|\xa5a.b-c|\xa5[::1]|\xa3\xe2\x80\xae|\xa2\xc2\xa0|\xd9\xc8|\xd9\xc9"
    ).split(b"|"),
    each=30,
    fixed=700_000,
)
