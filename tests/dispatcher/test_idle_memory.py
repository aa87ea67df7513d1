"""What an idle connection costs, measured from outside: a server in a process of its own, and its size."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import subprocess
import sys
from pathlib import Path

SERVER = """
import asyncio, resource, uvloop
from dispatcher.http import HttpConnection
from tests.dispatcher.fakes_http import FakeSite

async def serve():
    site = FakeSite()
    site.asked.put = site.ended.put = lambda _: None  # it is the connections that are weighed
    server = await asyncio.get_running_loop().create_server(lambda: HttpConnection(site), "127.0.0.1", 0)
    print(*server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()

files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
uvloop.run(serve())
"""
COUNT = 2000
FIELDS = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 40) for n in range(15))


def size_of(process: subprocess.Popen[str]) -> int:
    """Return the resident memory of a process in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+([0-9]+) kB", status)
    assert found
    return int(found[1]) * 1024


def test_an_idle_connection_costs_less_than_4_kib():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with (
        subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as clients,
    ):
        clients.callback(process.kill)
        assert process.stdout
        host, port = process.stdout.readline().split()

        def connect(number: int) -> None:
            client = clients.enter_context(socket.create_connection((host, int(port)), timeout=10))
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (number, FIELDS))
            assert client.recv(4096).startswith(b"HTTP/1.1 200")

        for number in range(100):  # what is needed once is there after these
            connect(number)
        before = size_of(process)
        for number in range(COUNT):
            connect(number)
        assert (size_of(process) - before) / COUNT < 4096
