"""Knows what a tenant's scans came to so far, and what is stored now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.scans import result_tables
from scan_service.wording import duration, expected_duration, percentage, size, timestamp

if TYPE_CHECKING:
    from scan_service.db import Connection, Database

_HISTORY = """
select count(*) as ended,
    count(*) filter (where status = 'completed') as completed,
    count(*) filter (where status = 'failed') as failed,
    count(*) filter (where status = 'cancelled') as cancelled,
    coalesce(sum(deals), 0)::bigint as deals,
    coalesce(sum(deals) filter (where status = 'completed'), 0)::bigint as completed_deals,
    max(completed_at) filter (where status = 'completed') as last,
    avg(seconds) filter (where status = 'completed') as average,
    min(seconds) filter (where status = 'completed') as fastest,
    max(seconds) filter (where status = 'completed') as slowest,
    sum(seconds) filter (where status = 'completed') as seconds
from outcome where tenant_id = %s
"""
_NOW = """
select count(*) filter (where status = 'running') as running,
    count(*) filter (where status = 'pending') as pending
from scan where tenant_id = %s and status in ('pending', 'running')
"""

# Rows that are weighed; weighing all would read everything that the tenant has.
_SAMPLE = 1000


async def statistics(db: Database, tenant_id: str) -> dict[str, Any]:
    """Return the document's statistics of one tenant."""
    async with db.tenant(tenant_id) as connection:
        past = await (await connection.execute(_HISTORY, [tenant_id])).fetchone() or {}
        now = await (await connection.execute(_NOW, [tenant_id])).fetchone() or {}
        records, octets = await _stored(connection, tenant_id)
    total = past["ended"] + now["running"] + now["pending"]
    completed = past["completed"]
    minutes = float(past["seconds"] or 0) / 60
    return {
        "tenantId": tenant_id,
        "scans": {
            "total": total,
            "completed": completed,
            "running": now["running"],
            "failed": past["failed"],
            "pending": now["pending"],
            "cancelled": past["cancelled"],
            "successRate": percentage(completed, total),
        },
        "deals": {
            "totalExtracted": past["deals"],
            "averagePerScan": round(past["completed_deals"] / completed) if completed else 0,
            "lastExtraction": timestamp(past["last"], absent=None),
        },
        "performance": {
            "averageScanDuration": duration(past["average"]),
            "averageDealsPerMinute": round(past["completed_deals"] / minutes) if minutes else 0,
            "fastestScan": duration(past["fastest"]),
            "slowestScan": duration(past["slowest"]),
            "averageScanSeconds": _rounded(past["average"]),
            "fastestScanSeconds": _rounded(past["fastest"]),
            "slowestScanSeconds": _rounded(past["slowest"]),
        },
        "storage": {
            "totalRecords": records,
            "diskUsage": size(octets),
            "avgRecordSize": size(octets / records if records else 0),
            "diskUsageBytes": octets,
        },
    }


async def _stored(connection: Connection, tenant_id: str) -> tuple[int, int]:
    """Return the tenant's rows of deals, and about how many bytes all its rows of results take."""
    records = octets = 0
    for table in await result_tables(connection):
        cursor = await connection.execute(
            sql.SQL(
                "select (select count(*) from {0} where _tenant_id = %(t)s) as n,"
                " coalesce((select avg(pg_column_size(row.*)) from (select * from {0}"
                " where _tenant_id = %(t)s limit %(sample)s) as row), 0) as octets"
            ).format(sql.Identifier(RESULTS, table)),
            {"t": tenant_id, "sample": _SAMPLE},
        )
        row = await cursor.fetchone() or {"n": 0, "octets": 0}
        octets += round(row["n"] * row["octets"])
        if table == "deals":
            records = row["n"]
    return records, octets


async def estimate(db: Database, tenant_id: str) -> str:
    """Return how long the tenant's next scan may take, from its last ten."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select percentile_cont(0.5) within group (order by seconds) as median from ("
            " select seconds from outcome where tenant_id = %s and status = 'completed'"
            " order by completed_at desc limit 10) as latest",
            [tenant_id],
        )
        row = await cursor.fetchone()
    return expected_duration(row["median"] if row else None)


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 1)
