"""Knows how PostgreSQL prints a record: as the JSON of an answer, and as the columns of a file.

PostgreSQL prints, so an amount is the decimal it was, never a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.db import RESULTS
from scan_service.records.objects import DEALS, FIXED, singular, table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scan_service.records.objects import Part

# What the tap adds to HubSpot's properties (docs/architecture.md), and is no property itself.
OWN_COLUMNS = frozenset({
    "id", "created_at", "updated_at", "archived", "archived_at", "merged_into", "read_at",
    "custom_properties", "unparsed_properties", "associations", "raw",
})  # fmt: skip
_PAIRS = 50  # PostgreSQL takes 100 arguments
_NUMBERS = frozenset({"numeric", "integer", "bigint", "double precision", "real", "smallint"})
_DEAL_HEADINGS = {
    "id": "deal_id",
    "dealname": "dealname",
    "amount": "amount",
    "closedate": "closedate",
    "dealstage": "dealstage",
    "pipeline": "pipeline",
    "hubspot_owner_id": "hubspot_owner_id",
    "hs_is_closed_won": "is_closed_won",
    "read_at": "extracted_at",
    "hs_is_closed": "is_closed",
    "hs_deal_stage_probability": "deal_stage_probability",
    "createdate": "createdate",
    "hs_lastmodifieddate": "lastmodifieddate",
    "archived": "archived",
}
_RECORD_HEADINGS = {
    "id": "record_id",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "read_at": "extracted_at",
    "archived": "archived",
}


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Attributes:
        heading: its first line.
        text: how CSV prints it.
        cell: how it goes to the writer of workbooks.
        kind: what kind of cell it is there.
    """

    heading: str
    text: sql.Composable
    cell: sql.Composable
    kind: str


def records_of(part: Part, present: Mapping[str, str], scan: Mapping[str, Any]) -> sql.Composable:
    """Return the SQL from `from` on that finds a scan's records of one type, in any order.

    Where a record was merged into another, the tap leaves a mark: no record of HubSpot's, but a
    change. So a full scan has none, and one that reads changes says what they were merged into.
    """
    found = sql.SQL("from {} as d where _tenant_id = {} and _scan_id = {}").format(
        sql.Identifier(RESULTS, table_of(part.name)),
        sql.Literal(scan["tenant_id"]),
        sql.Literal(scan["scan_id"]),
    )
    if part.changes or "merged_into" not in present:
        return found
    return found + sql.SQL(" and merged_into is null")


def properties_in(name: str, present: Iterable[str]) -> list[str]:
    """Return the columns that hold properties and have no field of their own."""
    known = {*OWN_COLUMNS, *(FIXED if name == DEALS else ())}
    return [each for each in present if each not in known and each[0] != "_"]


def column(name: str, present: Mapping[str, str]) -> sql.Composable:
    """Return a column of the records `d`, or null while no scan has ever brought it."""
    return sql.SQL("d.{}").format(sql.Identifier(name)) if name in present else sql.SQL("null")


def _moment(name: str, present: Mapping[str, str]) -> sql.Composable:
    if present.get(name) == "timestamp with time zone":
        return sql.SQL("moment_text({})").format(column(name, present))
    return column(name, present)


def _or_empty(name: str, present: Mapping[str, str]) -> sql.Composable:
    return sql.SQL("coalesce({}::jsonb, '{{}}')").format(column(name, present))


def record_json(
    part: Part, present: Mapping[str, str], *, associations: bool, raw: bool, custom: bool = True
) -> sql.Composable:
    """Return the SQL that prints one record (`d`) as answers show it.

    Args:
        part: what the scan reads of the object type.
        present: the columns that exist.
        associations: whether to show links.
        raw: whether to show HubSpot's own object.
        custom: whether to show the tenant's own properties.
    """
    fields = _deal_fields(present) if part.name == DEALS else _record_fields(part.name, present)
    fields["archived"] = column("archived", present)
    if part.changes:
        fields["mergedInto"] = column("merged_into", present)
    fields["properties"] = _properties_json(part.name, present)
    if custom:
        fields["customProperties"] = _or_empty("custom_properties", present)
    if associations:
        start, kinds = singular(part.name), list(part.associations)
        fields["associations"] = sql.SQL("links_json({}, {}::text[], {}::text[])").format(
            _or_empty("associations", present),
            sql.Literal(kinds),
            sql.Literal([f"{start}_to_{singular(kind)}" for kind in kinds]),
        )
    if "unparsed_properties" in present:
        fields["unparsedProperties"] = sql.SQL("d.unparsed_properties")
    if raw:
        fields["raw"] = column("raw", present)
    fields["extractedAt"] = _moment("read_at", present)
    pairs = sql.SQL(", ").join(
        part for name, value in fields.items() for part in (sql.Literal(name), value)
    )
    return sql.SQL("json_build_object({})").format(pairs)


