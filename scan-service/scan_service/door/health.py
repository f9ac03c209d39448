"""Knows whether the service can do its work: the database, and whether HubSpot answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from service_base.logs import logger

from scan_service.db import connect
from scan_service.moments import timestamp
from scan_service.units import duration, milliseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from service_base.database import Connection

    from scan_service.settings import Settings

_log = logger(__name__)
NAME = "hubspot-deals-etl"
VERSION = "1.0.0"
_KEPT_SECONDS = 10.0
# Whoever watches gets an answer within a second, whatever does not answer us.
_PATIENCE_SECONDS = 0.8


class Health:
    """Answers from a short memory, so that asking often cannot be used to hammer HubSpot.

    Args:
        settings: where the database is.
        reach_hubspot: asks HubSpot for any answer, and tells whether there was one.
    """

    def __init__(self, settings: Settings, reach_hubspot: Callable[[], Awaitable[bool]]) -> None:
        self._settings = settings
        self._reach_hubspot = reach_hubspot
        self._began = time.monotonic()
        self._asked = -_KEPT_SECONDS
        self._known: dict[str, dict[str, str]] = {}
        self._lock = asyncio.Lock()
        # Not from the pool: requests that wait there say nothing about the database.
        self._connection: Connection | None = None

    def alive(self) -> dict[str, Any]:
        """Return what a process says that can answer at all: it asks nobody."""
        return {
            "status": "alive",
            "service": NAME,
            "version": VERSION,
            "uptime": duration(time.monotonic() - self._began),
            "timestamp": timestamp(),
        }

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the service is healthy, and the document's answer.

        HubSpot's absence is shown but makes nothing unhealthy: taking servers out of rotation
        would not bring it back.
        """
        async with self._lock:
            if time.monotonic() - self._asked >= _KEPT_SECONDS:
                database, remote = await asyncio.gather(
                    _answer(self._ask_database, "Connection"), _answer(self._ask_hubspot, "HubSpot")
                )
                self._known = {"database": database, "hubspot_api": remote}
                self._asked = time.monotonic()
        healthy = self._known["database"]["status"] == "healthy"
        return healthy, {
            **self.alive(),
            "status": "healthy" if healthy else "unhealthy",
            "dependencies": self._known,
        }

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def _ask_database(self) -> None:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._settings.database_url)
            await self._connection.execute("select 1")
        except BaseException:
            # Broken, or given up in the middle of an answer: the next question gets a new one.
            if self._connection is not None:
                with contextlib.suppress(Exception):
                    await self._connection.close()
                self._connection = None
            raise

    async def _ask_hubspot(self) -> None:
        if not await self._reach_hubspot():
            raise ConnectionError


async def _answer(ask: Callable[[], Awaitable[None]], what: str) -> dict[str, str]:
    """Ask once, for a moment only, and return a dependency's entry of the answer."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await ask()
    except TimeoutError:
        state = {"status": "unhealthy", "error": f"{what} timeout"}
    except Exception as error:  # noqa: BLE001 - any failure means the same
        _log.warning("no answer", dependency=what, reason=type(error).__name__)
        state = {"status": "unhealthy", "error": f"{what} failed"}
    else:
        state = {"status": "healthy"}
    return {**state, "responseTime": milliseconds(time.monotonic() - began)}
