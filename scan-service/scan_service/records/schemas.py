"""Knows what scans found an account's properties to be, and what changed from one to the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from scan_service.moments import timestamp
from scan_service.records.objects import parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.db import Database

    Properties = Mapping[str, Mapping[str, Any]]

# Scans that are compared with one another; what is older changed nothing that is of interest.
_SCANS = 30
_KINDS = {"day": "date", "moment": "datetime"}


def defined(
    columns: Mapping[str, Any], labels: Mapping[str, Any], filled: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what a scan found, by object type and property.

    Args:
        columns: kinds of all properties, as the scan row's `columns` says them.
        labels: HubSpot's labels, by object type and property.
        filled: how many records have a value, by object type and property.
    """
    return {
        name: {
            each: {
                "label": labels.get(name, {}).get(each),
                "type": _KINDS.get(kind, kind),
                "custom": of == "custom",
                "filled": filled.get(name, {}).get(each, 0),
            }
            for of, kinds in by_kind.items()
            for each, kind in sorted(kinds.items())
        }
        for name, by_kind in columns.items()
    }


def kinds(columns: Mapping[str, Any]) -> Properties:
    """Return the kinds of an object type's properties, its own and HubSpot's, to be compared."""
    return {each: {"type": kind} for of in columns.values() for each, kind in of.items()}


def changes(before: Properties, after: Properties) -> dict[str, list[str]]:
    """Return the names of properties that came, went or have another type now; empty if none."""
    found = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "retyped": sorted(
            each for each in before.keys() & after.keys()
            if before[each]["type"] != after[each]["type"]
        ),
    }  # fmt: skip
    return found if any(found.values()) else {}


async def told(db: Database, tenant_id: str) -> dict[str, Any]:
    """Return the object types that the tenant's scans hold as found last, and what changed.

    Args:
        db: the database.
        tenant_id: whose scans.
    """
    objects: dict[str, Any] = {}
    found: list[dict[str, Any]] = []
    later: dict[tuple[str, tuple[str, ...]], _Found] = {}
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(_SCANS_OF, [tenant_id, _SCANS])
        for scan in await cursor.fetchall():
            known = parts(scan["config"])
            async for row in await connection.execute(_DEFINED, [scan["id"]]):
                # Those of a wide account are megabytes: others get their turn in between.
                await asyncio.sleep(0)
                if (part := known.get(name := row["name"])) is None:
                    continue
                here = _Found(scan, row["properties"])
                if name not in objects:
                    objects[name] = _object(here, name)
                # One that chose its properties says nothing about the others.
                kind = (name, part.properties)
                newer = later.get(kind)
                if newer is not None and (change := _change(here, newer, name)):
                    found.append(change)
                later[kind] = here
    return {"objects": dict(sorted(objects.items())), "changes": found}


class _Found(NamedTuple):
    """What a scan found the properties of an object type to be."""

    scan: Mapping[str, Any]
    properties: Properties


_SCANS_OF = """
select id, scan_id, completed_at, config, records from scan
where tenant_id = %s and status = 'completed' and records is not null
order by completed_at desc limit %s
"""
_DEFINED = """
select name, properties from scan, jsonb_each(defined) as found(name, properties)
where id = %s order by name
"""


def _object(found: _Found, name: str) -> dict[str, Any]:
    scan, properties = found
    return {
        "scanId": scan["scan_id"],
        "asOf": timestamp(scan["completed_at"]),
        "records": scan["records"].get(name, 0),
        "properties": [{"name": each, **properties[each]} for each in sorted(properties)],
    }


def _change(older: _Found, newer: _Found, name: str) -> dict[str, Any] | None:
    before, after = older.properties, newer.properties
    found = changes(before, after)
    relabelled = sorted(
        each for each in before.keys() & after.keys()
        if before[each]["label"] != after[each]["label"]
    )  # fmt: skip
    if not found and not relabelled:
        return None
    return {
        "object": name,
        "scanId": newer.scan["scan_id"],
        "previousScanId": older.scan["scan_id"],
        "at": timestamp(newer.scan["completed_at"]),
        "added": [{"name": each, **after[each]} for each in found.get("added", ())],
        "removed": [{"name": each, **before[each]} for each in found.get("removed", ())],
        "retyped": [
            {"name": each, "from": before[each]["type"], "to": after[each]["type"]}
            for each in found.get("retyped", ())
        ],
        "relabelled": [
            {"name": each, "from": before[each]["label"], "to": after[each]["label"]}
            for each in relabelled
        ],
    }
