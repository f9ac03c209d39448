"""Knows the page about schedules: when each runs next, what hinders it, and what can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scan_service.web.visits import go

if TYPE_CHECKING:
    from starlette.responses import Response

    from scan_service.web.visits import Visit


async def listed(visit: Visit) -> Response:
    """GET /schedules."""
    found = await visit.ask("GET", "/schedules")
    return visit.show(
        "schedules.html", schedules=found["schedules"], may_change=visit.may("extract")
    )


async def run(visit: Visit) -> Response:
    """POST /schedules/{schedule_id}/run: a scan of it now."""
    made = await visit.ask("POST", "/schedules/{schedule_id}/run", schedule_id=_name(visit))
    return go(f"/scans/{made['scanId']}")


async def pause(visit: Visit) -> Response:
    """POST /schedules/{schedule_id}/pause: pauses it, or lets it go on."""
    changes = {"schedule": {"paused": visit.said("paused") == "yes"}}
    await visit.ask("PATCH", "/schedules/{schedule_id}", body=changes, schedule_id=_name(visit))
    return go("/schedules")


async def remove(visit: Visit) -> Response:
    """POST /schedules/{schedule_id}/remove."""
    await visit.ask("DELETE", "/schedules/{schedule_id}", schedule_id=_name(visit))
    return go("/schedules")


def _name(visit: Visit) -> str:
    found: str = visit.request.path_params["schedule_id"]
    return found
