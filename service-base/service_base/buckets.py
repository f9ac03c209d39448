"""Knows how many requests a tenant may make: one token bucket in the database for all servers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scan_service.db import Connection

_MINUTE = 60

# One statement, so that servers on many machines cannot both take the last token.
_TAKE = """
insert into bucket (tenant_id, tokens, allowed, at)
values (%(tenant)s, %(burst)s - 1, true, clock_timestamp())
on conflict (tenant_id) do update set (tokens, allowed, at) = (
    select case when filled >= 1 then filled - 1 else filled end, filled >= 1, clock_timestamp()
    from (select least(%(burst)s, bucket.tokens + %(rate)s::float8 * greatest(0,
        extract(epoch from clock_timestamp() - bucket.at))) as filled) as refill)
returning tokens, allowed
"""


@dataclass(frozen=True)
class Allowance:
    """What is left of a tenant's bucket after one request."""

    allowed: bool
    tokens: float
    per_minute: int

    @property
    def retry_after(self) -> int:
        """Seconds until the next request is allowed."""
        return max(1, math.ceil((1 - self.tokens) * _MINUTE / self.per_minute))

    def headers(self) -> dict[str, str]:
        """Return the headers that every answer carries."""
        full = max(0.0, (self.per_minute - self.tokens) * _MINUTE / self.per_minute)
        return {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(min(self.per_minute, int(self.tokens))),
            "X-RateLimit-Reset": str(math.ceil(time.time() + full)),
        }


async def take(connection: Connection, tenant_id: str, *, per_minute: int, burst: int) -> Allowance:
    """Take one token from a tenant's bucket."""
    cursor = await connection.execute(
        _TAKE, {"tenant": tenant_id, "burst": burst, "rate": per_minute / _MINUTE}
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the bucket returned no row")
    return Allowance(row["allowed"], row["tokens"], per_minute)
