"""Knows how a service's tables come to be: numbered files, each applied once, in order."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from psycopg import sql

from service_base.database import AWAY
from service_base.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from service_base.database import Place

    Files = Callable[[set[str]], list[tuple[str, str]]]


_log = logger(__name__)
_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Migrations:
    """The migrations of one service.

    Args:
        place: Where its tables are.
        lock: The number of the advisory lock under which they are made.
        files: Gives name and text of what is still to be applied, by the names of what was; an
            empty text is only noted.
    """

    place: Place
    lock: int
    files: Files

    async def apply(self, url: SecretStr) -> list[str]:
        """Bring the database up to this version; any number of processes may try at once.

        Returns:
            The names of the files that were applied.
        """
        async with await self.place.connect(url) as connection:
            await connection.execute("select pg_advisory_lock(%s)", [self.lock])
            await connection.execute(
                sql.SQL("create schema if not exists {}").format(sql.Identifier(self.place.schema))
            )
            await connection.execute(
                "create table if not exists migration"
                " (name text primary key, applied_at timestamptz not null default now())"
            )
            rows = await (await connection.execute("select name from migration")).fetchall()
            done = {row["name"] for row in rows}
            applied = []
            for name, text in self.files(done):
                async with connection.transaction():
                    # Requests queue behind a waiting migration: it gives up first, and is run
                    # again.
                    await connection.execute("set local lock_timeout = '10s'")
                    if text:
                        await connection.execute(text)
                    await connection.execute("insert into migration (name) values (%s)", [name])
                applied.append(name)
            return applied

    async def pending(self, url: SecretStr) -> list[str]:
        """Return the names of the files that this version still lacks in the database."""
        async with await self.place.connect(url) as connection:
            cursor = await connection.execute("select to_regclass('migration') as ledger")
            row = await cursor.fetchone()
            if row is None or row["ledger"] is None:
                return [name for name, _ in self.files(set())]
            rows = await (await connection.execute("select name from migration")).fetchall()
            return [name for name, _ in self.files({row["name"] for row in rows})]

    async def pending_when_there(self, url: SecretStr) -> list[str]:
        """Return what `pending` does, and wait up to a minute for a database that is away."""
        for _ in range(_WAIT_SECONDS - 1):
            with contextlib.suppress(*AWAY):
                return await self.pending(url)
            _log.info("waiting for the database")
            await asyncio.sleep(1)
        return await self.pending(url)


def files_of(package: str, done: set[str]) -> list[tuple[str, str]]:
    """Return name and text of a package's SQL files that were not applied yet, in order."""
    return sorted(
        (file.name, file.read_text(encoding="utf-8"))
        for file in resources.files(package).iterdir()
        if file.name.endswith(".sql") and file.name not in done
    )
