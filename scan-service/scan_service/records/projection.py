"""Knows how PostgreSQL prints a record: its rows, and the JSON of an answer.

PostgreSQL prints, so an amount is the decimal it was, never a float. A record's properties stand in
two objects, HubSpot's own and the tenant's (docs/decisions/0065).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.records.objects import DEALS, FIXED, table_of, type_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.records.objects import Part

STANDARD, CUSTOM = "standard", "custom"
# Where the two kinds of properties stand.
OBJECTS = {STANDARD: "properties", CUSTOM: "custom_properties"}
# Where texts stand that do not fit the type of their property.
UNPARSED = "unparsed_properties"
# What the tap adds to HubSpot's properties (docs/architecture.md).
_OWN = (
    "_tenant_id", "_scan_id", "id", "created_at", "updated_at", "archived", "merged_into",
    "read_at", UNPARSED, "associations", "raw",
)  # fmt: skip
ALL = sql.SQL("offset 0")
BY_ID = sql.SQL("order by id")


def kinds_of(scan: Mapping[str, Any], part: Part, of: str) -> dict[str, str]:
    """Return the properties that a scan knows of a type and their kinds ."""
    found: dict[str, str] = scan["columns"].get(part.name, {}).get(of, {})
    return found


def records_of(part: Part, present: Mapping[str, str], scan: Mapping[str, Any]) -> sql.Composable:
    """Return the SQL from `from` on that finds a scan's records of one type, in any order.

    Where a record was merged into another, the tap leaves a mark: no record of HubSpot's, but a
    change. So a full scan has none, and one that reads changes says what they were merged into.
    """
    found = sql.SQL("from {} where _tenant_id = {} and _scan_id = {}").format(
        sql.Identifier(RESULTS, table_of(part.name)),
        sql.Literal(scan["tenant_id"]),
        sql.Literal(scan["scan_id"]),
    )
    if part.changes or "merged_into" not in present:
        return found
    return found + sql.SQL(" and merged_into is null")


def unpacked(
    part: Part,
    present: Mapping[str, str],
    scan: Mapping[str, Any],
    *,
    rest: sql.Composable = ALL,
    with_unparsed: bool = False,
) -> sql.Composable:
    """Return the SQL from `from` on that gives records `d`, whose objects are read only once.

    PostgreSQL unpacks a stored object anew for every property that a statement names. What an
    operator made is in memory; `||` with nothing makes it, and `offset` keeps it apart.

    Args:
        part: what the scan reads of the object type.
        present: the columns that exist.
        scan: whose records.
        rest: further conditions, order and limit; without any, an `offset`.
        with_unparsed: whether both objects have the texts, too, that do not fit the type of their
            property: a cell can hold either.
    """
    named: list[sql.Composable] = [sql.Identifier(name) for name in _OWN if name in present]
    more = "'{}'"
    if with_unparsed and UNPARSED in present:
        more = f"coalesce({UNPARSED}, '{{}}')"
    named += [
        sql.SQL("coalesce({}, '{{}}') || {} as {}").format(
            sql.Identifier(name) if name in present else sql.SQL("null::jsonb"),
            sql.SQL(more),
            sql.Identifier(name),
        )
        for name in OBJECTS.values()
    ]
    return sql.SQL("from (select {} {} {}) as d").format(
        sql.SQL(", ").join(named), records_of(part, present, scan), rest
    )


def column(name: str, present: Mapping[str, str]) -> sql.Composable:
    """Return a column of the records `d`, or null while no scan has ever brought it."""
    return sql.SQL("d.{}").format(sql.Identifier(name)) if name in present else sql.SQL("null")


def moment(name: str, present: Mapping[str, str]) -> sql.Composable:
    """Return a date-time of the record's own as text."""
    return sql.SQL("moment_text({})").format(column(name, present))


def value(name: str, of: str = STANDARD) -> sql.Composable:
    """Return a property of the unpacked records `d` as JSON."""
    return sql.SQL("(d.{} -> {})").format(sql.Identifier(OBJECTS[of]), sql.Literal(name))


