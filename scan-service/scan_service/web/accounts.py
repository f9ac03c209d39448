"""Knows the page about connections: the tenant's HubSpot accounts, and how one is added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scan_service.errors import ServiceError
from scan_service.web.visits import Visit, go

if TYPE_CHECKING:
    from starlette.responses import Response


async def listed(visit: Visit) -> Response:
    """GET /connections."""
    return await _page(visit, None)


async def create(visit: Visit) -> Response:
    """POST /connections: with a token, or by a user's yes at HubSpot."""
    wanted = {"connectionId": visit.said("name")}
    if token := visit.said("token"):
        wanted["accessToken"] = token
    try:
        made = await visit.ask("POST", "/connections", body={"connection": wanted})
    except ServiceError as error:
        return await _page(visit, error)
    if "authorizeUrl" in made:
        return visit.show("authorize.html", made=made)
    return go("/start", connection=made["connectionId"])


async def remove(visit: Visit) -> Response:
    """POST /connections/{connection_id}/remove."""
    name = visit.request.path_params["connection_id"]
    await visit.ask("DELETE", "/connections/{connection_id}", connection_id=name)
    return go("/connections")


async def _page(visit: Visit, error: ServiceError | None) -> Response:
    found = await visit.ask("GET", "/connections")
    return visit.show(
        "connections.html", code=error.status if error else 200, error=error,
        connections=found["connections"], name=visit.said("name", "main"),
        may_change=visit.may("extract"),
    )  # fmt: skip
