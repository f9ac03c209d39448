"""Knows the catalog of a `meltano run`, and what the tap tells of an account's properties."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scan_service.records.projection import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORMATS = {"date": "day", "date-time": "moment"}
_TYPES = {"number": "number", "boolean": "boolean", "array": "list"}


def catalog(streams: Iterable[str]) -> str:
    """Return a catalog that selects whole streams.

    The tap takes the selection from a catalog, and the schemas from HubSpot: with this one, Meltano
    need not run the tap twice, once to discover what the second one asks again.
    """
    return json.dumps({
        "streams": [
            {
                "tap_stream_id": name,
                "stream": name,
                "schema": {"type": "object", "properties": {}},
                "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
            }
            for name in streams
        ]
    })  # fmt: skip


def columns_of(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the properties of object types as the ledger's `columns` has them.

    Args:
        told: what the tap tells with `nest_properties`: type, object and name to JSON schema.

    Returns:
        {"deals": {"standard": {"amount": "number"}, "custom": {"score": "number"}}}.
    """
    return {
        name: {
            of: {each: _kind(schema) for each, schema in objects.get(stored, {}).items()}
            for of, stored in OBJECTS.items()
        }
        for name, objects in told.items()
    }


def labels_of(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return HubSpot's labels by object type and property, of what the tap told likewise."""
    return {
        name: {
            each: str(schema["title"])
            for stored in OBJECTS.values()
            for each, schema in objects.get(stored, {}).items()
            if "title" in schema
        }
        for name, objects in told.items()
    }


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what kind of value a property has."""
    if "format" in schema:
        return _FORMATS.get(schema["format"], "text")
    return next((kind for name, kind in _TYPES.items() if name in schema["type"]), "text")
