"""Knows the columns of a file: which a scan's records have, their headings, how each is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.records.objects import DEALS, FIXED
from scan_service.records.projection import (
    CUSTOM,
    STANDARD,
    column,
    kinds_of,
    moment,
    moment_property,
    text,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.records.objects import Part

# Fields of the record, and properties of deals that the document names otherwise.
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
# What they are in every account; all other fixed ones are texts.
_FIXED_KINDS = {
    "amount": "number", "hs_deal_stage_probability": "number",
    "hs_is_closed": "boolean", "hs_is_closed_won": "boolean",
    "closedate": "moment", "createdate": "moment", "hs_lastmodifieddate": "moment",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Attributes:
        heading: its first line.
        shown: its value: JSON if that is its kind, else text.
        kind: how the writers of workbooks and of Parquet read it.
        declared: the type that the account gives the property.
    """

    heading: str
    shown: sql.Composable
    kind: str
    declared: str = "text"

    @property
    def json(self) -> sql.Composable:
        """How it goes to CSV."""
        return self.shown if self.kind == "json" else sql.SQL("to_jsonb({})").format(self.shown)

    @property
    def cell(self) -> sql.Composable:
        """How it goes to the writers of workbooks and of Parquet."""
        return sql.SQL("{}::text").format(self.shown) if self.kind == "json" else self.shown


def file_columns(
    part: Part,
    present: Mapping[str, str],
    scan: Mapping[str, Any],
    *,
    custom: bool,
    associations: bool,
) -> list[Column]:
    """Return a file's columns.

    For deals the document's nine come first, then the fixed ones that it forgot; for all types,
    then, the properties that the scan has, under HubSpot's names.
    """
    first = dict(_DEAL_HEADINGS if part.name == DEALS else _RECORD_HEADINGS)
    if part.changes:
        first["merged_into"] = "merged_into"
    taken: set[str] = set()
    found = [_first(_free(heading, taken), name, present) for name, heading in first.items()]
    for name, kind in kinds_of(scan, part, STANDARD).items():
        if part.name != DEALS or name not in FIXED:
            found.append(_property(_free(name, taken), name, STANDARD, kind))
    for links in part.associations if associations else ():
        ids = sql.SQL("link_ids({}::jsonb -> {})").format(
            column("associations", present), sql.Literal(links)
        )
        # A record may have a property of that name, and two columns of one name help nobody.
        found.append(Column(_free(links, taken, "associated_"), ids, "text"))
    for name, kind in kinds_of(scan, part, CUSTOM).items() if custom else ():
        found.append(_property(_free(name, taken, "custom_"), name, CUSTOM, kind))
    return found


def csv_line(table: list[Column]) -> sql.Composable:
    """Return the SQL that prints one unpacked record `d` as a line of CSV without its end.

    The functions that print stand in it once, whatever the width: PostgreSQL reads a function's
    body anew at every place where it stands, which took half a millisecond for each column.
    """
    return sql.SQL(
        "array_to_string(array(select csv_quoted(cell) from ("
        "select csv_value(value) as cell from unnest(array[{}]::jsonb[]) as value offset 0"
        ") as cells), ',', '')"
    ).format(sql.SQL(", ").join(entry.json for entry in table))


def _free(heading: str, taken: set[str], prefix: str = "property_") -> str:
    while heading in taken:
        heading = prefix + heading
    taken.add(heading)
    return heading


def _first(heading: str, name: str, present: Mapping[str, str]) -> Column:
    if name in FIXED:
        return _property(heading, name, STANDARD, _FIXED_KINDS.get(name, "text"))
    shown, kind = column(name, present), "text"
    if name == "archived":
        shown, kind = sql.SQL("{}::text").format(shown), "boolean"
    elif name.endswith("_at"):
        shown, kind = moment(name, present), "moment"
    return Column(heading, shown, kind)


def _property(heading: str, name: str, of: str, kind: str) -> Column:
    if kind in ("moment", "day"):
        shown = moment_property(name, of) if kind == "moment" else text(name, of)
        return Column(heading, shown, kind)
    # All others say by their JSON what they are, whatever the definition says by now.
    return Column(heading, value(name, of), "json", kind)
