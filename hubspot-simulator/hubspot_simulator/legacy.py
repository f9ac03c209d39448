"""The first generation of the deals API, which older connectors still read.

Shapes: HubSpot's legacy reference (`/deals/v1/deal/paged`, `/properties/v1/deals/properties`) and
recorded answers. Each value comes with when and by whom it was written, dates as epoch
milliseconds; properties without a value do not come at all.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from hubspot_simulator.instants import parse_instant
from hubspot_simulator.properties import DEFINED_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubspot_simulator.call import Call
    from hubspot_simulator.properties import Definitions, PropertyDefinition
    from hubspot_simulator.record import Record

PAGE = 100
PAGE_LIMIT = 250
SOURCE = {"source": "CRM_UI", "sourceId": "user@example.com"}
PARTNERS = {
    "associatedVids": "contacts",
    "associatedCompanyIds": "companies",
    "associatedDealIds": "deals",
    "associatedTicketIds": "tickets",
}


def paged_deals(call: Call) -> dict[str, Any]:
    """Answer one page of all live deals; the next one begins behind `offset`."""
    records = call.portal.records("deals")
    call.credential.require(records.type.scopes)
    limit = min(call.number("limit", PAGE), PAGE_LIMIT)
    offset = call.number("offset", 0)
    found = list(islice(records.ids_from(offset + 1), limit + 1))
    page = found[:limit]
    names = call.words("properties") + call.words("propertiesWithHistory")
    if call.flag("includeAllProperties"):
        names = records.definitions.names()
    return {
        "deals": [
            _deal(call, record, names) for each in page if (record := records.get(each)) is not None
        ],
        "hasMore": len(found) > limit,
        "offset": page[-1] if page else offset,
    }


def _deal(call: Call, record: Record, names: Iterable[str]) -> dict[str, Any]:
    portal = call.portal
    linked = call.flag("includeAssociations")
    return {
        "portalId": portal.portal_id,
        "dealId": record.id,
        "isDeleted": False,
        "associations": {
            key: list(portal.live_links("deals", record.id, partner)) if linked else []
            for key, partner in PARTNERS.items()
        },
        "properties": _values(record, names, portal.definitions("deals")),
        "imports": [],
        "stateChanges": [],
    }


def _values(record: Record, names: Iterable[str], definitions: Definitions) -> dict[str, Any]:
    """Give the current values; there are no older versions, the simulator keeps none."""
    found: dict[str, Any] = {}
    for name in names:
        value, definition = record.properties.get(name), definitions.get(name)
        if value is None or definition is None or definition.archived:
            continue
        if definition.type in {"date", "datetime"} and (moment := parse_instant(value)) is not None:
            value = str(moment)
        written = {"value": value, "timestamp": record.updated_ms, **SOURCE}
        found[name] = {**written, "versions": [{"name": name, **written, "sourceVid": []}]}
    return found


def deal_properties(call: Call) -> list[dict[str, Any]]:
    """List the definitions of deal properties, without an envelope."""
    records = call.portal.records("deals")
    call.credential.require(records.type.schema_scopes)
    known = records.definitions.all()
    return [_definition(each, order) for order, each in enumerate(known)]


def _definition(definition: PropertyDefinition, order: int) -> dict[str, Any]:
    today = definition.as_json(order)
    kept = (
        *("name", "label", "description", "groupName", "type", "fieldType", "displayOrder"),
        *("formField", "hidden", "calculated", "externalOptions", "hubspotDefined"),
    )
    read_only = today["modificationMetadata"]
    return {
        **{key: today[key] for key in kept},
        "options": [
            {**option, "description": "", "readOnly": False, "doubleData": 0.0}
            for option in today["options"]
        ],
        "readOnlyValue": read_only["readOnlyValue"],
        "readOnlyDefinition": read_only["readOnlyDefinition"],
        "mutableDefinitionNotDeletable": definition.hubspot_defined,
        "favorited": False,
        "favoritedOrder": -1,
        "displayMode": "current_value",
        "deleted": False,
        "createdAt": DEFINED_MS,
        "updatedAt": definition.updated_ms,
        "createdUserId": None,
        "updatedUserId": None,
    }
