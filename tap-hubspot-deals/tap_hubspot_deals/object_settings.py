"""The setting `objects`: which object types are read, and how each one differs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hubspot_client.object_types import DEALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_hubspot_deals.settings import Settings

ITEM_SCHEMA: dict[str, Any] = {
    "type": ["string", "object"],
    "properties": {
        "name": {"type": "string"},
        "properties": {"type": ["array", "null"], "items": {"type": "string"}},
        "associations": {"type": ["array", "null"], "items": {"type": "string"}},
        "association_ids": {"type": ["array", "null"], "items": {"type": "string"}},
        "pipeline": {"type": ["string", "null"]},
        "stage": {"type": ["string", "null"]},
        "start_date": {"type": ["string", "null"]},
        "end_date": {"type": ["string", "null"]},
        "archived": {"type": ["boolean", "null"]},
        "max_records": {"type": ["integer", "null"], "minimum": 1},
    },
    "required": ["name"],
    "additionalProperties": False,
}
"""One item of `objects`: a name, or a name with what is asked of this type."""


@dataclass(frozen=True)
class ObjectSettings:
    """One object type to read.

    Args:
        name: The type's name as the settings write it.
        settings: The tap's settings as they apply to this type.
    """

    name: str
    settings: Settings


def items_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of `objects` as dictionaries.

    A bare `deals`, or one that says nothing of its own, takes the tap's top-level `properties`,
    `associations`, filters and `archived`: they are the settings of deals.
    """
    items = []
    for item in config.get("objects") or [DEALS.name]:
        own = {"name": item} if isinstance(item, str) else dict(item)
        if own["name"] == DEALS.name:
            own = {**_of_deals(config), **{k: v for k, v in own.items() if v is not None}}
        items.append(own)
    return items


def faults_of(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names in `objects`, one sentence a fault."""
    names = [item["name"] for item in items_of(config)]
    faults = [f"`objects` names '{n}' twice." for n in sorted(set(names)) if names.count(n) > 1]
    return faults + [f"`objects` holds {n!r}, which is no HubSpot name." for n in names if not n]


def object_settings(settings: Settings, item: Mapping[str, Any], filters: Any) -> ObjectSettings:
    """One object type's settings.

    Args:
        settings: The tap's own, for all that an item cannot say.
        item: From `items_of`.
        filters: The item's filters, parsed.
    """
    properties = item.get("properties")
    return ObjectSettings(
        item["name"],
        replace(
            settings,
            filters=filters,
            archived=bool(item.get("archived")),
            properties=tuple(dict.fromkeys(properties)) if properties else None,
            associations=tuple(dict.fromkeys(item.get("associations") or ())),
            association_ids=tuple(dict.fromkeys(item.get("association_ids") or ())),
            max_records=item.get("max_records"),
        ),
    )


def _of_deals(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "properties": config.get("properties"),
        "associations": config.get("associations"),
        "association_ids": config.get("association_ids"),
        "pipeline": config.get("pipeline"),
        "stage": config.get("deal_stage"),
        "start_date": config.get("start_date"),
        "end_date": config.get("end_date"),
        "archived": config.get("archived"),
        "max_records": config.get("max_records"),
    }
