"""Knows what the CRM hub loaded into the operator's warehouse: the target's `_loads` there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.moments import timestamp

if TYPE_CHECKING:
    from scan_service.db import Warehouse

# Each source has a schema of its own. The view tells runs that were lost, too; PostgreSQL before 15
# has none.
_PLACES = """
select nspname as schema, bool_or(relname = '_latest_loads') as has_view
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relname in ('_loads', '_latest_loads') and relkind in ('r', 'p', 'v')
    and has_schema_privilege(nspname, 'usage') and has_table_privilege(pg_class.oid, 'select')
group by nspname order by nspname
"""
_LATEST = sql.SQL("""
select distinct on (stream) stream, processed, created, updated, unchanged, rejected, deleted,
    state, code, started_at, finished_at, stored_at
from {} where _tenant_id = %s order by stream, started_at desc, stored_at desc
""")


async def latest(warehouse: Warehouse, tenant_id: str) -> list[dict[str, Any]]:
    """Return the last load of each source and stream of a tenant.

    Args:
        warehouse: where the hub's sources are loaded.
        tenant_id: whose; a load of several tenants' records is nobody's.
    """
    found = []
    async with warehouse.tenant(tenant_id) as connection:
        for place in await (await connection.execute(_PLACES)).fetchall():
            table = "_latest_loads" if place["has_view"] else "_loads"
            statement = _LATEST.format(sql.Identifier(place["schema"], table))
            cursor = await connection.execute(statement, [tenant_id])
            for row in await cursor.fetchall():
                ended = row["finished_at"] or row["stored_at"]
                found.append({
                    "source": place["schema"], "stream": row["stream"], "state": row["state"],
                    "code": row["code"], "processed": row["processed"], "created": row["created"],
                    "updated": row["updated"], "unchanged": row["unchanged"],
                    "failed": row["rejected"], "deleted": row["deleted"],
                    "startedAt": timestamp(row["started_at"]), "lastAt": timestamp(ended),
                })  # fmt: skip
    return found
