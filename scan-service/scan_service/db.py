"""Knows how to reach the database; every connection of the service is opened here."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from scan_service.errors import UnavailableError
from scan_service.shares import Shares

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

    Connection = psycopg.AsyncConnection[DictRow]

# What psycopg says when the database cannot be reached; it may be back in a moment.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed)
SCHEMA = "scan_service"
RESULTS = "scans"
_CONNECT_SECONDS = 5
_WAIT_SECONDS = 5
_EXPORT_WAIT_SECONDS = 2
# A request that waits for a row that somebody holds, or that reads for ever, holds a connection
# that others need: it is ended, and its client told to come again.
_LOCK_SECONDS = 3
_STATEMENT_SECONDS = 60
# The part of a pool that one tenant may hold.
_SHARE = 1 / 3


def _options(*, lock: int = 0, statement: int = 0) -> dict[str, Any]:
    return {
        "row_factory": dict_row,
        "options": (
            f"-c search_path={SCHEMA} -c timezone=UTC"
            f" -c lock_timeout={lock}s -c statement_timeout={statement}s"
        ),
        "connect_timeout": _CONNECT_SECONDS,
        # Notice a machine that vanished without a word within about fifteen seconds.
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "application_name": "scan-service",
    }


class Database:
    """Two pools: one for short statements, a small one for downloads that take their time.

    A tenant gets a third of each at most, so that what makes its requests slow slows no other's.
    """

    def __init__(self, url: SecretStr, *, size: int = 10, exports: int = 4) -> None:
        self._url = url
        self.pool = self._new_pool(size, statement_seconds=_STATEMENT_SECONDS)
        self._exports = self._new_pool(exports, statement_seconds=0)
        self._shares = Shares(math.floor(size * _SHARE), seconds=_WAIT_SECONDS)
        self._export_shares = Shares(math.floor(exports * _SHARE), seconds=_EXPORT_WAIT_SECONDS)

    def _new_pool(self, size: int, *, statement_seconds: int) -> AsyncConnectionPool[Connection]:
        return AsyncConnectionPool(
            self._url.get_secret_value(),
            kwargs=_options(lock=_LOCK_SECONDS, statement=statement_seconds),
            min_size=0,
            max_size=size,
            open=False,
            timeout=_WAIT_SECONDS,
            reconnect_timeout=_WAIT_SECONDS,
            # A restarted database leaves dead connections in the pool: look before handing out.
            check=AsyncConnectionPool.check_connection,
        )

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
    async def tenant(self, tenant_id: str) -> AsyncIterator[Connection]:
        """Give a transaction that can see and touch the rows of one tenant only."""
        refusal = "Too many of your requests are at work. Please retry."
        async with self._shares.turn(tenant_id, refusal), self.pool.connection() as connection:
            await become(connection, tenant_id)
            yield connection

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


async def connect(url: SecretStr) -> Connection:
    """Open one connection outside the pools: for migrations and commands."""
    return await psycopg.AsyncConnection.connect(
        url.get_secret_value(), autocommit=True, **_options()
    )
