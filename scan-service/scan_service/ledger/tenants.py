"""Knows how a tenant goes: nothing of him stays, in the ledger or among the results."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from psycopg import sql

from scan_service.errors import ConflictError, NotFoundError
from scan_service.ledger import scans
from scan_service.records import storage

if TYPE_CHECKING:
    from scan_service.db import Database
    from scan_service.engine.jobs import Engine

_STEP_ROWS = 5000
_PAUSE_SECONDS = 0.2
# Rows that name others come before those.
_TABLES = (
    "delivery", "webhook", "schedule", "page_mark", "removal", "outcome", "bookmark", "scan",
    "bucket", "audit", "connection", "page_session", "api_key", "tenant",
)  # fmt: skip


async def remove(db: Database, engine: Engine, tenant_id: str, *, patience: float) -> int:
    """Remove a tenant with all that is his; return how many rows of results went.

    His keys end at once. What runs for him is cancelled, and waited for. A removal that was
    interrupted is finished by the next one.

    Args:
        db: the database.
        engine: stops what runs.
        tenant_id: who goes.
        patience: seconds to wait for his runs' ends.

    Raises:
        NotFoundError: there is no such tenant.
        ConflictError: a run of his has not ended in time.
    """
    async with db.system() as connection:
        cursor = await connection.execute(
            "select from tenant where tenant_id = %s for update", [tenant_id]
        )
        if await cursor.fetchone() is None:
            raise NotFoundError("Tenant not found")
        await connection.execute(
            "update api_key set revoked_at = coalesce(revoked_at, clock_timestamp())"
            " where tenant_id = %s", [tenant_id],
        )  # fmt: skip
        await connection.execute("delete from schedule where tenant_id = %s", [tenant_id])
    gone, left = 0, True
    while left:
        await _end_runs(db, engine, tenant_id, patience=patience)
        while step := await _empty(db, tenant_id):
            gone += step
        left = not await _forget(db, tenant_id)
    return gone


async def _forget(db: Database, tenant_id: str) -> bool:
    """Delete all that the ledger knows of a tenant, unless a request of his was under way.

    Such a one may have started a scan since his runs were ended. From here on whatever names him
    waits, and then finds that there is no such tenant.
    """
    async with db.system() as connection:
        await connection.execute("set local lock_timeout = '60s'")
        await connection.execute("select from tenant where tenant_id = %s for update", [tenant_id])
        cursor = await connection.execute(_AT_WORK, [tenant_id])
        if await cursor.fetchall():
            return False
        for table in _TABLES:
            statement = sql.SQL("delete from {} where tenant_id = %s")
            await connection.execute(statement.format(sql.Identifier(table)), [tenant_id])
        return True


_AT_WORK = """
select scan_id, status from scan where tenant_id = %s
and (status in ('pending', 'running') or run_id is not null)
"""


async def _end_runs(db: Database, engine: Engine, tenant_id: str, *, patience: float) -> None:
    until = time.monotonic() + patience
    while True:
        async with db.tenant(tenant_id) as connection:
            cursor = await connection.execute(_AT_WORK, [tenant_id])
            left = await cursor.fetchall()
        if not left:
            return
        if time.monotonic() > until:
            raise ConflictError(
                f"{len(left)} runs have not ended; is a worker there to end them? His keys and"
                " schedules are gone: repeat this when they have"
            )
        for scan in left:
            if scan["status"] in scans.ACTIVE:
                try:
                    await scans.cancel(db, engine, tenant_id, scan["scan_id"])
                except (ConflictError, NotFoundError):
                    continue  # it has just ended
        await asyncio.sleep(_PAUSE_SECONDS)


async def _empty(db: Database, tenant_id: str) -> int:
    """Delete the next rows of results, of whatever table; return how many."""
    async with db.tenant(tenant_id) as connection:
        return await storage.empty_of_tenant(connection, tenant_id, _STEP_ROWS)
