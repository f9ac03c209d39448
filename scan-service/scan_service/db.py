"""Knows how to reach the database; every connection of the service is opened here."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout
from pydantic import SecretStr
from service_base.database import WAIT_SECONDS, Place

from scan_service.errors import UnavailableError
from scan_service.shares import Shares

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from service_base.database import Connection

SCHEMA = "scan_service"
RESULTS = "scans"
NEWS: Final = "scan_service_news"
# Whoever loads acts as this role; migration 0014 and `records.tables` say what it may.
LOADER = "scan_service_loader"
PLACE = Place(SCHEMA, "scan-service")
_EXPORT_WAIT_SECONDS = 2
_END_MILLISECONDS = 5000
_WAREHOUSE_SIZE, _WAREHOUSE_SECONDS = 2, 10
# The part of a pool that one tenant may hold.
_SHARE = 1 / 3
connect = PLACE.connect


class Database:
    """Two pools: one for short statements, a small one for downloads that take their time.

    A tenant gets a third of each at most, so that what makes its requests slow slows no other's.
    """

    def __init__(self, url: SecretStr, *, size: int = 10, exports: int = 4) -> None:
        self.pool = PLACE.pool(url, size=size)
        self._exports = PLACE.pool(url, size=exports, statement_seconds=0)
        self._url = url
        self._shares = Shares(math.floor(size * _SHARE), seconds=WAIT_SECONDS)
        self._export_shares = Shares(math.floor(exports * _SHARE), seconds=_EXPORT_WAIT_SECONDS)

    async def open(self) -> None:
        """Open the pools; connections are made when they are needed."""
        await self.pool.open()
        await self._exports.open()

    async def close(self) -> None:
        """Close all connections."""
        await self.pool.close()
        await self._exports.close()

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Connection]:
        """Give a transaction that sees all tenants: for keys, the engine and the sweep."""
        async with self.pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def on_behalf(self, whose: str) -> AsyncIterator[Connection]:
        """Give a transaction that sees all tenants, in the turns of whom it is for."""
        refusal = "Too many of your requests are at work. Please retry."
        async with self._shares.turn(whose, refusal), self.pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[Connection]:
        """Give a transaction that can see and touch the rows of one tenant only."""
        async with self.on_behalf(tenant_id) as connection:
            await become(connection, tenant_id)
            yield connection

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str]]:
        """Give the ids of scans as they change, on a connection of its own beside the pools."""
        async with await connect(self._url) as connection:
            await connection.execute(f"listen {NEWS}")
            yield (note.payload async for note in connection.notifies())

    @asynccontextmanager
    async def export(self, tenant_id: str) -> AsyncIterator[Connection]:
        """Give a transaction for a download; all of them taken is a 503, not a queue."""
        refusal = "All downloads are taken. Please retry."
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._export_shares.turn(tenant_id, refusal))
            try:
                connection = await stack.enter_async_context(
                    self._exports.connection(timeout=_EXPORT_WAIT_SECONDS)
                )
            except PoolTimeout:
                raise UnavailableError(refusal) from None
            await connection.execute("set transaction isolation level repeatable read")
            await become(connection, tenant_id)
            yield connection


class Warehouse:
    """A database of the operator's, of which the service only reads.

    Args:
        url: of a login that may read there; None: he names none.
    """

    def __init__(self, url: SecretStr | None) -> None:
        self.is_named = url is not None
        # A pool makes its connections when they are needed.
        nothing = SecretStr("")
        self._pool = PLACE.pool(
            url or nothing, size=_WAREHOUSE_SIZE, statement_seconds=_WAREHOUSE_SECONDS
        )

    async def open(self) -> None:
        """Open the pool; connections are made when they are needed."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[Connection]:
        """Give a transaction that can write nothing, and tells the tables' policies who asks."""
        async with self._pool.connection() as connection:
            await connection.execute("set transaction read only")
            await connection.execute("select set_config('app.tenant_id', %s, true)", [tenant_id])
            yield connection


async def take_time(connection: Connection) -> None:
    """Let the rest of a transaction that locks nothing read as long as it takes."""
    await connection.execute("set local statement_timeout = 0")


async def become(connection: Connection, tenant_id: str) -> None:
    """Let the rest of the transaction act for one tenant."""
    await connection.execute(
        "select set_config('role', 'scan_service_tenant', true),"
        " set_config('app.tenant_id', %s, true)",
        [tenant_id],
    )


async def step_out(connection: Connection) -> None:
    """Let the rest of the transaction act for the service again: slots and jobs are its own."""
    await connection.execute("set local role none")


def loader_url(url: SecretStr, scan: uuid.UUID, run: uuid.UUID) -> str:
    """Return how the loader of a run connects: by a role that may write that one scan only.

    Args:
        url: of a login that may act as that role.
        scan: its id in the ledger, by which `end_loaders` finds the session.
        run: the fence: the rows are refused when the scan is another run's.
    """
    given = conninfo_to_dict(url.get_secret_value())
    options = f"{given.get('options') or ''} -c role={LOADER} -c app.run_id={run}".strip()
    return make_conninfo(
        url.get_secret_value(), options=options, application_name=_session_of(scan)
    )


async def end_loaders(connection: Connection, scan: uuid.UUID) -> None:
    """End the sessions of a scan's loaders, and wait for it, once its run is no longer theirs.

    What began a transaction before that could still commit: a loader may be frozen in one.
    """
    await connection.execute(
        "select pg_terminate_backend(pid, %s) from pg_stat_activity"
        " where datname = current_database() and application_name = %s",
        [_END_MILLISECONDS, _session_of(scan)],
    )


def _session_of(scan: uuid.UUID) -> str:
    return f"scan-service-load {scan}"
