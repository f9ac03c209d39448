"""Knows the operation about what a scan's deals say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scan_service.door import answers
from scan_service.door.asked import name_in
from scan_service.door.endpoints import part_of
from scan_service.door.models import PipelineQuery, read_query
from scan_service.door.printed import printed
from scan_service.errors import ConflictError, NotFoundError, ServiceError
from scan_service.guard.vault import VaultError
from scan_service.ledger import connections, scans
from scan_service.moments import timestamp
from scan_service.records import figures
from scan_service.records.objects import DEALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller


async def pipeline(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/pipeline/{scan_id}."""
    query = read_query(PipelineQuery, request.query_params)
    scan = await scans.find(service.db, caller.tenant_id, name_in(request), of=DEALS)
    part = part_of(scan, DEALS)
    if scan["started_at"] is None:
        raise NotFoundError("No results available: the scan has not started")
    if scan["records"] is None:
        raise ConflictError("Scan is not finished yet")
    text = await figures.pipeline(service.db, scan, part, days=query.stalled_days)
    head = {
        "scanId": scan["scan_id"],
        "asOf": timestamp(scan["completed_at"]),
        "stalledAfterDays": query.stalled_days,
        "labels": await labels_of(service, scan) if query.include_labels else {},
    }
    return await printed(*answers.with_text(head, "figures", text.encode()))


async def labels_of(service: Service, scan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the account calls its pipelines and stages; nothing where nobody can tell."""
    name = scan["config"].get("connection")
    if name is None:
        return {}
    try:
        row = await connections.find(service.db, scan["tenant_id"], name)
        if row["secret"] is None:
            return {}  # made anew, and its user has not said yes
        access = service.vault.access(row["secret"], tenant_id=scan["tenant_id"])
        found = await service.hubspot.describe(scan["tenant_id"], access, [DEALS])
    except (ServiceError, VaultError):
        return {}
    return {
        pipeline["id"]: {
            "label": pipeline["label"],
            "stages": {stage["id"]: stage["label"] for stage in pipeline["stages"]},
        }
        for pipeline in found["objects"][DEALS]["pipelines"]
    }
