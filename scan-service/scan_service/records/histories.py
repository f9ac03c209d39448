"""Knows what a record was before: its stays in stages, and the values of chosen properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.records.objects import history_tables
from scan_service.records.storage import columns, reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import LiteralString

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.records.objects import Part

# HubSpot keeps the newest 20 to 45 values of a property.
_MOST = 2000


async def told(
    db: Database, scan: Mapping[str, Any], part: Part, record_id: str
) -> dict[str, list[dict[str, Any]]]:
    """Return `stays` and `changes` of a record, the newest first; empty of one that kept none.

    Args:
        db: the database.
        scan: whose record.
        part: what the scan reads of its type.
        record_id: HubSpot's id.
    """
    if not part.history:
        return {"stays": [], "changes": []}
    values, stages = history_tables(part)
    async with reading(db, scan) as connection:
        return {
            "stays": await _rows(connection, scan, stages, record_id, _STAYS),
            "changes": await _rows(connection, scan, values, record_id, _CHANGES),
        }


async def _rows(
    connection: Connection, scan: Mapping[str, Any], table: str, record_id: str,
    statement: LiteralString,
) -> list[dict[str, Any]]:  # fmt: skip
    if not await columns(connection, table):
        return []
    cursor = await connection.execute(
        sql.SQL(statement).format(sql.Identifier(RESULTS, table)),
        [scan["tenant_id"], scan["scan_id"], record_id, _MOST],
    )
    return await cursor.fetchall()


_STAYS: LiteralString = """
select pipeline, stage, scan_service.moment_text(entered_at) as "enteredAt",
    scan_service.moment_text(left_at) as "leftAt", seconds::float8 as seconds,
    coalesce(gap_before, false) as "gapBefore"
from {} where _tenant_id = %s and _scan_id = %s and record_id = %s
order by entered_at desc limit %s
"""
_CHANGES: LiteralString = """
select property, scan_service.moment_text("timestamp") as at, value,
    source_type as "sourceType", coalesce(source_label, source_id) as source,
    coalesce(gap_before, false) as "gapBefore"
from {} where _tenant_id = %s and _scan_id = %s and record_id = %s
order by "timestamp" desc, sequence desc, property limit %s
"""
