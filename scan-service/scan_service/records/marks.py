"""Knows where a finished scan's pages begin: every hundredth record, in the order of an index.

A page far back is then a short walk from the nearest mark, never a walk from the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.records.projection import records_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.records.objects import Part

_EVERY = 100


async def mark(
    connection: Connection, scan: Mapping[str, Any], part: Part, present: Mapping[str, str]
) -> int:
    """Note the marks of a scan's records of one type; return how many records there are."""
    owner = [scan["id"], part.name]
    await connection.execute("delete from page_mark where scan = %s and object = %s", owner)
    if not present:
        return 0
    statement = sql.SQL(
        "with numbered as (select id, row_number() over (order by id) - 1 as place {}),"
        " marked as (insert into page_mark (scan, tenant_id, object, place, record)"
        "  select %s, %s, %s, place, id from numbered where place %% {} = 0"
        # A run that lost its scan, and does not know it yet, may mark it too.
        "  on conflict (scan, object, place) do update set record = excluded.record)"
        " select count(*) as n from numbered"
    ).format(records_of(part, present, scan), sql.Literal(_EVERY))
    cursor = await connection.execute(statement, [scan["id"], scan["tenant_id"], part.name])
    row = await cursor.fetchone() or {"n": 0}
    return int(row["n"])


async def nearest(
    connection: Connection, scan: Mapping[str, Any], part: Part, place: int
) -> tuple[str, int]:
    """Return the last marked record up to a place, and how many come between the two.

    Without marks, while a scan runs, that is the beginning.
    """
    cursor = await connection.execute(
        "select record, place from page_mark where scan = %s and object = %s and place <= %s"
        " order by place desc limit 1",
        [scan["id"], part.name, place],
    )
    row = await cursor.fetchone()
    return ("", place) if row is None else (row["record"], place - row["place"])
