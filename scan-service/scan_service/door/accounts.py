"""Knows the operations about connections: a tenant's HubSpot accounts, and how users let us in."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from hubspot_client.consent import App, new_verifier
from hubspot_client.errors import AuthenticationError, TransientError
from pydantic import SecretStr
from service_base.logs import logger
from service_base.networks import network
from starlette.responses import HTMLResponse, JSONResponse, Response

from scan_service.door import answers
from scan_service.door.asked import json_body, name_in
from scan_service.door.models import CreateConnection, ObjectsQuery, read_body, read_query
from scan_service.door.passing import noted, refuse_guessing
from scan_service.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from scan_service.guard import audit
from scan_service.guard.vault import VaultError
from scan_service.ledger import connections
from scan_service.moments import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller
    from scan_service.ledger.extraction import Auth
    from scan_service.settings import Settings

CALLBACK = "/api/v1/connections/callback"
_log = logger(__name__)
_LONGEST_CODE = 2000


async def sealed(service: Service, auth: Auth, tenant_id: str, path: str) -> bytes:
    """Return the sealed credentials that a scan or schedule names or brings.

    Args:
        service: the service.
        auth: as the body says it.
        tenant_id: whose.
        path: where the body says it, for errors.
    """
    if auth.connection is None:
        assert auth.access_token is not None  # noqa: S101 - one of both, says the model
        return service.vault.seal(auth.access_token, tenant_id=tenant_id)
    name = f"{path}.auth.connection"
    try:
        row = await connections.find(service.db, tenant_id, auth.connection)
    except NotFoundError as error:
        raise InvalidRequestError.field(name, error.message) from None
    if row["secret"] is None:
        raise InvalidRequestError.field(name, "is not connected yet: its user has not said yes")
    return service.vault.reseal(row["secret"])


async def create(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/connections."""
    wanted = read_body(CreateConnection, await json_body(request)).connection
    request.state.subject = wanted.connection_id
    if wanted.access_token is not None:
        secret = service.vault.seal(wanted.access_token, tenant_id=caller.tenant_id)
        await service.hubspot.prove(
            caller.tenant_id, service.vault.access(secret, tenant_id=caller.tenant_id)
        )
        row = await connections.create(
            service.db, caller.tenant_id, wanted.connection_id, secret=secret
        )
        data = connection(row)
    else:
        state, verifier = secrets.token_urlsafe(32), new_verifier()
        page = _own_app(service.settings).page(wanted.scopes, state, verifier)
        row = await connections.create(
            service.db, caller.tenant_id, wanted.connection_id, state=state,
            verifier=service.vault.seal(SecretStr(verifier), tenant_id=caller.tenant_id),
        )  # fmt: skip
        data = {**connection(row), "authorizeUrl": page}
    return JSONResponse(answers.success(data, "Connection created successfully"), status_code=201)


