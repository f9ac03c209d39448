"""Knows what takes more than one try: to end tasks, and to write to a database that is away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from service_base.database import AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_INSIST_SECONDS = 60.0
_RECANCEL_SECONDS = 1.0


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough before Python 3.12: `wait_for`, which psycopg uses, forgets a cancellation
    that comes together with what it waits for (python/cpython#86296).
    """
    while left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_RECANCEL_SECONDS)


async def insist(write: Callable[[], Awaitable[Any]], log: Any) -> Any:
    """Write to a database that may be away for a moment; later on the sweep sees to it.

    Args:
        write: does it, and can be done again.
        log: of the one who writes.
    """
    until = time.monotonic() + _INSIST_SECONDS
    while True:
        try:
            return await write()
        except AWAY as error:
            if time.monotonic() > until:
                log.warning("the database is away, leaving it to the sweep")
                return None
            log.info("the database is away", reason=type(error).__name__)
            await asyncio.sleep(1)
