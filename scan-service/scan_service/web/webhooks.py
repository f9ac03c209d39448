"""Knows the pages about webhooks: who is told what, and how that went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scan_service.errors import ServiceError
from scan_service.web.visits import Visit, go

if TYPE_CHECKING:
    from starlette.responses import Response

# As the API's description lists them.
EVENTS = (
    "scan.completed", "scan.failed", "scan.cancelled", "scan.late", "records.rejected",
    "schema.changed", "schedule.paused",
)  # fmt: skip


async def listed(visit: Visit) -> Response:
    """GET /webhooks."""
    return await _page(visit, None)


async def create(visit: Visit) -> Response:
    """POST /webhooks: its secret is shown this once."""
    wanted = {
        "webhookId": visit.said("name"),
        "url": visit.said("url"),
        "events": list(visit.form.get("event") or EVENTS),
    }
    try:
        made = await visit.ask("POST", "/webhooks", body={"webhook": wanted})
    except ServiceError as error:
        return await _page(visit, error)
    return visit.show("webhook_secret.html", made=made)


async def _page(visit: Visit, error: ServiceError | None) -> Response:
    found = await visit.ask("GET", "/webhooks")
    return visit.show(
        "webhooks.html", code=error.status if error else 200, error=error,
        webhooks=found["webhooks"], events=EVENTS, name=visit.said("name", "main"),
        url=visit.said("url"), may_change=visit.may("extract"),
    )  # fmt: skip


async def one(visit: Visit) -> Response:
    """GET /webhooks/{webhook_id}: what it was told."""
    found = await visit.ask("GET", "/webhooks/{webhook_id}/deliveries", webhook_id=_name(visit))
    return visit.show(
        "deliveries.html", name=_name(visit), deliveries=found["deliveries"],
        may_change=visit.may("extract"),
    )  # fmt: skip


async def test(visit: Visit) -> Response:
    """POST /webhooks/{webhook_id}/test."""
    await visit.ask("POST", "/webhooks/{webhook_id}/test", webhook_id=_name(visit))
    return go(f"/webhooks/{_name(visit)}")


async def remove(visit: Visit) -> Response:
    """POST /webhooks/{webhook_id}/remove."""
    await visit.ask("DELETE", "/webhooks/{webhook_id}", webhook_id=_name(visit))
    return go("/webhooks")


def _name(visit: Visit) -> str:
    found: str = visit.request.path_params["webhook_id"]
    return found
