"""Knows what a scan came to: how many records, which sums, which properties, what was refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.moments import timestamp
from scan_service.records import marks
from scan_service.records.deals import CLOSED, CURRENCY, HOME, MONEY, OWN, WON
from scan_service.records.objects import DEALS, LINKS, parts, table_of
from scan_service.records.projection import OBJECTS, UNPARSED, kinds_of, records_of, unpacked
from scan_service.records.storage import columns, count, refused_rows, weigh
from scan_service.records.tables import REJECTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service_base.database import Connection

    from scan_service.records.objects import Part

_LISTED_PROBLEMS = 100


@dataclass
class Tally:
    """What a scan came to.

    Attributes:
        stored: records by object type.
        links: rows of the table of links.
        refused: records that the target refused, by object type.
        summary: the document's summary of deals, as JSON text.
        columns: the properties that have a value and their kinds, by object type.
        filled: how many records have a value, by object type and property.
        octets: about how many bytes its rows take.
        problems: the refused records as the scan's `errors` list them.
    """

    stored: dict[str, int] = field(default_factory=dict)
    links: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    summary: str | None = None
    columns: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    filled: dict[str, dict[str, int]] = field(default_factory=dict)
    octets: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> dict[str, int]:
        """All rows of results by what they are: what the ledger keeps as `records`."""
        return {**self.stored, LINKS: self.links}

    @property
    def processed(self) -> int:
        """All records that came, the refused ones too."""
        return sum(self.stored.values()) + sum(self.refused.values())

    def counts(
        self, before: Mapping[str, Mapping[str, Any]] | None, *, completed: bool
    ) -> dict[str, Any] | None:
        """Return the counts by object type; None of a scan that names no types.

        Args:
            before: the counts while it ran, with what was expected.
            completed: whether what came is all there is.
        """
        if before is None:
            return None
        found = {}
        for name, stored in self.stored.items():
            failed = self.refused.get(name, 0)
            total = stored + failed if completed else before.get(name, {}).get("total")
            found[name] = {"total": total, "processed": stored + failed, "failed": failed}
        return found


async def tally(connection: Connection, scan: Mapping[str, Any]) -> Tally:
    """Count what a scan left, exactly, and mark its pages: at its end, when nothing writes it."""
    found = Tally()
    for name, part in parts(scan["config"]).items():
        present = await columns(connection, table_of(name))
        found.stored[name] = await marks.mark(connection, scan, part, present)
        used = await _filled(connection, scan, part, present)
        found.filled[name] = {each: n for of in used.values() for each, n in of.items()}
        found.columns[name] = {
            of: {each: kinds_of(scan, part, of).get(each, "json") for each in names}
            for of, names in used.items()
        }
        if name == DEALS:
            found.summary = await summarize(connection, scan, part, present)
    found.links = await count(connection, LINKS, scan["tenant_id"], scan["scan_id"])
    found.octets = await weigh(
        connection, scan["tenant_id"], scan["scan_id"], [*found.stored, LINKS]
    )
    await _add_refused(connection, found, [scan["tenant_id"], scan["scan_id"]])
    return found


async def summarize(
    connection: Connection, scan: Mapping[str, Any], part: Part, present: Mapping[str, str]
) -> str:
    """Return the `summary` of a scan's deals as JSON text.

    Amounts of several currencies are never added up: HubSpot's amount in the home currency counts,
    and where a deal names a currency but has none, it stands under `notConverted`.
    """
    if not present:
        return json.dumps({**dict.fromkeys(_SUMMARY_COUNTS, 0), **dict.fromkeys(_SUMMARY_SUMS, 0)})
    statement = sql.SQL(
        "select json_build_object("
        "'totalDeals', count(*), 'totalAmount', coalesce(sum({money}), 0),"
        "'closedWonDeals', count(*) filter (where {won}),"
        "'closedWonAmount', coalesce(sum({money}) filter (where {won}), 0),"
        "'closedLostDeals', count(*) filter (where {closed} and not {won}),"
        "'closedLostAmount', coalesce(sum({money}) filter (where {closed} and not {won}), 0),"
        "'openDeals', count(*) filter (where not {closed}),"
        "'openAmount', coalesce(sum({money}) filter (where not {closed}), 0))::text as text"
        " {deals}"
    )
    deals = unpacked(part, present, scan)
    cursor = await connection.execute(
        statement.format(money=MONEY, won=WON, closed=CLOSED, deals=deals)
    )
    row = await cursor.fetchone() or {}
    found = str(row["text"])
    foreign = sql.SQL(
        "select json_object_agg(currency, json_build_object('deals', n, 'amount', amount))::text"
        " as text from (select {currency} as currency, count(*) as n, sum({own}::numeric) as amount"
        "  {deals} where {home} is null and {own} is not null and {currency} is not null"
        "  group by 1 order by 1) as left_out"
    ).format(currency=CURRENCY, own=OWN, home=HOME, deals=deals)
    row = await (await connection.execute(foreign)).fetchone() or {}
    return f'{found[:-1]}, "notConverted" : {row["text"]}}}' if row["text"] else found


_SUMMARY_COUNTS = ("totalDeals", "closedWonDeals", "closedLostDeals", "openDeals")
_SUMMARY_SUMS = ("totalAmount", "closedWonAmount", "closedLostAmount", "openAmount")


async def _filled(
    connection: Connection, scan: Mapping[str, Any], part: Part, present: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Return how many records have a value, by where properties stand and their names.

    A text that does not fit the type of its property is one, too. Properties that the scan chose
    are there without any.
    """
    found: dict[str, Counter[str]] = {of: Counter() for of in OBJECTS}
    rows = records_of(part, present, scan)
    for of, stored in OBJECTS.items():
        known = kinds_of(scan, part, of)
        found[of].update({name: 0 for name in part.properties if name in known})
        if stored in present:
            found[of].update(await _names(connection, stored, rows))
    unparsed = await _names(connection, UNPARSED, rows) if UNPARSED in present else {}
    for of, counts in found.items():
        known = kinds_of(scan, part, of)
        counts.update({name: n for name, n in unparsed.items() if name in known})
    return {of: dict(sorted(counts.items())) for of, counts in found.items()}


