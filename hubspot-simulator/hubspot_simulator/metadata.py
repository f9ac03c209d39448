"""Property definitions, pipelines, owners, schemas and account information over HTTP."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hubspot_simulator.errors import ApiError, invalid
from hubspot_simulator.instants import MILLISECOND, iso, milliseconds_of
from hubspot_simulator.properties import DEFINED_MS

if TYPE_CHECKING:
    from hubspot_simulator.call import Call
    from hubspot_simulator.object_types import ObjectType

OWNERS_PAGE = 100
OWNERS_PAGE_LIMIT = 500  # observed, undocumented


def properties(call: Call) -> dict[str, Any]:
    object_type = call.object_type()
    call.credential.require(object_type.schema_scopes)
    wanted = call.query.get("dataSensitivity", "non_sensitive")
    known = call.portal.definitions(object_type.name).all(archived=call.flag("archived"))
    return {
        "results": [
            definition.as_json(order)
            for order, definition in enumerate(known)
            if definition.data_sensitivity == wanted
        ]
    }


def one_property(call: Call) -> dict[str, Any]:
    object_type = call.object_type()
    call.credential.require(object_type.schema_scopes)
    name = call.path["property_name"]
    definition = call.portal.definitions(object_type.name).get(name)
    if definition is None or definition.archived != call.flag("archived"):
        raise ApiError(404, f"Property {name} does not exist", category="OBJECT_NOT_FOUND")
    return definition.as_json(-1)


def pipelines(call: Call) -> dict[str, Any]:
    object_type = call.object_type()
    call.credential.require(object_type.schema_scopes)
    known = call.portal.pipelines.get(object_type.name, [])
    wanted = call.flag("archived")
    return {"results": [each.as_json() for each in known if each.archived == wanted]}


def one_pipeline(call: Call) -> dict[str, Any]:
    object_type = call.object_type()
    call.credential.require(object_type.schema_scopes)
    for each in call.portal.pipelines.get(object_type.name, []):
        if each.id == call.path["pipeline_id"]:
            return each.as_json()
    raise ApiError(404, "resource not found")


def owners(call: Call) -> dict[str, Any]:
    call.credential.require(("crm.objects.owners.read",))
    limit = call.number("limit", OWNERS_PAGE)
    if not 1 <= limit <= OWNERS_PAGE_LIMIT:
        raise invalid(f"limit must be between 1 and {OWNERS_PAGE_LIMIT}, but was {limit}")
    wanted, email = call.flag("archived"), call.query.get("email")
    known = [
        each
        for each in sorted(call.portal.owners, key=lambda owner: int(owner.id))
        if each.archived == wanted and email in {None, each.email}
    ]
    after = call.number("after", 0)
    left = [each for each in known if int(each.id) > after]
    body: dict[str, Any] = {"results": [each.as_json() for each in left[:limit]]}
    if len(left) > limit:
        stuck = call.portal.behaviour.stuck_cursors and after
        body["paging"] = {"next": {"after": str(after) if stuck else left[limit - 1].id}}
    return body


def one_owner(call: Call) -> dict[str, Any]:
    call.credential.require(("crm.objects.owners.read",))
    for each in call.portal.owners:
        if each.id == call.path["owner_id"] and each.archived == call.flag("archived"):
            return each.as_json()
    raise ApiError(404, "resource not found")


def schemas(call: Call) -> dict[str, Any]:
    """List custom objects; HubSpot's own types are not among them."""
    call.credential.require(("crm.schemas.custom.read",))
    if call.flag("archived"):
        return {"results": []}
    known = call.portal.types.types.values()
    return {"results": [_schema(call, each) for each in known if each.custom]}


def one_schema(call: Call) -> dict[str, Any]:
    call.credential.require(("crm.schemas.custom.read",))
    return _schema(call, call.object_type())


def _schema(call: Call, object_type: ObjectType) -> dict[str, Any]:
    definitions = call.portal.definitions(object_type.name).all()
    names = [each.name for each in definitions if not each.hubspot_defined]
    first = names[0] if names else "hs_object_id"
    number = object_type.type_id.partition("-")[2]
    partners = [call.portal.types.types[name] for name in ("contacts", "companies", "deals")]
    return {
        "id": number,
        "objectTypeId": object_type.type_id,
        "fullyQualifiedName": f"p{call.portal.portal_id}_{object_type.name}",
        "name": object_type.name,
        "labels": {"singular": object_type.name.title(), "plural": object_type.name.title()},
        "primaryDisplayProperty": first,
        "secondaryDisplayProperties": [],
        "requiredProperties": [],
        "searchableProperties": [first],
        "properties": [each.as_json(order) for order, each in enumerate(definitions)],
        "associations": [
            {
                "id": str(place),
                "fromObjectTypeId": object_type.type_id,
                "toObjectTypeId": partner.type_id,
                "name": f"{object_type.name}_to_{partner.singular}",
            }
            for place, partner in enumerate(partners, 1)
        ],
        "allowsSensitiveProperties": False,
        "archived": False,
        "createdAt": iso(DEFINED_MS),
        "updatedAt": iso(DEFINED_MS),
    }


def account_details(call: Call) -> dict[str, Any]:
    local = _local_now(call)
    offset = f"{local:%z}"
    return {
        "portalId": call.portal.portal_id,
        "accountType": "STANDARD",
        "timeZone": call.portal.time_zone,
        "companyCurrency": "USD",
        "additionalCurrencies": ["EUR"],
        "utcOffset": f"{offset[:3]}:{offset[3:]}",
        "utcOffsetMilliseconds": (local.utcoffset() or timedelta()) // MILLISECOND,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }


def api_usage(call: Call) -> dict[str, Any]:
    limits, now = call.portal.limits, call.portal.clock.now_ms()
    # The day of the limit is the account's own (HubSpot docs: "API usage guidelines").
    tomorrow = _local_now(call).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time(), ZoneInfo(call.portal.time_zone))
    return {
        "results": [
            {
                "name": "private-apps-api-calls-daily",
                "usageLimit": limits.daily,
                "currentUsage": limits.used_today + limits.others_daily,
                "collectedAt": iso(now),
                "fetchStatus": "SUCCESS",
                "resetsAt": iso(milliseconds_of(midnight)),
            }
        ]
    }


def _local_now(call: Call) -> datetime:
    zone = ZoneInfo(call.portal.time_zone)
    return datetime.fromtimestamp(call.portal.clock.now_ms() / 1000, zone)
