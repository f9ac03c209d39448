"""Knows how a service's tables come to be: numbered files, each applied once, in order."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from psycopg import sql

from service_base.database import AWAY
from service_base.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.rows import DictRow
    from pydantic import SecretStr

    from service_base.database import Connection, Place

    Files = Callable[[set[str]], list[tuple[str, str]]]


_log = logger(__name__)
_WAIT_SECONDS = 60


class MigrationChangedError(Exception):
    """A file is not as it was when it was applied: the tables are other ones than it says."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"{', '.join(names)}: the database was migrated with other contents than this version's"
            " file has; install the version that migrated it, or restore the file"
        )


def _nothing(_: set[str]) -> list[tuple[str, str]]:
    return []


@dataclass(frozen=True)
class Migrations:
    """The migrations of one service.

    Args:
        place: Where its tables are.
        lock: The number of the advisory lock under which they are made.
        package: Of its SQL files. Once applied, they must never change.
        before: Gives name and text of what else comes before them, by the names of what was
            applied; an empty text is only noted.
    """

    place: Place
    lock: int
    package: str
    before: Files = _nothing

    async def apply(self, url: SecretStr) -> list[str]:
        """Bring the database up to this version; any number of processes may try at once.

        Returns:
            The names of the files that were applied.

        Raises:
            MigrationChangedError: one that was applied before has other contents now.
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
            await connection.execute("alter table migration add column if not exists checksum text")
            own = self._own()
            done = self._done(await _rows(connection), own)
            for name in done & own.keys():  # applied before there were checksums
                await connection.execute(
                    "update migration set checksum = %s where name = %s and checksum is null",
                    [_checksum(own[name]), name],
                )
            applied = []
            for name, text in self.files(done):
                async with connection.transaction():
                    # Requests queue behind a waiting migration: it gives up first, and is run
                    # again.
                    await connection.execute("set local lock_timeout = '10s'")
                    if text:
                        await connection.execute(text)
                    await connection.execute(
                        "insert into migration (name, checksum) values (%s, %s)",
                        [name, _checksum(text) if name in own else None],
                    )
                applied.append(name)
            return applied

    async def pending(self, url: SecretStr) -> list[str]:
        """Return the names of the files that this version still lacks in the database.

        Raises:
            MigrationChangedError: one that was applied has other contents now.
        """
        async with await self.place.connect(url) as connection:
            cursor = await connection.execute("select to_regclass('migration') as ledger")
            row = await cursor.fetchone()
            own = self._own()
            there = row is not None and row["ledger"] is not None
            done = self._done(await _rows(connection) if there else [], own)
            return [name for name, _ in self.files(done)]

    async def pending_when_there(self, url: SecretStr) -> list[str]:
        """Return what `pending` does, and wait up to a minute for a database that is away."""
        for _ in range(_WAIT_SECONDS - 1):
            with contextlib.suppress(*AWAY):
                return await self.pending(url)
            _log.info("waiting for the database")
            await asyncio.sleep(1)
        return await self.pending(url)

    def _own(self) -> dict[str, str]:
        """Return the texts of the package's files by their names, in order."""
        files = resources.files(self.package).iterdir()
        texts = {file.name: file for file in files if file.name.endswith(".sql")}
        return {name: texts[name].read_text(encoding="utf-8") for name in sorted(texts)}

    def files(self, done: set[str]) -> list[tuple[str, str]]:
        """Return name and text of what is still to be applied, in order."""
        return [
            *self.before(done),
            *((name, text) for name, text in self._own().items() if name not in done),
        ]

    @staticmethod
    def _done(rows: list[DictRow], own: dict[str, str]) -> set[str]:
        """Return the names of what was applied, if it is what stands in the files."""
        noted = {row["name"]: row.get("checksum") for row in rows}
        changed = [
            name for name, text in own.items() if noted.get(name) not in (None, _checksum(text))
        ]
        if changed:
            raise MigrationChangedError(changed)
        return {*noted}


async def _rows(connection: Connection) -> list[DictRow]:
    # All columns: in a database of before there is no checksum.
    return await (await connection.execute("select * from migration")).fetchall()


def _checksum(text: str) -> str:
    # Lines end as Git likes on each machine.
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()
