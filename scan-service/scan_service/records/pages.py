"""Knows the records that a scan left, page by page, and that each object type has its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.errors import InvalidRequestError
from scan_service.records.objects import DEALS, parts, table_of
from scan_service.records.projection import columns, record_json, records_of
from scan_service.records.tally import count, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.db import Database
    from scan_service.door.models import ResultQuery
    from scan_service.records.objects import Part


def part_of(scan: Mapping[str, Any], name: str) -> Part:
    """Return what a scan reads of an object type; asking for one that it does not read is wrong."""
    found = parts(scan["config"])
    if name not in found:
        raise InvalidRequestError.field(
            "object", f"must be an object type of this scan: {', '.join(found)}",
            message="Invalid query parameters",
        )  # fmt: skip
    return found[name]


async def page(db: Database, scan: Mapping[str, Any], query: ResultQuery) -> str:
    """Return the `data` of one page of results, as JSON text."""
    part = part_of(scan, query.object)
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
                    record_json(
                        part,
                        present,
                        associations=query.include_associations,
                        raw=query.include_raw,
                    ),
                    source,
                    sql.Literal(query.page_size),
                    sql.Literal((query.page - 1) * query.page_size),
                )
            )
            records = (await cursor.fetchone() or {})["text"]
        if part.name != DEALS:
            summary = json.dumps({"totalRecords": total})
        else:
            summary = scan["summary"] or await summarize(connection, present, source)
    head = f'"scanId":{json.dumps(scan["scan_id"])},"scanStatus":{json.dumps(scan["status"])}'
    # Deals look as in the document; other types say what they are.
    shown = f'"deals":{records}'
    if part.name != DEALS:
        shown = f'"object":{json.dumps(part.name)},"records":{records}'
    pagination = json.dumps(paginate(query.page, query.page_size, total))
    return f'{{{head},{shown},"pagination":{pagination},"summary":{summary}}}'


def paginate(page: int, page_size: int, total: int) -> dict[str, Any]:
    """Return the document's `pagination`."""
    pages = -(-total // page_size)
    return {
        "current_page": page,
        "page_size": page_size,
        "total_items": total,
        "total_pages": pages,
        "has_next": page < pages,
        "has_previous": page > 1 and pages > 0,
        "next_page": page + 1 if page < pages else None,
        "previous_page": min(page - 1, pages) if page > 1 and pages > 0 else None,
    }
