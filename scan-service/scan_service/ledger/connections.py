"""Knows a tenant's HubSpot accounts: each connected once, then named instead of a token."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from scan_service.errors import NotFoundError
from scan_service.ledger.entries import one_more

if TYPE_CHECKING:
    import uuid

    from service_base.database import Connection

    from scan_service.db import Database

_MOST = 100
_ASK_MINUTES = 15


async def create(
    db: Database,
    tenant_id: str,
    connection_id: str,
    *,
    secret: bytes | None = None,
    state: str | None = None,
    verifier: bytes | None = None,
) -> dict[str, Any]:
    """Enter a connection; return its row.

    Args:
        db: the database.
        tenant_id: whose.
        connection_id: its name.
        secret: a sealed token; or, for an account whose user is still to be asked,
        state: what he will bring back, and
        verifier: what ties it to us, sealed.

    Raises:
        ConflictError: there is one of that name, or there are enough.
    """
    async with db.tenant(tenant_id) as connection:
        async with one_more(connection, "connection", tenant_id, most=_MOST):
            cursor = await connection.execute(
                "insert into connection (tenant_id, connection_id, kind, secret, connected_at,"
                " state_hash, verifier, asked_until) values (%s, %s, %s, %s,"
                " case when %s then clock_timestamp() end, %s, %s,"
                " case when not %s then clock_timestamp() + make_interval(mins => %s) end)"
                " returning *",
                [
                    tenant_id, connection_id, "oauth" if secret is None else "token", secret,
                    secret is not None, _hash(state) if state else None, verifier,
                    secret is not None, _ASK_MINUTES,
                ],
            )  # fmt: skip
        return await cursor.fetchone() or {}


async def listed(db: Database, tenant_id: str) -> list[dict[str, Any]]:
    """Return the tenant's connections."""
    async with db.tenant(tenant_id) as connection:
        cursor = await connection.execute(
            "select * from connection where tenant_id = %s order by connection_id", [tenant_id]
        )
        return await cursor.fetchall()


async def find(db: Database, tenant_id: str, connection_id: str) -> dict[str, Any]:
    """Return the tenant's connection of this name."""
    async with db.tenant(tenant_id) as connection:
        return await find_in(connection, tenant_id, connection_id)


async def find_in(connection: Connection, tenant_id: str, connection_id: str) -> dict[str, Any]:
    """Return the tenant's connection of this name, in an open transaction."""
    cursor = await connection.execute(
        "select *, clock_timestamp() as now from connection"
        " where tenant_id = %s and connection_id = %s",
        [tenant_id, connection_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"There is no connection {connection_id}")
    return row


async def remove(db: Database, tenant_id: str, connection_id: str) -> None:
    """Remove a connection; schedules that name it rest from their next time on."""
    async with db.tenant(tenant_id) as connection:
        await connection.execute(
            "delete from connection where tenant_id = %s and connection_id = %s",
            [tenant_id, connection_id],
        )


async def asked(db: Database, state: str, *, address: str) -> dict[str, Any] | None:
    """Take the question that a user comes back from; nobody can come back from it twice.

    Args:
        db: the database.
        state: what he brings back.
        address: his: whoever has no key waits among the others of his address.
    """
    async with db.on_behalf(address) as connection:
        cursor = await connection.execute(
            "update connection set state_hash = null where state_hash = %s"
            " and asked_until > clock_timestamp() returning *",
            [_hash(state)],
        )
        return await cursor.fetchone()


async def connected(db: Database, connection_: uuid.UUID, secret: bytes) -> None:
    """Note that the user has said yes."""
    async with db.system() as connection:
        await connection.execute(
            "update connection set secret = %s, verifier = null, asked_until = null,"
            " connected_at = clock_timestamp() where id = %s",
            [secret, connection_],
        )


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).digest()
