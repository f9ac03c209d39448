"""Knows how to share among tenants what a process has little of: nobody gets all of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from scan_service.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Shares:
    """How many of some things each tenant uses at once.

    Args:
        most: of one tenant, at least one.
        seconds: how long a tenant waits for its own.
    """

    def __init__(self, most: int, *, seconds: float) -> None:
        self._most = max(1, most)
        self._seconds = seconds
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, tenant_id: str, refusal: str) -> AsyncIterator[None]:
        """Wait for one of the tenant's turns.

        Raises:
            UnavailableError: the tenant's other requests take too long.
        """
        turns = self._turns.setdefault(tenant_id, asyncio.Semaphore(self._most))
        self._users[tenant_id] += 1
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    await turns.acquire()
            except TimeoutError:
                raise UnavailableError(refusal) from None
            try:
                yield
            finally:
                turns.release()
        finally:
            self._users[tenant_id] -= 1
            if not self._users[tenant_id]:
                del self._users[tenant_id], self._turns[tenant_id]
