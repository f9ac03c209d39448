"""Knows the ledger as a tenant sees it: order a scan, look at it, cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from scan_service.db import step_out
from scan_service.errors import ConflictError, NotFoundError, RateLimitError
from scan_service.ledger import deliveries

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.engine.jobs import Engine
    from scan_service.ledger.extraction import Extraction

ACTIVE = ("pending", "running")
_BACKLOG_RETRY_SECONDS = 60


async def exists(db: Database, tenant_id: str, scan_id: str) -> bool:
    """Tell whether the tenant has used this name."""
    async with db.tenant(tenant_id) as connection:
        query = "select 1 from scan where tenant_id = %s and scan_id = %s"
        cursor = await connection.execute(query, [tenant_id, scan_id])
        return await cursor.fetchone() is not None


async def start(
    connection: Connection,
    engine: Engine,
    extraction: Extraction,
    *,
    scan_id: str,
    token: bytes,
    totals: Mapping[str, int | None],
    max_pending: int,
    schedule_id: str | None = None,
) -> dict[str, Any]:
    """Enter a scan into the ledger and admit it if the tenant has a free slot.

    In the caller's transaction, which acts for the tenant and then no more.
    """
    tenant_id = extraction.tenant_id
    await _lock(connection, tenant_id)
    waiting = await _one(
        connection,
        "select count(*) as n from scan"
        " where tenant_id = %s and status = 'pending' and slot is null",
        [tenant_id],
    )
    if waiting["n"] >= max_pending:
        raise RateLimitError(
            f"{max_pending} scans are waiting already. Please retry later.",
            headers={"Retry-After": str(_BACKLOG_RETRY_SECONDS)},
        )
    await _take_name(connection, tenant_id, scan_id)
    try:
        row = await _one(connection, _INSERT, {
            "tenant": tenant_id,
            "scan": scan_id,
            "organization": extraction.organization_id,
            "schedule": schedule_id,
            "config": Jsonb(extraction.stored()),
            "fingerprint": extraction.fingerprint(),
            "token": token,
            "total": _sum(totals),
            "objects": _objects(extraction, totals),
            "unknown": _objects(extraction, dict.fromkeys(totals)),
            "incremental": extraction.mode == "incremental",
        })  # fmt: skip
    except UniqueViolation:
        raise ConflictError("Scan with this ID already exists") from None
    await step_out(connection)
    await admit(connection, engine, tenant_id)
    return row


async def _take_name(connection: Connection, tenant_id: str, scan_id: str) -> None:
    """Refuse the name of a removed scan while rows of it are left; it is free again after that."""
    name = [tenant_id, scan_id]
    await connection.execute(
        "delete from removal where tenant_id = %s and scan_id = %s and emptied_at is not null", name
    )
    cursor = await connection.execute(
        "select from removal where tenant_id = %s and scan_id = %s", name
    )
    if await cursor.fetchone() is not None:
        raise ConflictError("A scan with this ID is being removed. Please retry later.")


_INSERT = """
insert into scan (tenant_id, scan_id, organization_id, config, fingerprint, token, total_items,
                  objects, state, schedule_id)
select %(tenant)s, %(scan)s, %(organization)s, %(config)s, %(fingerprint)s, %(token)s,
       case when bookmark.state is null then %(total)s::bigint end,
       case when bookmark.state is null then %(objects)s::jsonb else %(unknown)s::jsonb end,
       bookmark.state, %(schedule)s
from (values (1)) as one
left join bookmark on %(incremental)s and bookmark.tenant_id = %(tenant)s
                  and bookmark.fingerprint = %(fingerprint)s
returning *
"""


def _sum(totals: Mapping[str, int | None]) -> int | None:
    """Return how much is to be expected in all; one unknown number makes it unknown."""
    known = [total for total in totals.values() if total is not None]
    return sum(known) if len(known) == len(totals) else None


def _objects(extraction: Extraction, totals: Mapping[str, int | None]) -> Jsonb | None:
    """Return the counts by object type of a scan that names types; others answer as ever."""
    if extraction.objects is None:
        return None
    return Jsonb({
        name: {"total": total, "processed": 0, "failed": 0} for name, total in totals.items()
    })  # fmt: skip


async def admit(connection: Connection, engine: Engine, tenant_id: str) -> int:
    """Give the tenant's free slots to its oldest waiting scans, and wake workers for them."""
    await _lock(connection, tenant_id)
    cursor = await connection.execute(_ADMIT, {"tenant": tenant_id})
    admitted = await cursor.fetchall()
    for row in admitted:
        job = await engine.defer(connection, row["id"])
        await connection.execute("update scan set job_id = %s where id = %s", [job, row["id"]])
    return len(admitted)


_ADMIT = """
with free as (
    select place.slot, row_number() over (order by place.slot) as n
    from tenant, generate_series(1, max_running) as place(slot)
    where tenant_id = %(tenant)s and not exists (
        select from scan where scan.tenant_id = %(tenant)s and scan.slot = place.slot)
), waiting as (
    -- One that somebody holds lets the others pass; the sweep comes back for it.
    select id, row_number() over (order by place) as n from (
        select id, place from scan
        where tenant_id = %(tenant)s and status = 'pending' and slot is null
        order by place limit 100 for update skip locked) as unheld
)
update scan set slot = free.slot, admitted_at = clock_timestamp()
from free join waiting using (n)
where scan.id = waiting.id and scan.status = 'pending' and scan.slot is null
returning scan.id
"""


