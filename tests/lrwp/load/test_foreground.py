"""The command as a whole: in this process against a server in a thread, and as a process with signals."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from lrwp.load import command
from lrwp.load.foreground import _block
from tests.lrwp.load.servers import PAGE, answering, closing, play, read_request, serving, serving_in_thread

COMMAND = [sys.executable, "-P", "-m", "lrwp", "load"]


def test_the_report_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_in_thread(answering(PAGE)) as url:
        assert command(url, connections=2, requests=50) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"GET {url} on 2 connections\n\nanswers     50 in ")
    assert "status      50 x 200" in out
    assert err == ""


def test_the_report_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_in_thread(answering(PAGE)) as url:
        assert command(url, connections=2, requests=50, as_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["answers"], report["status"], report["bytes"]) == (50, {"200": 50}, 50 * len(PAGE))


def test_there_are_no_more_connections_than_requests(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_in_thread(answering(PAGE)) as url:
        command(url, connections=10, requests=3, as_json=True)
    assert json.loads(capsys.readouterr().out)["connections"] == 3


def test_an_answer_that_says_that_the_server_is_in_trouble_is_an_answer() -> None:
    with serving_in_thread(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as url:
        assert command(url, requests=5) == 0


def test_a_request_without_an_answer_is_a_failure() -> None:
    with serving_in_thread(closing(PAGE[:-1])) as url:
        assert command(url, requests=5) == 1


def test_matching_lines_come_with_the_number_of_their_channel(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_in_thread(answering(PAGE)) as url:
        command(url, connections=3, requests=3, match="<h1>")
    assert sorted(capsys.readouterr().out.splitlines()[:3]) == [
        "  1  <h1>Process 1</h1>",
        "  2  <h1>Process 1</h1>",
        "  3  <h1>Process 1</h1>",
    ]


def test_a_body_and_headers_arrive_as_given() -> None:
    requests: list[bytes] = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(3))
        writer.write(PAGE)

    with serving_in_thread(behave) as url:
        command(url, requests=1, body="a=b", header=["X-Page: 7"])
    assert requests[0].startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nX-Page: 7\r\n" in requests[0]
    assert requests[0].endswith(b"\r\nContent-Length: 3\r\n\r\na=b")


def test_bars_are_drawn_with_what_the_output_can_show() -> None:
    assert [_block("utf-8"), _block("ascii")] == ["█", "#"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_early_and_it_still_reports(number: signal.Signals) -> None:
    async def scenario() -> tuple[int | None, bytes, bytes]:
        asked = asyncio.Event()
        answered = 0

        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal answered
            while await read_request(reader):
                answered += 1
                if answered > 100:
                    asked.set()
                writer.write(PAGE)

        async with serving(behave) as url:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                *(url, "-d", "60", "-c", "2", "--json"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            await asyncio.wait_for(asked.wait(), 20)
            process.send_signal(number)
            out, err = await asyncio.wait_for(process.communicate(), 10)
        return process.returncode, out, err

    code, out, err = play(scenario())
    report = json.loads(out)
    assert (code, err) == (0, b"")
    assert report["answers"] >= 90
    assert report["abandoned"] <= 2
    assert report["seconds"] < 30


def test_a_terminal_shows_how_far_the_run_is() -> None:
    screen, terminal = pty.openpty()
    with serving_in_thread(answering(PAGE)) as url, os.fdopen(screen, "rb", 0) as shown:
        finished = subprocess.run(
            [*COMMAND, url, "-n", "10"], stdout=subprocess.PIPE, stderr=terminal, timeout=20, check=True
        )
        os.close(terminal)
        assert b"connecting" in shown.read(65536)
    assert finished.stdout.startswith(b"GET http://")


def test_a_reader_that_leaves_ends_the_run_without_a_traceback() -> None:
    with (
        serving_in_thread(answering(PAGE)) as url,
        subprocess.Popen(
            [*COMMAND, url, "-d", "60", "--match", "<h1>"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"")
