"""Knows API keys: whose they are, what they may do, and that only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from scan_service.errors import ForbiddenError, UnauthorizedError

if TYPE_CHECKING:
    import uuid
    from typing import LiteralString

    from service_base.database import Connection
    from starlette.requests import Request

READ = "hubspot_deals:read"
EXTRACT = "hubspot_deals:extract"
DOWNLOAD = "hubspot_deals:download"
PERMISSIONS = (READ, EXTRACT, DOWNLOAD)
_PREFIX = "sk_live_"
_SHOWN = len(_PREFIX) + 4
_LONGEST_KEY = 200


_VALID: Final = """
select tenant_id, permissions, id, name, hint,
    last_used_at is null or last_used_at < now() - interval '1 minute' as stale
from api_key where revoked_at is null and (expires_at is null or expires_at > now()) and
"""


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    tenant_id: str
    permissions: frozenset[str]
    key_id: uuid.UUID
    key_name: str

    def require(self, permission: str) -> None:
        """Refuse a caller whose key lacks a permission."""
        if permission not in self.permissions:
            raise ForbiddenError(f"This key lacks the permission {permission}")

    def require_tenant(self, tenant_id: str | None) -> None:
        """Refuse a header or body that names another tenant than the key's."""
        if tenant_id is not None and tenant_id != self.tenant_id:
            raise ForbiddenError("This key belongs to another tenant")


def presented(request: Request) -> bytes:
    """Return the hash of the key that a request presents.

    Raises:
        UnauthorizedError: it presents none that could be one; nobody needs to look it up.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthorizedError
    return hashed(key)


def hashed(key: str) -> bytes:
    """Return what a key is known by.

    Raises:
        UnauthorizedError: it cannot be one; nobody needs to look it up.
    """
    key = key.strip()
    if not key.startswith(_PREFIX) or len(key) > _LONGEST_KEY:
        raise UnauthorizedError
    return _hash(key)


async def authenticate(connection: Connection, key: bytes) -> Caller:
    """Return whose key this is, by its hash; one answer for unknown, expired and revoked keys."""
    # A random key of 256 bits needs no slow hash, and the index lookup of a hash leaks nothing.
    return await recognize(connection, "hash = %s", key)


async def recognize(connection: Connection, which: LiteralString, value: bytes) -> Caller:
    """Return whose valid key it is that a condition with one value finds.

    Raises:
        UnauthorizedError: there is none.
    """
    cursor = await connection.execute(_VALID + which, [value])
    row = await cursor.fetchone()
    if row is None:
        raise UnauthorizedError
    if row["stale"]:
        await connection.execute(
            "update api_key set last_used_at = now() where id = %s", [row["id"]]
        )
    return Caller(
        row["tenant_id"], frozenset(row["permissions"]), row["id"], row["name"] or row["hint"]
    )


async def create_key(
    connection: Connection,
    tenant_id: str,
    *,
    name: str = "",
    permissions: tuple[str, ...] = PERMISSIONS,
    expires_in: timedelta | None = None,
) -> str:
    """Make a key for a tenant, which is made too if it is new; the key is shown only this once."""
    key = _PREFIX + secrets.token_urlsafe(32)
    expires = datetime.now(UTC) + expires_in if expires_in else None
    async with connection.transaction():
        await connection.execute(
            "insert into tenant (tenant_id) values (%s) on conflict do nothing", [tenant_id]
        )
        await connection.execute(
            "insert into api_key (tenant_id, name, hash, hint, permissions, expires_at)"
            " values (%s, %s, %s, %s, %s, %s)",
            [tenant_id, name, _hash(key), key[:_SHOWN], list(permissions), expires],
        )
    return key


async def list_keys(connection: Connection, tenant_id: str | None) -> list[dict[str, Any]]:
    """Return all keys, or a tenant's, without anything that could be used."""
    cursor = await connection.execute(
        "select id, tenant_id, name, hint, permissions, created_at, expires_at, revoked_at,"
        " last_used_at, coalesce(expires_at <= now(), false) as expired"
        " from api_key where %s::text is null or tenant_id = %s"
        " order by tenant_id, created_at",
        [tenant_id, tenant_id],
    )
    return await cursor.fetchall()


async def revoke_key(connection: Connection, key: str) -> int:
    """Revoke a key by its id, its hint or itself; return how many keys that were.

    A hint is four characters, so that several keys may have it: then none is revoked.
    """
    cursor = await connection.execute(
        "update api_key set revoked_at = now() where revoked_at is null"
        " and (id::text = %(key)s or hash = %(hash)s or (hint = %(key)s and"
        " 1 = (select count(*) from api_key where hint = %(key)s and revoked_at is null)))",
        {"key": key, "hash": _hash(key)},
    )
    return cursor.rowcount


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
