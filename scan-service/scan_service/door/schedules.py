"""Knows the operations about scans that start by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from scan_service.door import answers
from scan_service.door.accounts import sealed
from scan_service.door.asked import json_body, name_in
from scan_service.door.models import ChangeSchedule, CreateSchedule, read_body
from scan_service.ledger import schedules
from scan_service.moments import timestamp

if TYPE_CHECKING:
    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller
    from scan_service.ledger.extraction import Extraction


async def create(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/schedules."""
    schedule = read_body(CreateSchedule, await json_body(request)).schedule
    caller.require_tenant(schedule.config.tenant_id)
    request.state.subject = schedule.schedule_id
    token = await _token(service, schedule.config)
    row = await schedules.create(
        service.db, schedule.config,
        schedule_id=schedule.schedule_id, cron=schedule.cron, token=token,
        keep_last=schedule.keep_last,
    )  # fmt: skip
    return JSONResponse(
        answers.success(answers.schedule(row), "Schedule created successfully"), status_code=201
    )


async def listed(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/schedules."""
    rows = await schedules.listed(service.db, caller.tenant_id)
    return JSONResponse(answers.success({"schedules": [answers.schedule(row) for row in rows]}))


async def change(service: Service, request: Request, caller: Caller) -> Response:
    """PATCH /api/v1/schedules/{schedule_id}."""
    name = _name(request)
    wanted = read_body(ChangeSchedule, await json_body(request)).schedule
    # null is the wish to keep all; of the others it says nothing.
    changes = wanted.model_dump(include={"cron", "paused"}, exclude_none=True)
    changes |= wanted.model_dump(include={"keep_last"}, exclude_unset=True)
    config, token = wanted.config, None
    if config is not None:
        caller.require_tenant(config.tenant_id)
        token = await _token(service, config)
    row = await schedules.change(
        service.db, caller.tenant_id, name, changes=changes, config=config, token=token
    )
    return JSONResponse(answers.success(answers.schedule(row), "Schedule changed successfully"))


async def run(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/schedules/{schedule_id}/run."""
    name = _name(request)
    scan_id = await schedules.run_now(
        service.db, service.engine, service.vault, caller.tenant_id, name,
        max_pending=service.settings.max_pending,
    )  # fmt: skip
    url = f"/api/v1/scan/status/{scan_id}"
    data = {"scheduleId": name, "scanId": scan_id, "statusUrl": url}
    return JSONResponse(
        answers.success(data, "Deal extraction started successfully"),
        status_code=202,
        headers={"Location": url},
    )


async def remove(service: Service, request: Request, caller: Caller) -> Response:
    """DELETE /api/v1/schedules/{schedule_id}."""
    name = _name(request)
    await schedules.remove(service.db, caller.tenant_id, name)
    data = {"scheduleId": name, "deletedAt": timestamp()}
    return JSONResponse(answers.success(data, "Schedule removed successfully"))


async def _token(service: Service, config: Extraction) -> bytes | None:
    """Try an account and return its sealed token; a connection is looked up at each time anew."""
    token = await sealed(service, config.auth, config.tenant_id, "schedule.config")
    await service.probe(config, token, "schedule.config")
    return None if config.auth.connection else token


def _name(request: Request) -> str:
    return name_in(request, "schedule_id", "Schedule")
