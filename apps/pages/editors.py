"""Editors: who may change pages, known by a password that nobody can read.

A password is kept as its scrypt hash (RFC 7914): each guess costs whoever has stolen the table as much time
and memory as it costs us.
"""

from __future__ import annotations

import hashlib
import secrets
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select

from apps.pages.schema import editor

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOG_COST = 14
"""scrypt's N as a power of two. With the two numbers below a guess costs 16 MiB and a fifth of a second,
which is one of the least costs that OWASP's cheat sheet for storing passwords lists. Where one of them is
changed, passwords have to be set anew; a start with PAGES_PASSWORD does so."""

_BLOCK: Final = 8
_PARALLEL: Final = 5
_SALT: Final = 16
_HASH: Final = 32

_NOBODY: Final = ("00" * _SALT, "")
"""What a password is compared with where there is no such editor; no hash is equal to it."""


def set_password(db: Connection, name: str, password: str) -> None:
    """Let an editor log in with this password from now on; one that is set already stays as it is."""
    if check_password(db, name, password):
        return
    salt = secrets.token_hex(_SALT)
    db.execute(delete(editor).where(editor.c.name == name))
    db.execute(insert(editor).values(name=name, salt=salt, hash=_hash(password, salt)))


def remove_editors(db: Connection) -> None:
    """Let nobody log in from now on, and end the sessions of those who have."""
    db.execute(delete(editor))


def check_password(db: Connection, name: str, password: str) -> str:
    """Return the salt of an editor's password if this is the one; nothing for a wrong name or password.

    A name that nobody has costs the same time, so that nobody learns who is an editor.
    """
    query = select(editor.c.salt, editor.c.hash).where(editor.c.name == name)
    salt, expected = db.execute(query).one_or_none() or _NOBODY
    return salt if compare_digest(_hash(password, salt), expected) else ""


def find_salt(db: Connection, name: str) -> str:
    """Return the salt of an editor's password; nothing if there is no such editor."""
    return db.execute(select(editor.c.salt).where(editor.c.name == name)).scalar() or ""


def has_editors(db: Connection) -> bool:
    """Whether there is anybody who could log in."""
    return db.execute(select(editor.c.name).limit(1)).first() is not None


def _hash(password: str, salt: str) -> str:
    cost = {"n": 1 << LOG_COST, "r": _BLOCK, "p": _PARALLEL, "dklen": _HASH}
    # A lone surrogate, which a client can send, is no UTF-8, and no password either.
    return hashlib.scrypt(password.encode("utf-8", "replace"), salt=bytes.fromhex(salt), **cost).hex()
