"""Knows how many requests a caller may make: one token bucket in the database for all servers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service_base.database import Connection

# The table `bucket` has the columns: the caller, which is its key, tokens, allowed, at.
# One statement, so that servers on many machines cannot both take the last token.
_TAKE = """
insert into bucket values (%(caller)s, %(burst)s - 1, true, clock_timestamp())
on conflict on constraint bucket_pkey do update set (tokens, allowed, at) = (
    select case when filled >= 1 then filled - 1 else filled end, filled >= 1, clock_timestamp()
    from (select least(%(burst)s, bucket.tokens + %(rate)s::float8 * greatest(0,
        extract(epoch from clock_timestamp() - bucket.at))) as filled) as refill)
returning tokens, allowed
"""


@dataclass(frozen=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int = 60


@dataclass(frozen=True)
class Allowance:
    """What is left of a caller's bucket after one request."""

    allowed: bool
    tokens: float
    rate: Rate

    @property
    def retry_after(self) -> int:
        """Seconds until the next request is allowed."""
        return max(1, math.ceil((1 - self.tokens) * self.rate.seconds / self.rate.requests))

    def headers(self) -> dict[str, str]:
        """Return the headers that every answer carries."""
        most = self.rate.requests
        full = max(0.0, (most - self.tokens) * self.rate.seconds / most)
        return {
            "X-RateLimit-Limit": str(most),
            "X-RateLimit-Remaining": str(min(most, int(self.tokens))),
            "X-RateLimit-Reset": str(math.ceil(time.time() + full)),
        }


async def take(
    connection: Connection, caller: str, rate: Rate, *, burst: int | None = None
) -> Allowance:
    """Take one token from a caller's bucket, which holds `burst`; default: what the rate allows."""
    cursor = await connection.execute(
        _TAKE,
        {
            "caller": caller,
            "burst": rate.requests if burst is None else burst,
            "rate": rate.requests / rate.seconds,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("the bucket returned no row")
    return Allowance(row["allowed"], row["tokens"], rate)
