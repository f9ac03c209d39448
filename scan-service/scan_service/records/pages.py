"""Knows the records that a scan left, page by page, and that each object type has its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.records.objects import DEALS, table_of
from scan_service.records.projection import record_json, records_of
from scan_service.records.storage import columns
from scan_service.records.tally import count, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.db import Database
    from scan_service.records.objects import Part


@dataclass(frozen=True)
class Page:
    """One page of a scan's records of one type.

    Attributes:
        records: a JSON array as PostgreSQL printed it: parsing it could only lose digits.
        summary: a JSON object, of all records and not of the page's, printed likewise.
        total: how many records there are.
    """

    records: str
    summary: str
    total: int


async def page(
    db: Database,
    scan: Mapping[str, Any],
    part: Part,
    *,
    number: int,
    size: int,
    associations: bool,
    raw: bool,
) -> Page:
    """Return one page of what a scan has of an object type.

    Args:
        db: the database.
        scan: whose records.
        part: what the scan reads of the type.
        number: of the page, from 1.
        size: how many records a page has.
        associations: whether to show links.
        raw: whether to show HubSpot's own object.
    """
    async with db.tenant(scan["tenant_id"]) as connection:
        present = await columns(connection, table_of(part.name))
        source = records_of(part, present, scan)
        total, records = 0, "[]"
        if present:
            total = await count(connection, source)
            cursor = await connection.execute(
                sql.SQL(
                    "select coalesce(json_agg({} order by d.id collate \"C\"), '[]')::text as text"
                    ' from (select * {} order by id collate "C" limit {} offset {}) as d'
                ).format(
                    record_json(part, present, associations=associations, raw=raw),
                    source,
                    sql.Literal(size),
                    sql.Literal((number - 1) * size),
                )
            )
            records = (await cursor.fetchone() or {})["text"]
        if part.name != DEALS:
            summary = json.dumps({"totalRecords": total})
        else:
            summary = scan["summary"] or await summarize(connection, present, source)
    return Page(records, summary, total)
