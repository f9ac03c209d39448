"""What a run takes of a catalog that it is given: the selection, and FULL_TABLE."""

from __future__ import annotations

from typing import Any

FULL_TABLE = "FULL_TABLE"
METHODS = ("replication-method", "forced-replication-method")
"""Names of a replication method in metadata; Meltano writes the first one, and the entry's own."""


def reduced(catalog: Any) -> Any:
    """A catalog without its schemas, which the SDK takes long to read; types come from HubSpot.

    What a stream's metadata say of FULL_TABLE stands in its entry then: the SDK heeds the entry,
    where discovery wrote something else, and forgets metadata that it does not know.
    """
    if isinstance(catalog, dict) and isinstance(every := catalog.get("streams"), list):
        return {**catalog, "streams": [_reduced(entry) for entry in every]}
    return catalog


def _reduced(entry: dict[str, Any]) -> dict[str, Any]:
    found = {**entry, "schema": {}}
    of_stream = [m["metadata"] for m in entry.get("metadata") or () if not m["breadcrumb"]]
    if any(one.get(name) == FULL_TABLE for one in of_stream for name in METHODS):
        found["replication_method"] = FULL_TABLE
    return found
