"""Knows the operations about webhooks: who is told, and how that went."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from scan_service.door import answers
from scan_service.door.asked import json_body, name_in
from scan_service.door.models import CreateWebhook, read_body
from scan_service.errors import InvalidRequestError
from scan_service.guard import receivers
from scan_service.guard.vault import WEBHOOK_SECRET
from scan_service.ledger import webhooks
from scan_service.moments import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from scan_service.door.service import Service
    from scan_service.guard.auth import Caller


async def create(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/webhooks."""
    wanted = read_body(CreateWebhook, await json_body(request)).webhook
    request.state.subject = wanted.webhook_id
    try:
        receivers.check(wanted.url, private=service.settings.private_webhooks)
    except receivers.ReceiverError as error:
        raise InvalidRequestError.field(
            "webhook.url", str(error), message="Invalid webhook"
        ) from None
    secret = WEBHOOK_SECRET + base64.b64encode(secrets.token_bytes(32)).decode()
    row = await webhooks.create(
        service.db, caller.tenant_id,
        webhook_id=wanted.webhook_id, url=wanted.url, events=wanted.events,
        secret=service.vault.seal(SecretStr(secret), tenant_id=caller.tenant_id),
    )  # fmt: skip
    data = {**_webhook(row), "secret": secret}
    return JSONResponse(
        answers.success(data, "Webhook created; its secret is shown only this once"),
        status_code=201,
    )


async def listed(service: Service, request: Request, caller: Caller) -> Response:  # noqa: ARG001
    """GET /api/v1/webhooks."""
    rows = await webhooks.listed(service.db, caller.tenant_id)
    return JSONResponse(answers.success({"webhooks": [_webhook(row) for row in rows]}))


async def remove(service: Service, request: Request, caller: Caller) -> Response:
    """DELETE /api/v1/webhooks/{webhook_id}."""
    name = _name(request)
    await webhooks.remove(service.db, caller.tenant_id, name)
    data = {"webhookId": name, "deletedAt": timestamp()}
    return JSONResponse(answers.success(data, "Webhook removed successfully"))


async def test(service: Service, request: Request, caller: Caller) -> Response:
    """POST /api/v1/webhooks/{webhook_id}/test."""
    row = await webhooks.test(service.db, caller.tenant_id, _name(request))
    return JSONResponse(
        answers.success(_delivery(row), "The webhook is called in a moment"), status_code=202
    )


async def deliveries(service: Service, request: Request, caller: Caller) -> Response:
    """GET /api/v1/webhooks/{webhook_id}/deliveries."""
    rows = await webhooks.deliveries(service.db, caller.tenant_id, _name(request))
    return JSONResponse(answers.success({"deliveries": [_delivery(row) for row in rows]}))


def _name(request: Request) -> str:
    return name_in(request, "webhook_id", "Webhook")


def _webhook(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a webhook, without its secret."""
    return {
        "webhookId": row["webhook_id"],
        "url": row["url"],
        "events": row["events"],
        "createdAt": timestamp(row["created_at"]),
        "pausedAt": timestamp(row["paused_at"], absent=None),
    }


def _delivery(row: Mapping[str, Any]) -> dict[str, Any]:
    delivered = row["delivered_at"] is not None
    status = "delivered" if delivered else "failed" if row["due_at"] is None else "pending"
    return {
        "id": str(row["id"]),
        "event": row["event"],
        "status": status,
        "attempts": row["attempts"],
        "createdAt": timestamp(row["created_at"]),
        "deliveredAt": timestamp(row["delivered_at"], absent=None),
        "nextAttemptAt": timestamp(row["due_at"], absent=None),
        "lastStatus": row["last_status"],
        "lastError": row["last_error"],
    }