async def find(
    db: Database, tenant_id: str, scan_id: str, *, of: str | None = None
) -> dict[str, Any]:
    """Return the tenant's scan of this name.

    Args:
        db: the database.
        tenant_id: whose.
        scan_id: its name.
        of: the object type whose properties `columns` is to name; without it, of none. All of a
            wide account's are megabytes, and reading them keeps everybody waiting.
    """
    async with db.tenant(tenant_id) as connection:
        return await find_in(connection, tenant_id, scan_id, of=of)


async def find_in(
    connection: Connection, tenant_id: str, scan_id: str, *, of: str | None = None
) -> dict[str, Any]:
    """Return the tenant's scan of this name, in an open transaction; see `find`."""
    columns = "'{}'::jsonb" if of is None else _COLUMNS_OF
    cursor = await connection.execute(
        _FOUND.format(columns=sql.SQL(columns)),
        {"tenant": tenant_id, "scan": scan_id, "of": of},
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("Scan not found")
    return row


_COLUMNS_OF: Final = "jsonb_build_object(%(of)s::text, coalesce(columns -> %(of)s, '{}'))"
_FOUND = sql.SQL("""
select id, tenant_id, scan_id, organization_id, status, config, run_id, seen_at, created_at,
    started_at, completed_at, total_items, processed_items, failed_items, objects, errors, live,
    requests, summary, records, findings, {columns} as columns, clock_timestamp() as now
from scan where tenant_id = %(tenant)s and scan_id = %(scan)s
""")


async def listed(
    db: Database, tenant_id: str, *, status: str, sort: str, order: str, number: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the tenant's scans, and how many there are.

    Args:
        db: the database.
        tenant_id: whose scans.
        status: of these scans, or `all`.
        sort: `created_at`, `started_at` or `status`.
        order: `asc` or `desc`.
        number: of the page, from 1.
        size: how many scans a page has.
    """
    key = {
        "created_at": sql.SQL("created_at"),
        "started_at": sql.SQL("started_at"),
        # By the life of a scan, not by the alphabet.
        "status": sql.SQL(
            "array_position(array['pending', 'running', 'completed', 'failed', 'cancelled'],"
            " status)"
        ),
    }[sort]
    direction = sql.SQL("desc" if order == "desc" else "asc")
    where = sql.SQL("tenant_id = %(tenant)s and (%(status)s = 'all' or status = %(status)s)")
    values = {
        "tenant": tenant_id,
        "status": status,
        "limit": size,
        "offset": (number - 1) * size,
    }
    async with db.tenant(tenant_id) as connection:
        total = await _one(
            connection, sql.SQL("select count(*) as n from scan where {}").format(where), values
        )
        cursor = await connection.execute(
            sql.SQL(
                "select id, scan_id, status, total_items, processed_items, objects, created_at,"
                " started_at, completed_at from scan where {} order by {} {} nulls last, id {}"
                " limit %(limit)s offset %(offset)s"
            ).format(where, key, direction, direction),
            values,
        )
        return await cursor.fetchall(), total["n"]


async def cancel(db: Database, engine: Engine, tenant_id: str, scan_id: str) -> dict[str, Any]:
    """Cancel a scan: the ledger says so first, then whoever runs it is stopped."""
    async with db.tenant(tenant_id) as connection:
        found = await find_in(connection, tenant_id, scan_id)
        cursor = await connection.execute(_CANCEL, [found["id"]])
        row = await cursor.fetchone()
        if row is None:
            current = await find_in(connection, tenant_id, scan_id)
            raise ConflictError(f"Scan is already {current['status']}")
        await step_out(connection)
        await note_outcome(connection, row["id"])
        if row["job_id"] is not None:
            await engine.abort(connection, row["job_id"])
        # Only now the tenant's lock, and only if a slot became free: whoever holds that lock may be
        # waiting for this very row.
        if row["previous_slot"] is not None and row["slot"] is None:
            await admit(connection, engine, tenant_id)
        return row


# The slot of a scan that runs is freed by its worker when the processes are gone, not before.
_CANCEL = """
with before as (select id, status, slot from scan where id = %s for update)
update scan set status = 'cancelled', completed_at = clock_timestamp(), token = null, state = null,
    slot = case when scan.run_id is null then null else scan.slot end
from before
where scan.id = before.id and before.status in ('pending', 'running')
returning scan.*, before.status as previous_status, before.slot as previous_slot
"""


async def note_outcome(connection: Connection, scan: uuid.UUID) -> None:
    """Copy what a scan came to into the history that removals do not touch, and tell of it."""
    await connection.execute(_NOTE_OUTCOME, [scan])
    await deliveries.note_ended(connection, scan)


_NOTE_OUTCOME = """
insert into outcome (id, tenant_id, status, deals, objects, seconds, completed_at)
select id, tenant_id, status,
    case when objects is null then processed_items - failed_items
        else coalesce((counted.stored ->> 'deals')::bigint, 0) end,
    counted.stored, extract(epoch from completed_at - started_at), completed_at
from scan, lateral (
    select jsonb_object_agg(
        name, (counts ->> 'processed')::bigint - (counts ->> 'failed')::bigint) as stored
    from jsonb_each(scan.objects) as part(name, counts)) as counted
where id = %s and status in ('completed', 'failed', 'cancelled')
on conflict (id) do update set status = excluded.status, deals = excluded.deals,
    objects = excluded.objects, seconds = excluded.seconds, completed_at = excluded.completed_at
"""


async def _lock(connection: Connection, tenant_id: str) -> None:
    """Let one transaction at a time deal with a tenant's slots."""
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended('admit/' || %s, 0))", [tenant_id]
    )


async def _one(connection: Connection, query: Any, values: Any) -> dict[str, Any]:
    cursor = await connection.execute(query, values)
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the statement returned no row")
    return row
