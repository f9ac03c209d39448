"""Knows how the ledger's tables come to be: numbered SQL files, each applied once, in order."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from psycopg import sql

from scan_service.db import SCHEMA, connect
from scan_service.engine import jobs

if TYPE_CHECKING:
    from pydantic import SecretStr

_LOCK = 7_312_640_551_204


async def migrate(url: SecretStr) -> list[str]:
    """Bring the database up to this version; any number of processes may try at once.

    Returns:
        The names of the files that were applied.
    """
    async with await connect(url) as connection:
        await connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        await connection.execute(
            sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA))
        )
        await connection.execute(
            "create table if not exists migration"
            " (name text primary key, applied_at timestamptz not null default now())"
        )
        rows = await (await connection.execute("select name from migration")).fetchall()
        done = {row["name"] for row in rows}
        applied = []
        for name, text in _files(done):
            async with connection.transaction():
                # Requests queue behind a waiting migration: it gives up first, and is run again.
                await connection.execute("set local lock_timeout = '10s'")
                if text:
                    await connection.execute(text)
                await connection.execute("insert into migration (name) values (%s)", [name])
            applied.append(name)
        return applied


async def pending(url: SecretStr) -> list[str]:
    """Return the names of the files that this version still lacks in the database."""
    async with await connect(url) as connection:
        cursor = await connection.execute("select to_regclass('migration') as ledger")
        row = await cursor.fetchone()
        if row is None or row["ledger"] is None:
            return [name for name, _ in _files(set())]
        rows = await (await connection.execute("select name from migration")).fetchall()
        return [name for name, _ in _files({row["name"] for row in rows})]


def _files(done: set[str]) -> list[tuple[str, str]]:
    """Return name and text of what is still to be applied; an empty text is only noted."""
    changes = jobs.schema_changes()
    if any(name in done for name, _ in changes):
        engines = [(name, text) for name, text in changes if name not in done]
    else:
        # A new database gets the engine's whole schema at once; its history is noted as done.
        engines = [("engine", jobs.schema()), *((name, "") for name, _ in changes)]
    own = sorted(
        (file.name, file.read_text(encoding="utf-8"))
        for file in resources.files(__name__).iterdir()
        if file.name.endswith(".sql") and file.name not in done
    )
    return [*engines, *own]
