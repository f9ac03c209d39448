"""Knows the operations of the API: what each takes, checks and answers.

Each gets a caller who may do this; the door (`app.py`) has seen to that.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from scan_service.door import answers, cursors, standing
from scan_service.door.accounts import sealed
from scan_service.door.asked import json_body, name_in
from scan_service.door.downloads import Download, while_there
from scan_service.door.models import (
    AuditQuery,
    DownloadQuery,
    ListQuery,
    RecordQuery,
    RemoveQuery,
    ResultQuery,
    StartScan,
    StatusQuery,
    read_body,
    read_query,
)
from scan_service.door.printed import Printed, printed
from scan_service.errors import ConflictError, InvalidRequestError, NotFoundError
from scan_service.guard import audit
from scan_service.ledger import history, removals, scans
from scan_service.moments import timestamp
from scan_service.records import files, pages, parquet
from scan_service.records.objects import is_copy, parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller
    from scan_service.ledger.extraction import ScanConfig
    from scan_service.records.objects import Part


async def start_scan(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/scan/start."""
    config = read_body(StartScan, await json_body(request)).config
    caller.require_tenant(config.tenant_id)
    request.state.subject = config.scan_id
    if await scans.exists(service.db, caller.tenant_id, config.scan_id):
        raise ConflictError("Scan with this ID already exists")
    config = await _whole(service, config)
    token = await sealed(service, config.auth, caller.tenant_id, "config")
    totals = await service.probe(config, token, "config")
    # Before the scan is there: once it is, nothing may fail that would say it is not.
    lasting = await history.estimate(service.db, caller.tenant_id)
    async with service.db.tenant(caller.tenant_id) as connection:
        scan = await scans.start(
            connection,
            service.engine,
            config,
            scan_id=config.scan_id,
            token=token,
            totals=totals,
            max_pending=service.settings.max_pending,
        )
    data = answers.started(scan, lasting)
    return JSONResponse(
        answers.success(data, "Deal extraction started successfully"),
        status_code=202,
        headers={"Location": data["statusUrl"]},
    )


