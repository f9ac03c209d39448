"""Knows who may pass the door, how often, and that it is noted who changed or took what."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgi_correlation_id import correlation_id
from service_base import buckets
from service_base.buckets import Rate
from service_base.database import AWAY

from scan_service.errors import RateLimitError, ServiceError, UnauthorizedError
from scan_service.guard import audit, auth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service_base.database import Connection
    from starlette.requests import Request
    from starlette.responses import Response

    from scan_service.door.service import Service

    Endpoint = Callable[[Service, Request, auth.Caller], Awaitable[Response]]
    Identify = Callable[[Connection, bytes], Awaitable[auth.Caller]]


@dataclass(frozen=True)
class Operation:
    """One operation of the API, and the permission that it needs."""

    method: str
    path: str
    permission: str
    endpoint: Endpoint


async def let_through(service: Service, operation: Operation, request: Request) -> Response:
    """Let a request through to its operation if the caller is known, in time and allowed to."""
    caller = await enter(service, request, auth.presented(request))
    response = await carry_out(service, operation, request, caller)
    response.headers.update(request.state.rate_headers)
    return response


async def enter(
    service: Service,
    request: Request,
    secret: bytes,
    *,
    identify: Identify = auth.authenticate,
) -> auth.Caller:
    """Return who asks, and count his request.

    Args:
        service: the service.
        request: what is asked; its state gets the `rate_headers` of the answer.
        secret: the hash of what the request presents.
        identify: tells whose it is.

    Raises:
        UnauthorizedError: nobody's.
        RateLimitError: too many requests of the tenant, or wrong keys of the address.
    """
    settings = service.settings
    address = request.client.host if request.client else ""
    refuse_guessing(service, address, secret)
    # Counting waits for the tenant's other requests: among his own turns, not in everybody's pool.
    whose = service.addresses.tenant(secret) or secret.hex()
    async with service.db.on_behalf(whose) as connection:
        try:
            caller = await identify(connection, secret)
        except UnauthorizedError:
            service.addresses.failed(address)
            raise
        service.addresses.passed(secret, caller.tenant_id)
        allowance = await buckets.take(
            connection,
            caller.tenant_id,
            Rate(settings.requests_per_minute),
            burst=settings.burst,
        )
    request.state.rate_headers = allowance.headers()
    if not allowance.allowed:
        seconds = allowance.retry_after
        raise RateLimitError(
            f"Rate limit exceeded. Please retry after {seconds} seconds.",
            headers={"Retry-After": str(seconds)},
        )
    return caller


def refuse_guessing(service: Service, address: str, secret: bytes = b"") -> None:
    """Refuse an address that has tried too many wrong keys, or states; a good key still passes.

    Raises:
        RateLimitError: it has.
    """
    if wait := service.addresses.wait(address, secret):
        raise RateLimitError(
            "Too many requests with wrong API keys. Please retry later.",
            headers={"Retry-After": str(math.ceil(wait))},
        )


async def carry_out(
    service: Service, operation: Operation, request: Request, caller: auth.Caller
) -> Response:
    """Let somebody who is known do one thing, if his key allows it.

    What changes something or takes data out is noted before and after.
    """
    if operation.method == "GET" and operation.permission != auth.DOWNLOAD:
        return await _allowed(service, operation, request, caller)
    return await noted(
        service, f"{operation.method} {operation.path}", request, caller,
        lambda: _allowed(service, operation, request, caller),
    )  # fmt: skip


async def noted(
    service: Service,
    what: str,
    request: Request,
    caller: auth.Caller,
    act: Callable[[], Awaitable[Response]],
) -> Response:
    """Let somebody who is known do something, noted before and after; return its answer.

    Args:
        service: the service.
        what: method and path, as the note has them.
        request: tells from where, and in its state or path the name of what it is done to.
        caller: who does it.
        act: does it.
    """
    async with service.db.on_behalf(caller.tenant_id) as connection:
        number = await audit.begin(
            connection, caller, operation=what,
            address=request.client.host if request.client else "",
            correlation=correlation_id.get() or "",
        )  # fmt: skip
    status = 500
    try:
        response = await act()
        status = response.status_code
    except ServiceError as error:
        status = error.status
        raise
    finally:
        named = next((v for k, v in request.path_params.items() if k.endswith("_id")), None)
        subject = getattr(request.state, "subject", named)
        with contextlib.suppress(*AWAY):  # the row is there; only what came of it is not
            await audit.end(service.db, number, subject=subject, status=status)
    return response


async def _allowed(
    service: Service, operation: Operation, request: Request, caller: auth.Caller
) -> Response:
    caller.require_tenant(request.headers.get("X-Tenant-ID"))
    caller.require(operation.permission)
    return await operation.endpoint(service, request, caller)
