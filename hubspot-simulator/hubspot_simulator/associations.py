"""Associations of v4 and the dated versions: batch read, one record's, labels."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from hubspot_simulator.batch_read import batch_times, inputs_of, multi_status
from hubspot_simulator.call import Call, encode
from hubspot_simulator.errors import Answer, not_numeric
from hubspot_simulator.listing import read_inline_cursor

if TYPE_CHECKING:
    from hubspot_simulator.links import Targets
    from hubspot_simulator.object_types import ObjectType

INPUT_LIMIT = 1000  # HubSpot docs: "Associations v4 guide"
SINGLE_PAGE = 500


def read_associations(call: Call) -> Answer:
    start, end = call.readable("from_type").type, call.readable("to_type").type
    results: list[dict[str, Any]] = []
    errors = []
    for each in inputs_of(call, INPUT_LIMIT, ""):
        object_id = str(each["id"])
        targets = _targets(call, start, object_id, end)
        if not targets:
            errors.append(_no_associations(start, object_id, end))
            continue
        size = call.portal.behaviour.association_page
        page = _page(call, targets, each.get("after"), size)
        results.append({"from": {"id": object_id}, **page})
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, **batch_times(call)}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Answer(encode(body), multi_status(call) if errors else 200)


def read_associations_v3(call: Call) -> Answer:
    """Read as v3 did: type names, one page, and of companies the primary one only (observed)."""
    start, end = call.readable("from_type").type, call.readable("to_type").type
    has_primary = call.portal.association_types.primary(start, end) is not None
    size = call.portal.behaviour.inline_association_page
    results = []
    for each in inputs_of(call, INPUT_LIMIT, ""):
        object_id = str(each["id"])
        found = [
            {"id": str(target), "type": kind.name}
            for target, kinds in _targets(call, start, object_id, end).items()
            for kind in kinds
            if kind.primary or not has_primary
        ]
        if found:
            results.append({"from": {"id": object_id}, "to": found[:size]})
    return Answer(encode({"status": "COMPLETE", "results": results, **batch_times(call)}))


def record_associations(call: Call) -> dict[str, Any]:
    start, end = call.readable().type, call.readable("to_type").type
    object_id = call.path["object_id"]
    if not object_id.isdecimal():
        raise not_numeric(object_id)
    size = min(call.number("limit", SINGLE_PAGE), SINGLE_PAGE)
    page = _page(call, _targets(call, start, object_id, end), call.query.get("after"), size)
    return {"results": page.pop("to"), **page}


def labels(call: Call) -> dict[str, Any]:
    start, end = call.object_type("from_type"), call.object_type("to_type")
    call.credential.require((*start.schema_scopes, *end.schema_scopes))
    known = call.portal.association_types.of(start, end)
    return {
        "results": [
            {"category": each.category, "typeId": each.type_id, "label": each.label}
            for each in known
        ]
    }


def _targets(call: Call, start: ObjectType, object_id: str, end: ObjectType) -> Targets:
    if not object_id.isdecimal():
        return {}
    return call.portal.live_links(start.name, int(object_id), end.name)


def _page(call: Call, targets: Targets, after: str | None, size: int) -> dict[str, Any]:
    first = read_inline_cursor(after)
    left = [target for target in targets if target >= first]
    numeric = call.portal.behaviour.numeric_to_object_id
    page: dict[str, Any] = {
        "to": [
            {
                "toObjectId": target if numeric else str(target),
                "associationTypes": [
                    {"category": each.category, "typeId": each.type_id, "label": each.label}
                    for each in targets[target]
                ],
            }
            for target in left[:size]
        ]
    }
    if len(left) > size:
        token = base64.b64encode(b"-%d" % left[size]).decode()
        if call.portal.behaviour.stuck_cursors and after:
            token = after
        page["paging"] = {"next": {"after": token, "link": f"?after={token}"}}
    return page


def _no_associations(start: ObjectType, object_id: str, end: ObjectType) -> dict[str, Any]:
    """Name an input without links: the whole answer becomes a multi-status (observed)."""
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {end.singular} is associated with {start.singular} {object_id}.",
        "context": {
            "fromObjectId": [object_id],
            "fromObjectType": [start.singular],
            "toObjectType": [end.singular],
        },
    }
