"""Targets of requests: the dispatcher, its workers and their applications see the same path in one."""

from __future__ import annotations

import posixpath
from io import BytesIO
from typing import Any

from dispatcher.framing import BadRequest, read_head
from dispatcher.routes import Routes
from dispatcher.settings import Limits
from protocol.paths import decode_path, prefixes, split_path
from protocol.registration import Claim
from tests.dispatcher.fakes import an_application
from tests.fuzz.target import Target, outcome
from worker.errors import HttpError
from worker.exchange import Exchange
from worker.request import Request, leads_out, normal_path, read_segments

PATHS = ("/", "/shop", "/shop/cart", "/shop/caf\xe9", "/a b", "/%41", "/shop/x%2fy", "/\N{SNOWMAN}/b.c")
QUEUES: dict[str, Any] = {path: an_application(f"app{number}") for number, path in enumerate(PATHS)}
ROUTES = Routes()
for path, queue in QUEUES.items():
    ROUTES.add(Claim(queue.name, "", path), queue)


def read(data: bytes) -> None:
    path = decode_path(data)
    ROUTES.find("example.org", path)
    for prefix in prefixes(path):
        split_path(path, prefix)
    normal_path(data)
    leads_out(data)
    read_segments(data)


def served_target(data: bytes) -> tuple[bytes, str] | None:
    """Return the target and the path that the dispatcher reads, None if it refuses."""
    try:
        head = read_head(b"GET " + data + b" HTTP/1.1\r\nHost: a\r\n\r\n", Limits())
    except BadRequest:
        return None
    return head.target, head.path


def all_find_the_same_application(data: bytes) -> None:
    served = served_target(data)
    if served is None:
        return
    target, path = served
    assert decode_path(target) == path
    by_worker = next(prefix for prefix in prefixes(path) if prefix in QUEUES)
    assert ROUTES.find("example.org", path) is QUEUES[by_worker]
    script_name, path_info = split_path(path, by_worker)
    assert script_name + path_info == path
    assert path_info[:1] in {"", "/"} or path == "*"


def request_of(target: bytes, prefix: str) -> Request:
    return Request(
        Exchange("app", prefix, "GET", target, b"Host: a\r\n", "http", "192.0.2.7:5", 1, BytesIO())
    )


def applications_see_the_rest_of_it(data: bytes) -> None:
    served = served_target(data)
    if served is None:
        return
    target, path = served
    prefix = next(prefix for prefix in prefixes(path) if prefix in QUEUES)
    request = request_of(target, prefix)
    try:
        seen = request.prefix + request.path
    except HttpError as error:
        if error.status not in {400, 404}:
            raise
    else:
        assert seen.rstrip("/") == path.rstrip("/")


def normal_forms_stay_on_this_host(data: bytes) -> None:
    served = served_target(data)
    if served is None or served[0] == b"*":
        return
    request = request_of(served[0], "/")
    try:
        target = request.normal_target
    except HttpError:
        assert leads_out(served[0].partition(b"?")[0])
        return
    assert target.startswith("/")
    assert not target.startswith("//")
    assert target.isascii()
    again = request_of(target.encode(), "/")
    assert again.is_normal
    assert again.normal_target == target


def dots_lead_where_python_says(data: bytes) -> None:
    path = b"/" + data.partition(b"?")[0].lower().replace(b"%2e", b".").lstrip(b"/")
    assert (normal_path(path).rstrip(b"/") or b"/") == posixpath.normpath(path)
    segments = path[1:].split(b"/")
    beginnings = (posixpath.normpath(b"/".join(segments[:count])) for count in range(1, len(segments) + 1))
    assert leads_out(path) == any(beginning.split(b"/")[0] == b".." for beginning in beginnings)


def segments_are_decoded_once(data: bytes) -> None:
    path = data.partition(b"?")[0]
    segments = outcome(read_segments, path, refusals=(HttpError,))
    if isinstance(segments, list) and path.isascii():
        assert len(segments) == path.count(b"/")
        assert "\0" not in "".join(segments)
        assert "/".join(["", *segments]) == decode_path(path)


TARGET = Target(
    read=read,
    refusals=(HttpError,),
    laws=(
        all_find_the_same_application,
        applications_see_the_rest_of_it,
        normal_forms_stay_on_this_host,
        dots_lead_where_python_says,
        segments_are_decoded_once,
    ),
    seeds=(
        b"/shop/cart?a=b/c",
        b"/shop/caf%C3%A9/%e2%98%83",
        b"/%e2%98%83/b.c/",
        b"//shop/./a/../%2e%2E/b//",
        b"/a%20b/%2541/%41",
        b"/shop/x%252fy/x%2fy",
        b"http://b/shop?x",
        b"/.." * 5 + b"/%ff%fe",
        b"*",
    ),
    words=(
        b"/|//|/.|/..|/%2e|/%2E%2e|%2F|%5c|\\|%25|%|%4|%41|%zz|%00|%0a|%0D|%c3%a9|%C3|%ff|\xc3\xa9|shop"
        b"|/shop|/shop/cart|?|#|a%20b|+|;x=y|:|@|http://|&|'|\""
    ).split(b"|"),
    each=250,  # of unquote(): nothing for a target, which has 8 KiB at most
    fixed=200_000,
)
