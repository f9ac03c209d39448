"""Knows which key did what, when and from where.

A row is written before the operation, and its outcome after it: nothing happens unseen.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from scan_service.guard.auth import Caller

if TYPE_CHECKING:
    from service_base.database import Connection

    from scan_service.db import Database

_KEEP_DAYS = 400
_LONGEST = 200
_NOBODY = uuid.UUID(int=0)


async def begin(
    connection: Connection, caller: Caller, *, operation: str, address: str, correlation: str
) -> int:
    """Note that somebody is about to do something; return the note's number."""
    cursor = await connection.execute(
        "insert into audit (tenant_id, key_id, key_name, address, operation, correlation_id)"
        " values (%s, %s, %s, %s, %s, %s) returning id",
        [
            caller.tenant_id, caller.key_id, caller.key_name, address, operation,
            correlation[:_LONGEST],
        ],
    )  # fmt: skip
    row = await cursor.fetchone() or {}
    return int(row["id"])


async def end(db: Database, number: int, *, subject: str | None, status: int) -> None:
    """Note what came of it.

    Args:
        db: the database.
        number: of the note.
        subject: the name of what it was done to, where there is one.
        status: of the answer.
    """
    async with db.system() as connection:
        await connection.execute(
            "update audit set subject = %s, status = %s where id = %s",
            [subject and subject[:_LONGEST], status, number],
        )


async def asker(db: Database, tenant_id: str, *, operation: str, subject: str) -> Caller:
    """Return who did something to what has this name last: for what comes of it without a key."""
    async with db.system() as connection:
        cursor = await connection.execute(
            "select key_id, key_name from audit where tenant_id = %s and operation = %s"
            " and subject = %s order by id desc limit 1",
            [tenant_id, operation, subject],
        )
        row = await cursor.fetchone() or {"key_id": _NOBODY, "key_name": ""}
    return Caller(tenant_id, frozenset(), row["key_id"], row["key_name"])


async def listed(
    db: Database, tenant_id: str, *, number: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of what was done for a tenant, newest first, and how much there is."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select count(*) as n from audit where tenant_id = %s", [tenant_id]
        )
        total = (await cursor.fetchone() or {"n": 0})["n"]
        cursor = await connection.execute(
            "select * from audit where tenant_id = %s order by id desc limit %s offset %s",
            [tenant_id, size, (number - 1) * size],
        )
        return await cursor.fetchall(), total


async def forget(db: Database) -> None:
    """Forget what was done more than a year ago."""
    async with db.system() as connection:
        await connection.execute(
            "delete from audit where at < clock_timestamp() - make_interval(days => %s)",
            [_KEEP_DAYS],
        )
