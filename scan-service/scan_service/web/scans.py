"""Knows the pages about scans: all of them, one while it lives, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service_base.database import AWAY
from starlette.responses import StreamingResponse

from scan_service.door.endpoints import formats
from scan_service.errors import (
    InvalidRequestError,
    NotFoundError,
    ServiceError,
    UnauthorizedError,
)
from scan_service.guard import sessions
from scan_service.web import entrance
from scan_service.web.visits import Visit, go

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from scan_service.door.news import Watch

_PAGE_SIZE = 30
_STRIP = 30
_STRIP_STEPS = 10
# A page that is told of changes hears of one in two seconds at most, so that a viewer costs less
# than a hundredth of a core (tests/benchmarks/test_page_cost.py), and something at least so often.
_PAUSE_SECONDS = 2.0
_HEARTBEAT_SECONDS = 15.0
ENDED = ("completed", "failed", "cancelled")
STATES = ("all", "pending", "running", *ENDED)
_FORMATS = {
    "excel": "Excel", "csv": "CSV", "parquet": "Parquet", "json": "JSON", "ndjson": "NDJSON",
}  # fmt: skip
REFUSED = "VALIDATION_ERROR"


async def listed(visit: Visit) -> Response:
    """GET /: the tenant's scans, newest first."""
    status, page = visit.chosen("status") or "all", visit.chosen("page")
    found = await visit.ask(
        "GET", "/scan/list", query={"status": status, "page": page, "page_size": _PAGE_SIZE}
    )
    latest = found
    if status != "all" or page not in ("", "1"):
        latest = await visit.ask("GET", "/scan/list", query={"page_size": _STRIP})
    return visit.show(
        "scans.html", scans=found["scans"], pagination=found["pagination"], status=status,
        states=STATES, strip=_strip(latest["scans"]), numbers=await visit.ask("GET", "/stats"),
    )  # fmt: skip


