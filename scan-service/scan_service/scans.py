"""Knows the ledger as a tenant sees it: order a scan, look at it, cancel it, remove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from scan_service import results
from scan_service.db import RESULTS, step_out
from scan_service.errors import ConflictError, NotFoundError, RateLimitError

if TYPE_CHECKING:
    import uuid

    from scan_service.db import Connection, Database
    from scan_service.engine import Engine
    from scan_service.models import Extraction, ListQuery

ACTIVE = ("pending", "running")
_BACKLOG_RETRY_SECONDS = 60


async def exists(db: Database, tenant_id: str, scan_id: str) -> bool:
    """Tell whether the tenant has used this name."""
    async with db.tenant(tenant_id) as connection:
        query = "select 1 from scan where tenant_id = %s and scan_id = %s"
        cursor = await connection.execute(query, [tenant_id, scan_id])
        return await cursor.fetchone() is not None


async def start(
    db: Database,
    engine: Engine,
    extraction: Extraction,
    *,
    scan_id: str,
    token: bytes,
    total_items: int | None,
    max_pending: int,
) -> dict[str, Any]:
    """Enter a scan into the ledger and admit it if the tenant has a free slot."""
    tenant_id = extraction.tenant_id
    async with db.tenant(tenant_id) as connection:
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
        try:
            row = await _one(connection, _INSERT, {
                "tenant": tenant_id,
                "scan": scan_id,
                "organization": extraction.organization_id,
                "config": Jsonb(extraction.stored()),
                "fingerprint": extraction.fingerprint(),
                "token": token,
                "total": total_items,
                "incremental": extraction.mode == "incremental",
            })  # fmt: skip
        except UniqueViolation:
            raise ConflictError("Scan with this ID already exists") from None
        await step_out(connection)
        await admit(connection, engine, tenant_id)
    return row


_INSERT = """
insert into scan (tenant_id, scan_id, organization_id, config, fingerprint, token, total_items,
                  state)
select %(tenant)s, %(scan)s, %(organization)s, %(config)s, %(fingerprint)s, %(token)s,
       case when bookmark.state is null then %(total)s::bigint end, bookmark.state
from (values (1)) as one
left join bookmark on %(incremental)s and bookmark.tenant_id = %(tenant)s
                  and bookmark.fingerprint = %(fingerprint)s
returning *
"""


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
    select id, row_number() over (order by place) as n
    from scan where tenant_id = %(tenant)s and status = 'pending' and slot is null
    order by place limit 100
)
update scan set slot = free.slot, admitted_at = clock_timestamp()
from free join waiting using (n)
where scan.id = waiting.id and scan.status = 'pending' and scan.slot is null
returning scan.id
"""


async def find(db: Database, tenant_id: str, scan_id: str) -> dict[str, Any]:
    """Return the tenant's scan of this name."""
    async with db.tenant(tenant_id) as connection:
        return await find_in(connection, tenant_id, scan_id)


async def find_in(connection: Connection, tenant_id: str, scan_id: str) -> dict[str, Any]:
    """Return the tenant's scan of this name, in an open transaction."""
    cursor = await connection.execute(
        "select *, clock_timestamp() as now from scan where tenant_id = %s and scan_id = %s",
        [tenant_id, scan_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("Scan not found")
    return row


async def listed(
    db: Database, tenant_id: str, query: ListQuery
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of the tenant's scans, and how many there are."""
    order = {
        "created_at": sql.SQL("created_at"),
        "started_at": sql.SQL("started_at"),
        # By the life of a scan, not by the alphabet.
        "status": sql.SQL(
            "array_position(array['pending', 'running', 'completed', 'failed', 'cancelled'],"
            " status)"
        ),
    }[query.sort]
    direction = sql.SQL("desc" if query.order == "desc" else "asc")
    where = sql.SQL("tenant_id = %(tenant)s and (%(status)s = 'all' or status = %(status)s)")
    values = {
        "tenant": tenant_id,
        "status": query.status,
        "limit": query.page_size,
        "offset": (query.page - 1) * query.page_size,
    }
    async with db.tenant(tenant_id) as connection:
        total = await _one(
            connection, sql.SQL("select count(*) as n from scan where {}").format(where), values
        )
        cursor = await connection.execute(
            sql.SQL(
                "select * from scan where {} order by {} {} nulls last, id {}"
                " limit %(limit)s offset %(offset)s"
            ).format(where, order, direction, direction),
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


async def remove(db: Database, tenant_id: str, scan_id: str) -> dict[str, int]:
    """Remove a finished scan and all its rows; return how many rows went."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select * from scan where tenant_id = %s and scan_id = %s for update",
            [tenant_id, scan_id],
        )
        row = await cursor.fetchone()
        if row is None:
            raise NotFoundError("Scan not found")
        if row["status"] in ACTIVE or row["run_id"] is not None:
            raise ConflictError("Scan is not finished: cancel it first, or wait for its end")
        gone = {"deals": 0, "associations": 0}
        for table in await result_tables(connection):
            cursor = await connection.execute(
                sql.SQL("delete from {} where _tenant_id = %s and _scan_id = %s").format(
                    sql.Identifier(RESULTS, table)
                ),
                [tenant_id, scan_id],
            )
            if table in gone:
                gone[table] = cursor.rowcount
        if await results.columns(connection, results.REJECTED):
            await connection.execute(results.rejected_rows("delete"), [tenant_id, scan_id])
        await connection.execute("delete from scan where id = %s", [row["id"]])
    return {"scanJob": 1, **gone}


async def result_tables(connection: Connection) -> list[str]:
    """Return the tables that hold rows of scans; the target makes them when they are needed."""
    cursor = await connection.execute(
        "select table_name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema = %s and table_type = 'BASE TABLE'"
        " and column_name in ('_tenant_id', '_scan_id')"
        " group by table_name having count(*) = 2 order by table_name",
        [RESULTS],
    )
    return [row["table_name"] for row in await cursor.fetchall()]


async def note_outcome(connection: Connection, scan: uuid.UUID) -> None:
    """Copy what a scan came to into the history that removals do not touch."""
    await connection.execute(
        "insert into outcome (id, tenant_id, status, deals, seconds, completed_at)"
        " select id, tenant_id, status, processed_items - failed_items,"
        "   extract(epoch from completed_at - started_at), completed_at"
        " from scan where id = %s and status in ('completed', 'failed', 'cancelled')"
        " on conflict (id) do update set status = excluded.status, deals = excluded.deals,"
        "   seconds = excluded.seconds, completed_at = excluded.completed_at",
        [scan],
    )


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
