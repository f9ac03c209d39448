"""Knows what is still to be told, when to try again, and when to give up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from scan_service.records import schemas

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database

# Until the next try, after the first, the second, ... failure: three and a half days in all.
BACK_OFF_SECONDS = (5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600, 48 * 3600)
# A worker that dies while it tells leaves the delivery to another one after this.
_CLAIM_SECONDS = 60
_KEEP_DAYS = 30
_GONE = 410
# Scans in a row whose token HubSpot refuses: then their schedule rests, until somebody mends it.
_REFUSALS = 3


async def claim(
    db: Database, most: int, *, share: int, busy: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Take deliveries that are due, each tenant's first before any second.

    Nobody else gets them for a minute.

    Args:
        db: the database.
        most: how many.
        share: how many a tenant may have under way.
        busy: how many each has already.
    """
    async with db.system() as connection:
        cursor = await connection.execute(
            _CLAIM,
            {"seconds": _CLAIM_SECONDS, "most": most, "share": share, "busy": Jsonb(dict(busy))},
        )
        return await cursor.fetchall()


_CLAIM = """
with waiting as (
    select id, due_at, coalesce((%(busy)s::jsonb ->> tenant_id)::int, 0)
        + row_number() over (partition by tenant_id order by due_at, id) as turn
    from delivery where due_at <= clock_timestamp()),
due as (
    select delivery.id from delivery join waiting using (id)
    where turn <= %(share)s and delivery.due_at <= clock_timestamp()
    order by turn, waiting.due_at limit %(most)s for update of delivery skip locked)
update delivery set attempts = attempts + 1,
    due_at = clock_timestamp() + make_interval(secs => %(seconds)s)
from due, webhook
where delivery.id = due.id and webhook.id = delivery.webhook
returning delivery.*, webhook.url, webhook.secret
"""


async def delivered(db: Database, delivery: uuid.UUID, status: int) -> None:
    """Note that a receiver took it."""
    async with db.system() as connection:
        await connection.execute(
            "update delivery set due_at = null, delivered_at = clock_timestamp(),"
            " last_status = %s, last_error = null where id = %s",
            [status, delivery],
        )


async def failed(db: Database, delivery: dict[str, Any], status: int | None, reason: str) -> bool:
    """Note that a try failed, and when the next one is; tell whether there is one.

    Args:
        db: the database.
        delivery: as `claim` gave it.
        status: of the answer, if there was one; 410 pauses the webhook.
        reason: in a sentence.
    """
    tries = delivery["attempts"]
    last = status == _GONE or tries > len(BACK_OFF_SECONDS)
    pause = None if last else BACK_OFF_SECONDS[tries - 1]
    async with db.system() as connection:
        await connection.execute(
            "update delivery set last_status = %s, last_error = %s,"
            " due_at = clock_timestamp() + make_interval(secs => %s) where id = %s",
            [status, reason, pause, delivery["id"]],
        )
        if status == _GONE:
            await connection.execute(
                "update webhook set paused_at = clock_timestamp() where id = %s",
                [delivery["webhook"]],
            )
    return not last


async def forget(db: Database) -> None:
    """Forget what was told, or given up, long ago."""
    async with db.system() as connection:
        await connection.execute(
            "delete from delivery where due_at is null"
            " and created_at < clock_timestamp() - make_interval(days => %s)",
            [_KEEP_DAYS],
        )


async def note_ended(connection: Connection, scan: uuid.UUID) -> None:
    """Tell of a scan's end, in the transaction that ends it."""
    await connection.execute(_ENDED, [scan])
    await connection.execute("select note_refusal(%s, %s)", [scan, _REFUSALS])


_ENDED = """
select tell(tenant_id, 'scan.' || status, id::text, data),
    case when failed_items > 0 then tell(tenant_id, 'records.rejected', id::text, data) end
from (
    select *, jsonb_build_object(
        'tenantId', tenant_id, 'organizationId', organization_id, 'scanId', scan_id,
        'status', status, 'startedAt', moment_text(started_at),
        'completedAt', moment_text(completed_at), 'processedItems', processed_items,
        'failedItems', failed_items, 'error', errors -> -1 -> 'error',
        'code', errors -> -1 -> 'code') as data
    from scan where id = %s and status in ('completed', 'failed', 'cancelled')) as ended
"""


async def note_late(db: Database, *, minutes: float) -> int:
    """Tell once of each scan that is at work, or waits, for too long; return how many."""
    async with db.system() as connection:
        cursor = await connection.execute(_LATE, {"minutes": minutes})
        return len(await cursor.fetchall())


_LATE = """
with late as (
    update scan set late_at = clock_timestamp()
    where id in (
        select id from scan where late_at is null and status in ('pending', 'running')
            and created_at < clock_timestamp() - make_interval(secs => %(minutes)s * 60)
        for update skip locked)
    returning *)
select tell(tenant_id, 'scan.late', id::text, jsonb_build_object(
    'tenantId', tenant_id, 'organizationId', organization_id, 'scanId', scan_id,
    'status', status, 'createdAt', moment_text(created_at),
    'startedAt', moment_text(started_at), 'processedItems', processed_items))
from late
"""


async def note_schema(
    connection: Connection, scan: dict[str, Any], columns: dict[str, Any]
) -> None:
    """Tell which properties came, went or changed their kind since the last scan of a kind.

    In the transaction that ends the scan and keeps its bookmark.

    Args:
        connection: that transaction.
        scan: its row.
        columns: the account's properties, as the scan row's `columns` has them.
    """
    cursor = await connection.execute(
        "select columns from bookmark where tenant_id = %s and fingerprint = %s",
        [scan["tenant_id"], scan["fingerprint"]],
    )
    row = await cursor.fetchone()
    if row and row["columns"] and (changes := _changes(row["columns"], columns)):
        await connection.execute(_SCHEMA, [Jsonb(changes), scan["id"]])


_SCHEMA = """
select tell(tenant_id, 'schema.changed', id::text, jsonb_build_object(
    'tenantId', tenant_id, 'organizationId', organization_id, 'scanId', scan_id,
    'changes', %s::jsonb))
from scan where id = %s
"""


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Return names by object type and kind of change; types that one scan lacks did not change."""
    found = {
        name: schemas.changes(schemas.kinds(before[name]), schemas.kinds(after[name]))
        for name in sorted(before.keys() & after.keys())
    }
    return {name: change for name, change in found.items() if change}
