"""The database against HubSpot's own truth: every deal, every value, every link, both ways."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import extras, sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubspot_simulator import Portal, TrueRecord
    from hubspot_simulator.properties import PropertyDefinition
    from psycopg2.extensions import connection

LINKED = ("contacts", "companies")
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def differences(
    url: str,
    portal: Portal,
    *,
    tenant: str,
    schema: str = "hubspot",
    links_to: tuple[str, ...] = LINKED,
    object_type: str = "deals",
    limit: int = 20,
) -> list[str]:
    """What the tables of a tenant say otherwise than its portal; empty when they are equal.

    Args:
        url: The database.
        portal: The simulator's portal.
        tenant: Whose rows.
        schema: Where the tables are.
        links_to: The object types whose links were read.
        object_type: Which records are compared, with the links that start from them.
        limit: How many differences are told at the most.
    """
    with closing(psycopg2.connect(url)) as opened:
        extras.register_default_jsonb(opened, loads=_loads)
        found = [
            *_record_differences(opened, portal, tenant, schema, object_type),
            *_marker_differences(opened, portal, tenant, schema, object_type),
            *_link_differences(opened, portal, tenant, schema, object_type, links_to),
        ]
    return found[:limit]


def table(opened: connection, schema: str, name: str, tenant: str) -> list[dict[str, Any]]:
    """All rows of one tenant in one table or view."""
    query = sql.SQL("select * from {}.{} where _tenant_id = %s").format(
        sql.Identifier(schema), sql.Identifier(name)
    )
    with opened.cursor(cursor_factory=extras.RealDictCursor) as cursor:
        cursor.execute(query, (tenant,))
        return [dict(row) for row in cursor.fetchall()]


def is_live(row: dict[str, Any]) -> bool:
    """Whether a row stands for a deal that HubSpot lists."""
    return not (row["archived"] or row["merged_into"] or row.get("_sdc_deleted_at"))


def _record_differences(
    opened: connection, portal: Portal, tenant: str, schema: str, object_type: str
) -> list[str]:
    rows = {r["id"]: r for r in table(opened, schema, object_type, tenant) if is_live(r)}
    live = portal.truth(object_type).live
    found = [f"{object_type} {i} is in the database only" for i in rows.keys() - live.keys()]
    found += [f"{object_type} {i} is missing" for i in live.keys() - rows.keys()]
    definitions = portal.records(object_type).definitions.all()
    for deal_id in rows.keys() & live.keys():
        found += _value_differences(rows[deal_id], live[deal_id], definitions)
    return found


def _value_differences(
    row: dict[str, Any], true: TrueRecord, definitions: list[PropertyDefinition]
) -> list[str]:
    found = []
    nested = "properties" in row  # all properties stand in objects then
    standard = (row["properties"] or {}) if nested else row
    custom = row.get("custom_properties") or {}
    unparsed = row.get("unparsed_properties") or {}
    for definition in definitions:
        name = definition.name
        in_object = nested or name in custom
        has = (custom if name in custom else standard).get(name)
        if in_object:
            has = _from_json(definition, has)
        text = true.properties.get(name)
        wanted = expected(definition, text)
        if wanted is ValueError:
            wanted, has = (None, text), (has, unparsed.get(name))
        if has != wanted:
            found.append(f"record {true.id}: {name} is {has!r}, HubSpot has {wanted!r}")
    for column, text in (("created_at", true.created_at), ("updated_at", true.updated_at)):
        if row[column] != datetime.fromisoformat(text):
            found.append(f"record {true.id}: {column} is {row[column]}, HubSpot has {text}")
    return found


def expected(definition: PropertyDefinition, text: str | None) -> Any:
    """What a property's text means; `ValueError` itself where it does not fit the type."""
    if text is None or (text == "" and definition.type in {"number", "bool", "date", "datetime"}):
        return None
    if definition.multiple:
        return [option for option in text.split(";") if option] if text else None
    read = READERS.get(definition.type)
    return read(text) if read else text


def _date(text: str) -> Any:
    if re.fullmatch(r"-?\d+", text):
        return _datetime(text).date()
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return ValueError


def _datetime(text: str) -> Any:
    if re.fullmatch(r"-?\d+", text):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return ValueError


READERS: dict[str, Callable[[str], Any]] = {
    "number": lambda text: Decimal(text) if NUMBER.fullmatch(text) else ValueError,
    "bool": lambda text: {"true": True, "false": False}.get(text, ValueError),
    "date": _date,
    "datetime": _datetime,
}


def _from_json(definition: PropertyDefinition, value: Any) -> Any:
    """A property out of a JSON object, as a column would give it."""
    if value is None or definition.multiple:
        return value
    if definition.type == "date":
        return date.fromisoformat(value)
    if definition.type == "datetime":
        return datetime.fromisoformat(value)
    return value


def _marker_differences(
    opened: connection, portal: Portal, tenant: str, schema: str, object_type: str
) -> list[str]:
    """Rows that stand for archived, merged or deleted deals must say so truly."""
    truth = portal.truth(object_type)
    found = []
    for row in table(opened, schema, object_type, tenant):
        deal = row["id"]
        if row["merged_into"] and truth.merged.get(deal) != row["merged_into"]:
            found.append(
                f"{object_type} {deal} is marked merged into {row['merged_into']}, "
                f"HubSpot says {truth.merged.get(deal)}"
            )
        archived = row["archived"] and not row["merged_into"] and not row.get("_sdc_deleted_at")
        if archived and deal not in truth.archived:
            found.append(f"{object_type} {deal} is marked archived, HubSpot has it live or gone")
    return found


def _link_differences(
    opened: connection,
    portal: Portal,
    tenant: str,
    schema: str,
    object_type: str,
    links_to: tuple[str, ...],
) -> list[str]:
    columns = ("to_object_type", "from_id", "to_id", "category", "type_id", "label")
    rows = [
        tuple(row[c] for c in columns)
        for row in table(opened, schema, "current_associations", tenant)
        if row["from_object_type"] == object_type
    ]
    true = {
        (name, t.from_id, t.to_id, t.category, t.type_id, t.label)
        for name in links_to
        for t in portal.true_links(object_type, name)
    }
    found = [f"link {link} is in the database only" for link in set(rows) - true]
    found += [f"link {link} is missing" for link in true - set(rows)]
    if len(rows) != len(set(rows)):
        found.append(f"{len(rows) - len(set(rows))} links stand twice")
    by_deal = _by_deal(true)
    for row in table(opened, schema, object_type, tenant):
        if is_live(row):
            found += _inline_differences(row, by_deal.get(row["id"], set()))
    return found


def _inline_differences(row: dict[str, Any], own: set[tuple[Any, ...]]) -> list[str]:
    """The set of links inside a deal's own row is the same set."""
    inline = {
        (name, row["id"], linked["id"], t["category"], int(t["type_id"]), t["label"])
        for name, all_linked in (row["associations"] or {}).items()
        for linked in all_linked
        for t in linked["types"]
    }
    return [] if inline == own else [f"record {row['id']}: `associations` is not its links"]


def _by_deal(true: set[tuple[Any, ...]]) -> dict[str, set[tuple[Any, ...]]]:
    by_deal: dict[str, set[tuple[Any, ...]]] = {}
    for link in true:
        by_deal.setdefault(link[1], set()).add(link)
    return by_deal


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)
