"""Knows the page that starts a scan: it knows the account, and what the scan would cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scan_service.errors import ServiceError
from scan_service.web.visits import Visit, go

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.responses import Response

_DEALS = "deals"
_LINKS = ("contacts", "companies", "deals", "tickets", "line_items")
# A select names a pipeline, or with this between a stage of one.
_BETWEEN = " "


async def form(visit: Visit) -> Response:
    """GET /start."""
    return await _page(visit, _asked(visit))


def _asked(visit: Visit) -> dict[str, list[str]]:
    """Return what the page's address asks for, as a form would send it."""
    query = visit.request.query_params
    return {name: query.getlist(name) for name in query}


async def start(visit: Visit) -> Response:
    """POST /start: the estimate, the scan, or a schedule of such scans."""
    config, act = _config(visit), visit.said("do")
    try:
        if act == "estimate":
            estimate = await visit.ask("POST", "/scan/estimate", body={"config": config})
            return await _page(visit, visit.form, estimate=estimate)
        if act == "schedule":
            await visit.ask("POST", "/schedules", body={"schedule": _schedule(visit, config)})
            return go("/schedules")
        begun = await visit.ask("POST", "/scan/start", body={"config": config})
    except ServiceError as error:
        return await _page(visit, visit.form, error=error)
    return go(f"/scans/{begun['scanId']}")


def _schedule(visit: Visit, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schedule of such scans; it names them itself."""
    keep = visit.said("keep")
    return {
        "scheduleId": config["scanId"],
        "cron": visit.said("cron"),
        "keepLast": int(keep) if keep.isascii() and keep.isdigit() else None,
        "config": {name: value for name, value in config.items() if name != "scanId"},
    }


def _config(visit: Visit) -> dict[str, Any]:
    """Return what a form asks for as the API takes it."""
    return {
        "scanId": visit.said("name"),
        "tenantId": visit.caller.tenant_id,
        "auth": {"connection": visit.said("connection")},
        "mode": "incremental" if visit.said("mode") == "incremental" else "full",
        "objects": [_object(visit, name) for name in visit.form.get("object") or [_DEALS]],
    }


def _object(visit: Visit, name: str) -> dict[str, Any]:
    item: dict[str, Any] = {"name": name}
    pipeline, _, stage = visit.said(f"where.{name}").partition(_BETWEEN)
    filters = {"pipeline": pipeline, "stage": stage, "archived": bool(visit.said(f"old.{name}"))}
    dates = {"startDate": visit.said(f"from.{name}"), "endDate": visit.said(f"to.{name}")}
    for key, said in (("filters", filters), ("dateRange", dates)):
        if kept := {each: value for each, value in said.items() if value}:
            item[key] = kept
    for key, field in (
        ("properties", "property"),
        ("associations", "link"),
        ("history", "history"),
    ):
        if chosen := list(visit.form.get(f"{field}.{name}") or ()):
            item[key] = chosen
    return item


async def _page(
    visit: Visit,
    said: Mapping[str, Sequence[str]],
    *,
    error: ServiceError | None = None,
    estimate: Mapping[str, Any] | None = None,
) -> Response:
    listed = (await visit.ask("GET", "/connections"))["connections"]
    connections = [each for each in listed if each["status"] == "connected"]
    names = [each["connectionId"] for each in connections]
    asked = (said.get("connection") or [""])[0]
    connection = asked if asked in names else next(iter(names), None)
    objects = list(said.get("object") or [_DEALS])
    account = None
    if connection is not None:
        try:
            account = await visit.ask(
                "GET", "/connections/{connection_id}/objects",
                query={"names": ",".join(objects)}, connection_id=connection,
            )  # fmt: skip
        except ServiceError as failure:
            error = error or failure
    return visit.show(
        "start.html", code=error.status if error else 200, error=error, estimate=estimate,
        connections=names, connection=connection, account=account, objects=objects, said=said,
        name=(said.get("name") or [f"scan-{datetime.now(UTC):%Y%m%d-%H%M%S}"])[0],
        links=_LINKS, between=_BETWEEN, may_change=visit.may("extract"),
    )  # fmt: skip
