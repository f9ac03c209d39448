"""Knows the door: which paths there are, who may pass, and what a refusal looks like."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import psycopg
from asgi_correlation_id import CorrelationIdMiddleware
from service_base import documents
from service_base.database import AWAY
from service_base.logs import logger
from service_base.middleware import Refusals, Watch, may_watch
from service_base.networks import network
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crm_api.crm.catalog import Catalog
from crm_api.crm.talk import HubSpot
from crm_api.crm.warehouse import Warehouse
from crm_api.db import PLACE
from crm_api.door import endpoints
from crm_api.door.endpoints import Api
from crm_api.door.metrics import CONTENT_TYPE, Metrics
from crm_api.errors import (
    ApiError,
    InternalError,
    InvalidTokenError,
    NotFoundError,
    UnavailableError,
    ValidationFailedError,
)
from crm_api.guard import limits
from crm_api.guard.tokens import Tokens
from crm_api.ledger import firsts, users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from psycopg_pool import AsyncConnectionPool
    from service_base.database import Connection
    from starlette.requests import Request

    from crm_api.settings import Settings

_log = logger(__name__)
_SWEEP_SECONDS = 300
_HEALTH_SECONDS = 2
_NOT_FOUND, _NOT_ALLOWED = 404, 405
DATABASE_AWAY = "The database is not available, try again"


@dataclass(frozen=True)
class Operation:
    """One operation of the API; `endpoint` takes the caller too, unless it is public."""

    method: str
    path: str
    name: str
    endpoint: Callable[..., Awaitable[Response]]
    is_public: bool = False


OPERATIONS = (
    Operation("POST", "/api/register", "register", endpoints.register, is_public=True),
    Operation("POST", "/api/login", "login", endpoints.login, is_public=True),
    Operation("GET", "/api/new-crm-objects", "listContacts", endpoints.list_contacts),
    Operation("POST", "/api/deals", "createDeal", endpoints.create_deal),
    Operation("POST", "/api/tickets/{deal_id}", "createTicket", endpoints.create_ticket),
    Operation("GET", "/api/pipelines", "listPipelines", endpoints.list_pipelines),
)


def description() -> str:
    """Return the API's description as it is kept: YAML."""
    return resources.files("crm_api.door").joinpath("openapi.yaml").read_text(encoding="utf-8")


def create_app(settings: Settings) -> Starlette:
    """Return the API as an ASGI application."""
    pool = PLACE.pool(settings.database_url, size=settings.connections)
    api = Api(
        settings, pool, HubSpot(settings), Catalog(), Warehouse(settings, pool),
        settings.passwords(), Tokens(settings.secret_keys, hours=settings.token_hours),
    )  # fmt: skip
    numbers = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await pool.open()
        sweeping = asyncio.create_task(_sweep(api))
        try:
            yield
        finally:
            sweeping.cancel()
            api.hubspot.close()
            api.passwords.close()
            await pool.close()

    app = Starlette(
        routes=[*_routes(api), *_own_routes(settings, pool, numbers)],
        middleware=[
            Middleware(CorrelationIdMiddleware, header_name="X-Correlation-ID"),
            Middleware(Watch, answered=numbers.answered),
            Middleware(Refusals, answer=_refused),
        ],
        exception_handlers={HTTPException: _http_refusal, ApiError: _api_refusal},
        lifespan=lifespan,
    )
    # A redirect would be an answer of another shape: a path is right or not found.
    app.router.redirect_slashes = False
    return app


def _routes(api: Api) -> list[Route]:
    def guarded(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await _pass(api, operation, request)

        return endpoint

    return [Route(each.path, guarded(each), methods=[each.method]) for each in OPERATIONS]


def _own_routes(
    settings: Settings, pool: AsyncConnectionPool[Connection], numbers: Metrics
) -> list[Route]:
    """Return what is outside the limits: health, numbers, the description."""

    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive", "service": "crm-api"})

    async def healthy(_: Request) -> Response:
        fine = await _is_answering(pool)
        return JSONResponse(
            {
                "status": "healthy" if fine else "unhealthy",
                "service": "crm-api",
                "database": "healthy" if fine else "unhealthy",
            },
            status_code=200 if fine else 503,
        )

    async def metrics(request: Request) -> Response:
        allowed = may_watch(request, settings.metrics_token)
        if allowed is None:
            raise NotFoundError
        if not allowed:
            raise InvalidTokenError
        return Response(numbers.text(), headers={"Content-Type": CONTENT_TYPE})

    return [
        Route("/health", healthy),
        Route("/health/live", alive),
        Route("/metrics", metrics),
        *documents.routes(description()),
    ]


async def _pass(api: Api, operation: Operation, request: Request) -> Response:
    """Let a request through if its caller is known and in time; it is counted unread."""
    settings = api.settings
    if operation.is_public:
        caller = network(request.client.host if request.client else "")
        async with api.pool.connection() as connection:
            allowance = await limits.take(
                connection, operation.name, caller, settings.login_rate_limit
            )
        request.state.rate_headers = allowance.headers()
        response = await operation.endpoint(api, request)
    else:
        claims = api.tokens.read(request.headers.get("Authorization", ""))
        async with api.pool.connection() as connection:
            user = await users.find(connection, claims.user_id, claims.version)
            if user is None:
                raise InvalidTokenError
            allowance = await limits.take(
                connection, operation.name, f"user {user.id}", settings.rate_limit
            )
        request.state.rate_headers = allowance.headers()
        response = await operation.endpoint(api, request, user)
    response.headers.update(allowance.headers())
    return response


async def _is_answering(pool: AsyncConnectionPool[Connection]) -> bool:
    try:
        async with asyncio.timeout(_HEALTH_SECONDS), pool.connection() as connection:
            await connection.execute("select 1")
    except (*AWAY, psycopg.Error, TimeoutError) as error:
        _log.warning("no answer", dependency="database", reason=type(error).__name__)
        return False
    return True


async def _sweep(api: Api) -> None:
    """Forget, now and then, what nobody asks for any more."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            async with api.pool.connection() as connection:
                await limits.forget(
                    connection, api.settings.rate_limit, api.settings.login_rate_limit
                )
                await firsts.forget(connection)
        except (*AWAY, psycopg.Error) as error:
            _log.warning("sweep failed", reason=type(error).__name__)


def _answer(error: ApiError, headers: dict[str, str]) -> Response:
    return JSONResponse(
        error.body(), status_code=error.status, headers={**headers, **error.headers}
    )


async def _api_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for nothing else
    return _answer(error, getattr(request.state, "rate_headers", {}))


async def _http_refusal(request: Request, error: Exception) -> Response:
    """Put the router's own refusals into our shape."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    refusal: ApiError = ValidationFailedError(status=error.status_code)
    if error.status_code == _NOT_FOUND:
        refusal = NotFoundError()
    elif error.status_code == _NOT_ALLOWED:
        refusal = ApiError(
            "Method not allowed", status=_NOT_ALLOWED, headers=dict(error.headers or {})
        )
    return await _api_refusal(request, refusal)


def _refused(error: Exception) -> Response:
    """Turn what nobody expected into an answer."""
    if isinstance(error, AWAY):
        _log.warning("request refused", reason=type(error).__name__)
        return _answer(UnavailableError(DATABASE_AWAY), {})
    _log.error("request failed", exc_info=error)
    return _answer(InternalError(), {})
