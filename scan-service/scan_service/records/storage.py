"""Knows where records of scans are kept: the tables that the target makes when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.records.objects import table_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import LiteralString

    from scan_service.db import Connection

# Where the target keeps what it refused, of all streams.
REJECTED = "_rejected_records"
# Rows that are weighed; weighing all would read everything that the tenant has.
_SAMPLE = 1000


async def columns(connection: Connection, table: str) -> dict[str, str]:
    """Return name and type of the columns of a table of results; none if there is no table yet."""
    cursor = await connection.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = %s and table_name = %s order by ordinal_position",
        [RESULTS, table],
    )
    return {row["column_name"]: row["data_type"] for row in await cursor.fetchall()}


async def result_tables(connection: Connection) -> list[str]:
    """Return the tables that hold rows of scans, of whatever object type."""
    cursor = await connection.execute(
        "select table_name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema = %s and table_type = 'BASE TABLE'"
        " and column_name in ('_tenant_id', '_scan_id')"
        " group by table_name having count(*) = 2 order by table_name",
        [RESULTS],
    )
    return [row["table_name"] for row in await cursor.fetchall()]


async def empty(connection: Connection, tenant_id: str, scan_id: str) -> dict[str, int]:
    """Remove all rows of a scan; return how many went, by table."""
    gone = dict.fromkeys(await result_tables(connection), 0)
    for table in gone:
        cursor = await connection.execute(
            sql.SQL("delete from {} where _tenant_id = %s and _scan_id = %s").format(
                sql.Identifier(RESULTS, table)
            ),
            [tenant_id, scan_id],
        )
        gone[table] = cursor.rowcount
    if await columns(connection, REJECTED):
        await connection.execute(refused_rows("delete"), [tenant_id, scan_id])
    return gone


async def weigh(connection: Connection, tenant_id: str, scan_id: str, names: Iterable[str]) -> int:
    """Return about how many bytes a scan's rows of some streams take."""
    octets = 0
    for table in map(table_of, names):
        if not await columns(connection, table):
            continue
        rows = sql.SQL("from {} where _tenant_id = {} and _scan_id = {}").format(
            sql.Identifier(RESULTS, table), sql.Literal(tenant_id), sql.Literal(scan_id)
        )
        cursor = await connection.execute(
            sql.SQL(
                "select (select count(*) {0}) * coalesce((select avg(pg_column_size(row.*))"
                " from (select * {0} limit {1}) as row), 0) as octets"
            ).format(rows, sql.Literal(_SAMPLE))
        )
        row = await cursor.fetchone() or {"octets": 0}
        octets += round(row["octets"])
    return octets


def refused_rows(verb: LiteralString) -> sql.Composed:
    """Return the statement about a scan's refused records; the scan is in their keys only."""
    return sql.SQL(
        "{} from {} where _tenant_id = %s and record_key::jsonb ->> '_scan_id' = %s"
    ).format(sql.SQL(verb), sql.Identifier(RESULTS, REJECTED))
