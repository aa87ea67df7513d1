"""The settings of a worker and of a pool: ``[pools.NAME]``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protocol import limits
from protocol.addresses import Address
from protocol.settings import Duration, Size, setting

Kind = Literal["app", "wsgi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker runs, as whom it registers, and where."""

    target: str = setting("What to run, as module:attribute, looked up from the current folder first.")
    kind: Kind = setting(
        "What the target is: app (an Application or a handler) or wsgi (any WSGI callable).",
        default="app",
        flag="--kind",
    )
    name: tuple[str, ...] = setting(
        "The application's name; its own, or the target's module, if none is given.",
        default=(),
        flag="--name",
    )
    path: tuple[str, ...] = setting(
        "A path that it serves, with everything below; /NAME if none is given.", default=(), flag="--path"
    )
    host: str = setting("The virtual host that it is limited to.", default="", flag="--host")
    dispatcher: tuple[Address, ...] = setting(
        "A dispatcher to register with; may be given several times.",
        default=(Address("tcp", "127.0.0.1", 8081),),
        flag="--dispatcher",
    )
    processes: int | None = setting(
        "How many processes to run and supervise as a pool; without it, one, unsupervised.",
        default=None,
        flag="-n --processes",
        least=1,
    )
    threads: int = setting(
        "How many requests a process works on at once.", default=1, flag="--threads", least=1
    )
    database: str = setting(
        "URL of the database that each thread opens, sqlite:///FILE or postgresql://USER@HOST/NAME; one with"
        " a password belongs into the variable LRWP_WORKER_DATABASE, because a command line is there for all"
        " to read.",
        default="",
        flag="--database",
    )
    reload: bool = setting(
        "For development: replace the processes whenever a file of the application's code changes, read"
        " templates anew at each use, and show tracebacks, with source code, to whoever meets an error.",
        default=False,
        flag="--reload",
    )
    label: tuple[str, ...] = setting(
        "What to call a process in logs and tables; given several times, one for each process of the pool.",
        default=(),
        flag="--label",
    )
    max_requests: int = setting(
        "After how many requests a process is replaced; 0 for never. Each process draws a number of its own,"
        " up to a tenth lower.",
        default=0,
        flag="--max-requests",
    )
    max_memory: Size = setting(
        "With how much resident memory a process is replaced; 0 for never.",
        default=Size(0),
        flag="--max-memory",
    )
    max_age: Duration = setting(
        "After what time a process is replaced; 0 for never. Each process draws a time of its own, up to a"
        " tenth shorter.",
        default=Duration(0),
        flag="--max-age",
    )
    window: int = setting(
        "Most requests that a link may hold at once, from 1 to 8.",
        default=limits.WINDOW,
        flag="--window",
        least=1,
        most=limits.WINDOW,
    )
    drain_timeout: Duration = setting(
        "Longest time that a process which was told to stop gets to finish what it holds; then it is killed.",
        default=Duration(30),
        flag="--drain-timeout",
    )
    secret_file: Path | None = setting(
        "File with the secret that proves to the dispatcher who we are, on its first line.",
        default=None,
        flag="--secret-file",
    )
    ca_file: Path | None = setting(
        "File with the CAs, in PEM, by one of which the certificate of a dispatcher must be signed that is"
        " dialled at a tls:// address; those that this system knows if none is given.",
        default=None,
        flag="--ca-file",
    )
    certificate: Path | None = setting(
        "File with our certificate, in PEM, for a dispatcher that wants one.",
        default=None,
        flag="--certificate",
    )
    key: Path | None = setting(
        "File with the private key of that certificate, in PEM.", default=None, flag="--key"
    )
    # Without a flag, because a command line is there for all to read and these often hold a password.
    env: tuple[tuple[str, str], ...] = setting(
        "Environment variables for the processes of the pool.", default=()
    )
