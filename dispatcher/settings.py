"""The settings of a dispatcher: ``[dispatcher]``, ``[limits]`` and ``[applications.NAME]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protocol.addresses import Address
from protocol.settings import Duration, Size, setting

AccessLogFormat = Literal["common", "combined", "json", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, one request or one application may use."""

    target: Size = setting(
        "Longest request target; a longer one is answered 414.", default=Size(8 * 1024), least=1
    )
    head: Size = setting(
        "Longest request line and header block together; a longer one is answered 431.",
        default=Size(32 * 1024),
        least=1,
        most=1024**2,  # it goes to a worker in one frame, which is at most twice as long
    )
    headers: int = setting("Most header lines in a request; more are answered 431.", default=100, least=1)
    body: Size = setting("Longest request body; a longer one is answered 413.", default=Size(1024**3))
    body_memory: Size = setting(
        "Part of a body, in either direction, that is kept in memory; the rest goes to a temporary file.",
        default=Size(256 * 1024),
    )
    memory: Size = setting(
        "Most bytes of all bodies together, in both directions, that are kept in memory; above it, they go to"
        " temporary files at once.",
        default=Size(256 * 1024**2),
    )
    disk: Size = setting(
        "Most bytes in all temporary files together; a request whose body is above it is answered 507, and a"
        " worker waits for its client before that.",
        default=Size(8 * 1024**3),
    )
    head_timeout: Duration = setting(
        "Time for a request's head to arrive once it has begun; a slower one is answered 408.",
        default=Duration(10),
    )
    body_timeout: Duration = setting(
        "Longest pause between two pieces of a request's body; a longer one is answered 408.",
        default=Duration(30),
    )
    idle_timeout: Duration = setting(
        "Time after which a connection that sends no further request is closed.", default=Duration(75)
    )
    send_timeout: Duration = setting(
        "Longest time for which a client may take no byte of its response before it is cut off.",
        default=Duration(60),
    )
    connections: int = setting(
        "Most client connections at once; 0 stands for what the limit on open files allows.", default=0
    )
    connections_per_address: int = setting(
        "Most connections at once from one client address; 0 for no such bound.", default=0
    )
    queue: int = setting(
        "Most requests that wait for one application; one more is answered 503 at once.", default=10_000
    )
    queue_size: Size = setting(
        "Most bytes of the bodies of the requests that wait for one application; what would exceed it is"
        " answered 503 at once, unless it would be the only one.",
        default=Size(4 * 1024**3),
    )
    queue_all: int = setting(
        "Most requests that wait for all applications together; one more is answered 503 at once.",
        default=20_000,
    )
    wait_timeout: Duration = setting(
        "Longest time for which a request waits for a worker before it is answered 503.", default=Duration(30)
    )
    request_timeout: Duration = setting(
        "Longest time for which a worker may be silent about a request; then it is cut off, and the client is"
        " answered 504.",
        default=Duration(60),
        least=0.001,
    )
    drain_timeout: Duration = setting(
        "Longest time that a dispatcher which was told to stop gives to what it has accepted.",
        default=Duration(30),
    )
    heartbeat: Duration = setting(
        "Time between two pings on an idle link; after three without an answer the link is lost.",
        default=Duration(10),
        least=0.1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """What is known of an application before its first worker comes, and where it departs from the limits."""

    path: tuple[str, ...] = setting(
        "The paths that it serves; its name with a / in front if none is given.", default=()
    )
    host: str = setting("The virtual host that it is limited to; empty for all.", default="")
    queue: int | None = setting("Most requests that wait for it.", default=None)
    queue_size: Size | None = setting("Most bytes of the bodies of these requests.", default=None)
    wait_timeout: Duration | None = setting("Longest time for which one of its requests waits.", default=None)
    request_timeout: Duration | None = setting(
        "Longest time for which one of its workers may be silent.", default=None, least=0.001
    )
    secret_file: Path | None = setting(
        "File with secrets of its own: with one of them, and not with a general one, its workers register,"
        " and they open nothing else.",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherSettings:
    """Where a dispatcher listens and what it writes."""

    http: Address = setting(
        "Where browsers connect.", default=Address("tcp", "127.0.0.1", 8080), flag="--http"
    )
    link: tuple[Address, ...] = setting(
        "Where workers connect; may be given several times.",
        default=(Address("tcp", "127.0.0.1", 8081),),
        flag="--link",
    )
    tls_certificate: Path | None = setting(
        "File with the certificate for browsers, in PEM, with those that lead to its CA; with it, the http"
        " address speaks TLS only. HUP reads it again.",
        default=None,
        flag="--tls-certificate",
    )
    tls_key: Path | None = setting(
        "File with the private key of that certificate, in PEM.", default=None, flag="--tls-key"
    )
    link_certificate: Path | None = setting(
        "File with the certificate for workers that dial a tls:// address, in PEM. HUP reads it again.",
        default=None,
        flag="--link-certificate",
    )
    link_key: Path | None = setting(
        "File with the private key of that certificate, in PEM.", default=None, flag="--link-key"
    )
    link_client_ca: Path | None = setting(
        "File with the CAs, in PEM, by one of which the certificates must be signed that workers then have to"
        " show at tls:// addresses.",
        default=None,
        flag="--link-client-ca",
    )
    trusted_proxies: tuple[str, ...] = setting(
        "The proxies that are believed for whom they ask: addresses, networks such as 10.0.0.0/8, or unix for"
        " all who come through a Unix socket.",
        default=(),
    )
    proxy_protocol: bool = setting(
        "Whether each connection begins with a header of the PROXY protocol; then only trusted_proxies may"
        " connect.",
        default=False,
    )
    admin: Address = setting(
        "Where /live, /ready and /status are served.",
        default=Address("tcp", "127.0.0.1", 8082),
        flag="--admin",
    )
    docroot: Path | None = setting(
        "Folder of static files, served where no worker answers.", default=None, flag="--docroot"
    )
    secret_file: Path | None = setting(
        "File with the secrets, one on each line, of which workers must prove one; HUP reads it again.",
        default=None,
        flag="--secret-file",
    )
    access_log: Path | None = setting(
        "File that the access log is appended to; standard output if none is given.",
        default=None,
        flag="--access-log",
    )
    access_log_format: AccessLogFormat = setting(
        "How the access log is written: common, combined, json, or off.",
        default="combined",
        flag="--access-log-format",
    )
