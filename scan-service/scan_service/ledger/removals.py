"""Knows how a removed scan's rows go: at once for the client, in small steps for the database."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from psycopg.errors import LockNotAvailable
from service_base.database import AWAY

from scan_service.db import end_loaders
from scan_service.errors import ConflictError, NotFoundError
from scan_service.ledger.scans import ACTIVE
from scan_service.records import storage
from scan_service.records.objects import DEALS, LINKS, table_of

if TYPE_CHECKING:
    import uuid

    from service_base.database import Connection

    from scan_service.db import Database

# Rows of one step: their locks are held, and their tenant waits for them, a moment only.
_STEP_ROWS = 5000
# What a request does of it itself: the whole of most scans.
_AT_ONCE_SECONDS = 1.0
_EXPIRE_AT_ONCE = 100


async def remove(db: Database, tenant_id: str, scan_id: str) -> dict[str, Any]:
    """Remove a finished scan; return how many rows it had.

    The scan is gone when this returns. Its rows are too if there are few; whatever is left, also
    by a server that was killed, goes by the sweep.

    Raises:
        NotFoundError: there is no such scan.
        ConflictError: it is not finished.
    """
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
        removed = await _counted(connection, row)
        await connection.execute(
            "insert into removal (scan, tenant_id, scan_id) values (%s, %s, %s)",
            [row["id"], tenant_id, scan_id],
        )
        await connection.execute("delete from scan where id = %s", [row["id"]])
    until = time.monotonic() + _AT_ONCE_SECONDS
    try:
        async with db.system() as connection:
            await end_loaders(connection, row["id"])  # none can begin to write any more
        while time.monotonic() < until and not await _step(db, row["id"], tenant_id, scan_id):
            pass
    except AWAY:
        pass  # somebody holds a row, or the database went away: the sweep goes on
    return removed


async def expire(db: Database) -> int:
    """Remove the scans whose time is over; return how many.

    That time is `keepDays` after a scan's end, or when its schedule has its last N after it: N that
    went well, or, after one that did not, N that ended. So failures take nothing away.
    """
    async with db.system() as connection:
        rows = await (await connection.execute(_EXPIRED, {"most": _EXPIRE_AT_ONCE})).fetchall()
    for row in rows:
        # Somebody else was quicker, is at it, or holds that one: it must not keep the others.
        with contextlib.suppress(NotFoundError, ConflictError, LockNotAvailable):
            await remove(db, row["tenant_id"], row["scan_id"])
    return len(rows)


_EXPIRED = """
(select tenant_id, scan_id from scan
where config ? 'keepDays' and run_id is null and status in ('completed', 'failed', 'cancelled')
    and completed_at < clock_timestamp() - make_interval(days => (config ->> 'keepDays')::int)
order by completed_at limit %(most)s)
union
(select old.tenant_id, old.scan_id from schedule, lateral (
    select tenant_id, scan_id, status, count(*) over newer as ended,
        count(*) filter (where status = 'completed') over newer as good
    from scan
    where scan.tenant_id = schedule.tenant_id and scan.schedule_id = schedule.schedule_id
        and run_id is null and status in ('completed', 'failed', 'cancelled')
    window newer as (order by created_at desc, id
        rows between unbounded preceding and 1 preceding)) as old
where good >= keep_last or (status <> 'completed' and ended >= keep_last) limit %(most)s)
"""


async def go_on(db: Database) -> bool:
    """Take one step of the removal that has waited longest; tell whether there was one.

    A removal that cannot go on, since somebody holds its rows, lets the others pass.
    """
    async with db.system() as connection:
        cursor = await connection.execute(_CLAIM)
        found = await cursor.fetchone()
    if found is None:
        return False
    await _step(db, found["scan"], found["tenant_id"], found["scan_id"])
    return True


_CLAIM = """
update removal set due_at = clock_timestamp() + interval '5 seconds'
where scan = (
    select scan from removal where due_at <= clock_timestamp()
    order by due_at limit 1 for update skip locked)
returning scan, tenant_id, scan_id
"""


async def _step(db: Database, scan: uuid.UUID, tenant_id: str, scan_id: str) -> bool:
    """Delete the next rows of a removed scan; tell whether none are left."""
    async with db.tenant(tenant_id) as connection:
        await connection.execute("set local lock_timeout = '500ms'")
        cursor = await connection.execute("select from removal where scan = %s for update", [scan])
        if await cursor.fetchone() is None:
            return True  # the name is used again, or the watch is over
        gone = await storage.empty(connection, tenant_id, scan_id, _STEP_ROWS)
        cursor = await connection.execute(
            "delete from page_mark where (scan, object, place) in"
            " (select scan, object, place from page_mark where scan = %s limit %s)",
            [scan, _STEP_ROWS],
        )
        empty = gone + cursor.rowcount == 0
        await connection.execute(_EMPTIED if empty else _MORE, [scan])
        if empty:
            await connection.execute(_WATCHED_ENOUGH, [scan])
        return empty


_MORE = "update removal set due_at = clock_timestamp() where scan = %s"
# Looks for what a frozen loader writes late: a minute later, then each time twice as late.
_EMPTIED = """
update removal set emptied_at = coalesce(emptied_at, clock_timestamp()),
    due_at = clock_timestamp() + greatest(interval '1 minute', clock_timestamp() - asked_at)
where scan = %s
"""
_WATCHED_ENOUGH = """
delete from removal where scan = %s and asked_at < clock_timestamp() - interval '7 days'
"""


async def _counted(connection: Connection, scan: dict[str, Any]) -> dict[str, Any]:
    """Return how many rows a scan has; they were counted when it ended, unless it just has."""
    kept = scan["records"] or {}
    names = [DEALS, LINKS] if scan["objects"] is None else [DEALS, LINKS, *scan["objects"]]
    found = {
        name: kept[name]
        if name in kept
        else await storage.count(connection, table_of(name), scan["tenant_id"], scan["scan_id"])
        for name in dict.fromkeys(names)
    }
    removed: dict[str, Any] = {
        "scanJob": 1, "deals": found[DEALS], "associations": found[LINKS],
    }  # fmt: skip
    if scan["objects"] is not None:
        removed["objects"] = {name: found[name] for name in scan["objects"]}
    return removed