def text(name: str, of: str = STANDARD) -> sql.Composable:
    """Return a property of the unpacked records `d` as text."""
    return sql.SQL("(d.{} ->> {})").format(sql.Identifier(OBJECTS[of]), sql.Literal(name))


def moment_property(name: str, of: str = STANDARD) -> sql.Composable:
    """Return a property of the unpacked records `d` that is a date-time, as text."""
    return sql.SQL("moment_value({})").format(text(name, of))


def record_json(
    part: Part,
    present: Mapping[str, str],
    scan: Mapping[str, Any],
    *,
    associations: bool,
    raw: bool,
    custom: bool = True,
) -> sql.Composable:
    """Return the SQL that prints one unpacked record `d` as answers show it.

    Args:
        part: what the scan reads of the object type.
        present: the columns that exist.
        scan: whose records.
        associations: whether to show links.
        raw: whether to show HubSpot's own object.
        custom: whether to show the tenant's own properties.
    """
    fields = _deal_fields() if part.name == DEALS else _record_fields(part.name, present)
    fields["archived"] = column("archived", present)
    if part.changes:
        fields["mergedInto"] = column("merged_into", present)
    hidden = FIXED if part.name == DEALS else ()
    fields["properties"] = _shown(scan, part, STANDARD, hidden)
    if custom:
        fields["customProperties"] = _shown(scan, part, CUSTOM, ())
    if associations:
        start, kinds = type_of(part.name).singular, list(part.associations)
        fields["associations"] = sql.SQL(
            "links_json(coalesce({}::jsonb, '{{}}'), {}::text[], {}::text[])"
        ).format(
            column("associations", present),
            sql.Literal(kinds),
            sql.Literal([f"{start}_to_{type_of(kind).singular}" for kind in kinds]),
        )
    fields["unparsedProperties"] = column(UNPARSED, present)
    if raw:
        fields["raw"] = column("raw", present)
    fields["extractedAt"] = moment("read_at", present)
    pairs = sql.SQL(", ").join(
        part for name, shown in fields.items() for part in (sql.Literal(name), shown)
    )
    return sql.SQL("json_build_object({})").format(pairs)


def _shown(scan: Mapping[str, Any], part: Part, of: str, hidden: tuple[str, ...]) -> sql.Composable:
    moments = [
        name
        for name, kind in kinds_of(scan, part, of).items()
        if kind == "moment" and name not in hidden
    ]
    return sql.SQL("shown_properties(d.{}, {}::text[], {}::text[])").format(
        sql.Identifier(OBJECTS[of]), sql.Literal(list(hidden)), sql.Literal(moments)
    )


def _deal_fields() -> dict[str, sql.Composable]:
    return {
        "id": sql.SQL("deal_uuid(d._tenant_id, d._scan_id, d.id)"),
        "dealId": sql.SQL("d.id"),
        "hubspotObjectId": sql.SQL("d.id"),
        "dealname": value("dealname"),
        "amount": value("amount"),
        "closedate": moment_property("closedate"),
        "dealstage": value("dealstage"),
        "pipeline": value("pipeline"),
        "hubspotOwnerId": value("hubspot_owner_id"),
        "isClosedWon": value("hs_is_closed_won"),
        "isClosed": value("hs_is_closed"),
        "dealStageProbability": value("hs_deal_stage_probability"),
        "createdate": moment_property("createdate"),
        "lastmodifieddate": moment_property("hs_lastmodifieddate"),
    }


def _record_fields(name: str, present: Mapping[str, str]) -> dict[str, sql.Composable]:
    # HubSpot's ids are unique within a type only, so the type is part of ours.
    return {
        "id": sql.SQL("deal_uuid(d._tenant_id, d._scan_id, {} || '/' || d.id)").format(
            sql.Literal(name)
        ),
        "hubspotObjectId": sql.SQL("d.id"),
        "createdAt": moment("created_at", present),
        "updatedAt": moment("updated_at", present),
    }
