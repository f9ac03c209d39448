"""Knows how a service reaches its database: one connection or a pool, in a schema of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

if TYPE_CHECKING:
    from pydantic import SecretStr

    Connection = psycopg.AsyncConnection[DictRow]

# What psycopg says when the database cannot be reached; it may be back in a moment.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed)
_CONNECT_SECONDS = 5
WAIT_SECONDS = 5
# A request that waits for a row that somebody holds, or that reads for ever, holds a connection
# that others need: it is ended, and its client told to come again.
_LOCK_SECONDS = 3
STATEMENT_SECONDS = 60


def readable(url: SecretStr | None) -> SecretStr | None:
    """Return a URL as it is, if it is one: what the library says of others holds the password.

    Raises:
        ValueError: it is none.
    """
    try:
        conninfo_to_dict(url.get_secret_value() if url else "")
    except psycopg.ProgrammingError:
        raise ValueError(
            "is no URL of PostgreSQL: postgresql://user:password@host:port/database"
        ) from None
    return url


@dataclass(frozen=True)
class Place:
    """Where a service keeps its tables.

    Args:
        schema: The one that unqualified names mean.
        application: What the database's own lists call the service.
    """

    schema: str
    application: str

    def options(self, *, lock: int = 0, statement: int = 0) -> dict[str, Any]:
        """How connections are made; both limits in seconds, 0 for none."""
        return {
            "row_factory": dict_row,
            "options": (
                f"-c search_path={self.schema} -c timezone=UTC"
                f" -c lock_timeout={lock}s -c statement_timeout={statement}s"
            ),
            "connect_timeout": _CONNECT_SECONDS,
            # Notice a machine that vanished without a word within about fifteen seconds.
            "keepalives_idle": 5,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "application_name": self.application,
        }

    def pool(
        self, url: SecretStr, *, size: int, statement_seconds: int = STATEMENT_SECONDS
    ) -> AsyncConnectionPool[Connection]:
        """Make a pool, still closed: so many connections at most, each made when it is needed."""
        return AsyncConnectionPool(
            url.get_secret_value(),
            kwargs=self.options(lock=_LOCK_SECONDS, statement=statement_seconds),
            min_size=0,
            max_size=size,
            open=False,
            timeout=WAIT_SECONDS,
            reconnect_timeout=WAIT_SECONDS,
            # A restarted database leaves dead connections in the pool: look before handing out.
            check=AsyncConnectionPool.check_connection,
        )

    async def connect(self, url: SecretStr) -> Connection:
        """Open one connection outside the pools: for migrations and commands."""
        return await psycopg.AsyncConnection.connect(
            url.get_secret_value(), autocommit=True, **self.options()
        )
