"""Knows the door: which paths there are, who may pass, and what a refusal looks like."""

from __future__ import annotations

import contextlib
from importlib import resources
from typing import TYPE_CHECKING

import psycopg
from asgi_correlation_id import CorrelationIdMiddleware
from service_base import documents
from service_base.database import AWAY
from service_base.logs import logger
from service_base.middleware import Refusals, Watch, may_watch
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scan_service.db import Database, Warehouse
from scan_service.door import (
    accounts,
    endpoints,
    figures,
    histories,
    loads,
    schedules,
    schemas,
    webhooks,
)
from scan_service.door.health import Health
from scan_service.door.hubspot import HubSpot
from scan_service.door.news import News
from scan_service.door.passing import Operation, let_through
from scan_service.door.printed import Packing
from scan_service.door.prometheus import CONTENT_TYPE, Metrics
from scan_service.door.service import Service
from scan_service.engine.jobs import Engine
from scan_service.errors import (
    DatabaseError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
)
from scan_service.guard import auth
from scan_service.guard.addresses import Addresses
from scan_service.guard.vault import Vault
from scan_service.records.summaries import Summaries
from scan_service.shares import Shares

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from scan_service.settings import Settings

_log = logger(__name__)
_GZIP_LEVEL = 3  # more would keep the event loop longer
_DOWNLOAD_WAIT_SECONDS = 2.0


OPERATIONS = (
    Operation("POST", "/api/v1/scan/start", auth.EXTRACT, endpoints.start_scan),
    Operation("POST", "/api/v1/scan/estimate", auth.EXTRACT, endpoints.estimate),
    Operation("GET", "/api/v1/scan/status/{scan_id}", auth.READ, endpoints.scan_status),
    Operation("GET", "/api/v1/scan/list", auth.READ, endpoints.list_scans),
    Operation("POST", "/api/v1/scan/cancel/{scan_id}", auth.EXTRACT, endpoints.cancel_scan),
    Operation("GET", "/api/v1/scan/result/{scan_id}", auth.READ, endpoints.scan_result),
    Operation("GET", "/api/v1/scan/result/{scan_id}/{record_id}", auth.READ, endpoints.scan_record),
    Operation(
        "GET", "/api/v1/scan/result/{scan_id}/{record_id}/history", auth.READ, histories.told
    ),
    Operation("GET", "/api/v1/scan/pipeline/{scan_id}", auth.READ, figures.pipeline),
    Operation("GET", "/api/v1/scan/download/{scan_id}/{format}", auth.DOWNLOAD, endpoints.download),
    Operation("DELETE", "/api/v1/scan/remove/{scan_id}", auth.EXTRACT, endpoints.remove_scan),
    Operation("GET", "/api/v1/schema", auth.READ, schemas.told),
    Operation("GET", "/api/v1/loads", auth.READ, loads.latest),
    Operation("GET", "/api/v1/stats", auth.READ, endpoints.statistics),
    Operation("POST", "/api/v1/schedules", auth.EXTRACT, schedules.create),
    Operation("GET", "/api/v1/schedules", auth.READ, schedules.listed),
    Operation("PATCH", "/api/v1/schedules/{schedule_id}", auth.EXTRACT, schedules.change),
    Operation("POST", "/api/v1/schedules/{schedule_id}/run", auth.EXTRACT, schedules.run),
    Operation("DELETE", "/api/v1/schedules/{schedule_id}", auth.EXTRACT, schedules.remove),
    Operation("POST", "/api/v1/connections", auth.EXTRACT, accounts.create),
    Operation("GET", "/api/v1/connections", auth.READ, accounts.listed),
    Operation("GET", "/api/v1/connections/{connection_id}/objects", auth.READ, accounts.objects),
    Operation("DELETE", "/api/v1/connections/{connection_id}", auth.EXTRACT, accounts.remove),
    Operation("GET", "/api/v1/audit", auth.READ, endpoints.list_audit),
    Operation("POST", "/api/v1/webhooks", auth.EXTRACT, webhooks.create),
    Operation("GET", "/api/v1/webhooks", auth.READ, webhooks.listed),
    Operation("DELETE", "/api/v1/webhooks/{webhook_id}", auth.EXTRACT, webhooks.remove),
    Operation("POST", "/api/v1/webhooks/{webhook_id}/test", auth.EXTRACT, webhooks.test),
    Operation("GET", "/api/v1/webhooks/{webhook_id}/deliveries", auth.READ, webhooks.deliveries),
)


def description() -> str:
    """Return the API's description as it is kept: YAML."""
    return resources.files("scan_service.door").joinpath("openapi.yaml").read_text(encoding="utf-8")


