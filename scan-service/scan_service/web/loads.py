"""Knows the page about the CRM hub: what each source brought the last time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response

    from scan_service.web.visits import Visit

_STATES = {
    "completed": "completed", "running": "running", "failed": "failed", "lost": "failed",
    "interrupted": "cancelled",
}  # fmt: skip
_WORDS = {"lost": "Lost", "interrupted": "Interrupted"}


async def listed(visit: Visit) -> Response:
    """GET /loads."""
    loads = (await visit.ask("GET", "/loads"))["loads"]
    sources: dict[str, list[dict[str, object]]] = {}
    for each in loads or ():
        looks = {"look": _STATES.get(each["state"], "pending"), "word": _WORDS.get(each["state"])}
        sources.setdefault(each["source"], []).append({**each, **looks})
    return visit.show("loads.html", named=loads is not None, sources=sources)
