"""Knows sessions of the web pages: each stands for a key, and ends with it, or by itself.

A cookie holds what nobody can guess; only its hash is kept. The key itself is never kept anywhere.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from scan_service.guard import auth

if TYPE_CHECKING:
    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.guard.auth import Caller


async def begin(db: Database, caller: Caller, *, hours: float) -> str:
    """Begin a session for the holder of a key; return what his cookie is to hold.

    Args:
        db: the database.
        caller: whose key it is.
        hours: how long it lasts at most.
    """
    token = secrets.token_urlsafe(32)
    async with db.system() as connection:
        await connection.execute(
            "insert into page_session (hash, key_id, tenant_id, ends_at)"
            " values (%s, %s, %s, clock_timestamp() + %s * interval '1 hour')",
            [hashed(token), caller.key_id, caller.tenant_id, hours],
        )
    return token


def hashed(token: str) -> bytes:
    """Return what a session is known by, of what a cookie holds."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


async def authenticate(connection: Connection, session: bytes) -> Caller:
    """Return whose session this is, by its hash.

    Raises:
        UnauthorizedError: it is over, or its key is not valid any more.
    """
    return await auth.recognize(
        connection,
        "id = (select key_id from page_session where hash = %s and ends_at > clock_timestamp())",
        session,
    )


async def end(db: Database, session: bytes) -> None:
    """End a session, wherever copies of its cookie are."""
    async with db.system() as connection:
        await connection.execute("delete from page_session where hash = %s", [session])


async def forget(db: Database) -> None:
    """Forget sessions that are over."""
    async with db.system() as connection:
        await connection.execute("delete from page_session where ends_at <= clock_timestamp()")
