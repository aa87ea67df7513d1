"""The status of fake dispatchers, over TCP and a Unix socket."""

from __future__ import annotations

import json
import signal
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lrwp.admin import AdminError, ask, read_admin_url
from lrwp.cli import main
from lrwp.status import fetch, render
from protocol.addresses import Address
from tests.programs import running

STATUS = {
    "state": "serving",
    "uptime": 3725.4,
    "http": {"address": "127.0.0.1:8080", "connections": 12, "requests": 1234567},
    "gate": {"strangers": 0, "refused": 0, "turned_away": 0, "recently": {}},
    "applications": [
        {
            "name": "shop",
            "paths": ["/shop", "/till"],
            "host": "shop.example",
            "links": 2,
            "missing": 0,
            "idle": 1,
            "busy": 1,
            "waiting": 10234,
            "served": 7,
            "failed": 1,
            "service_ms": 1.234,
            "wait_ms": 0.5,
        }
    ],
    "links": [
        {
            "instance": "i",
            "label": "[red]ONE",
            "peer": "127.0.0.1:50000",
            "state": "busy",
            "applications": ["shop"],
            "held": 2,
            "window": 4,
            "served": 7,
            "since": 61.0,
        }
    ],
}

Serve = Callable[..., Address]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts fake admin listeners, each with one answer to everything."""
    with ExitStack() as stack:

        def serve(
            body: bytes | str | dict[str, Any] = STATUS, code: int = 200, unix: bool = False
        ) -> Address:
            text = json.dumps(body) if isinstance(body, dict) else body
            content = text.encode() if isinstance(text, str) else text

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(code)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

                def log_message(self, *args: object) -> None:
                    """Say nothing: of a Unix client it could not tell the address either."""

            server: socketserver.BaseServer
            if unix:
                path = str(tmp_path / "admin")
                server, address = socketserver.UnixStreamServer(path, Handler), Address("unix", path=path)
            else:
                server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
                address = Address("tcp", "127.0.0.1", server.server_address[1])
            stack.enter_context(server)
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return address

        yield serve


def shown(status: dict[str, Any]) -> list[str]:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render(status))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_status_is_shown_as_a_heading_and_two_tables() -> None:
    assert shown(STATUS) == [
        "127.0.0.1:8080 serving for 1:02:05 12 connections 1,234,567 requests",
        "application paths host links idle busy waiting served failed service wait",
        "shop /shop, /till shop.example 2 1 1 10,234 7 1 1.23 ms 0.50 ms",
        "worker from state applications holds window served linked for",
        "[red]ONE 127.0.0.1:50000 busy shop 2 4 7 0:01:01",
    ]


def test_refused_workers_are_in_the_heading() -> None:
    heading, *_ = shown({**STATUS, "gate": {"refused": 1234}})
    assert heading.endswith("1,234,567 requests 1,234 workers refused")


@pytest.mark.parametrize(("missing", "words"), [(1, "shop lacks 1 worker"), (2, "shop lacks 2 workers")])
def test_workers_that_were_lost_are_in_the_heading(missing: int, words: str) -> None:
    shop = {**STATUS["applications"][0], "missing": missing}
    heading, *_ = shown({**STATUS, "state": "degraded", "applications": [shop]})
    assert heading.startswith("127.0.0.1:8080 degraded for")
    assert heading.endswith(words)


def test_an_idle_dispatcher_has_empty_tables() -> None:
    assert len(shown({**STATUS, "applications": [], "links": []})) == 3


@pytest.mark.parametrize("unix", [False, True])
def test_a_status_is_fetched(serve: Serve, unix: bool) -> None:
    assert fetch(serve(unix=unix)) == STATUS


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8082", "127.0.0.1:8082"),
        ("http://[::1]:8082/status", "[::1]:8082"),
        ("host:8082", "host:8082"),
        ("unix:///run/admin", "unix:///run/admin"),
    ],
)
def test_an_admin_url_may_be_written_in_several_ways(url: str, address: str) -> None:
    assert str(read_admin_url(url)) == address


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AdminError) as caught:
        ask(Address("unix", path=str(tmp_path / "none")), "/status")
    assert str(caught.value) == (
        f"no dispatcher answers at unix://{tmp_path}/none: No such file or directory;"
        " start one, or name the admin address of another"
    )


@pytest.mark.parametrize(("body", "code"), [("<html>", 200), ("[]", 200), ("{}", 200), (STATUS, 404)])
def test_something_else_there_is_one_sentence(serve: Serve, body: Any, code: int) -> None:
    address = serve(body, code)
    with pytest.raises(AdminError, match=f"^what answers at {address} is not the admin of a dispatcher"):
        fetch(address)


def test_somebody_who_does_not_speak_http_is_one_sentence(serve: Serve) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"220 mail.example ESMTP\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(AdminError, match="no dispatcher answers at"):
            ask(Address("tcp", "127.0.0.1", server.server_address[1]), "/status")
        thread.join()


# The command


def test_the_command_prints_tables(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["status", str(serve())])
    assert leaving.value.code == 0
    assert "[red]ONE" in capsys.readouterr().out


def test_the_command_prints_json_for_programs(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["status", f"http://{serve()}/", "--json"])
    assert json.loads(capsys.readouterr().out) == STATUS


def test_the_command_asks_where_the_environment_says(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRWP_DISPATCHER_ADMIN", str(serve(unix=True)))
    with pytest.raises(SystemExit):
        main(["status"])
    assert "shop.example" in capsys.readouterr().out


def test_the_command_fails_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["status", f"unix://{tmp_path}/none"])
    assert leaving.value.code == 1
    assert capsys.readouterr().err.startswith("lrwp: no dispatcher answers at unix://")


def test_watching_shows_it_each_second_until_ctrl_c(serve: Serve) -> None:
    with running(["-P", "-m", "lrwp", "status", str(serve()), "--watch"]) as program:
        program.wait_for("ONE")
        program.wait_for("ONE")
        program.send(signal.SIGINT)
        assert program.wait() == 0
        assert "Traceback" not in program.output


def test_watching_on_a_terminal_draws_over_what_it_drew(serve: Serve) -> None:
    with running(["-P", "-m", "lrwp", "status", str(serve()), "--watch"], terminal=True) as program:
        program.wait_for("ONE")
        program.wait_for(r"\x1b\[1A(?s:.)*ONE")
        program.send(signal.SIGINT)
        assert program.wait() == 0
