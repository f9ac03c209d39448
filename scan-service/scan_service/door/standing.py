"""Knows how a scan stands, as its status says it: progress, time, waits and errors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from scan_service.moments import timestamp
from scan_service.units import percentage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

_SHOWN_ERRORS = 100


def status(scan: Mapping[str, Any], *, include_requests: bool = False) -> dict[str, Any]:
    """Return the status of a scan; what nobody can know yet is null.

    What a run met and got over stands among the errors while it runs, not for ever.
    """
    live = _live(scan)
    requests = {"requests": _requests(scan["requests"])} if include_requests else {}
    return {
        "scanId": scan["scan_id"],
        "scanJobId": str(scan["id"]),
        "tenantId": scan["tenant_id"],
        "organizationId": scan["organization_id"],
        "status": scan["status"],
        "progress": _progress(scan),
        "timing": _timing(scan),
        "config": scan["config"],
        "waiting": _waiting(scan),
        "errors": [*scan["errors"], *live.get("errors", ())][-_SHOWN_ERRORS:],
        **requests,
        **_verification(scan),
    }


def _requests(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a scan's requests to HubSpot over its time; None of one that told of none."""
    if not line:
        return None
    points = [
        dict(zip(("second", "requests", "limit"), one, strict=True)) for one in line["points"]
    ]
    return {"total": line["total"], "limit": points[-1]["limit"], "line": points}


def _verification(scan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a scan found that verifies another one; nothing of all others."""
    subject = scan["config"].get("verifies")
    if subject is None:
        return {}
    found = scan["findings"] or {"verdict": None, "parts": [], "differences": []}
    return {"verification": {"verifies": subject, **found}}


def _live(scan: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what holds up the run that is under way; nothing where none is."""
    is_under_way = scan["status"] == "running" and scan["run_id"] is not None
    found: Mapping[str, Any] = scan["live"] if is_under_way else {}
    return found


def _left_to_wait(scan: Mapping[str, Any]) -> float:
    """Return for how many seconds the run still waits for HubSpot; 0 where it does not."""
    wait = _live(scan).get("waiting")
    if wait is None:
        return 0.0
    left: float = wait["seconds"] - (scan["now"] - scan["seen_at"]).total_seconds()
    return max(0.0, left)


def _waiting(scan: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a run waits for and until when; None when that is over."""
    left = _left_to_wait(scan)
    if not left:
        return None
    wait = _live(scan)["waiting"]
    # The first whole second at which it is over.
    until = scan["now"] + timedelta(seconds=left, microseconds=999_999)
    return {"code": wait["code"], "reason": wait["reason"], "until": timestamp(until)}


def expected_items(scan: Mapping[str, Any]) -> int | None:
    """Return the number to expect; records made while the scan runs only ever raise it."""
    if scan["objects"] is not None:
        return sum_of(_counts(each)["totalItems"] for each in scan["objects"].values())
    total = scan["total_items"]
    return None if total is None else max(total, scan["processed_items"])


def _progress(scan: Mapping[str, Any]) -> dict[str, Any]:
    total, processed, failed = expected_items(scan), scan["processed_items"], scan["failed_items"]
    batch = scan["config"].get("batchSize", 100)
    percent: float | None = None
    if scan["status"] == "completed":
        percent = 100.0
    elif total is not None:
        # 100 % is for scans that are over.
        percent = min(99.9, round(100 * processed / total, 1)) if total else 0.0
    answer = {
        "totalItems": total,
        "processedItems": processed,
        "failedItems": failed,
        "successRate": percentage(processed - failed, processed),
        "percentComplete": percent,
        "currentBatch": -(-processed // batch),
        "totalBatches": None if total is None else -(-total // batch),
    }
    if scan["objects"] is not None:
        answer["objects"] = {name: _counts(each) for name, each in scan["objects"].items()}
    return answer


def _counts(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far one object type is."""
    total, processed = counts["total"], counts["processed"]
    return {
        "totalItems": None if total is None else max(total, processed),
        "processedItems": processed,
        "failedItems": counts["failed"],
    }


def _timing(scan: Mapping[str, Any]) -> dict[str, Any]:
    began: datetime | None = scan["started_at"]
    ended: datetime | None = scan["completed_at"]
    elapsed = ((ended or scan["now"]) - began).total_seconds() if began else 0.0
    remaining: int | None = None
    total, processed = expected_items(scan), scan["processed_items"]
    if scan["status"] == "running" and total and processed and elapsed:
        # At the pace so far, once it has waited.
        left = (total - processed) * elapsed / processed + _left_to_wait(scan)
        remaining = max(0, round(left))
    elif scan["status"] == "completed":
        remaining = 0
    expected = scan["now"] + timedelta(seconds=remaining) if remaining is not None else None
    return {
        "startedAt": timestamp(began, absent=None),
        "completedAt": timestamp(ended, absent=None),
        "estimatedCompletionAt": timestamp(ended or expected, absent=None),
        "elapsedSeconds": int(elapsed),
        "estimatedRemainingSeconds": remaining,
    }


def sum_of(totals: Iterable[int | None]) -> int | None:
    """Return what is to be expected in all; one unknown number makes it unknown."""
    found = 0
    for total in totals:
        if total is None:
            return None
        found += total
    return found
