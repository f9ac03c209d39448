"""Knows the operation about what the CRM hub loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from scan_service.door import answers
from scan_service.records import loads

if TYPE_CHECKING:
    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller


async def latest(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/loads."""
    warehouse, found = service.warehouse, None
    if warehouse.is_named:
        found = await loads.latest(warehouse, caller.tenant_id)
    return JSONResponse(answers.success({"loads": found}))
