"""Knows the operation about what a record of a scan was before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from scan_service.door import answers
from scan_service.door.asked import name_in
from scan_service.door.endpoints import part_of
from scan_service.door.figures import labels_of
from scan_service.door.models import HistoryQuery, read_query
from scan_service.ledger import scans
from scan_service.records import histories
from scan_service.records.objects import DEALS

if TYPE_CHECKING:
    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller


async def told(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/result/{scan_id}/{record_id}/history."""
    query = read_query(HistoryQuery, request.query_params)
    scan = await scans.find(service.db, caller.tenant_id, name_in(request))
    part = part_of(scan, query.object)
    record = name_in(request, "record_id", "Record")
    found = await histories.told(service.db, scan, part, record)
    wants_labels = query.include_labels and part.name == DEALS and found["stays"]
    data = {
        "scanId": scan["scan_id"],
        "object": part.name,
        "recordId": record,
        "properties": list(part.history),
        "labels": await labels_of(service, scan) if wants_labels else {},
        **found,
    }
    return JSONResponse(answers.success(data))
