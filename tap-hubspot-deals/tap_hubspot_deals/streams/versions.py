"""How a version of a property is told in a record: when it was set, and by whom."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from tap_hubspot_deals.streams.records import TEXT

if TYPE_CHECKING:
    from tap_hubspot_deals.reading.histories import Version

KEY_TIME = {"type": "string", "format": "date-time"}
BY = {
    "source_type": {**TEXT, "title": "What set it, in HubSpot's words"},
    "source_id": TEXT,
    "source_label": TEXT,
    "updated_by_user_id": {"type": ["integer", "null"], "title": "The user who set it"},
}


def utc(version: Version) -> str:
    """One way to write a time, as part of a key."""
    moment = version.at.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds") + "Z"


def by(version: Version) -> dict[str, Any]:
    """Who set a value."""
    return {
        "source_type": version.source_type,
        "source_id": version.source_id,
        "source_label": version.source_label,
        "updated_by_user_id": version.updated_by_user_id,
    }
