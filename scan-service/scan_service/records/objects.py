"""Knows HubSpot's object types as a scan may ask for them: their names, their words, their tables.

The first document knows deals only; `config.objects` (docs/decisions/0029) names more.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEALS = "deals"
LINKS = "associations"
# What every account has; any other name has to be a custom object. The tap has the same table
# (its object_types.py), and a test holds the two against each other.
STANDARD = (
    "appointments", "calls", "carts", "commerce_payments", "communications", "companies",
    "contacts", "courses", "deals", "emails", "feedback_submissions", "goal_targets", "invoices",
    "leads", "line_items", "listings", "marketing_events", "meetings", "notes", "orders",
    "postal_mail", "products", "projects", "quotes", "services", "subscriptions", "tasks",
    "tickets", "users",
)  # fmt: skip
PIPELINED = frozenset({
    "appointments", "courses", "deals", "leads", "listings", "orders", "services", "tickets",
})  # fmt: skip
# The document's own fields of a deal.
FIXED = (
    "dealname", "amount", "closedate", "dealstage", "pipeline", "hubspot_owner_id",
    "hs_is_closed_won", "hs_is_closed", "hs_deal_stage_probability", "createdate",
    "hs_lastmodifieddate",
)  # fmt: skip
# Always asked for: the fixed fields of every answer, and what an honest sum of money needs.
NEEDED = (*FIXED, "amount_in_home_currency", "deal_currency_code")
_DATED = frozenset({"companies", "contacts", "deals", "line_items", "products", "tickets"})
# Names under which the tap or the target keeps something else.
_TAKEN = frozenset({LINKS, "current_associations", "owners"})
_TAKEN_ENDINGS = ("_properties", "_pipelines")
_LONGEST_TABLE = 63  # bytes, PostgreSQL's limit
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


@dataclass(frozen=True)
class Part:
    """What a scan reads of one object type.

    `changes` is whether it reads what changed only, instead of everything.
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


def parts(config: Mapping[str, Any]) -> dict[str, Part]:
    """Return what a stored configuration asks for, by object type, in its order.

    The configuration's own filters, dates, properties and associations are those of deals.
    """
    items = [
        {"name": item} if isinstance(item, str) else item
        for item in config.get("objects") or [DEALS]
    ]
    return {item["name"]: _part(item, config) for item in items}


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


def singular(name: str) -> str:
    """Return what one record of a type is called; a custom object's name stays as it is."""
    if name == "companies":
        return "company"
    return re.sub("s$", "", name) if name in STANDARD else name


def created_property(name: str) -> str:
    """Return the property with the moment of creation."""
    return "createdate" if name in _DATED else "hs_createdate"


def pipeline_properties(name: str) -> tuple[str, str]:
    """Return the properties with pipeline and stage, of a type that has them."""
    return ("pipeline", "dealstage") if name == DEALS else ("hs_pipeline", "hs_pipeline_stage")
