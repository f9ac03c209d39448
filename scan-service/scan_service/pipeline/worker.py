"""Knows what a worker does: carry out scans, one run each, and sweep up after dead workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

from psycopg.errors import LockNotAvailable
from service_base.database import AWAY
from service_base.logs import logger

from scan_service.engine.jobs import Engine
from scan_service.engine.processes import ForkServer
from scan_service.guard import audit, sessions
from scan_service.ledger import deliveries, removals, repairs, runs, schedules
from scan_service.pipeline.attempt import Attempt
from scan_service.pipeline.folders import wipe_abandoned
from scan_service.pipeline.meltano import programs
from scan_service.pipeline.numbers import Numbers
from scan_service.pipeline.patience import end
from scan_service.pipeline.telling import Teller

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable

    from scan_service.db import Database
    from scan_service.guard.vault import Vault
    from scan_service.settings import Settings

_log = logger(__name__)
_CLEAN_SECONDS = 60.0
# Until a scan that could not be counted is tried again.
_ODD_SECONDS = 60.0
_RESTART_SECONDS = 1.0


class Worker:
    """Carries out scans until it is told to stop.

    Attributes:
        numbers: what it tells of itself.
    """

    def __init__(self, settings: Settings, db: Database, vault: Vault) -> None:
        self._settings = settings
        self._db = db
        self._vault = vault
        self._engine = Engine()
        self.numbers = Numbers()
        self._teller = Teller(db, vault, private=settings.private_webhooks)
        self._forks = ForkServer(settings.run_directory, programs(settings))
        self._odd: dict[uuid.UUID, float] = {}
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    async def work(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; a database that goes away is waited for."""
        await self._forks.start()
        behind = [
            asyncio.create_task(self._sweep_for_ever()),
            asyncio.create_task(self._remove_for_ever()),
            asyncio.create_task(self._count_for_ever()),
            asyncio.create_task(self._tell_for_ever()),
        ]
        try:
            while not stop.is_set():
                self._engine = Engine()
                try:
                    await self._engine.open(self._db.pool)
                    _log.info("worker started", worker=self._name)
                    await self._engine.work(
                        self._run, concurrency=self._settings.concurrency, stop=stop
                    )
                except Exception as error:  # noqa: BLE001 - whatever it was, scans wait for a worker
                    _log.warning("worker interrupted, starting again", reason=repr(error))
                    await _wait(stop, _RESTART_SECONDS)
        finally:
            await end(*behind)
            await self._forks.close()
            _log.info("worker stopped", worker=self._name)

    async def _run(self, scan: uuid.UUID, job: int, leaving: Callable[[], bool]) -> None:
        """Carry out one scan; an interruption is a cancellation, or this worker's end."""
        taken = await runs.take(self._db, scan, job, worker=self._name)
        if taken is None:
            return  # another job has replaced this one, or the scan was cancelled meanwhile
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # The body is never cancelled: it has processes to end, files to remove, a slot to free.
        body = asyncio.create_task(
            Attempt(
                self._settings, self._db, self._vault, self._engine, self._forks, self.numbers,
                taken,
            ).run(stop)
        )  # fmt: skip
        try:
            await asyncio.shield(body)
        except asyncio.CancelledError:
            if not stop.done():
                stop.set_result("leaving" if leaving() else "cancelled")
            # However often this is interrupted: a cancelled scan whose worker leaves is twice.
            while not body.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({body})
            raise

    async def _sweep_for_ever(self) -> None:
        cleaned = 0.0
        while True:
            steps = {
                "repair": self._repair, "fire": self._fire, "note_late": self._note_late,
            }  # fmt: skip
            if time.monotonic() - cleaned > _CLEAN_SECONDS:
                cleaned = time.monotonic()
                steps["clean"] = self._clean
            fine = True
            for name, step in steps.items():
                try:
                    with self.numbers.step(name):
                        await step()
                except AWAY as error:
                    fine = False
                    _log.warning("sweep failed, will be repeated", reason=repr(error))
                except Exception:  # noqa: BLE001 - one broken thing must not keep the others waiting
                    fine = False
                    _log.exception("sweep failed, will be repeated")
            if fine:
                self.numbers.beat()
            await asyncio.sleep(self._settings.sweep_seconds)

    async def _remove_for_ever(self) -> None:
        """Delete the rows of removed scans; beside the sweep, which must not wait for them."""
        await self._go_on_for_ever("removal", lambda: removals.go_on(self._db))

    async def _count_for_ever(self) -> None:
        """Count what dead workers left; beside the sweep: a million records take minutes."""
        await self._go_on_for_ever("count", self._count)

    async def _tell_for_ever(self) -> None:
        """Call webhooks; beside the sweep, since receivers may be slow."""
        await self._go_on_for_ever("telling", self._teller.tell)

    async def _go_on_for_ever(self, what: str, step: Callable[[], Awaitable[int]]) -> None:
        while True:
            try:
                while await self._timed(what, step):
                    pass
            except AWAY as error:
                _log.warning(f"{what} held up, will go on", reason=repr(error))
            except Exception:  # noqa: BLE001 - one broken thing must not keep the others waiting
                _log.exception(f"{what} failed, will be repeated")
            await asyncio.sleep(self._settings.sweep_seconds)

    async def _timed(self, what: str, step: Callable[[], Awaitable[int]]) -> int:
        with self.numbers.step(what):
            return await step()

    async def _repair(self) -> None:
        counts = await repairs.sweep(
            self._db, self._engine,
            lost_after=self._settings.lost_after_seconds, max_attempts=self._settings.max_attempts,
        )  # fmt: skip
        if any(counts.values()):
            _log.info("swept", **counts)

    async def _count(self) -> int:
        """Count scans one after the other; one that cannot be counted lets the others pass."""
        counted = 0
        for scan in await runs.uncounted(self._db):
            if self._odd.get(scan["id"], 0.0) > time.monotonic():
                continue
            self._odd[scan["id"]] = time.monotonic() + _ODD_SECONDS
            try:
                await runs.count(self._db, scan)
            except LockNotAvailable:
                _log.warning("held by somebody, counted later", scan=scan["scan_id"])
            except AWAY:
                del self._odd[scan["id"]]
                raise
            except Exception:  # noqa: BLE001 - whatever it is, others' scans wait behind it
                _log.exception("a scan could not be counted", scan=scan["scan_id"])
            else:
                del self._odd[scan["id"]]
                counted += 1
        return counted

    async def _fire(self) -> None:
        await schedules.fire(
            self._db, self._engine, self._vault, max_pending=self._settings.max_pending
        )

    async def _note_late(self) -> None:
        await deliveries.note_late(self._db, minutes=self._settings.late_minutes)

    async def _clean(self) -> None:
        await self._engine.clean()
        await deliveries.forget(self._db)
        await audit.forget(self._db)
        await sessions.forget(self._db)
        await removals.expire(self._db)
        await asyncio.to_thread(wipe_abandoned, self._settings.run_directory)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