def _properties_json(name: str, present: Mapping[str, str]) -> sql.Composable:
    shown = properties_in(name, present)
    found = sql.SQL("to_jsonb(d) - {}::text[]").format(sql.Literal(sorted({*present} - {*shown})))
    moments = [each for each in shown if present[each] == "timestamp with time zone"]
    for at in range(0, len(moments), _PAIRS):
        pairs = [
            part
            for each in moments[at : at + _PAIRS]
            for part in (sql.Literal(each), _moment(each, present))
        ]
        found += sql.SQL(" || jsonb_build_object({})").format(sql.SQL(", ").join(pairs))
    return sql.SQL("jsonb_strip_nulls({})").format(found)


def _deal_fields(present: Mapping[str, str]) -> dict[str, sql.Composable]:
    return {
        "id": sql.SQL("deal_uuid(d._tenant_id, d._scan_id, d.id)"),
        "dealId": sql.SQL("d.id"),
        "hubspotObjectId": sql.SQL("d.id"),
        "dealname": column("dealname", present),
        "amount": column("amount", present),
        "closedate": _moment("closedate", present),
        "dealstage": column("dealstage", present),
        "pipeline": column("pipeline", present),
        "hubspotOwnerId": column("hubspot_owner_id", present),
        "isClosedWon": column("hs_is_closed_won", present),
        "isClosed": column("hs_is_closed", present),
        "dealStageProbability": column("hs_deal_stage_probability", present),
        "createdate": _moment("createdate", present),
        "lastmodifieddate": _moment("hs_lastmodifieddate", present),
    }


def _record_fields(name: str, present: Mapping[str, str]) -> dict[str, sql.Composable]:
    # HubSpot's ids are unique within a type only, so the type is part of ours.
    return {
        "id": sql.SQL("deal_uuid(d._tenant_id, d._scan_id, {} || '/' || d.id)").format(
            sql.Literal(name)
        ),
        "hubspotObjectId": sql.SQL("d.id"),
        "createdAt": _moment("created_at", present),
        "updatedAt": _moment("updated_at", present),
    }


def file_columns(
    part: Part,
    present: Mapping[str, str],
    *,
    standard: Iterable[str],
    custom: Iterable[str],
    associations: bool,
) -> list[Column]:
    """Return a file's columns.

    For deals the document's nine come first, then the fixed ones that it forgot; for all types,
    then, what the scan has.
    """
    first = dict(_DEAL_HEADINGS if part.name == DEALS else _RECORD_HEADINGS)
    if part.changes:
        first["merged_into"] = "merged_into"
    taken: set[str] = set()
    found = [
        _own(_free(heading, taken), name, present)
        for name, heading in (*first.items(), *((n, n) for n in standard if n in present))
    ]
    for kind in part.associations if associations else ():
        ids = sql.SQL("link_ids({}::jsonb -> {})").format(
            column("associations", present), sql.Literal(kind)
        )
        # A record may have a property of that name, and two columns of one name help nobody.
        found.append(Column(_free(kind, taken, "associated_"), ids, ids, "text"))
    for name in custom if "custom_properties" in present else ():
        value = sql.SQL("(d.custom_properties::jsonb -> {})").format(sql.Literal(name))
        text = sql.SQL("csv_value({})").format(value)
        cell = sql.SQL("{}::text").format(value)
        found.append(Column(_free(name, taken, "custom_"), text, cell, "json"))
    return found


def _free(heading: str, taken: set[str], prefix: str = "property_") -> str:
    while heading in taken:
        heading = prefix + heading
    taken.add(heading)
    return heading


def _own(heading: str, name: str, present: Mapping[str, str]) -> Column:
    kind = present.get(name, "")
    value = column(name, present)
    if kind in _NUMBERS:
        return Column(heading, value, sql.SQL("{}::text").format(value), "number")
    if kind == "boolean":
        text = sql.SQL("{}::text").format(value)
        return Column(heading, text, text, "boolean")
    if kind == "timestamp with time zone":
        text = sql.SQL("moment_text({})").format(value)
        return Column(heading, text, text, "moment")
    if kind == "date":
        text = sql.SQL("{}::text").format(value)
        return Column(heading, text, text, "day")
    if kind in {"json", "jsonb", "ARRAY"}:
        printed = sql.SQL("to_jsonb({})").format(value)
        text = sql.SQL("csv_value({})").format(printed)
        return Column(heading, text, sql.SQL("{}::text").format(printed), "json")
    text = sql.SQL("{}::text").format(value)
    return Column(heading, sql.SQL("csv_text({})").format(text), text, "text")
