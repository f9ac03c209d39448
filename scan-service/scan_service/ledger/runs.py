"""Knows the ledger as a worker sees it: take a scan, report, end it, repair what was lost.

Every write of a run says `where run_id = <mine>`: that is the fence. Whoever lost the scan writes
nothing any more, however late it wakes up.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from scan_service.db import become, end_loaders, take_time
from scan_service.ledger import bookmarks, deliveries
from scan_service.ledger.scans import admit, note_outcome
from scan_service.moments import timestamp
from scan_service.records import schemas, tables
from scan_service.records.tally import tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine
    from scan_service.ledger.progress import Progress

KEPT_ERRORS = 100
# A scan whose runs get further each time is tried again, but not for ever.
MOST_RUNS_PER_ATTEMPT = 10


async def take(db: Database, scan: uuid.UUID, job: int, *, worker: str) -> dict[str, Any] | None:
    """Begin a run; None if this job has been replaced, or the scan no longer wants one."""
    async with db.system() as connection:
        cursor = await connection.execute(
            "update scan set status = 'running', run_id = %s, worker = %s,"
            "  seen_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),"
            "  attempt = attempt + 1, runs = runs + 1, live = '{}'"
            " where id = %s and job_id = %s and slot is not null and run_id is null"
            "  and status in ('pending', 'running') returning *",
            [uuid.uuid4(), worker, scan, job],
        )
        return await cursor.fetchone()


async def prepare(db: Database, scan: Mapping[str, Any]) -> None:
    """Make the tables that a run loads to, and end what a run before it may still load.

    Args:
        db: the database.
        scan: its row, as `take` returned it.
    """
    async with db.system() as connection:
        if scan["runs"] > 1:
            await end_loaders(connection, scan["id"])
        await tables.make(connection, scan)


async def verified_since(db: Database, scan: Mapping[str, Any]) -> str | None:
    """Return when the scan began that another one verifies; None if it is not there any more."""
    async with db.system() as connection:
        cursor = await connection.execute(
            "select started_at from scan where tenant_id = %s and scan_id = %s"
            " and status = 'completed'",
            [scan["tenant_id"], scan["config"]["verifies"]],
        )
        row = await cursor.fetchone()
        return timestamp(row["started_at"]) if row else None


async def report(db: Database, run: uuid.UUID, progress: Progress) -> str | None:
    """Say that the run lives and how far it is; return the scan's status, None if it was lost."""
    async with db.system() as connection:
        cursor = await connection.execute(
            "update scan set seen_at = clock_timestamp(), processed_items = %s, failed_items = %s,"
            "  objects = %s, columns = coalesce(columns || %s, columns), live = %s,"
            "  requests = %s,"
            "  attempt = case when %s then 1 else attempt end,"
            "  state = case when status = 'running' then coalesce(%s, state) end"
            " where run_id = %s returning status",
            [
                progress.processed,
                progress.failed,
                _json(progress.objects),
                _json(None if progress.columns_kept else progress.columns),
                Jsonb(progress.live),
                Jsonb(progress.requests),
                progress.advanced,
                _json(progress.state),
                run,
            ],
        )
        row = await cursor.fetchone()
    progress.columns_kept = row is not None
    return row["status"] if row else None


