from __future__ import annotations

import subprocess
import sys

import pytest

from worker.errors import StartError
from worker.sessions.memory import MemoryStore
from worker.sessions.postgresql import PostgresqlStore
from worker.sessions.redis import RedisStore
from worker.sessions.stores import StoreError, open_store


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        ("memory://", MemoryStore, "<MemoryStore 0 sessions>"),
        ("sqlite://", MemoryStore, "<MemoryStore 0 sessions>"),
        ("postgresql://u:s3cret@host/name", PostgresqlStore, "<PostgresqlStore postgresql://host/name>"),
        ("postgres://host/name", PostgresqlStore, "<PostgresqlStore postgresql://host/name>"),
        ("redis://u:s3cret@host:6379/0", RedisStore, "<RedisStore>"),
        ("rediss://host", RedisStore, "<RedisStore>"),
        ("unix:///run/redis.sock", RedisStore, "<RedisStore>"),
    ],
)
def test_a_url_says_where_sessions_are_kept(url, kind, shown):
    store = open_store(url)
    assert (type(store), repr(store)) == (kind, shown)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///shop.db", "shop-sessions.db"),
        ("sqlite:////var/lib/shop.sqlite3", "/var/lib/shop-sessions.sqlite3"),
        ("sqlite:///data/shop", "data/shop-sessions"),
    ],
)
def test_an_application_in_sqlite_has_its_sessions_in_a_file_beside_it(url, file):
    assert repr(open_store(url)) == f"<SqliteStore sqlite:///{file}>"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql://u:s3cret@host/x", "mysql://"),
        ("shop.db", "this"),
        ("postgresql://u:s3cret@host:port", "this"),
    ],
)
def test_a_url_of_something_else_is_refused_without_repeating_it(url, what):
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert isinstance(caught.value, StartError)
    assert str(caught.value) == (
        f"{what} is no store for sessions: use sqlite:///shop.db, postgresql://user@host/name, "
        "redis://host:6379/0 or memory://"
    )


def test_a_driver_that_is_missing_is_named():
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from worker.sessions.stores import StoreError, open_store\n"
        "try: open_store('redis://host')\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "redis:// needs a driver: install it with pip install 'lrwp[redis]'\n"
