"""Knows the commands about API keys, tenants' limits and the secrets of kept tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import sql

from scan_service.db import connect
from scan_service.guard import auth
from scan_service.guard.vault import Vault
from scan_service.moments import timestamp

if TYPE_CHECKING:
    import argparse

    from service_base.database import Connection

    from scan_service.settings import Settings


# All that is encrypted with the keys of SCAN_SERVICE_SECRET_KEYS.
SEALED = (
    ("scan", "token"), ("schedule", "token"), ("webhook", "secret"), ("connection", "secret"),
)  # fmt: skip


def say(text: str) -> None:
    """Tell the one who gave the command."""
    print(text)  # noqa: T201 - a command talks to its user


async def act(settings: Settings, chosen: argparse.Namespace) -> int:
    """Carry out one action of `keys`; return the exit code."""
    async with await connect(settings.database_url) as connection:
        if chosen.action == "create":
            key = await auth.create_key(
                connection,
                chosen.tenant,
                name=chosen.name,
                permissions=tuple(chosen.permission or auth.PERMISSIONS),
                expires_in=timedelta(days=chosen.days) if chosen.days is not None else None,
            )
            say(key)
            return 0
        if chosen.action == "list":
            for row in await auth.list_keys(connection, chosen.tenant):
                state = (
                    "revoked" if row["revoked_at"] else "expired" if row["expired"] else "active"
                )
                expires = timestamp(row["expires_at"], absent=None) or "never"
                say(
                    f"{row['id']}  {row['tenant_id']}  {row['hint']}...  {state}  expires {expires}"
                    f"  {','.join(row['permissions'])}  {row['name']}"
                )
            return 0
        if chosen.action == "limit":
            cursor = await connection.execute(
                "update tenant set max_running = %s where tenant_id = %s",
                [chosen.running, chosen.tenant],
            )
            say(f"{cursor.rowcount} tenants changed")
            return 0 if cursor.rowcount else 1
        if chosen.action == "reseal":
            say(f"{await reseal(settings, connection)} tokens encrypted again")
            return 0
        revoked = await auth.revoke_key(connection, chosen.key)
        say(f"{revoked} keys revoked")
        return 0 if revoked else 1


async def reseal(settings: Settings, connection: Connection) -> int:
    """Encrypt every kept token with the first key, so that the others can be taken away."""
    vault, count = Vault(settings.secret_keys), 0
    async with connection.transaction():
        for table, column in SEALED:
            names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
            cursor = await connection.execute(
                sql.SQL(
                    "select id, {column} as sealed from {table}"
                    " where {column} is not null for update"
                ).format(**names)
            )
            rows = await cursor.fetchall()
            for row in rows:
                await connection.execute(
                    sql.SQL("update {table} set {column} = %s where id = %s").format(**names),
                    [vault.reseal(bytes(row["sealed"])), row["id"]],
                )
            count += len(rows)
    return count