async def estimate(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/scan/estimate."""
    config = read_body(StartScan, await json_body(request)).config
    caller.require_tenant(config.tenant_id)
    request.state.subject = config.scan_id
    config = await _whole(service, config)
    token = await sealed(service, config.auth, caller.tenant_id, "config")
    totals = await service.probe(config, token, "config")
    lasting = await history.estimate(service.db, caller.tenant_id)
    return JSONResponse(answers.success(answers.estimated(config.parts(), totals, lasting)))


async def _whole(service: Service, config: ScanConfig) -> ScanConfig:
    """Return a configuration that says what is read; one that verifies names a scan for that."""
    if config.verifies is None:
        return config
    try:
        scan = await scans.find(service.db, config.tenant_id, config.verifies)
    except NotFoundError:
        scan = {"status": "gone"}
    if scan["status"] != "completed" or not is_copy(scan["config"]):
        raise InvalidRequestError.field(
            "config.verifies", "must name a completed scan that read everything",
            message="Invalid scan configuration",
        )  # fmt: skip
    return config.like(scan["config"])


async def scan_status(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/status/{scan_id}."""
    query = read_query(StatusQuery, request.query_params)
    scan = await scans.find(service.db, caller.tenant_id, name_in(request))
    data = standing.status(scan, include_requests=query.include_requests)
    return JSONResponse(answers.success(data))


async def list_scans(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/list."""
    query = read_query(ListQuery, request.query_params)
    rows, total = await scans.listed(
        service.db, caller.tenant_id, status=query.status, sort=query.sort, order=query.order,
        number=query.page, size=query.page_size,
    )  # fmt: skip
    return JSONResponse(
        answers.success({
            "scans": [answers.listed(row) for row in rows],
            "pagination": answers.paginate(query.page, query.page_size, total),
        })
    )  # fmt: skip


async def cancel_scan(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/scan/cancel/{scan_id}."""
    scan = await scans.cancel(service.db, service.engine, caller.tenant_id, name_in(request))
    return JSONResponse(answers.success(answers.cancelled(scan), "Scan cancelled successfully"))


async def scan_result(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/result/{scan_id}."""
    query = read_query(ResultQuery, request.query_params)
    scan = await scans.find(service.db, caller.tenant_id, name_in(request), of=query.object)
    if scan["started_at"] is None:
        raise NotFoundError("No results available: the scan has not started")
    part = part_of(scan, query.object)
    place = _place(query, scan, part)
    found = await pages.page(
        service.db, scan, part, place, size=query.page_size,
        associations=query.include_associations, raw=query.include_raw,
        summaries=service.summaries,
    )  # fmt: skip
    number = place.before // query.page_size + 1
    return Printed(*answers.page(scan, part, found, number=number, size=query.page_size))


async def scan_record(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/result/{scan_id}/{record_id}."""
    query = read_query(RecordQuery, request.query_params)
    scan = await scans.find(service.db, caller.tenant_id, name_in(request), of=query.object)
    part = part_of(scan, query.object)
    record = await pages.record(
        service.db, scan, part, name_in(request, "record_id", "Record"), raw=query.include_raw
    )
    if record is None:
        raise NotFoundError("Record not found")
    head = {"scanId": scan["scan_id"], "object": part.name}
    return await printed(*answers.with_text(head, "record", record))


def _place(query: ResultQuery, scan: Mapping[str, Any], part: Part) -> pages.Place:
    """Return where the page begins that a query asks for."""
    if query.cursor is None:
        return pages.Place((query.page - 1) * query.page_size)
    if "page" in query.model_fields_set:
        raise InvalidRequestError.field(
            "cursor", "must not be sent with `page`: both say where to begin",
            message="Invalid query parameters",
        )  # fmt: skip
    return cursors.read(query.cursor, scan, part)


def part_of(scan: Mapping[str, Any], name: str) -> Part:
    """Return what a scan reads of an object type; asking for one that it does not read is wrong."""
    if scan["config"].get("verifies"):
        raise NotFoundError("This scan verified another one and has no records; see its status")
    found = parts(scan["config"])
    if name not in found:
        raise InvalidRequestError.field(
            "object", f"must be an object type of this scan: {', '.join(found)}",
            message="Invalid query parameters",
        )  # fmt: skip
    return found[name]


def formats() -> list[str]:
    """Return the forms of files that this server can write."""
    return [form for form in files.MEDIA_TYPES if form != "parquet" or parquet.is_installed()]


async def download(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/scan/download/{scan_id}/{format}."""
    form = request.path_params["format"]
    if form not in files.MEDIA_TYPES:
        raise InvalidRequestError.field(
            "format", f"must be one of {', '.join(files.MEDIA_TYPES)}",
            message="Invalid format specified",
        )  # fmt: skip
    if form not in formats():
        raise InvalidRequestError.field(
            "format", f"{form} is not installed here: the server needs scan-service[{form}]",
            message="Invalid format specified",
        )  # fmt: skip
    query = read_query(DownloadQuery, request.query_params)
    scan = await scans.find(service.db, caller.tenant_id, name_in(request), of=query.object)
    if scan["status"] in scans.ACTIVE or scan["run_id"] is not None:
        raise ConflictError("Scan is not finished yet")
    if scan["started_at"] is None:
        raise NotFoundError("No results available: the scan never started")
    part = part_of(scan, query.object)
    if scan["records"] is None:  # nor are the columns known that its files have
        raise ConflictError("Scan has ended and is being counted. Please retry.")
    day = timestamp(scan["completed_at"])[:10]
    name = f"hubspot_{query.object}_{day}.{files.EXTENSIONS[form]}"
    headers = {
        "Content-Type": files.MEDIA_TYPES[form],
        "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
    }
    if form in files.WRITERS:
        headers["Content-Encoding"] = "identity"  # packed already
    if request.method == "HEAD":
        response = Response(headers=headers)
        del response.headers["Content-Length"]  # nobody knows how long the file will be
        return response
    async with AsyncExitStack() as stack:
        refusal = "All of your downloads are taken. Please retry."
        await stack.enter_async_context(service.downloads.turn(caller.tenant_id, refusal))
        making = AsyncExitStack()
        opening = files.opened(
            service.db, scan, part, form,
            associations=query.include_associations, custom=query.include_custom_props,
            mark=query.bom,
        )  # fmt: skip
        pieces = await while_there(request, making.enter_async_context(opening))
        return Download(making, stack.pop_all(), pieces, headers)


async def remove_scan(service: Service, request: Request, caller: Caller) -> Response:
    """DELETE /api/v1/scan/remove/{scan_id}."""
    read_query(RemoveQuery, request.query_params)
    name = name_in(request)
    gone = await removals.remove(service.db, caller.tenant_id, name)
    data = {"scanId": name, "deletedRecords": gone, "deletedAt": timestamp()}
    return JSONResponse(answers.success(data, "Scan and all associated data removed successfully"))


async def statistics(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/stats."""
    return JSONResponse(answers.success(await history.statistics(service.db, caller.tenant_id)))


async def list_audit(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/audit."""
    query = read_query(AuditQuery, request.query_params)
    rows, total = await audit.listed(
        service.db, caller.tenant_id, number=query.page, size=query.page_size
    )
    return JSONResponse(
        answers.success({
            "entries": [answers.audited(row) for row in rows],
            "pagination": answers.paginate(query.page, query.page_size, total),
        })
    )  # fmt: skip