def create_app(
    settings: Settings, pages: Callable[[Service], Sequence[BaseRoute]] = lambda _: ()
) -> Starlette:
    """Return the service as an ASGI application.

    Args:
        settings: of the process.
        pages: the web pages' routes, given what the operations work with.
    """
    db = Database(
        settings.database_url, size=settings.connections, exports=settings.export_connections
    )
    warehouse = Warehouse(settings.warehouse_url)
    hubspot = HubSpot(settings)
    service = Service(
        settings, db, Engine(), Vault(settings.secret_keys), hubspot,
        downloads=Shares(settings.tenant_downloads, seconds=_DOWNLOAD_WAIT_SECONDS),
        addresses=Addresses(), news=News(db, most=settings.page_viewers),
        warehouse=warehouse, summaries=Summaries(),
    )  # fmt: skip
    health, numbers = Health(settings, hubspot.is_reachable), Metrics(db, service.engine)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await db.open()
        await warehouse.open()
        await service.engine.open(db.pool)
        try:
            yield
        finally:
            hubspot.close()
            await service.news.close()
            await health.close()
            await warehouse.close()
            await db.close()

    async def alive(_: Request) -> Response:
        return JSONResponse(health.alive())

    async def come_back(request: Request) -> Response:
        return await accounts.come_back(service, request)

    async def healthy(_: Request) -> Response:
        fine, report = await health.report()
        return JSONResponse(report, status_code=200 if fine else 503)

    async def metrics(request: Request) -> Response:
        _let_through_to_metrics(settings, request)
        return Response(await numbers.text(), headers={"Content-Type": CONTENT_TYPE})

    app = Starlette(
        routes=[
            Route(accounts.CALLBACK, come_back),
            *_routes(service),
            Route("/health", healthy),
            Route("/health/live", alive),
            Route("/metrics", metrics),
            *documents.routes(description()),
            *pages(service),
        ],
        middleware=[
            Middleware(CorrelationIdMiddleware, header_name="X-Correlation-ID"),
            Middleware(Watch, answered=numbers.answered),
            Middleware(Refusals, answer=_refused),
            Middleware(Packing, minimum_size=1024, compresslevel=_GZIP_LEVEL),
        ],
        exception_handlers={
            HTTPException: _http_refusal,
            ServiceError: _service_refusal,
        },
        lifespan=lifespan,
    )
    # A redirect would be an answer without the envelope: a path is right or not found.
    app.router.redirect_slashes = False
    app.state.news = service.news
    return app


def _routes(service: Service) -> list[Route]:
    """Return one route per path, so that a wrong method is a 405 that names the right ones."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation

    def guarded(choices: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await let_through(service, choices[method], request)

        return endpoint

    return [
        Route(path, guarded(choices), methods=list(choices)) for path, choices in by_path.items()
    ]


def _let_through_to_metrics(settings: Settings, request: Request) -> None:
    """Let Prometheus read: with the token if there is one, else only from this machine."""
    allowed = may_watch(request, settings.metrics_token)
    if allowed is None:
        raise NotFoundError("Not found")
    if not allowed:
        raise UnauthorizedError


def _answer(request: Request, error: ServiceError) -> Response:
    headers = {**getattr(request.state, "rate_headers", {}), **error.headers}
    return JSONResponse(error.envelope(), status_code=error.status, headers=headers)


async def _service_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101 - registered for nothing else
    return _answer(request, error)


async def _http_refusal(request: Request, error: Exception) -> Response:
    """Put the router's own refusals into the envelope."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    headers = error.headers or {}
    if error.status_code == 404:  # noqa: PLR2004 - the name says less than the number
        return _answer(request, NotFoundError("Not found"))
    message = "Method not allowed" if error.status_code == 405 else "Bad request"  # noqa: PLR2004
    return _answer(request, InvalidRequestError(message, headers=headers, status=error.status_code))


def _refused(error: Exception) -> Response:
    """Turn what nobody expected into the envelope."""
    refusal = translated(error)
    return JSONResponse(refusal.envelope(), status_code=refusal.status, headers=refusal.headers)


def translated(error: Exception) -> ServiceError:
    """Return what a client is told of something that nobody expected; the log is told more."""
    refusal = _meant(error)
    if isinstance(refusal, InternalError | DatabaseError):
        _log.error("request failed", exc_info=error)
    else:
        _log.warning("request refused", reason=type(error).__name__)
    return refusal


def _meant(error: Exception) -> ServiceError:
    if isinstance(error, AWAY):
        return UnavailableError()
    return DatabaseError() if isinstance(error, psycopg.Error) else InternalError()
