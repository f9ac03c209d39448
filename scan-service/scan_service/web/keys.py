"""Knows the page about keys' use: which key did what, when and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response

    from scan_service.web.visits import Visit


async def used(visit: Visit) -> Response:
    """GET /keys."""
    found = await visit.ask("GET", "/audit", query={"page": visit.chosen("page")})
    return visit.show("keys.html", entries=found["entries"], pagination=found["pagination"])
