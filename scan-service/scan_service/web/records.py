"""Knows the pages about a scan's records: a table with the columns one chooses, and one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scan_service.errors import NotFoundError
from scan_service.web.scans import ENDED, name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

    from scan_service.web.visits import Visit

_PAGE_SIZE = 50
_FIRST_COLUMNS = 6
# Where a record's properties stand; all else is a field of its own.
_NESTED = ("properties", "customProperties")
# What is no column: ids have one of their own, and the rest is no property.
_HIDDEN = frozenset({
    "id", "dealId", "hubspotObjectId", "associations", "raw", "unparsedProperties", "extractedAt",
    *_NESTED,
})  # fmt: skip


async def listed(visit: Visit) -> Response:
    """GET /scans/{scan_id}/records."""
    scan = await visit.ask("GET", "/scan/status/{scan_id}", scan_id=name(visit))
    kinds = _kinds(scan)
    kind = visit.chosen("object") or kinds[0]
    found = await visit.ask(
        "GET", "/scan/result/{scan_id}", scan_id=name(visit),
        query={"object": kind, "cursor": visit.chosen("cursor"), "page_size": _PAGE_SIZE},
    )  # fmt: skip
    records = [flat(each) for each in found.get("deals", found.get("records"))]
    known = list(dict.fromkeys(column for each in records for column in each["values"]))
    asked = [each for each in visit.request.query_params.getlist("column") if each in known]
    return visit.show(
        "records.html", scan=scan, kind=kind, kinds=kinds, records=records, known=known,
        columns=asked or known[:_FIRST_COLUMNS], chosen=asked, pagination=found["pagination"],
        total=found["pagination"]["total_items"], begun=not visit.chosen("cursor"),
        summary=found["summary"], ended=scan["status"] in ENDED,
    )  # fmt: skip


def _kinds(scan: Mapping[str, Any]) -> Sequence[str]:
    return list(scan["progress"].get("objects") or {"deals": None})


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as a row: its id, and all of its values by their names."""
    values = {each: value for each, value in record.items() if each not in _HIDDEN}
    for group in _NESTED:
        values |= record.get(group) or {}
    return {"id": record["hubspotObjectId"], "values": values}


async def one(visit: Visit) -> Response:
    """GET /scans/{scan_id}/records/{record_id}."""
    kind = visit.chosen("object") or "deals"
    found = await visit.ask(
        "GET", "/scan/result/{scan_id}/{record_id}", scan_id=name(visit),
        record_id=visit.request.path_params["record_id"], query={"object": kind},
    )  # fmt: skip
    record = found["record"]
    if not record:
        raise NotFoundError("Record not found")
    scan = await visit.ask("GET", "/scan/status/{scan_id}", scan_id=name(visit))
    past = await visit.ask(
        "GET", "/scan/result/{scan_id}/{record_id}/history", scan_id=name(visit),
        record_id=visit.request.path_params["record_id"],
        query={"object": kind, "include_labels": "true"},
    )  # fmt: skip
    return visit.show(
        "record.html", past=past, stays=_drawn(past["stays"], past["labels"]),
        scan=scan, kind=kind, kinds=_kinds(scan), record=flat(record),
        links=record.get("associations") or {}, unread=record.get("unparsedProperties") or {},
        read_at=record.get("extractedAt"),
    )  # fmt: skip


def _drawn(stays: Sequence[Mapping[str, Any]], labels: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return stays in stages, the newest first, with their labels and how long each bar is."""
    longest = max((each["seconds"] or 0 for each in stays), default=0) or 1
    return [
        {
            **each,
            "label": labels.get(each["pipeline"], {}).get("stages", {}).get(
                each["stage"], each["stage"]
            ),
            "width": round(float(100 * (each["seconds"] or 0) / longest), 1),
        }
        for each in stays
    ]  # fmt: skip
