from __future__ import annotations

from worker.route_table import Row, write_table


def test_a_table_has_columns_under_a_heading():
    rows = [Row("GET", "/", "", "home() in x"), Row("DELETE", "/page/{name}", "page", "drop() in x")]
    assert write_table(rows) == (
        "METHOD  PATH          NAME  HANDLER\n"
        "GET     /                   home() in x\n"
        "DELETE  /page/{name}  page  drop() in x\n"
    )


def test_a_table_without_rows_is_its_heading():
    assert write_table([]) == "METHOD  PATH  NAME  HANDLER\n"
