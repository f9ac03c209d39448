"""Knows the rows that a scan left: pages of them, their summary, their columns.

PostgreSQL prints the JSON, so an amount is the decimal it was, never a float.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.wording import timestamp

if TYPE_CHECKING:
    from typing import LiteralString

    from scan_service.db import Connection, Database
    from scan_service.models import ResultQuery

DEALS = sql.Identifier(RESULTS, "deals")
REJECTED = "_rejected_records"

# What the tap adds to HubSpot's properties (docs/architecture.md), and is no property itself.
OWN_COLUMNS = frozenset({
    "id", "created_at", "updated_at", "archived", "archived_at", "merged_into", "read_at",
    "custom_properties", "unparsed_properties", "associations", "raw",
})  # fmt: skip
FIXED = (
    "dealname", "amount", "closedate", "dealstage", "pipeline", "hubspot_owner_id",
    "hs_is_closed_won", "hs_is_closed", "hs_deal_stage_probability", "createdate",
    "hs_lastmodifieddate",
)  # fmt: skip
# Always asked for: the fixed fields of every answer, and what an honest sum of money needs.
NEEDED = (*FIXED, "amount_in_home_currency")
_LISTED_PROBLEMS = 100


@dataclass
class Figures:
    """What a scan came to."""

    deals: int = 0
    rejected: int = 0
    summary: str | None = None
    columns: dict[str, list[str]] = field(default_factory=lambda: {"standard": [], "custom": []})
    problems: list[dict[str, Any]] = field(default_factory=list)


async def columns(connection: Connection, table: str = "deals") -> dict[str, str]:
    """Return name and type of the columns of a table of results; none if there is no table yet."""
    cursor = await connection.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = %s and table_name = %s order by ordinal_position",
        [RESULTS, table],
    )
    return {row["column_name"]: row["data_type"] for row in await cursor.fetchall()}


def column(name: str, present: dict[str, str]) -> sql.Composable:
    """Return a column of `deals`, or null while no scan has ever brought it."""
    return sql.SQL("d.{}").format(sql.Identifier(name)) if name in present else sql.SQL("null")


def _moment(name: str, present: dict[str, str]) -> sql.Composable:
    if present.get(name) == "timestamp with time zone":
        return sql.SQL("moment_text({})").format(column(name, present))
    return column(name, present)


def deal_json(
    present: dict[str, str], *, associations: list[str] | None, raw: bool, custom: bool = True
) -> sql.Composable:
    """Return the SQL that prints one deal (`d`) as the document shows it.

    Args:
        present: the columns that exist.
        associations: object types to show; None shows none.
        raw: whether to show HubSpot's own object.
        custom: whether to show the tenant's own properties.
    """
    others = sorted(name for name in present if name in (*OWN_COLUMNS, *FIXED) or name[0] == "_")
    fields: list[tuple[str, sql.Composable]] = [
        ("id", sql.SQL("deal_uuid(d._tenant_id, d._scan_id, d.id)")),
        ("dealId", sql.SQL("d.id")),
        ("hubspotObjectId", sql.SQL("d.id")),
        ("dealname", column("dealname", present)),
        ("amount", column("amount", present)),
        ("closedate", _moment("closedate", present)),
        ("dealstage", column("dealstage", present)),
        ("pipeline", column("pipeline", present)),
        ("hubspotOwnerId", column("hubspot_owner_id", present)),
        ("isClosedWon", column("hs_is_closed_won", present)),
        ("isClosed", column("hs_is_closed", present)),
        ("dealStageProbability", column("hs_deal_stage_probability", present)),
        ("createdate", _moment("createdate", present)),
        ("lastmodifieddate", _moment("hs_lastmodifieddate", present)),
        ("archived", column("archived", present)),
        (
            "properties",
            sql.SQL("jsonb_strip_nulls(to_jsonb(d) - {}::text[])").format(sql.Literal(others)),
        ),
    ]
    if custom:
        fields.append(
            ("customProperties", _or_empty("custom_properties", present)),
        )
    if associations is not None:
        fields.append((
            "associations",
            sql.SQL("links_json({}, {}::text[])").format(
                _or_empty("associations", present), sql.Literal(associations)
            ),
        ))  # fmt: skip
    if "unparsed_properties" in present:
        fields.append(("unparsedProperties", sql.SQL("d.unparsed_properties")))
    if raw:
        fields.append(("raw", column("raw", present)))
    fields.append(("extractedAt", _moment("read_at", present)))
    pairs = sql.SQL(", ").join(
        part for name, value in fields for part in (sql.Literal(name), value)
    )
    return sql.SQL("json_build_object({})").format(pairs)


def _or_empty(name: str, present: dict[str, str]) -> sql.Composable:
    return sql.SQL("coalesce({}::jsonb, '{{}}')").format(column(name, present))


async def page(db: Database, scan: dict[str, Any], query: ResultQuery) -> str:
    """Return the `data` of one page of results, as JSON text."""
    tenant_id, scan_id = scan["tenant_id"], scan["scan_id"]
    async with db.tenant(tenant_id) as connection:
        present = await columns(connection)
        total, deals, summary = 0, "[]", scan["summary"]
        if present:
            counted = await _row(connection, _COUNT, [tenant_id, scan_id])
            total = counted["n"]
            wanted = scan["config"].get("associations") or []
            printed = await _row(
                connection,
                sql.SQL(
                    "select coalesce(json_agg({} order by d.id collate \"C\"), '[]')::text as text"
                    " from (select * from {} where _tenant_id = %s and _scan_id = %s"
                    ' order by id collate "C" limit %s offset %s) as d'
                ).format(
                    deal_json(
                        present,
                        associations=wanted if query.include_associations else None,
                        raw=query.include_raw,
                    ),
                    DEALS,
                ),
                [tenant_id, scan_id, query.page_size, (query.page - 1) * query.page_size],
            )
            deals = printed["text"]
        if summary is None:
            summary = await summarize(connection, present, tenant_id, scan_id)
    pagination = paginate(query.page, query.page_size, total)
    return (
        f'{{"scanId":{json.dumps(scan_id)},"scanStatus":{json.dumps(scan["status"])},'
        f'"deals":{deals},"pagination":{json.dumps(pagination)},"summary":{summary}}}'
    )


_COUNT = sql.SQL("select count(*) as n from {} where _tenant_id = %s and _scan_id = %s").format(
    DEALS
)


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


async def summarize(
    connection: Connection, present: dict[str, str], tenant_id: str, scan_id: str
) -> str:
    """Return the `summary` of a scan as JSON text.

    Amounts of several currencies are not added up: HubSpot's amount in the home currency counts
    where there is one.
    """
    if not present:
        return json.dumps({**dict.fromkeys(_SUMMARY_COUNTS, 0), **dict.fromkeys(_SUMMARY_SUMS, 0)})
    money = sql.SQL("coalesce({}::numeric, {}::numeric)").format(
        column("amount_in_home_currency", present), column("amount", present)
    )
    won = sql.SQL("coalesce({}::boolean, false)").format(column("hs_is_closed_won", present))
    closed = sql.SQL("({} or coalesce({}::boolean, false))").format(
        won, column("hs_is_closed", present)
    )
    statement = sql.SQL(
        "select json_build_object("
        "'totalDeals', count(*), 'totalAmount', coalesce(sum({money}), 0),"
        "'closedWonDeals', count(*) filter (where {won}),"
        "'closedWonAmount', coalesce(sum({money}) filter (where {won}), 0),"
        "'closedLostDeals', count(*) filter (where {closed} and not {won}),"
        "'closedLostAmount', coalesce(sum({money}) filter (where {closed} and not {won}), 0),"
        "'openDeals', count(*) filter (where not {closed}),"
        "'openAmount', coalesce(sum({money}) filter (where not {closed}), 0))::text as text"
        " from {deals} as d where _tenant_id = %s and _scan_id = %s"
    ).format(money=money, won=won, closed=closed, deals=DEALS)
    row = await _row(connection, statement, [tenant_id, scan_id])
    return str(row["text"])


_SUMMARY_COUNTS = ("totalDeals", "closedWonDeals", "closedLostDeals", "openDeals")
_SUMMARY_SUMS = ("totalAmount", "closedWonAmount", "closedLostAmount", "openAmount")


async def figures(connection: Connection, tenant_id: str, scan_id: str) -> Figures:
    """Count what a scan left, exactly: at its end, when nothing writes any more."""
    found = Figures()
    present = await columns(connection)
    if present:
        found.deals = (await _row(connection, _COUNT, [tenant_id, scan_id]))["n"]
        found.columns = await _used_columns(connection, present, tenant_id, scan_id)
    found.summary = await summarize(connection, present, tenant_id, scan_id)
    await _add_rejected(connection, found, tenant_id, scan_id)
    return found


async def _used_columns(
    connection: Connection, present: dict[str, str], tenant_id: str, scan_id: str
) -> dict[str, list[str]]:
    """Return the properties that have a value in this scan: the columns of its exports."""
    standard = [name for name in present if name not in (*OWN_COLUMNS, *FIXED) and name[0] != "_"]
    used = []
    if standard:
        flags = sql.SQL(", ").join(
            sql.SQL("bool_or({0} is not null) as {0}").format(sql.Identifier(name))
            for name in standard
        )
        where = sql.SQL("from {} where _tenant_id = %s and _scan_id = %s").format(DEALS)
        row = await _row(
            connection, sql.SQL("select {} {}").format(flags, where), [tenant_id, scan_id]
        )
        used = sorted(name for name in standard if row[name])
    custom: list[str] = []
    if "custom_properties" in present:
        cursor = await connection.execute(
            sql.SQL(
                "select distinct jsonb_object_keys(custom_properties::jsonb) as name from {}"
                " where _tenant_id = %s and _scan_id = %s"
                " and jsonb_typeof(custom_properties::jsonb) = 'object'"
            ).format(DEALS),
            [tenant_id, scan_id],
        )
        custom = sorted(row["name"] for row in await cursor.fetchall())
    return {"standard": used, "custom": custom}


async def _add_rejected(
    connection: Connection, found: Figures, tenant_id: str, scan_id: str
) -> None:
    """Count and list the records that the target refused."""
    if not await columns(connection, REJECTED):
        return
    selected = sql.SQL(
        "with refused as ({} and stream = 'deals') select (select count(*) from refused) as n,"
        " record_key::jsonb ->> 'id' as id, reason from refused limit %s"
    ).format(rejected_rows("select *"))
    cursor = await connection.execute(selected, [tenant_id, scan_id, _LISTED_PROBLEMS])
    rows = await cursor.fetchall()
    found.rejected = rows[0]["n"] if rows else 0
    found.problems = [
        {
            "dealId": row["id"],
            "code": "VALIDATION_ERROR",
            "error": str(row["reason"])[:500],
            "timestamp": timestamp(),
            "retryCount": 0,
        }
        for row in rows
    ]


def rejected_rows(verb: LiteralString) -> sql.Composed:
    """Return the statement about a scan's refused records; the scan is in their keys only."""
    return sql.SQL(
        "{} from {} where _tenant_id = %s and record_key::jsonb ->> '_scan_id' = %s"
    ).format(sql.SQL(verb), sql.Identifier(RESULTS, REJECTED))


async def _row(connection: Connection, statement: sql.SQL | sql.Composed, values: list[Any]) -> Any:
    cursor = await connection.execute(statement, values)
    return await cursor.fetchone()
