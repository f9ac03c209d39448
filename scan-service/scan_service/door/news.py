"""Knows who watches which scan, and tells them that it changed: one connection listens for all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from service_base.database import AWAY
from service_base.logs import logger

from scan_service.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scan_service.db import Database

_log = logger(__name__)
_SHARE = 3
_AGAIN_SECONDS = 2.0


class Watch:
    """What somebody is told of one scan."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether the server ends, and nothing will be told any more."""
        return self._over.is_set()

    def tell(self) -> None:
        """Say that the scan has changed."""
        self._changed.set()

    def end(self) -> None:
        """Say that nothing more will come."""
        self._over.set()
        self._changed.set()

    def look(self) -> None:
        """Say that who watches looks now: only what changes from here on is news to him."""
        self._changed.clear()

    async def change(self, *, within: float) -> None:
        """Wait for a change since the last look, so many seconds at most."""
        await _wait(self._changed, within)

    async def pause(self, seconds: float) -> None:
        """Let changes gather for a while; the end of the server does not wait for that."""
        await _wait(self._over, seconds)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class News:
    """The watches of one server.

    Args:
        db: listens.
        most: of them; a tenant gets a third.
    """

    def __init__(self, db: Database, *, most: int) -> None:
        self._db = db
        self._most = most
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._tenants: Counter[str] = Counter()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def watch(self, tenant_id: str, scan: str) -> AsyncIterator[Watch]:
        """Be told of a scan.

        Args:
            tenant_id: who watches.
            scan: the id of the scan's row.

        Raises:
            UnavailableError: enough watch already; whoever comes now may ask from time to time.
        """
        share = max(1, self._most // _SHARE)
        enough = self._tenants.total() >= self._most or self._tenants[tenant_id] >= share
        if enough or self._closed:
            raise UnavailableError("Too many pages are being watched. Please retry.")
        watch = Watch()
        self._watches[scan].add(watch)
        self._tenants[tenant_id] += 1
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        try:
            yield watch
        finally:
            self._watches[scan].discard(watch)
            if not self._watches[scan]:
                del self._watches[scan]
            self._tenants[tenant_id] -= 1
            if not self._tenants[tenant_id]:
                del self._tenants[tenant_id]
            if not self._watches:
                await self._stop()

    async def close(self) -> None:
        """End all watches."""
        self._closed = True
        for watch in [each for watches in self._watches.values() for each in watches]:
            watch.end()
        await self._stop()

    async def _stop(self) -> None:
        task, self._listening = self._listening, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                async with self._db.listen() as changed:
                    # Whatever happened before this connection listened is news, too.
                    for scan in list(self._watches):
                        self._tell(scan)
                    async for scan in changed:
                        self._tell(scan)
            _log.warning("listening broke off")
            await asyncio.sleep(_AGAIN_SECONDS)

    def _tell(self, scan: str) -> None:
        for watch in self._watches.get(scan, ()):
            watch.tell()
