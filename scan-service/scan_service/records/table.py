"""Knows the columns of a file: which a scan's records have, their headings, how each is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from scan_service.records.objects import DEALS, FIXED
from scan_service.records.projection import (
    CUSTOM,
    STANDARD,
    UNPARSED,
    column,
    kinds_of,
    moment,
    moment_property,
    text,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    found = [_first(heading, name, present) for name, heading in first.items()]
    standard = kinds_of(scan, part, STANDARD)
    own = kinds_of(scan, part, CUSTOM) if custom else {}
    headings = _Headings(first.values(), {*standard, *own})
    for name, kind in standard.items():
        if part.name != DEALS or name not in FIXED:
            found.append(_property(headings.take(name, "property_"), name, STANDARD, kind, present))
    for links in part.associations if associations else ():
        ids = sql.SQL("link_ids({}::jsonb -> {})").format(
            column("associations", present), sql.Literal(links)
        )
        found.append(Column(headings.take(links, "associated_"), ids, "text"))
    for name, kind in own.items():
        found.append(_property(headings.take(name, "custom_"), name, CUSTOM, kind, present))
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


class _Headings:
    """The headings of a file: two columns of one name help nobody.

    Args:
        taken: those that are given already.
        names: of properties; what has to be called otherwise is never called like another one.
    """

    def __init__(self, taken: Iterable[str], names: set[str]) -> None:
        self._taken = {*taken}
        self._names = names

    def take(self, name: str, prefix: str) -> str:
        """Return a column's heading: its name, or one with a prefix where that is taken."""
        heading = name
        while heading in self._taken or (heading != name and heading in self._names):
            heading = prefix + heading
        self._taken.add(heading)
        return heading


def _first(heading: str, name: str, present: Mapping[str, str]) -> Column:
    if name in FIXED:
        return _property(heading, name, STANDARD, _FIXED_KINDS.get(name, "text"), present)
    shown, kind = column(name, present), "text"
    if name == "archived":
        shown, kind = sql.SQL("{}::text").format(shown), "boolean"
    elif name.endswith("_at"):
        shown, kind = moment(name, present), "moment"
    return Column(heading, shown, kind)


def _property(heading: str, name: str, of: str, kind: str, present: Mapping[str, str]) -> Column:
    if kind == "day":
        return Column(heading, text(name, of), kind)
    if kind == "moment":
        shown = moment_property(name, of)
        if UNPARSED in present:  # which may look like one
            shown = sql.SQL("coalesce(d.{} ->> {}, {})").format(
                sql.Identifier(UNPARSED), sql.Literal(name), shown
            )
        return Column(heading, shown, kind)
    # All others say by their JSON what they are, whatever the definition says by now.
    return Column(heading, value(name, of), "json", kind)
