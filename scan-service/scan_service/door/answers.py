"""Knows how rows of the ledger look in answers: by the document's keys, to the letter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scan_service import units
from scan_service.door import cursors, standing
from scan_service.moments import timestamp
from scan_service.records.objects import DEALS
from scan_service.units import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scan_service.records.objects import Part
    from scan_service.records.pages import Page
    from scan_service.records.spool import Spool


def success(data: Any, message: str | None = None) -> dict[str, Any]:
    """Return the envelope of an answer; writes carry a message, reads do not."""
    body: dict[str, Any] = {"status": "success"}
    if message is not None:
        body["message"] = message
    return {**body, "data": data, "timestamp": timestamp()}


def started(scan: Mapping[str, Any], estimated: str) -> dict[str, Any]:
    """Return what the start of a scan answers."""
    return {
        "scanId": scan["scan_id"],
        "scanJobId": str(scan["id"]),
        "tenantId": scan["tenant_id"],
        "status": "pending",
        "createdAt": timestamp(scan["created_at"]),
        "estimatedDuration": estimated,
        "statusUrl": f"/api/v1/scan/status/{scan['scan_id']}",
    }


def estimated(
    parts: Mapping[str, Part], totals: Mapping[str, int | None], lasting: str
) -> dict[str, Any]:
    """Return what a scan would cost: records and HubSpot requests; what nobody can know is null."""
    objects = {}
    for name, part in parts.items():
        total = totals.get(name)
        objects[name] = {
            "totalItems": total,
            "requests": None
            if total is None
            else units.requests(total, len(part.associations), history=bool(part.history)),
        }
    known = [each["requests"] for each in objects.values() if each["requests"] is not None]
    return {
        "totalItems": standing.sum_of(totals.values()),
        "requests": sum(known) if len(known) == len(objects) else None,
        "estimatedDuration": lasting,
        "objects": objects,
    }


def listed(scan: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of the list of scans."""
    began, ended = scan["started_at"], scan["completed_at"]
    seconds = (ended - began).total_seconds() if began and ended else None
    return {
        "scanId": scan["scan_id"],
        "scanJobId": str(scan["id"]),
        "status": scan["status"],
        "totalItems": standing.expected_items(scan),
        "processedItems": scan["processed_items"],
        "createdAt": timestamp(scan["created_at"]),
        "startedAt": timestamp(began, absent=None),
        "completedAt": timestamp(ended, absent=None),
        "duration": duration(seconds),
        "durationSeconds": None if seconds is None else round(seconds, 1),
    }


def page(
    scan: Mapping[str, Any], part: Part, found: Page, *, number: int, size: int
) -> tuple[bytes, Spool, bytes]:
    """Return one page of results as JSON text in three parts; PostgreSQL has printed the second."""
    head = f'"scanId":{json.dumps(scan["scan_id"])},"scanStatus":{json.dumps(scan["status"])}'
    # Deals look as in the document; other types say what they are.
    named = '"deals":'
    if part.name != DEALS:
        named = f'"object":{json.dumps(part.name)},"records":'
    pagination = json.dumps({
        **paginate(number, size, found.total),
        "next_cursor": None if found.next is None else cursors.write(found.next, scan, part),
        "stable": found.stable,
    })  # fmt: skip
    before = f'{{"status":"success","data":{{{head},{named}'
    after = f',"pagination":{pagination},"summary":{found.summary}}},"timestamp":"{timestamp()}"}}'
    return before.encode(), found.records, after.encode()


def with_text(data: Mapping[str, Any], name: str, text: bytes) -> tuple[bytes, bytes, bytes]:
    """Return an answer, in three parts, one of whose fields PostgreSQL has printed."""
    before = f'{{"status":"success","data":{{{json.dumps(data)[1:-1]},"{name}":'
    after = f'}},"timestamp":"{timestamp()}"}}'
    return before.encode(), text, after.encode()


def paginate(page: int, page_size: int, total: int) -> dict[str, Any]:
    """Return the document's `pagination`."""
    pages = -(-total // page_size)
    return {
        "current_page": page,
        "page_size": page_size,
        "total_items": total,
        "total_pages": pages,
        "has_next": page < pages,
        "has_previous": page > 1 and pages > 0,
        "next_page": page + 1 if page < pages else None,
        "previous_page": min(page - 1, pages) if page > 1 and pages > 0 else None,
    }


def cancelled(scan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cancellation answers: the counts of that moment."""
    return {
        "scanId": scan["scan_id"],
        "previousStatus": scan["previous_status"],
        "currentStatus": scan["status"],
        "processedItems": scan["processed_items"],
        "totalItems": standing.expected_items(scan),
        "cancelledAt": timestamp(scan["completed_at"]),
    }


def schedule(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schedule, without its token."""
    return {
        "scheduleId": row["schedule_id"],
        "organizationId": row["organization_id"],
        "cron": row["cron"],
        "config": row["config"],
        "createdAt": timestamp(row["created_at"]),
        "nextRunAt": timestamp(row["next_run_at"]),
        "lastScanId": row["last_scan_id"],
        "lastError": row["last_error"],
        "keepLast": row["keep_last"],
        "pausedAt": timestamp(row["paused_at"], absent=None),
    }


def audited(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody did."""
    return {
        "at": timestamp(row["at"]),
        "keyId": str(row["key_id"]),
        "keyName": row["key_name"],
        "address": row["address"],
        "operation": row["operation"],
        "subject": row["subject"],
        "status": row["status"],
        "correlationId": row["correlation_id"],
    }