def _strip(scans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the last runs, oldest first, each with how tall it stands among the others."""
    longest = max((scan["durationSeconds"] or 0 for scan in scans), default=0) or 1
    return [
        {**scan, "step": 1 + int((_STRIP_STEPS - 1) * (scan["durationSeconds"] or 0) / longest)}
        for scan in reversed(scans[:_STRIP])
    ]


async def one(visit: Visit) -> Response:
    """GET /scans/{scan_id}."""
    return visit.show("scan.html", **shown(visit, await _status(visit)))


async def _status(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = await visit.ask(
        "GET", "/scan/status/{scan_id}", query={"include_requests": "true"}, scan_id=name(visit)
    )
    return found


def name(visit: Visit) -> str:
    """Return the scan that a page's path names."""
    found: str = visit.request.path_params["scan_id"]
    return found


def shown(visit: Visit, scan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page of a scan shows, of what its status answers."""
    progress, ended = scan["progress"], scan["status"] in ENDED
    errors = list(reversed(scan["errors"]))
    return {
        "scan": scan,
        "types": _types(progress),
        "requests": scan["requests"] and _drawn(scan["requests"], scan["timing"]["elapsedSeconds"]),
        "ended": ended,
        "has_results": scan["timing"]["startedAt"] is not None and "verification" not in scan,
        "refused": [each for each in errors if each["code"] == REFUSED],
        "errors": [each for each in errors if each["code"] != REFUSED],
        "formats": [(form, _FORMATS[form]) for form in _FORMATS if form in formats()],
        "may_change": visit.may("extract"),
        "may_download": visit.may("download"),
    }


def _drawn(requests: Mapping[str, Any], elapsed: int) -> dict[str, Any]:
    """Return the line of requests as the page draws it, a hundred wide and high."""
    line = requests["line"]
    top = max(max(each["requests"], each["limit"] or 0) for each in line) * 1.1 or 1
    last = max(elapsed, line[-1]["second"]) or 1
    # It begins with the scan: one that told once has a line, too.
    points = [(0.0, 100.0)] + [
        (round(100 * each["second"] / last, 2), round(100 - 100 * each["requests"] / top, 2))
        for each in line
    ]
    return {
        **requests,
        "points": " ".join(f"{x},{y}" for x, y in points),
        "area": f"{points[0][0]},100 "
        + " ".join(f"{x},{y}" for x, y in points)
        + f" {points[-1][0]},100",
        "at_limit": round(100 - 100 * requests["limit"] / top, 2) if requests["limit"] else None,
        "most": max(each["requests"] for each in line),
        "elapsed": last,
    }


def _types(progress: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how far each object type is; a scan that names none reads deals."""
    found = progress.get("objects") or {"deals": progress}
    return [
        {
            "name": each,
            "total": counts["totalItems"],
            "processed": counts["processedItems"],
            "failed": counts["failedItems"],
            "left": None
            if counts["totalItems"] is None
            else max(0, counts["totalItems"] - counts["processedItems"]),
        }
        for each, counts in found.items()
    ]


async def live(visit: Visit) -> Response:
    """GET /scans/{scan_id}/live: the changing part of a scan's page, each time it changes."""
    scan = await _status(visit)
    return _Live(visit, visit.service.news.watch(visit.caller.tenant_id, scan["scanJobId"]))


class _Live(StreamingResponse):
    """An answer that goes on for as long as somebody watches.

    Args:
        visit: who watches.
        watching: what he holds meanwhile; it may refuse, and then that is the answer.
    """

    def __init__(self, visit: Visit, watching: AbstractAsyncContextManager[Watch]) -> None:
        # A proxy would wait for more of it before it passed anything on.
        headers = {"X-Accel-Buffering": "no"}
        super().__init__((), media_type="text/event-stream", headers=headers)
        self._visit = visit
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is to tell."""
        async with self._watching as watch:
            self.body_iterator = _events(self._visit, watch)
            await super().__call__(scope, receive, send)


async def _events(visit: Visit, watch: Watch) -> AsyncIterator[str]:
    before = ""
    while not watch.over:
        watch.look()
        try:
            await _still_in(visit)
            scan = await _status(visit)
        except (UnauthorizedError, NotFoundError):
            yield "event: gone\ndata:\n\n"
            return
        except (ServiceError, *AWAY):
            return  # browsers ask again
        text = visit.text("parts/scan.html", **shown(visit, scan))
        yield ":\n\n" if text == before else _event("part", text)
        before = text
        if scan["status"] in ENDED:
            yield "event: end\ndata:\n\n"
            return
        await watch.pause(_PAUSE_SECONDS)
        await watch.change(within=_HEARTBEAT_SECONDS)


def _event(kind: str, text: str) -> str:
    lines = "\n".join(f"data: {line}" for line in text.splitlines())
    return f"event: {kind}\n{lines}\n\n"


async def _still_in(visit: Visit) -> None:
    """Look whether who watches is still signed in; this counts as no request of his."""
    session = entrance.session_in(visit.service.settings, visit.request)
    async with visit.service.db.system() as connection:
        await sessions.authenticate(connection, session)


async def cancel(visit: Visit) -> Response:
    """POST /scans/{scan_id}/cancel."""
    await visit.ask("POST", "/scan/cancel/{scan_id}", scan_id=name(visit))
    return go(f"/scans/{name(visit)}")


async def ask_removal(visit: Visit) -> Response:
    """GET /scans/{scan_id}/remove: what would go, before it goes."""
    scan = await _status(visit)
    return visit.show("remove.html", scan=scan, types=_types(scan["progress"]))


async def remove(visit: Visit) -> Response:
    """POST /scans/{scan_id}/remove."""
    await visit.ask(
        "DELETE", "/scan/remove/{scan_id}", query={"confirm": "true"}, scan_id=name(visit)
    )
    return go("/")


async def download(visit: Visit) -> Response:
    """GET /scans/{scan_id}/download/{format}: the file itself, as the API gives it."""
    if visit.request.method == "HEAD":
        raise InvalidRequestError("Method not allowed", status=405)
    return await visit.answer(
        "GET", "/scan/download/{scan_id}/{format}", query=visit.request.query_params,
        scan_id=name(visit), format=visit.request.path_params["format"],
    )  # fmt: skip