async def listed(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/connections."""
    rows = await connections.listed(service.db, caller.tenant_id)
    return JSONResponse(answers.success({"connections": [connection(row) for row in rows]}))


async def objects(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/connections/{connection_id}/objects."""
    query = read_query(ObjectsQuery, request.query_params)
    row = await connections.find(
        service.db, caller.tenant_id, name_in(request, "connection_id", "Connection")
    )
    if row["secret"] is None:
        raise ConflictError("The account is not connected yet: its user has not said yes")
    access = service.vault.access(row["secret"], tenant_id=caller.tenant_id)
    names = [each for each in query.names.split(",") if each]
    found = await service.hubspot.describe(caller.tenant_id, access, names)
    return JSONResponse(answers.success(found))


async def remove(service: Service, request: Request, caller: Caller) -> Response:
    """DELETE /api/v1/connections/{connection_id}."""
    name = name_in(request, "connection_id", "Connection")
    row = await connections.find(service.db, caller.tenant_id, name)
    held = row["kind"] == "oauth" and row["secret"] is not None
    revoked = await _revoke(service, row) if held else None
    await connections.remove(service.db, caller.tenant_id, name)
    data = {"connectionId": name, "deletedAt": timestamp(), "revoked": revoked}
    message = "Connection removed successfully"
    if revoked is False:
        message += "; HubSpot has not ended its token: disconnect the app in the account's settings"
    return JSONResponse(answers.success(data, message))


async def _revoke(service: Service, row: Mapping[str, Any]) -> bool:
    """Have HubSpot end an account's token; tell whether it did. Removing waits for nobody.

    By the app that the account let in, which need not be today's: it is sealed with the token.
    """
    try:
        access = service.vault.access(row["secret"], tenant_id=row["tenant_id"])
        app = _app(service.settings, access.client_id, access.client_secret)
        await service.hubspot.revoke(row["tenant_id"], app, access.refresh_token or "")
    except (VaultError, AuthenticationError, TransientError, UnavailableError) as error:
        _log.warning(
            "token not ended at HubSpot", tenant=row["tenant_id"],
            connection=row["connection_id"], reason=str(error),
        )  # fmt: skip
        return False
    return True


async def come_back(service: Service, request: Request) -> Response:
    """GET /api/v1/connections/callback: a user's browser, sent back by HubSpot, with no key."""
    state = request.query_params.get("state", "")
    code = request.query_params.get("code", "")
    address = request.client.host if request.client else ""
    refuse_guessing(service, address)
    row = await connections.asked(service.db, state, address=network(address))
    if row is None:
        service.addresses.failed(address)
        return _page("This link is not valid any more. Ask for a new one.", 400)
    # On behalf of whoever asked for the link; the address is the user's.
    caller = await audit.asker(
        service.db, row["tenant_id"],
        operation="POST /api/v1/connections", subject=row["connection_id"],
    )  # fmt: skip
    request.state.subject = row["connection_id"]
    return await noted(
        service, f"GET {CALLBACK}", request, caller, lambda: _let_in(service, row, code)
    )


async def _let_in(service: Service, row: Mapping[str, Any], code: str) -> Response:
    """Connect the account of a user who has come back, if HubSpot confirms it."""
    if not 0 < len(code) <= _LONGEST_CODE:
        return _page("HubSpot was not allowed to connect this account.", 400)
    tenant = row["tenant_id"]
    app = _own_app(service.settings)
    verifier = service.vault.refresh_token(row["verifier"], tenant_id=tenant)
    try:
        token = await service.hubspot.exchange(tenant, app, code, verifier)
    except (AuthenticationError, TransientError) as error:
        _log.warning("account not connected", tenant=tenant, reason=str(error))
        return _page("HubSpot did not confirm this. Ask for a new link.", 502)
    secret = service.vault.seal_app(app.client_id, app.client_secret, token, tenant_id=tenant)
    await connections.connected(service.db, row["id"], secret)
    return _page("The account is connected. You can close this window.", 200)


def _own_app(settings: Settings) -> App:
    """Return the app that users can let in today."""
    if not (settings.hubspot_client_id and settings.hubspot_client_secret and settings.public_url):
        raise InvalidRequestError.field(
            "connection.accessToken",
            "is required: this service has no app at HubSpot that users could let in",
        )
    return _app(
        settings, settings.hubspot_client_id, settings.hubspot_client_secret.get_secret_value()
    )


def _app(settings: Settings, client_id: str | None, client_secret: str | None) -> App:
    return App(
        client_id=client_id or "",
        client_secret=client_secret or "",
        redirect_uri=(settings.public_url or "") + CALLBACK,
        base_url=settings.hubspot_base_url,
        api_version=settings.hubspot_api_version,
        authorize_url=settings.hubspot_authorize_url,
    )


def connection(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a connection, without its secrets."""
    return {
        "connectionId": row["connection_id"],
        "kind": row["kind"],
        "status": "pending" if row["secret"] is None else "connected",
        "createdAt": timestamp(row["created_at"]),
        "connectedAt": timestamp(row["connected_at"], absent=None),
    }


def _page(sentence: str, status: int) -> Response:
    text = f"<!doctype html><meta charset=utf-8><title>HubSpot</title><p>{sentence}</p>"
    headers = {"Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer"}
    return HTMLResponse(text, status, headers)
