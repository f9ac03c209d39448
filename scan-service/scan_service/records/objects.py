"""Knows HubSpot's object types as a scan may ask for them: their names, their words, their tables.

The first document knows deals only; `config.objects` (docs/decisions/0029) names more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubspot_client.object_types import STANDARD_TYPES, ObjectType, custom_type

if TYPE_CHECKING:
    from collections.abc import Mapping

DEALS = "deals"
LINKS = "associations"
# What every account has; any other name has to be a custom object.
STANDARD = tuple(STANDARD_TYPES)
PIPELINED = frozenset(name for name, found in STANDARD_TYPES.items() if found.pipeline)
# The document's own fields of a deal.
FIXED = (
    "dealname", "amount", "closedate", "dealstage", "pipeline", "hubspot_owner_id",
    "hs_is_closed_won", "hs_is_closed", "hs_deal_stage_probability", "createdate",
    "hs_lastmodifieddate",
)  # fmt: skip
# Always asked for: the fixed fields of every answer, and what an honest sum of money needs.
NEEDED = (*FIXED, "amount_in_home_currency", "deal_currency_code")
# Names under which the tap or the target keeps something else.
_TAKEN = frozenset({LINKS, "current_associations", "owners"})
_TAKEN_ENDINGS = ("_properties", "_pipelines", "_property_history", "_stages")
_LONGEST_TABLE = 63  # bytes, PostgreSQL's limit
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


@dataclass(frozen=True)
class Part:
    """What a scan reads of one object type.

    `changes` is whether it reads what changed only, instead of everything; `history` names the
    properties of which it keeps every value.
    """

    name: str
    changes: bool = False
    pipeline: str | None = None
    stage: str | None = None
    archived: bool = False
    start: str | None = None
    end: str | None = None
    properties: tuple[str, ...] = ()
    associations: tuple[str, ...] = ()
    history: tuple[str, ...] = ()


def parts(config: Mapping[str, Any]) -> dict[str, Part]:
    """Return what a stored configuration asks for, by object type, in its order.

    The configuration's own filters, dates, properties and associations are those of deals.
    """
    items = [
        {"name": item} if isinstance(item, str) else item
        for item in config.get("objects") or [DEALS]
    ]
    return {item["name"]: _part(item, config) for item in items}


def is_copy(config: Mapping[str, Any]) -> bool:
    """Tell whether a scan has rows of all that it reads: not only of changes, and not none."""
    return config.get("mode") != "incremental" and not config.get("verifies")


def _part(item: Mapping[str, Any], config: Mapping[str, Any]) -> Part:
    said = {**config, **item} if item["name"] == DEALS else item
    filters, dates = said.get("filters") or {}, said.get("dateRange") or {}
    return Part(
        item["name"],
        changes=config.get("mode") == "incremental",
        pipeline=filters.get("pipeline"),
        stage=filters.get("stage") or filters.get("dealStage"),
        archived=bool(filters.get("archived")),
        start=dates.get("startDate"),
        end=dates.get("endDate"),
        properties=tuple(sorted(set(said.get("properties") or ()))),
        associations=tuple(dict.fromkeys(said.get("associations") or ())),
        history=tuple(sorted(set(item.get("history") or ()))),
    )


def fingerprint(config: Mapping[str, Any]) -> str:
    """Identify what is read: scans of one fingerprint can share a bookmark."""
    found = parts(config)
    described = {name: _described(part) for name, part in found.items()}
    # Deals alone are described as before there were other types: their bookmarks stay good.
    what = described[DEALS] if list(found) == [DEALS] else {"objects": described}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _described(part: Part) -> dict[str, Any]:
    return {
        "filters": {
            "pipeline": part.pipeline, "deal_stage": part.stage, "archived": part.archived,
        },
        "dates": {"start_date": part.start, "end_date": part.end},
        "properties": list(part.properties) or None,
        "associations": sorted(part.associations),
        # Scans without it are described as before there was any: their bookmarks stay good.
        **({"history": list(part.history)} if part.history else {}),
    }  # fmt: skip


def is_taken(name: str) -> bool:
    """Tell whether tap or target call something else so, so that a type's rows would mix with it.

    A custom object of such a name can be read under its id (`2-123`).
    """
    return name in _TAKEN or (name not in STANDARD and name.endswith(_TAKEN_ENDINGS))


def table_of(name: str) -> str:
    """Return the table where the target keeps a type's records.

    PostgreSQL cuts longer names, so the target ends them with a hash of the whole one.
    """
    if len(name) <= _LONGEST_TABLE and name not in _SYSTEM_COLUMNS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_TABLE - len(digest) - 1]}_{digest}"


def history_tables(part: Part) -> tuple[str, str]:
    """Return the tables of a type's former values, and of its stays in stages."""
    singular = type_of(part.name).singular
    return table_of(f"{singular}_property_history"), table_of(f"{singular}_stages")


def history_streams(part: Part) -> list[str]:
    """Return the tap's streams of a type's histories, of a scan that keeps some."""
    if not part.history:
        return []
    singular = type_of(part.name).singular
    stages = [f"{singular}_stages"] if part.name in PIPELINED else []
    return [f"{singular}_property_history", *stages]


def type_of(name: str) -> ObjectType:
    """Return what HubSpot's API calls the parts of a type; any other name is a custom object's."""
    return STANDARD_TYPES.get(name) or custom_type(name, name)
