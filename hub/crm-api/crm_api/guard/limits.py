"""Knows how often callers may ask: a bucket for each caller and operation."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service_base import buckets
from service_base.buckets import Rate

from crm_api.errors import RateLimitError

if TYPE_CHECKING:
    from service_base.buckets import Allowance
    from service_base.database import Connection

_TEXT = re.compile(r"([1-9]\d{0,5}) per (?:([1-9]\d{0,3}) )?(second|minute|hour|day)s?", re.ASCII)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_STALE = "delete from bucket where at < now() - make_interval(secs => %s)"


@dataclass(frozen=True)
class Limit:
    """A limit, and the words in which it was given: clients are told the same words."""

    text: str
    rate: Rate

    @classmethod
    def read(cls, text: str) -> Limit:
        """Read `60 per 1 minute`.

        Raises:
            ValueError: It is none.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ValueError("must be like `60 per 1 minute` (second, minute, hour, day)")
        seconds = int(found[2] or 1) * _SECONDS[found[3]]
        return cls(text.strip(), Rate(int(found[1]), seconds))


async def take(connection: Connection, operation: str, caller: str, limit: Limit) -> Allowance:
    """Count one request.

    Args:
        connection: Of the ledger.
        operation: Each has its own buckets.
        caller: A user's id, a network's or an e-mail address; it is kept as a hash.
        limit: How many are allowed.

    Raises:
        RateLimitError: There are too many.
    """
    name = hashlib.sha256(f"{operation}\0{caller}".encode()).hexdigest()
    allowance = await buckets.take(connection, name, limit.rate)
    if not allowance.allowed:
        # The token that was not there is not owed: what was counted stays counted.
        await connection.commit()
        raise RateLimitError(
            limit.text, retry_after=allowance.retry_after, headers=allowance.headers()
        )
    return allowance


async def forget(connection: Connection, *limits: Limit) -> None:
    """Remove the buckets that are full again: they say nothing."""
    await connection.execute(_STALE, [max(limit.rate.seconds for limit in limits)])
