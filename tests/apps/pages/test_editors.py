"""How passwords are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from apps.pages import editors, schema
from tests.apps.pages.conftest import PASSWORD, Elsewhere

if TYPE_CHECKING:
    from worker.testing import Client


def test_the_table_holds_no_password_and_a_salt_of_its_own_for_each(
    site: Client, elsewhere: Elsewhere
) -> None:
    with elsewhere.database() as db:
        editors.set_password(db, "another", PASSWORD)
        rows = db.execute(select(schema.editor)).all()
        db.commit()
    assert {row.name for row in rows} == {"editor", "another"}
    assert len({row.salt for row in rows}) == len({row.hash for row in rows}) == 2
    assert PASSWORD not in repr(rows)


def test_a_password_may_be_any_text(site: Client, elsewhere: Elsewhere) -> None:
    with elsewhere.database() as db:
        for password in ("ünïcödé ☃", " spaces count ", "\ud800"):
            editors.set_password(db, "editor", password)
            assert editors.check_password(db, "editor", password)
            assert not editors.check_password(db, "editor", password.strip() + "!")
        db.commit()
