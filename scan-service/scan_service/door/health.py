"""Knows whether the service can do its work: the database, and whether HubSpot answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from scan_service.door import hubspot
from scan_service.logs import logger
from scan_service.moments import timestamp
from scan_service.units import duration, milliseconds

if TYPE_CHECKING:
    from scan_service.db import Database
    from scan_service.settings import Settings

_log = logger(__name__)
NAME = "hubspot-deals-etl"
VERSION = "1.0.0"
_KEPT_SECONDS = 10.0
_DATABASE_SECONDS = 5.0


class Health:
    """Answers from a short memory, so that asking often cannot be used to hammer HubSpot."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings = settings
        self._db = db
        self._began = time.monotonic()
        self._asked = -_KEPT_SECONDS
        self._known: dict[str, dict[str, str]] = {}
        self._lock = asyncio.Lock()

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the service is healthy, and the document's answer.

        HubSpot's absence is shown but makes nothing unhealthy: taking servers out of rotation
        would not bring it back.
        """
        async with self._lock:
            if time.monotonic() - self._asked >= _KEPT_SECONDS:
                database, remote = await asyncio.gather(self._database(), self._hubspot())
                self._known = {"database": database, "hubspot_api": remote}
                self._asked = time.monotonic()
        healthy = self._known["database"]["status"] == "healthy"
        return healthy, {
            "status": "healthy" if healthy else "unhealthy",
            "service": NAME,
            "version": VERSION,
            "uptime": duration(time.monotonic() - self._began),
            "timestamp": timestamp(),
            "dependencies": self._known,
        }

    async def _database(self) -> dict[str, str]:
        began = time.monotonic()
        problem = "Connection failed"
        try:
            async with asyncio.timeout(_DATABASE_SECONDS), self._db.system() as connection:
                await connection.execute("select 1 from scan limit 0")
        except TimeoutError:
            problem = "Connection timeout"
        except Exception as error:  # noqa: BLE001 - any failure means the same
            _log.warning("the database does not answer", reason=type(error).__name__)
        else:
            return _healthy(began)
        return _unhealthy(problem, began)

    async def _hubspot(self) -> dict[str, str]:
        began = time.monotonic()
        if await hubspot.is_reachable(self._settings):
            return _healthy(began)
        return _unhealthy("No answer", began)


def _healthy(began: float) -> dict[str, str]:
    return {"status": "healthy", "responseTime": milliseconds(time.monotonic() - began)}


def _unhealthy(problem: str, began: float) -> dict[str, str]:
    elapsed = milliseconds(time.monotonic() - began)
    return {"status": "unhealthy", "error": problem, "responseTime": elapsed}
