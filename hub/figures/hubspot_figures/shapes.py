"""Which tables of Fivetran's HubSpot connector our tables give, each as a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubspot_figures.account import definitions, owners
from hubspot_figures.engagements import engagements, pairs
from hubspot_figures.records import history, merged, pipelines, record, stays

if TYPE_CHECKING:
    from hubspot_figures.shape import Shape
    from hubspot_figures.tables import Tables


def shapes(tables: Tables) -> dict[str, Shape]:
    """All views that the tables give, by their names."""
    found: dict[str, Shape] = {}
    for name, singular in (("deals", "deal"), ("tickets", "ticket")):
        if name in tables:
            found[singular] = record(tables, name, singular)
            found |= pipelines(tables, singular)
    for name, singular in (("companies", "company"), ("contacts", "contact")):
        if name in tables:
            found[singular] = record(tables, name, singular)
    if "deals" in tables:
        found["deal_stage"] = stays(tables)
        found["merged_deal"] = merged(tables)
    for singular in ("deal", "company", "contact", "ticket"):
        if singular in found and f"{singular}_property_history" in tables:
            found[f"{singular}_property_history"] = history(tables, singular)
    found |= pairs(tables, found)
    found |= engagements(tables, found)
    if "owners" in tables:
        found |= owners(tables)
    return found | definitions(tables, found)
