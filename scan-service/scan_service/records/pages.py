"""Knows the records that a scan left, page by page, and that each object type has its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.records import marks
from scan_service.records.objects import DEALS, table_of
from scan_service.records.projection import record_json, unpacked
from scan_service.records.spool import Spool
from scan_service.records.storage import columns, reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.db import Database
    from scan_service.records.objects import Part
    from scan_service.records.summaries import Summaries


# Records that are printed at once, before it is known how long they are, and bytes after that.
_FIRST_STEP = 100
_STEP_OCTETS = 4 * 1024 * 1024


@dataclass(frozen=True)
class Place:
    """Where a page begins: how many records come before it, and the last of them if it is known."""

    before: int
    after: str | None = None


@dataclass(frozen=True)
class Page:
    """One page of a scan's records of one type.

    Attributes:
        records: a JSON array as PostgreSQL printed it: parsing it could only lose digits, and even
            decoding it takes four bytes for each letter of a page with one emoji. To be closed.
        summary: a JSON object, of all records and not of the page's, printed likewise.
        total: how many records there are; while the scan runs, how many it has told of.
        next: where the next page begins; None at the end.
        stable: whether the same page will show the same records again.
    """

    records: Spool
    summary: str
    total: int
    next: Place | None
    stable: bool


async def page(
    db: Database,
    scan: Mapping[str, Any],
    part: Part,
    place: Place,
    *,
    size: int,
    associations: bool,
    raw: bool,
    summaries: Summaries,
) -> Page:
    """Return one page of what a scan has of an object type.

    Args:
        db: the database.
        scan: whose records.
        part: what the scan reads of the type.
        place: where the page begins.
        size: how many records a page has.
        associations: whether to show links.
        raw: whether to show HubSpot's own object.
        summaries: of scans that are not counted yet.
    """
    stable = scan["records"] is not None
    records = Spool()
    try:
        async with reading(db, scan) as connection:
            present = await columns(connection, table_of(part.name))
            shown = record_json(part, present, scan, associations=associations, raw=raw)
            printing = _Printing(connection, scan, part, present, shown)
            number, last = await printing.page(place, size, records)
            seen = place.before + number
            total = scan["records"].get(part.name, 0) if stable else max(_told(scan, part), seen)
            if part.name != DEALS:
                summary = json.dumps({"totalRecords": total})
            else:
                summary = scan["summary"] or await summaries.of(connection, scan, part, present)
    except BaseException:
        records.close()
        raise
    following = Place(seen, last) if number and seen < total else None
    return Page(records, summary, total, following, stable)


@dataclass(frozen=True)
class _Printing:
    """What prints records of one type of a scan."""

    connection: Connection
    scan: Mapping[str, Any]
    part: Part
    present: Mapping[str, str]
    shown: sql.Composable

    async def page(self, place: Place, size: int, into: Spool) -> tuple[int, str | None]:
        """Print a page in steps that fit in memory; return how many it has, and the last one's id.

        How many records a step may have is known from those before it.
        """
        number, last, step = 0, place.after, _FIRST_STEP
        await into.append(b"[")
        while self.present and number < size:
            wanted = min(step, size - number)
            row = await self._print(Place(place.before, last), wanted)
            if row["n"]:
                await into.append(b"," if number else b"", memoryview(row["text"])[1:-1])
                number, last = number + row["n"], row["last"]
            if row["n"] < wanted:
                break
            step = max(1, _STEP_OCTETS * row["n"] // len(row["text"]))
        await into.append(b"]")
        return number, last

    async def _print(self, place: Place, number: int) -> dict[str, Any]:
        rest = await _from(self.connection, self.scan, self.part, place, number)
        cursor = await self.connection.execute(
            sql.SQL(
                "select convert_to(coalesce(json_agg({} order by d.id), '[]')::text, 'UTF8')"
                " as text, count(*) as n, max(d.id) as last {}"
            ).format(self.shown, unpacked(self.part, self.present, self.scan, rest=rest)),
            binary=True,
        )
        return await cursor.fetchone() or {"n": 0}


async def record(
    db: Database, scan: Mapping[str, Any], part: Part, record_id: str, *, raw: bool
) -> bytes | None:
    """Return one record of a scan with its links, as JSON text; None where there is none.

    Args:
        db: the database.
        scan: whose record.
        part: what the scan reads of its type.
        record_id: HubSpot's id.
        raw: whether to show HubSpot's own object.
    """
    async with reading(db, scan) as connection:
        present = await columns(connection, table_of(part.name))
        if not present:
            return None
        only = sql.SQL("and id = {} offset 0").format(sql.Literal(record_id))
        cursor = await connection.execute(
            sql.SQL("select convert_to({}::text, 'UTF8') as text {}").format(
                record_json(part, present, scan, associations=True, raw=raw),
                unpacked(part, present, scan, rest=only),
            ),
            binary=True,
        )
        row = await cursor.fetchone()
        return None if row is None else bytes(row["text"])


async def _from(
    connection: Connection, scan: Mapping[str, Any], part: Part, place: Place, size: int
) -> sql.Composable:
    """Return condition, order and limit of a page; the order is that of the table's key."""
    if place.after is not None:
        return sql.SQL("and id > {} order by id limit {}").format(
            sql.Literal(place.after), sql.Literal(size)
        )
    record, between = await marks.nearest(connection, scan, part, place.before)
    return sql.SQL("and id >= {} order by id limit {} offset {}").format(
        sql.Literal(record), sql.Literal(size), sql.Literal(between)
    )


def _told(scan: Mapping[str, Any], part: Part) -> int:
    """Return how many records of a type a scan that is not counted yet has told of."""
    if scan["objects"] is not None:
        counts = scan["objects"].get(part.name, {"processed": 0, "failed": 0})
        return int(counts["processed"] - counts["failed"])
    return int(scan["processed_items"] - scan["failed_items"])
