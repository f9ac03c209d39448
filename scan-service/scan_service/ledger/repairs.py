"""Knows the ledger as the sweep sees it: which scans dead workers lost, and what is done then.

What somebody holds (a frozen server, an operator's transaction) is left for the next sweep: it must
not keep the scans of others waiting.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb
from service_base.logs import logger

from scan_service.ledger.progress import problem
from scan_service.ledger.runs import KEPT_ERRORS, let_go
from scan_service.ledger.scans import admit, note_outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine

_log = logger(__name__)
_SWEEP_LOCK = 7_312_640_551_205
_PATIENCE = "set local lock_timeout = '200ms'"


async def sweep(
    db: Database, engine: Engine, *, lost_after: float, max_attempts: int
) -> dict[str, int]:
    """Repair what dead workers left: the ledger decides, the engine obeys.

    Returns:
        How many scans were moved, failed, freed and admitted.
    """
    counts = {"moved": 0, "failed": 0, "freed": 0, "admitted": 0}
    async with db.system() as connection:
        cursor = await connection.execute(
            "select pg_try_advisory_xact_lock(%s) as mine", [_SWEEP_LOCK]
        )
        row = await cursor.fetchone()
        if not row or not row["mine"]:
            return counts  # another worker is at it
        await connection.execute(_PATIENCE)
        cursor = await connection.execute(_WOKEN, {"after": lost_after})
        jobs = [row["job_id"] for row in await cursor.fetchall()]
        waiting = await engine.waiting(connection, jobs)
        cursor = await connection.execute(_LOST, {"after": lost_after, "waiting": waiting})
        for scan in await cursor.fetchall():
            async with _unless_held(connection, scan["tenant_id"]):
                done = await _repair(connection, engine, scan, max_attempts=max_attempts)
                counts[done] += 1
        tenants = await (await connection.execute(_NOT_ADMITTED)).fetchall()
    for tenant in tenants:
        async with db.system() as connection:
            await connection.execute(_PATIENCE)
            async with _unless_held(connection, tenant["tenant_id"]):
                counts["admitted"] += await admit(connection, engine, tenant["tenant_id"])
    return counts


@asynccontextmanager
async def _unless_held(connection: Connection, tenant_id: str) -> AsyncIterator[None]:
    """Do something for a tenant, or nothing of it if somebody holds what it needs."""
    try:
        async with connection.transaction():
            yield
    except LockNotAvailable:
        _log.warning("held by somebody, left for the next sweep", tenant=tenant_id)


async def _repair(
    connection: Connection, engine: Engine, scan: dict[str, Any], *, max_attempts: int
) -> str:
    """Repair one lost scan; return which of the sweep's counts that is."""
    if scan["status"] not in ("pending", "running"):
        await let_go(connection, engine, scan)
        return "freed"
    if scan["attempt"] >= max_attempts:
        await _give_up(connection, engine, scan)
        return "failed"
    job = await engine.defer(connection, scan["id"])
    await connection.execute(
        "update scan set run_id = null, worker = null, job_id = %s,"
        " admitted_at = clock_timestamp() where id = %s",
        [job, scan["id"]],
    )
    return "moved"


# Tenants of whom a scan waits though a place is free.
_NOT_ADMITTED = """
select tenant_id from tenant join (
    select distinct tenant_id from scan where status = 'pending' and slot is null
) as waiting using (tenant_id)
where max_running > (
    select count(*) from scan where scan.tenant_id = tenant.tenant_id and slot <= max_running)
"""

# Scans whose job should have been taken by now.
_WOKEN = """
select job_id from scan
where slot is not null and run_id is null and job_id is not null
    and admitted_at < clock_timestamp() - make_interval(secs => %(after)s)
"""

# Two ways to be lost: a run that says nothing any more, and a job that nobody can take any more
# (its worker died between fetching it and taking the scan, or the job itself is gone).
_LOST = """
select id, tenant_id, scan_id, status, attempt, errors from scan
where slot is not null and (
    (run_id is not null and seen_at < clock_timestamp() - make_interval(secs => %(after)s))
    or (run_id is null and (job_id is null or job_id <> all(%(waiting)s::bigint[]))
        and admitted_at < clock_timestamp() - make_interval(secs => %(after)s)))
order by place
for update skip locked
"""


async def _give_up(connection: Connection, engine: Engine, scan: dict[str, Any]) -> None:
    reason = problem(
        "INTERNAL_ERROR",
        f"The scan's worker was lost {scan['attempt']} times; not tried again",
        attempt=scan["attempt"],
    )
    await connection.execute(
        "update scan set status = 'failed', completed_at = clock_timestamp(), token = null,"
        "  state = null, errors = %s where id = %s",
        [Jsonb([*scan["errors"], reason][-KEPT_ERRORS:]), scan["id"]],
    )
    await note_outcome(connection, scan["id"])
    await let_go(connection, engine, scan)
