"""Knows what a tenant's scans came to so far, and what is stored now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scan_service.moments import timestamp
from scan_service.records.objects import DEALS
from scan_service.units import duration, expected_duration, percentage, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database

_HISTORY = """
select count(*) as ended,
    count(*) filter (where status = 'completed') as completed,
    count(*) filter (where status = 'failed') as failed,
    count(*) filter (where status = 'cancelled') as cancelled,
    coalesce(sum(deals), 0)::bigint as deals,
    coalesce(sum(deals) filter (where of_deals), 0)::bigint as completed_deals,
    count(*) filter (where of_deals) as with_deals,
    max(completed_at) filter (where of_deals) as last,
    avg(seconds) filter (where status = 'completed') as average,
    min(seconds) filter (where status = 'completed') as fastest,
    max(seconds) filter (where status = 'completed') as slowest,
    sum(seconds) filter (where of_deals) as seconds
from (select *, status = 'completed' and (objects is null or objects ? 'deals') as of_deals
    from outcome where tenant_id = %s) as past
"""
_NOW = """
select count(*) filter (where status = 'running') as running,
    count(*) filter (where status = 'pending') as pending
from scan where tenant_id = %s and status in ('pending', 'running')
"""
# What a scan has is counted when it ends, so one that runs is not in it yet.
_STORED = """
select name, sum(n::bigint)::bigint as records
from scan, jsonb_each_text(records) as part(name, n)
where tenant_id = %s and name <> 'associations' group by name
"""
_WEIGHT = "select coalesce(sum(octets), 0)::bigint as octets from scan where tenant_id = %s"
_OTHERS = """
select name, sum(records::bigint)::bigint as records,
    max(completed_at) filter (where status = 'completed') as last
from outcome, jsonb_each_text(objects) as part(name, records)
where tenant_id = %s and name <> %s group by name order by name
"""


async def statistics(db: Database, tenant_id: str) -> dict[str, Any]:
    """Return the document's statistics of one tenant."""
    async with db.tenant(tenant_id) as connection:
        past = await (await connection.execute(_HISTORY, [tenant_id])).fetchone() or {}
        now = await (await connection.execute(_NOW, [tenant_id])).fetchone() or {}
        cursor = await connection.execute(_STORED, [tenant_id])
        stored = {row["name"]: row["records"] for row in await cursor.fetchall()}
        weight = await (await connection.execute(_WEIGHT, [tenant_id])).fetchone() or {}
        others = await _objects(connection, tenant_id, stored)
    records, octets = sum(stored.values()), weight["octets"]
    total = past["ended"] + now["running"] + now["pending"]
    completed = past["completed"]
    minutes = float(past["seconds"] or 0) / 60
    of_deals = past["with_deals"]
    answer = {
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
            "averagePerScan": round(past["completed_deals"] / of_deals) if of_deals else 0,
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
    # An addition, for those who scan other types too.
    return {**answer, "objects": others} if others else answer


async def _objects(
    connection: Connection, tenant_id: str, stored: Mapping[str, int]
) -> dict[str, Any]:
    """Return the numbers of the other object types that the tenant has scanned."""
    cursor = await connection.execute(_OTHERS, [tenant_id, DEALS])
    return {
        row["name"]: {
            "totalExtracted": row["records"],
            "lastExtraction": timestamp(row["last"], absent=None),
            "storedRecords": stored.get(row["name"], 0),
        }
        for row in await cursor.fetchall()
    }


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
