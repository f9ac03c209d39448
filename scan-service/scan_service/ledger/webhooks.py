"""Knows who wants to be told what: a tenant's webhooks, and what has been told to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from psycopg.types.json import Jsonb

from scan_service.errors import NotFoundError
from scan_service.ledger.entries import one_more

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scan_service.db import Database

Event = Literal[
    "scan.completed",
    "scan.failed",
    "scan.cancelled",
    "scan.late",
    "records.rejected",
    "schema.changed",
    "schedule.paused",
]
EVENTS: tuple[Event, ...] = get_args(Event)
TEST = "webhook.test"
_MOST = 20
_SHOWN = 100


async def create(
    db: Database, tenant_id: str, *, webhook_id: str, url: str, secret: bytes, events: Sequence[str]
) -> dict[str, Any]:
    """Enter a webhook into the ledger; return its row.

    Raises:
        ConflictError: there is one of that name, or there are enough.
    """
    async with db.tenant(tenant_id) as connection:
        async with one_more(connection, "webhook", tenant_id, most=_MOST):
            cursor = await connection.execute(
                "insert into webhook (tenant_id, webhook_id, url, secret, events)"
                " values (%s, %s, %s, %s, %s) returning *",
                [tenant_id, webhook_id, url, secret, list(events)],
            )
        return await cursor.fetchone() or {}


async def listed(db: Database, tenant_id: str) -> list[dict[str, Any]]:
    """Return the tenant's webhooks."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select * from webhook where tenant_id = %s order by webhook_id", [tenant_id]
        )
        return await cursor.fetchall()


async def remove(db: Database, tenant_id: str, webhook_id: str) -> None:
    """Remove a webhook, with what it was still to be told."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "delete from webhook where tenant_id = %s and webhook_id = %s", [tenant_id, webhook_id]
        )
        if not cursor.rowcount:
            raise NotFoundError("Webhook not found")


async def deliveries(db: Database, tenant_id: str, webhook_id: str) -> list[dict[str, Any]]:
    """Return what a webhook was told last, and what it is still to be told; newest first."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select delivery.* from webhook left join delivery on delivery.webhook = webhook.id"
            " where webhook.tenant_id = %s and webhook_id = %s"
            " order by delivery.created_at desc limit %s",
            [tenant_id, webhook_id, _SHOWN],
        )
        rows = await cursor.fetchall()
    if not rows:
        raise NotFoundError("Webhook not found")
    return [row for row in rows if row["id"] is not None]


async def test(db: Database, tenant_id: str, webhook_id: str) -> dict[str, Any]:
    """Have a webhook told that this is a test, also one that its receiver had paused; return it."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "update webhook set paused_at = null where tenant_id = %s and webhook_id = %s"
            " returning id",
            [tenant_id, webhook_id],
        )
        found = await cursor.fetchone()
        if found is None:
            raise NotFoundError("Webhook not found")
        cursor = await connection.execute(
            "insert into delivery (webhook, tenant_id, event, subject, data)"
            " values (%s, %s, %s, gen_random_uuid()::text, %s) returning *",
            [found["id"], tenant_id, TEST, Jsonb({"tenantId": tenant_id})],
        )
        return await cursor.fetchone() or {}
