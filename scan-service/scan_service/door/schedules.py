"""Knows the operations about scans that start by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from scan_service.door import answers
from scan_service.door.asked import json_body, name_in
from scan_service.door.models import CreateSchedule, read_body
from scan_service.ledger import schedules
from scan_service.moments import timestamp

if TYPE_CHECKING:
    from starlette.requests import Request

    from scan_service.door.endpoints import Service
    from scan_service.guard.auth import Caller


async def create(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/schedules."""
    schedule = read_body(CreateSchedule, await json_body(request)).schedule
    caller.require_tenant(schedule.config.tenant_id)
    await service.probe(schedule.config, "schedule.config")
    token = service.vault.seal(schedule.config.auth.access_token, tenant_id=caller.tenant_id)
    row = await schedules.create(
        service.db, schedule.config,
        schedule_id=schedule.schedule_id, cron=schedule.cron, token=token,
    )  # fmt: skip
    return JSONResponse(
        answers.success(answers.schedule(row), "Schedule created successfully"), status_code=201
    )


async def listed(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/schedules."""
    rows = await schedules.listed(service.db, caller.tenant_id)
    return JSONResponse(answers.success({"schedules": [answers.schedule(row) for row in rows]}))


async def remove(service: Service, request: Request, caller: Caller) -> Response:
    """DELETE /api/v1/schedules/{schedule_id}."""
    name = _name(request)
    await schedules.remove(service.db, caller.tenant_id, name)
    data = {"scheduleId": name, "deletedAt": timestamp()}
    return JSONResponse(answers.success(data, "Schedule removed successfully"))


def _name(request: Request) -> str:
    return name_in(request, "schedule_id", "Schedule")
