"""Knows which pages there are, who may look, and what a refusal looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse
from starlette.routing import Route

from scan_service.door.app import translated
from scan_service.door.passing import enter
from scan_service.errors import ServiceError, UnauthorizedError
from scan_service.guard import sessions
from scan_service.web import (
    accounts,
    assets,
    entrance,
    keys,
    loads,
    looks,
    pipeline,
    records,
    scans,
    schedules,
    schema,
    starting,
    webhooks,
)
from scan_service.web.visits import Visit, go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from scan_service.door.service import Service

    Show = Callable[[Visit], Awaitable[Response]]

# Nothing but what this server itself has; no exception for anything inline.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would send our own forms with no origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Whoever signs out leaves nothing behind in this browser.
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Page:
    """A page, or what a form of one does."""

    method: str
    path: str
    show: Show


PAGES = (
    Page("GET", "/", scans.listed),
    Page("GET", "/scans/{scan_id}", scans.one),
    Page("GET", "/scans/{scan_id}/live", scans.live),
    Page("POST", "/scans/{scan_id}/cancel", scans.cancel),
    Page("GET", "/scans/{scan_id}/remove", scans.ask_removal),
    Page("POST", "/scans/{scan_id}/remove", scans.remove),
    Page("GET", "/scans/{scan_id}/download/{format}", scans.download),
    Page("GET", "/scans/{scan_id}/records", records.listed),
    Page("GET", "/scans/{scan_id}/records/{record_id}", records.one),
    Page("GET", "/pipeline", pipeline.shown),
    Page("GET", "/start", starting.form),
    Page("POST", "/start", starting.start),
    Page("GET", "/connections", accounts.listed),
    Page("POST", "/connections", accounts.create),
    Page("POST", "/connections/{connection_id}/remove", accounts.remove),
    Page("GET", "/schema", schema.shown),
    Page("GET", "/loads", loads.listed),
    Page("GET", "/schedules", schedules.listed),
    Page("POST", "/schedules/{schedule_id}/run", schedules.run),
    Page("POST", "/schedules/{schedule_id}/pause", schedules.pause),
    Page("POST", "/schedules/{schedule_id}/remove", schedules.remove),
    Page("GET", "/webhooks", webhooks.listed),
    Page("POST", "/webhooks", webhooks.create),
    Page("GET", "/webhooks/{webhook_id}", webhooks.one),
    Page("POST", "/webhooks/{webhook_id}/test", webhooks.test),
    Page("POST", "/webhooks/{webhook_id}/remove", webhooks.remove),
    Page("GET", "/keys", keys.used),
)


def routes(service: Service) -> list[Route]:
    """Return the pages' routes; none where the operator wants none."""
    if not service.settings.pages:
        return []
    by_path: dict[str, dict[str, Show]] = {}
    for page in PAGES:
        by_path.setdefault(page.path, {})[page.method] = page.show
    return [
        Route(assets.PATH, assets.asset),
        Route(entrance.SIGN_IN, _watched(service, entrance.door), methods=["GET", "POST"]),
        Route(entrance.SIGN_OUT, _watched(service, entrance.leave), methods=["POST"]),
        *(
            Route(path, _watched(service, _known(choices)), methods=list(choices))
            for path, choices in by_path.items()
        ),
    ]


def _known(choices: dict[str, Show]) -> Callable[[Service, Request], Awaitable[Response]]:
    """Show pages to those who have signed in."""

    async def answer(service: Service, request: Request) -> Response:
        form = {}
        if request.method == "POST":
            form = await entrance.own_form(service.settings, request)
        session = entrance.session_in(service.settings, request)
        caller = await enter(service, request, session, identify=sessions.authenticate)
        request.state.visit = visit = Visit(service, request, caller, form)
        return await choices["GET" if request.method == "HEAD" else request.method](visit)

    return answer


def _watched(
    service: Service, answer: Callable[[Service, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """Turn refusals into pages, and put the headers of all pages on every answer."""

    async def endpoint(request: Request) -> Response:
        try:
            response = await answer(service, request)
        except ClientDisconnect:
            raise
        except UnauthorizedError:
            response = _sign_in_first(request)
            entrance.drop_cookie(service.settings, request, response)
        except ServiceError as error:
            response = _refusal(request, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, who looks sees a page
            response = _refusal(request, translated(error))
        response.headers.update(_HEADERS)
        return response

    return endpoint


def _sign_in_first(request: Request) -> Response:
    path = request.url.path
    if request.method != "GET" or path == "/":
        return go(entrance.SIGN_IN)
    asked = f"{path}?{request.url.query}" if request.url.query else path
    return go(entrance.SIGN_IN, next=asked)


def _refusal(request: Request, error: ServiceError) -> Response:
    visit: Visit | None = getattr(request.state, "visit", None)
    said = error.envelope()["error"]
    text = looks.render(
        "refusal.html", visit=visit, tenant=visit and visit.caller.tenant_id,
        status=error.status, said=said,
    )  # fmt: skip
    return HTMLResponse(text, status_code=error.status, headers=error.headers)
