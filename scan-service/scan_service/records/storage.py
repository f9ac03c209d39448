"""Knows what is kept of scans in the tables of results: how much, and how it goes away."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.errors import NotFoundError
from scan_service.records.objects import table_of
from scan_service.records.tables import REJECTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from typing import LiteralString

    from service_base.database import Connection

    from scan_service.db import Database

# Rows that are weighed; weighing all would read everything that the tenant has.
_SAMPLE = 1000


@asynccontextmanager
async def reading(db: Database, scan: Mapping[str, Any]) -> AsyncIterator[Connection]:
    """Give a transaction of its tenant's that reads a scan's rows.

    Raises:
        NotFoundError: the scan was removed before all was read.
    """
    async with db.tenant(scan["tenant_id"]) as connection:
        yield connection
        await refuse_removed(connection, scan)


async def refuse_removed(connection: Connection, scan: Mapping[str, Any]) -> None:
    """Make sure that what was read of a scan before this, or in one snapshot with it, is whole.

    A removed scan's row in the ledger goes first, and those of its results step by step.

    Raises:
        NotFoundError: the scan has been removed.
    """
    cursor = await connection.execute("select from scan where id = %s", [scan["id"]])
    if await cursor.fetchone() is None:
        raise NotFoundError("Scan not found")


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


async def empty(connection: Connection, tenant_id: str, scan_id: str, most: int) -> int:
    """Remove at most so many rows of a scan; return how many went, 0 if none are left."""
    owner, gone = [tenant_id, scan_id], 0
    for table in await result_tables(connection):
        rows = _rows(table)
        cursor = await connection.execute(_SOME.format(rows=rows), [*owner, *owner, most - gone])
        gone += cursor.rowcount
        if gone >= most:
            return gone
    if await columns(connection, REJECTED):
        rows = refused_rows("")
        cursor = await connection.execute(_SOME.format(rows=rows), [*owner, *owner, most - gone])
        gone += cursor.rowcount
    return gone


async def empty_of_tenant(connection: Connection, tenant_id: str, most: int) -> int:
    """Remove at most so many rows of a tenant, of all that the target makes; 0 if none are left."""
    cursor = await connection.execute(
        "select table_name as name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema = %s and table_type = 'BASE TABLE' and column_name = '_tenant_id'"
        " order by table_name",
        [RESULTS],
    )
    gone = 0
    for table in await cursor.fetchall():
        rows = sql.SQL("from {} where _tenant_id = %s").format(
            sql.Identifier(RESULTS, table["name"])
        )
        done = await connection.execute(
            _SOME.format(rows=rows), [tenant_id, tenant_id, most - gone]
        )
        gone += done.rowcount
        if gone >= most:
            break
    return gone


# The owner stands twice: partitions of a table may use the same ctid for other people's rows.
_SOME = sql.SQL("delete {rows} and ctid = any(array(select ctid {rows} limit %s))")


async def count(connection: Connection, table: str, tenant_id: str, scan_id: str) -> int:
    """Return how many rows of a scan a table has; none if there is no table."""
    if not await columns(connection, table):
        return 0
    cursor = await connection.execute(
        sql.SQL("select count(*) as n {}").format(_rows(table)), [tenant_id, scan_id]
    )
    row = await cursor.fetchone() or {"n": 0}
    return int(row["n"])


def _rows(table: str) -> sql.Composed:
    return sql.SQL("from {} where _tenant_id = %s and _scan_id = %s").format(
        sql.Identifier(RESULTS, table)
    )


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
