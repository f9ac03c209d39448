"""Knows how one more thing of a tenant is entered: not beyond a number, and each name once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from psycopg import sql
from psycopg.errors import UniqueViolation

from scan_service.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from service_base.database import Connection


@asynccontextmanager
async def one_more(
    connection: Connection, thing: Literal["schedule", "webhook", "connection"], tenant_id: str,
    *, most: int,
) -> AsyncIterator[datetime]:  # fmt: skip
    """Let the caller insert a row, in his transaction; give the database's time.

    Args:
        connection: acts for the tenant.
        thing: what it is, and the table that it stands in.
        tenant_id: whose.
        most: how many there may be.

    Raises:
        ConflictError: there are enough, or there is one of that name.
    """
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s || '/' || %s, 0))",
        [f"{thing}s", tenant_id],
    )
    cursor = await connection.execute(
        sql.SQL(
            "select count(*) as n, clock_timestamp() as now from {} where tenant_id = %s"
        ).format(sql.Identifier(thing)),
        [tenant_id],
    )
    row = await cursor.fetchone() or {}
    if row["n"] >= most:
        raise ConflictError(f"There are {most} {thing}s already")
    try:
        yield row["now"]
    except UniqueViolation:
        raise ConflictError(f"{thing.capitalize()} with this ID already exists") from None
