"""A database server that is restarted under load: requests in flight fail, workers go on."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.ledger import Ledger, a_ledger
from tests.system import a_dispatcher, a_worker
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services import Postgresql

SITE = """
from worker import Application

app = Application("visits")

@app.on_start
def make_table():
    with app.database.exclusively() as db:
        db.exec_driver_sql("CREATE TABLE IF NOT EXISTS visit (who INTEGER)")

@app.get("/")
def show(request):
    return str(request.db.exec_driver_sql("SELECT count(*) FROM visit").scalar())

@app.post("/")
def visit(request):
    with request.db.begin():
        request.db.exec_driver_sql("INSERT INTO visit VALUES (%s)", (int(request.text),))
    return "noted"
"""

WORKERS = 2
CLIENTS = 8
ROUND = 200
"""Requests that show that all is well."""


def go_on(ledger: Ledger) -> None:
    """Wait until so many more requests have ended."""
    end = len(ledger.entries) + ROUND
    until(lambda: len(ledger.entries) >= end)


def test_a_restart_of_the_server_under_load_costs_the_requests_in_flight_and_no_worker(
    tmp_path: Path, postgresql: Postgresql
) -> None:
    (tmp_path / "site1.py").write_text(SITE)
    url = postgresql.new_database()
    with (
        a_dispatcher(tmp_path) as dispatcher,
        a_worker(tmp_path, "site1:app", "-n", str(WORKERS), "--database", url, to=dispatcher.link) as pool,
    ):
        dispatcher.wait_for_links(WORKERS)
        before = {link["instance"] for link in dispatcher.status()["links"]}
        with a_ledger(dispatcher.http) as ledger:
            ledger.start(
                CLIENTS, lambda number: ("POST" if number % 2 else "GET", "/visits", str(number).encode())
            )
            go_on(ledger)
            postgresql.restart()
            go_on(ledger)
            is_settled = len(ledger.entries)
            go_on(ledger)
        assert {link["instance"] for link in dispatcher.status()["links"]} == before

        failed = [entry for entry in ledger.entries if entry.outcome != "200"]
        assert {entry.outcome for entry in failed} <= {"500", "503"}
        assert len(failed) <= WORKERS  # each had one request in flight
        assert {entry.outcome for entry in ledger.entries[is_settled:]} == {"200"}

        with psycopg.connect(url) as connection:
            rows = [row[0] for row in connection.execute("SELECT who FROM visit")]
        answered = sum(entry.outcome == "200" and entry.name.startswith("POST") for entry in ledger.entries)
        in_doubt = sum(entry.name.startswith("POST") for entry in failed)
        assert len(set(rows)) == len(rows)
        assert answered <= len(rows) <= answered + in_doubt

        pool.send(signal.SIGTERM)
        assert pool.wait() == 0
        assert pool.output.count("database reopened") == WORKERS
        assert "Traceback" not in pool.output
