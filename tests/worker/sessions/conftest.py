from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from tests.worker.sessions.places import Place

if TYPE_CHECKING:
    from tests.services import Postgresql, Redis


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place for sessions with none in it."""
    place = Place(request.param, _name(request, tmp_path), [])
    yield place
    place.close()


@pytest.fixture(scope="session")
def emptied(postgresql: Postgresql) -> str:
    """The one database that tests of sessions share: a new one for each takes 60 ms."""
    return postgresql.new_database()


def _name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        server: Postgresql = request.getfixturevalue("postgresql")
        url: str = request.getfixturevalue("emptied")
        with server.connect(str(make_url(url).database)) as connection:
            connection.execute("DROP TABLE IF EXISTS lrwp_session")
        return url
    if request.param == "redis":
        redis: Redis = request.getfixturevalue("redis_server")
        with redis.connect() as client:
            client.flushall()
        return redis.url
    return str(tmp_path / "sessions.db")