async def finish(
    db: Database, engine: Engine, run: uuid.UUID, status: str, progress: Progress
) -> str | None:
    """End a scan, free its slot and admit the next; return its status, None if it was lost.

    A cancelled scan stays cancelled, whatever its run came to. Counting may take minutes: the
    scan's row is not locked meanwhile, and the caller goes on reporting.
    """
    async with db.system() as connection:
        await take_time(connection)
        cursor = await connection.execute(
            "select id, tenant_id, scan_id, fingerprint, started_at, config, objects,"
            " columns || %s as columns from scan where run_id = %s",
            [Jsonb(progress.columns), run],
        )
        scan = await cursor.fetchone()
        if scan is None:
            return None
        # The loader is dead; what it sent last may still be at work.
        await end_loaders(connection, scan["id"])
        # Under the tables' policies their owner sees nothing either: count as the tenant.
        await become(connection, scan["tenant_id"])
        found = await tally(connection, scan)
    # What it got over is told while it runs.
    met = progress.errors if status != "completed" else []
    errors = [*found.problems, *met][-KEPT_ERRORS:]
    counts = found.counts(scan["objects"], completed=False)
    ended = found.counts(scan["objects"], completed=True)
    processed = found.processed
    if progress.findings is not None:  # it has compared records and has none
        processed, counts = progress.processed, progress.objects
        ended = counts and {
            name: {**each, "total": each["processed"]} for name, each in counts.items()
        }
    async with db.system() as connection:
        cursor = await connection.execute(
            "update scan set"
            "  status = case when status = 'running' then %(status)s else status end,"
            "  completed_at = coalesce(completed_at, clock_timestamp()),"
            "  token = null, slot = null, run_id = null, job_id = null, state = null,"
            "  processed_items = %(processed)s, failed_items = %(failed)s,"
            "  total_items = case when status = 'running' and %(status)s = 'completed'"
            "    then %(processed)s else total_items end,"
            "  errors = %(errors)s, summary = %(summary)s, columns = %(columns)s,"
            "  records = %(records)s, octets = %(octets)s, defined = %(defined)s,"
            "  requests = %(requests)s,"
            "  objects = case when status = 'running' and %(status)s = 'completed'"
            "    then %(ended)s::jsonb else %(objects)s::jsonb end, findings = %(findings)s"
            " where run_id = %(run)s returning status",
            {
                "run": run,
                "status": status,
                "processed": processed,
                "failed": sum(found.refused.values()),
                "errors": Jsonb(errors),
                "summary": found.summary,
                "columns": Jsonb(found.columns),
                "records": Jsonb(found.rows),
                "octets": found.octets,
                "requests": Jsonb(progress.requests),
                "defined": Jsonb(schemas.defined(progress.columns, progress.labels, found.filled)),
                "objects": _json(counts),
                "ended": _json(ended),
                "findings": _json(progress.findings),
            },
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        final: str = row["status"]
        await note_outcome(connection, scan["id"])
        if final == "completed" and progress.state is not None:
            await deliveries.note_schema(connection, scan, progress.columns)
            await bookmarks.keep(connection, scan, progress.state, progress.columns)
        await admit(connection, engine, scan["tenant_id"])
        return final


async def fail(db: Database, engine: Engine, run: uuid.UUID, reason: dict[str, Any]) -> None:
    """End a scan whose end cannot be written as it should be; what it left is counted later.

    Args:
        db: the database.
        engine: wakes the next worker.
        run: the fence.
        reason: see `problem`.
    """
    async with db.system() as connection:
        cursor = await connection.execute(
            "update scan set status = case when status = 'running' then 'failed' else status end,"
            "  completed_at = coalesce(completed_at, clock_timestamp()), token = null,"
            "  state = null, slot = null, run_id = null, job_id = null,"
            "  errors = errors || %s::jsonb where run_id = %s returning id, tenant_id",
            [Jsonb([reason]), run],
        )
        scan = await cursor.fetchone()
        if scan is not None:
            await note_outcome(connection, scan["id"])
            await admit(connection, engine, scan["tenant_id"])


async def uncounted(db: Database) -> list[dict[str, Any]]:
    """Return the scans that ended without their worker and are still to be counted."""
    async with db.system() as connection:
        cursor = await connection.execute(
            "select id, tenant_id, scan_id from scan"
            " where records is null and status in ('completed', 'failed', 'cancelled')"
            "  and started_at is not null and run_id is null order by completed_at"
        )
        return await cursor.fetchall()


async def count(db: Database, ended: Mapping[str, Any]) -> None:
    """Count what a scan left.

    Args:
        db: the database.
        ended: as `uncounted` returned it.
    """
    async with db.system() as connection:
        await take_time(connection)
        cursor = await connection.execute(
            "select id, tenant_id, scan_id, config, objects, status, columns from scan"
            " where id = %s and records is null",
            [ended["id"]],
        )
        scan = await cursor.fetchone()
        if scan is None:
            return  # counted, or removed
        await end_loaders(connection, scan["id"])
        await become(connection, scan["tenant_id"])
        found = await tally(connection, scan)
    async with db.system() as connection:
        completed = scan["status"] == "completed"
        await connection.execute(
            "update scan set processed_items = %s, failed_items = %s, objects = %s, summary = %s,"
            "  columns = %s, records = %s, octets = %s where id = %s and records is null",
            [
                found.processed, sum(found.refused.values()),
                _json(found.counts(scan["objects"], completed=completed)), found.summary,
                Jsonb(found.columns), Jsonb(found.rows), found.octets, scan["id"],
            ],
        )  # fmt: skip


async def give_back(
    db: Database,
    engine: Engine,
    run: uuid.UUID,
    progress: Progress,
    *,
    in_seconds: int = 0,
    counts: bool = True,
) -> None:
    """End a run but not its scan: another run goes on from its bookmark, here or elsewhere.

    Args:
        db: the database.
        engine: wakes the next worker.
        run: the fence.
        progress: what to keep.
        in_seconds: not before.
        counts: whether this run counts among the attempts; a deploy does not.
    """
    async with db.system() as connection:
        cursor = await connection.execute(
            "select id, tenant_id, status from scan where run_id = %s for update", [run]
        )
        scan = await cursor.fetchone()
        if scan is None:
            return
        if scan["status"] != "running":
            await let_go(connection, engine, scan)
            return
        job = await engine.defer(connection, scan["id"], in_seconds=in_seconds)
        await connection.execute(
            "update scan set run_id = null, worker = null, job_id = %s, attempt = attempt - %s,"
            "  admitted_at = clock_timestamp() + make_interval(secs => %s),"
            "  processed_items = %s, failed_items = %s, objects = %s,"
            "  state = coalesce(%s, state), errors = %s, requests = %s where id = %s",
            [
                job, 0 if counts else 1, in_seconds, progress.processed, progress.failed,
                _json(progress.objects), _json(progress.state),
                Jsonb(progress.errors[-KEPT_ERRORS:]), Jsonb(progress.requests), scan["id"],
            ],
        )  # fmt: skip


async def let_go(connection: Connection, engine: Engine, scan: dict[str, Any]) -> None:
    """Free the slot of a finished scan whose run is over."""
    await connection.execute(
        "update scan set slot = null, run_id = null, job_id = null, worker = null where id = %s",
        [scan["id"]],
    )
    await admit(connection, engine, scan["tenant_id"])


def _json(value: dict[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(value)
