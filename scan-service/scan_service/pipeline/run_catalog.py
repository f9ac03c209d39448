"""Knows what the catalog of a `meltano run` says of an account's properties."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scan_service.pipeline.verdicts import TAP
from scan_service.records.projection import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FILE = "tap.properties.json"  # Meltano's name for it
_FORMATS = {"date": "day", "date-time": "moment"}
_TYPES = {"number": "number", "boolean": "boolean", "array": "list"}


def read_columns(folder: Path, names: Iterable[str]) -> dict[str, Any] | None:
    """Return the properties of some object types, as the ledger's `columns` tells them.

    Args:
        folder: Meltano's system directory.
        names: the object types.

    Returns:
        {"deals": {"standard": {"amount": "number"}, "custom": {"score": "number"}}}, or None as
        long as there is no whole catalog yet.
    """
    for path in (folder / "run" / TAP).rglob(_FILE):
        try:
            streams = json.loads(path.read_text(encoding="utf-8"))["streams"]
        except (OSError, ValueError):
            return None  # half written; the next look will see it whole
        fields = {each["tap_stream_id"]: each["schema"]["properties"] for each in streams}
        return {
            name: {
                of: {
                    each: _kind(schema)
                    for each, schema in fields[name].get(stored, {}).get("properties", {}).items()
                }
                for of, stored in OBJECTS.items()
            }
            for name in names
            if name in fields
        }
    return None


def _kind(schema: dict[str, Any]) -> str:
    """Return what kind of value a property has."""
    if "format" in schema:
        return _FORMATS.get(schema["format"], "text")
    return next((kind for name, kind in _TYPES.items() if name in schema["type"]), "text")
