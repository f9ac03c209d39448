"""Knows the ledger as the sweep sees it: which scans dead workers lost, and what is done then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from scan_service.ledger.progress import problem
from scan_service.ledger.runs import KEPT_ERRORS, let_go
from scan_service.ledger.scans import admit, note_outcome

if TYPE_CHECKING:
    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine

_SWEEP_LOCK = 7_312_640_551_205


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
        cursor = await connection.execute(_WOKEN, {"after": lost_after})
        jobs = [row["job_id"] for row in await cursor.fetchall()]
        waiting = await engine.waiting(connection, jobs)
        cursor = await connection.execute(_LOST, {"after": lost_after, "waiting": waiting})
        for scan in await cursor.fetchall():
            if scan["status"] not in ("pending", "running"):
                await let_go(connection, engine, scan)
                counts["freed"] += 1
            elif scan["attempt"] >= max_attempts:
                await _give_up(connection, engine, scan)
                counts["failed"] += 1
            else:
                job = await engine.defer(connection, scan["id"])
                await connection.execute(
                    "update scan set run_id = null, worker = null, job_id = %s,"
                    " admitted_at = clock_timestamp() where id = %s",
                    [job, scan["id"]],
                )
                counts["moved"] += 1
        cursor = await connection.execute(
            "select distinct tenant_id from scan where status = 'pending' and slot is null"
        )
        for tenant in await cursor.fetchall():
            counts["admitted"] += await admit(connection, engine, tenant["tenant_id"])
    return counts


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