async def _names(connection: Connection, stored: str, rows: sql.Composable) -> dict[str, int]:
    """Return how often each name is in a column of objects."""
    cursor = await connection.execute(
        sql.SQL(
            "select name, count(*) as n from (select jsonb_object_keys({}) as name {}) as used"
            " group by name"
        ).format(sql.Identifier(stored), rows)
    )
    return {row["name"]: row["n"] for row in await cursor.fetchall()}


async def _add_refused(connection: Connection, found: Tally, owner: list[str]) -> None:
    """Count and list the records that the target refused."""
    present = await columns(connection, REJECTED)
    if not present:
        return
    # A record that a repeated run refused again is still one, and one that it stored is none.
    # Tables that older targets made lack the marks of that.
    open_ones = [f" and {name} is null" for name in ("overtaken", "nulled") if name in present]
    refused = sql.SQL(
        "select distinct on (stream, record_key) stream, record_key::jsonb ->> 'id' as id, reason,"
        " rejected_at {}{} and stream = any(%s) order by stream, record_key, rejected_at desc"
    ).format(refused_rows(""), sql.SQL("".join(open_ones)))
    given = [*owner, list(found.stored)]
    cursor = await connection.execute(
        sql.SQL("select stream, count(*) as n from ({}) as refused group by stream").format(
            refused
        ),
        given,
    )
    found.refused = {row["stream"]: row["n"] for row in await cursor.fetchall()}
    cursor = await connection.execute(
        sql.SQL("select * from ({}) as refused order by rejected_at desc limit %s").format(refused),
        [*given, _LISTED_PROBLEMS],
    )
    for row in await cursor.fetchall():
        is_deal = row["stream"] == DEALS
        problem = {
            "dealId": row["id"] if is_deal else None,
            "code": "VALIDATION_ERROR",
            "error": str(row["reason"])[:500],
            "timestamp": timestamp(row["rejected_at"]),
            "retryCount": 0,
        }
        if not is_deal:
            problem |= {"object": row["stream"], "recordId": row["id"]}
        found.problems.append(problem)
