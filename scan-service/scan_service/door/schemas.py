"""Knows the operation about what object types and properties a tenant's scans hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from scan_service.door import answers
from scan_service.records import schemas

if TYPE_CHECKING:
    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller


async def told(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/schema."""
    return JSONResponse(answers.success(await schemas.told(service.db, caller.tenant_id)))
